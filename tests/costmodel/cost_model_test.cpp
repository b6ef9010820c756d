#include "costmodel/cost_model.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
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

TEST(FeatureEncoder, ScalesTheManifestsFeaturesAndReadsWhatHasNoValueAsZero) {
  const Space space = MakeSpace();
  const FeatureFunction features = [&](const Point& point) {
    return std::vector<double>{space.Number(0, point[0]) * 3, point[1] == 0 ? std::nan("") : 5.0 + point[1]};
  };
  const FeatureEncoder plain(space, nullptr, {}), encoder(space, features, {});
  ASSERT_EQ(encoder.base_columns(), plain.base_columns() + 2);
  std::vector<float> row(encoder.base_columns());
  encoder.EncodeBase({2, 0, 0, 0}, row.data());
  EXPECT_FLOAT_EQ(row[row.size() - 2], 0.4F);  // 12 of 3 to 96, by ratio
  EXPECT_FLOAT_EQ(row.back(), 0);
  encoder.EncodeBase({2, 3, 0, 0}, row.data());
  EXPECT_FLOAT_EQ(row.back(), 1);  // 8 of 6 to 8
  EXPECT_EQ(encoder.Encode({2, 3, 0, 0}).size(), encoder.columns());
}

TEST(FeatureEncoder, SeesHowOftenTwoDividesANumberAndPowersOfTwo) {
  const Space space = MakeSpace();
  const FeatureEncoder plain(space, nullptr, {.alignment = false, .pairs = false}), aligned(space, nullptr, {.pairs = false});
  ASSERT_EQ(aligned.columns(), plain.columns() + 2) << "STEP only: TILE has nothing but powers of two";
  const std::vector<float> sixteen = aligned.Encode({0, 3, 0, 0}), twelve = aligned.Encode({0, 1, 0, 0});
  EXPECT_FLOAT_EQ(sixteen[2], 1);
  EXPECT_FLOAT_EQ(sixteen[3], 1);
  EXPECT_NEAR(twelve[2], 1.0 / 3, 1e-6);
  EXPECT_FLOAT_EQ(twelve[3], 0);
}

TEST(FeatureEncoder, SeesThatNumbersThatCountMayBeNames) {
  SpaceDefinition definition;
  definition.id = "test";
  for (const auto& [name, values] :
       std::map<std::string, std::vector<int64_t>>{{"METHOD", {0, 1, 2, 3}}, {"SWITCH", {0, 1}}, {"WIDTH", {1, 2, 3}}}) {
    Parameter parameter{name, {}, ""};
    for (const int64_t value : values) parameter.values.emplace_back(value);
    definition.parameters.push_back(std::move(parameter));
  }
  const Result<Space> space = Space::Create(std::move(definition));
  ASSERT_TRUE(space) << space.error().message;
  const FeatureEncoder numbers(*space, nullptr, {.alignment = false, .codes = false, .pairs = false}),
      codes(*space, nullptr, {.alignment = false, .pairs = false});
  ASSERT_EQ(numbers.columns(), 3u);
  ASSERT_EQ(codes.columns(), 3u + 4u) << "the method's alone";
  const std::vector<float> row = codes.Encode({2, 1, 0});
  EXPECT_NEAR(row[0], 2.0 / 3, 1e-6) << "still a number, too";
  EXPECT_EQ(std::vector<float>(row.begin() + 1, row.begin() + 5), (std::vector<float>{0, 0, 1, 0}));
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
