#include "costmodel/importance.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "costmodel/booster.h"
#include "costmodel/winner_edges.h"

namespace lathe {
namespace {

Parameter Numbers(const std::string& name, const std::vector<int64_t>& values) {
  Parameter parameter{name, {}, ""};
  for (int64_t value : values) parameter.values.emplace_back(value);
  return parameter;
}

Space MakeSpace(std::vector<Constraint> constraints = {}) {
  SpaceDefinition definition;
  definition.id = "fake";
  definition.parameters = {Numbers("A", {1, 2, 4, 8}),
                           Numbers("B", {1, 2, 4, 8}),
                           Numbers("C", {0, 1}),
                           {"D", {Value(std::string("x")), Value(std::string("y"))}, ""},
                           Numbers("E", {1, 2, 3})};
  definition.constraints = std::move(constraints);
  return *Space::Create(std::move(definition));
}

// Main effects of A (largest) and B, an effect that only C and D have together, and none of E.
double Seconds(const Space& space, const Point& point) {
  const double a = std::log2(space.Number(0, point[0])), b = std::log2(space.Number(1, point[1]));
  return 1e-3 * std::exp(-0.4 * a - 0.2 * b + 0.3 * (point[2] == point[3] ? 1 : -1));
}

TimeModel ModelOf(const Space& space, size_t count = 150) {
  std::mt19937_64 random(1);
  std::vector<Point> points;
  std::vector<double> seconds;
  for (size_t i = 0; i < count; ++i) {
    points.push_back(*space.Sample(random));
    seconds.push_back(Seconds(space, points.back()));
  }
  auto model = TimeModel::Learn(space, points, seconds, 1);
  EXPECT_TRUE(model) << model.error().message;
  return *std::move(model);
}

double ShareOf(const Importance& importance, const std::vector<size_t>& parameters) {
  for (const ImportancePart& part : importance.parts) {
    if (part.parameters == parameters) return part.share;
  }
  return 0;
}

TEST(Importance, FindsMainEffectsAndInteractionsInTheirProportions) {
  const Space space = MakeSpace();
  const TimeModel model = ModelOf(space);
  EXPECT_GT(model.held_out(), 0.9);
  const Importance importance = ImportanceOf(space, model, 1);
  // Variances: A 0.16 * 1.25 = 0.2, B 0.05, C x D 0.09; together 0.34.
  EXPECT_NEAR(ShareOf(importance, {0}), 0.2 / 0.34, 0.05);
  EXPECT_NEAR(ShareOf(importance, {1}), 0.05 / 0.34, 0.05);
  EXPECT_NEAR(ShareOf(importance, {2, 3}), 0.09 / 0.34, 0.08) << "trees learn what only two decide together last";
  EXPECT_LT(ShareOf(importance, {2}), 0.02) << "alone it decides nothing";
  EXPECT_LT(ShareOf(importance, {4}), 0.01);
  EXPECT_EQ(importance.parts.front().parameters, std::vector<size_t>{0});
  EXPECT_NEAR(importance.explained, 1, 0.05);
}

TEST(Importance, RefusesTooFewMeasurements) {
  const Space space = MakeSpace();
  const auto model = TimeModel::Learn(space, std::vector<Point>(5, *space.First()), std::vector<double>(5, 1.0), 1);
  ASSERT_FALSE(model);
  EXPECT_NE(model.error().message.find("only 5 configurations"), std::string::npos) << model.error().message;
}

TEST(Importance, SaysThatAModelOfNoiseExplainsNothing) {
  const Space space = MakeSpace();
  std::mt19937_64 random(2);
  std::uniform_real_distribution<double> any(1, 2);
  std::vector<Point> points;
  std::vector<double> seconds;
  for (int i = 0; i < 100; ++i) {
    points.push_back(*space.Sample(random));
    seconds.push_back(any(random));
  }
  const auto model = TimeModel::Learn(space, points, seconds, 1);
  ASSERT_TRUE(model);
  EXPECT_LT(model->held_out(), 0.3);
}

TEST(WinnerEdges, NamesTheEndOfAListThatCouldGoOn) {
  const Space space = MakeSpace({{"A*B <= 32", "registers"}});
  const auto edges = EdgesOf(space, ModelOf(space), {3, 0, 0, 1, 0});
  ASSERT_TRUE(edges) << edges.error().message;
  ASSERT_EQ(edges->values.size(), 1u) << "B 1 and E 1 are the smallest of their lists, and nothing is below 1";
  EXPECT_EQ(edges->values[0].parameter, 0u);
  EXPECT_TRUE(edges->values[0].largest);
  EXPECT_GT(edges->values[0].lead, 0.1);
}

TEST(WinnerEdges, NamesTheConstraintThatStandsInTheWayAndNoListThatItStopsToo) {
  const Space space = MakeSpace({{"A*B <= 32", "registers"}, {"E < 9", "never in the way"}});
  const TimeModel model = ModelOf(space);
  const Point winner = {3, 2, 0, 1, 0};  // A 8, B 4: B 8 would be faster, and is refused
  ASSERT_TRUE(space.IsValid(winner));
  const auto edges = EdgesOf(space, model, winner);
  ASSERT_TRUE(edges) << edges.error().message;
  EXPECT_TRUE(edges->values.empty()) << "A 16 would be refused as well";
  ASSERT_EQ(edges->constraints.size(), 1u);
  EXPECT_EQ(edges->constraints[0].constraint, 0u);
  EXPECT_EQ(edges->constraints[0].forbids, 1u);
  EXPECT_EQ(edges->constraints[0].best, (Point{3, 3, 0, 1, 0}));
}

TEST(TreeEnsemble, PredictsAsItsBoosterDoes) {
  std::mt19937_64 random(3);
  std::uniform_real_distribution<float> any(-1, 1);
  Rows rows;
  rows.columns = 3;
  std::vector<float> targets;
  for (int i = 0; i < 200; ++i) {
    rows.Append({any(random), any(random), any(random)});
    const float* row = rows.row(static_cast<size_t>(i));
    targets.push_back(row[0] * row[1] + row[2]);
  }
  rows.values[5] = std::numeric_limits<float>::quiet_NaN();
  auto booster = Booster::Train(rows, targets, {}, {});
  ASSERT_TRUE(booster);
  const auto trees = booster->Trees();
  ASSERT_TRUE(trees) << trees.error().message;
  const std::vector<float> expected = *booster->Predict(rows);
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(trees->Predict(rows.row(i)), expected[i], 1e-4) << i;
  EXPECT_FALSE(TreeEnsemble::FromDumps({"{\"nodeid\": 0}"}, 0.5));
  EXPECT_FALSE(TreeEnsemble::FromDumps({"nonsense"}, 0.5));
}

}  // namespace
}  // namespace lathe
