#include "costmodel/cost_model.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "costmodel/row_choice.h"

namespace lathe {
namespace {

Space MakeSpace() {
  SpaceDefinition definition;
  definition.id = "test";
  Parameter tile{"TILE", {}, ""}, step{"STEP", {}, ""}, order{"ORDER", {}, ""}, fixed{"FIXED", {Value(int64_t{7})}, ""};
  for (int64_t value : {1, 2, 4, 8, 16, 32}) tile.values.emplace_back(value);
  for (int64_t value : {10, 12, 14, 16}) step.values.emplace_back(value);
  for (const char* value : {"xy", "yx", "z"}) order.values.emplace_back(std::string(value));
  definition.parameters = {tile, step, order, fixed};
  Result<Space> space = Space::Create(std::move(definition));
  if (!space) throw std::runtime_error(space.error().message);
  return std::move(*space);
}

TEST(FeatureEncoder, SpacesPowersEvenlyAndGivesNamesAColumnEach) {
  const Space space = MakeSpace();
  const FeatureEncoder encoder(space, nullptr, {.alignment = false, .pairs = false});
  EXPECT_EQ(encoder.columns(), 1u + 1u + 3u) << "a parameter with one value says nothing";
  const std::vector<float> row = encoder.Encode({2, 1, 2, 0});
  EXPECT_FLOAT_EQ(row[0], 0.4F);       // log2(4) of log2(32)
  EXPECT_NEAR(row[1], 1.0 / 3, 1e-6);  // 12 of 10 to 16: linear, since it spans less than a factor of four
  EXPECT_EQ(std::vector<float>(row.begin() + 2, row.end()), (std::vector<float>{0, 0, 1}));
}

TEST(FeatureEncoder, AppendsTheManifestsFeaturesAndReadsWhatHasNoValueAsZero) {
  const Space space = MakeSpace();
  const FeatureFunction features = [&](const Point& point) {
    return std::vector<double>{space.Number(0, point[0]) * 3, point[1] == 0 ? std::nan("") : 5.0};
  };
  const FeatureEncoder encoder(space, features, {});
  const std::vector<float> row = encoder.Encode({2, 0, 0, 0});
  EXPECT_EQ(row.size(), encoder.columns());
  EXPECT_FLOAT_EQ(row[row.size() - 2], 12);
  EXPECT_FLOAT_EQ(row.back(), 0);
  EXPECT_FLOAT_EQ(encoder.Encode({2, 1, 0, 0}).back(), 5);
}

TEST(FeatureEncoder, SeesHowOftenTwoDividesANumber) {
  const Space space = MakeSpace();
  const FeatureEncoder plain(space, nullptr, {.alignment = false, .pairs = false}), aligned(space, nullptr, {.pairs = false});
  ASSERT_EQ(aligned.columns(), plain.columns() + 1) << "STEP only: TILE has nothing but powers of two";
  EXPECT_FLOAT_EQ(aligned.Encode({0, 3, 0, 0})[2], 1);  // 16
  EXPECT_FLOAT_EQ(aligned.Encode({0, 0, 0, 0})[2], 0);  // 10
}

TEST(CostModel, FindsTheBetterHalfFromFewObservations) {
  const Space space = MakeSpace();
  for (const auto& [boosted, gaussian] : {std::pair{true, true}, std::pair{true, false}, std::pair{false, true}}) {
    CostModelOptions options;
    options.boosted = boosted;
    options.gaussian = gaussian;
    CostModel model(space, nullptr, options);
    const auto seconds = [](const Point& point) { return 1 + std::abs(point[0] - 3.0) + 0.5 * point[2]; };
    std::mt19937_64 random(1);
    for (int i = 0; i < 30; ++i) {
      const Point point = *space.Sample(random);
      model.Add(point, true, seconds(point));
    }
    ASSERT_TRUE(model.Refit(1));
    const auto scores = model.Score({{3, 0, 0, 0}, {0, 0, 2, 0}}, 0);
    ASSERT_TRUE(scores);
    EXPECT_GT(scores->mean[0], scores->mean[1] + 0.5F);
  }
}

TEST(CostModel, LearnsWhichPointsFail) {
  const Space space = MakeSpace();
  CostModel model(space, nullptr, {});
  std::mt19937_64 random(1);
  for (int i = 0; i < 40; ++i) {
    const Point point = *space.Sample(random);
    model.Add(point, point[0] < 4, 1.0 + point[1]);
  }
  ASSERT_TRUE(model.Refit(1));
  const auto scores = model.Score({{1, 1, 1, 0}, {5, 1, 1, 0}}, 0);
  ASSERT_TRUE(scores);
  EXPECT_GT(scores->valid[0], 0.7F);
  EXPECT_LT(scores->valid[1], 0.3F);
}

TEST(CostModel, RefusesToLearnFromFailuresAlone) {
  const Space space = MakeSpace();
  CostModel model(space, nullptr, {});
  model.Add({0, 0, 0, 0}, false, std::numeric_limits<double>::infinity());
  model.Add({1, 0, 0, 0}, false, std::numeric_limits<double>::infinity());
  EXPECT_FALSE(model.Refit(1));
}

TEST(ChooseRows, KeepsTheBestAndASampleOfTheRest) {
  std::vector<float> targets;
  for (int i = 0; i < 100; ++i) targets.push_back(static_cast<float>(i));
  const std::vector<size_t> rows = ChooseRows(targets, 20, 7);
  ASSERT_EQ(rows.size(), 20u);
  for (size_t i = 0; i < 10; ++i) EXPECT_EQ(rows[i], 99 - i);
  EXPECT_EQ(rows, ChooseRows(targets, 20, 7));
  EXPECT_EQ(ChooseRows(targets, 200, 7).size(), 100u);
}

}  // namespace
}  // namespace lathe
