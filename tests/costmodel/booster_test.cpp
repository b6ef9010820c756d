#include "costmodel/booster.h"

#include <gtest/gtest.h>

#include "costmodel/boosted_ensemble.h"

namespace lathe {
namespace {

Rows Line(int count) {
  Rows rows;
  rows.columns = 2;
  for (int i = 0; i < count; ++i) rows.Append({static_cast<float>(i), static_cast<float>(i % 3)});
  return rows;
}

std::vector<float> Step(const Rows& rows) {
  std::vector<float> targets;
  for (size_t i = 0; i < rows.count(); ++i) targets.push_back(rows.row(i)[0] < 20 ? 1.0F : 5.0F);
  return targets;
}

TEST(Booster, LearnsAStep) {
  const Rows rows = Line(40);
  const auto booster = Booster::Train(rows, Step(rows), {}, {});
  ASSERT_TRUE(booster) << booster.error().message;
  const auto predicted = booster->Predict(rows);
  ASSERT_TRUE(predicted);
  EXPECT_NEAR((*predicted)[3], 1, 0.2);
  EXPECT_NEAR((*predicted)[33], 5, 0.2);
}

TEST(Booster, RanksWithoutCaringForTheUnit) {
  const Rows rows = Line(40);
  BoosterOptions options;
  options.objective = "rank:pairwise";
  const auto booster = Booster::Train(rows, Step(rows), {}, options);
  ASSERT_TRUE(booster) << booster.error().message;
  const auto predicted = booster->Predict(rows);
  ASSERT_TRUE(predicted);
  EXPECT_GT((*predicted)[33], (*predicted)[3]);
}

TEST(Booster, GivesTheSameModelForTheSameSeed) {
  const Rows rows = Line(60);
  BoosterOptions options;
  options.subsample = 0.7;
  options.seed = 5;
  const auto one = Booster::Train(rows, Step(rows), {}, options), two = Booster::Train(rows, Step(rows), {}, options);
  ASSERT_TRUE(one && two);
  EXPECT_EQ(*one->Predict(rows), *two->Predict(rows));
}

TEST(Booster, RefusesRowsThatDoNotFit) {
  const Rows rows = Line(10);
  EXPECT_FALSE(Booster::Train(rows, {1, 2}, {}, {}));
  EXPECT_FALSE(Booster::Train(Rows{}, {}, {}, {}));
  BoosterOptions wrong;
  wrong.objective = "reg:nonsense";
  const auto refused = Booster::Train(rows, Step(rows), {}, wrong);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("XGBoost"), std::string::npos);
  const auto booster = Booster::Train(rows, Step(rows), {}, {});
  Rows other;
  other.columns = 1;
  other.Append({1});
  EXPECT_FALSE(booster->Predict(other));
}

TEST(BoostedEnsemble, DoubtsMostWhereItsMembersSawDifferentThings) {
  const Rows rows = Line(40);
  EnsembleOptions options;
  options.members = 8;
  BoostedEnsemble ensemble(options);
  ASSERT_TRUE(ensemble.Fit(rows, Step(rows), 3));
  const auto prediction = ensemble.Predict(rows);
  ASSERT_TRUE(prediction);
  EXPECT_GT(std::max(prediction->deviation[19], prediction->deviation[20]), prediction->deviation[5]);
}

TEST(BoostedEnsemble, MapsARankingToTheTargetsSpread) {
  const Rows rows = Line(40);
  EnsembleOptions options;
  options.booster.objective = "rank:pairwise";
  BoostedEnsemble ensemble(options);
  ASSERT_TRUE(ensemble.Fit(rows, Step(rows), 3));
  const auto prediction = ensemble.Predict(rows);
  ASSERT_TRUE(prediction);
  EXPECT_NEAR(prediction->mean[3], 1, 1.5);
  EXPECT_NEAR(prediction->mean[33], 5, 1.5);
}

}  // namespace
}  // namespace lathe
