#include "costmodel/gaussian_process.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace lathe {
namespace {

Rows Grid(int side) {
  Rows rows;
  rows.columns = 2;
  for (int i = 0; i < side; ++i) {
    for (int j = 0; j < side; ++j)
      rows.Append({static_cast<float>(i) / static_cast<float>(side - 1), static_cast<float>(j) / static_cast<float>(side - 1)});
  }
  return rows;
}

float Wave(const float* row) { return std::sin(4 * row[0]) + 0.1F * row[1]; }

std::vector<float> Waves(const Rows& rows) {
  std::vector<float> targets;
  for (size_t i = 0; i < rows.count(); ++i) targets.push_back(Wave(rows.row(i)));
  return targets;
}

TEST(GaussianProcess, PredictsASmoothFunctionBetweenItsRows) {
  const Rows rows = Grid(6);
  GaussianProcess process{GaussianProcessOptions{}};
  ASSERT_TRUE(process.Fit(rows, Waves(rows), 1));
  const Rows asked = Grid(11);
  const auto prediction = process.Predict(asked);
  ASSERT_TRUE(prediction);
  for (size_t i = 0; i < asked.count(); ++i) EXPECT_NEAR(prediction->mean[i], Wave(asked.row(i)), 0.08) << i;
}

TEST(GaussianProcess, DoubtsMoreFarFromItsRows) {
  Rows rows;
  rows.columns = 1;
  for (float x : {0.0F, 0.05F, 0.1F, 0.15F, 0.2F}) rows.Append({x});
  GaussianProcess process{GaussianProcessOptions{}};
  ASSERT_TRUE(process.Fit(rows, {0.0F, 1.0F, 0.2F, 0.9F, 0.1F}, 1));
  Rows asked;
  asked.columns = 1;
  asked.Append({0.1F});
  asked.Append({0.9F});
  const auto prediction = process.Predict(asked);
  ASSERT_TRUE(prediction);
  EXPECT_LT(prediction->deviation[0], 0.5F * prediction->deviation[1]);
}

TEST(GaussianProcess, LosesDoubtAroundWhatIsAssumedAndKeepsTheMean) {
  const Rows rows = Grid(3), asked = Grid(8);
  GaussianProcess process{GaussianProcessOptions{}};
  ASSERT_TRUE(process.Fit(rows, Waves(rows), 1));
  auto pool = process.Pool(asked, 2);
  ASSERT_TRUE(pool);
  const Prediction before = pool->prediction();
  pool->Assume(10);
  const Prediction after = pool->prediction();
  EXPECT_EQ(before.mean, after.mean);
  EXPECT_LT(after.deviation[10], 0.5F * before.deviation[10]);
  for (size_t i = 0; i < asked.count(); ++i) EXPECT_LE(after.deviation[i], before.deviation[i] + 1e-4F);

  // The same as measuring it would have been, up to the refitted mean.
  pool->Assume(10);
  EXPECT_NEAR(pool->prediction().deviation[10], after.deviation[10], 0.3F * after.deviation[10] + 1e-3F);
}

TEST(GaussianProcess, LearnsFromFewRowsWhatEachColumnDoesByItself) {
  // Two dozen rows of six columns that add up; half the columns have a bump, which no straight line follows.
  std::mt19937 random(5);
  std::uniform_real_distribution<float> uniform(0, 1);
  const auto draw = [&](int count) {
    Rows rows;
    rows.columns = 6;
    for (int i = 0; i < count; ++i) {
      std::vector<float> row;
      for (int c = 0; c < 6; ++c) row.push_back(std::round(3 * uniform(random)) / 3);
      rows.Append(row);
    }
    return rows;
  };
  const auto sums = [](const Rows& rows) {
    std::vector<float> targets;
    for (size_t i = 0; i < rows.count(); ++i) {
      float sum = 0;
      for (size_t c = 0; c < 6; ++c) sum += c % 2 == 0 ? rows.row(i)[c] : 2 * std::abs(rows.row(i)[c] - 0.5F);
      targets.push_back(sum);
    }
    return targets;
  };
  const Rows asked = draw(200);
  const std::vector<float> truth = sums(asked);
  const auto error = [&](bool additive) {
    random.seed(11);
    double sum = 0;
    for (int repeat = 0; repeat < 5; ++repeat) {
      const Rows rows = draw(24);
      GaussianProcess process{GaussianProcessOptions{.additive = additive}};
      EXPECT_TRUE(process.Fit(rows, sums(rows), 1));
      const auto prediction = process.Predict(asked);
      EXPECT_TRUE(prediction);
      for (size_t i = 0; i < asked.count(); ++i) sum += std::pow(prediction->mean[i] - truth[i], 2);
    }
    return sum;
  };
  EXPECT_LT(error(true), 0.8 * error(false));
}

TEST(GaussianProcess, SurvivesRowsThatAreEqualAndTargetsThatDoNotVary) {
  Rows rows;
  rows.columns = 2;
  for (int i = 0; i < 20; ++i) rows.Append({0.5F, 0.5F});
  GaussianProcess process{GaussianProcessOptions{}};
  ASSERT_TRUE(process.Fit(rows, std::vector<float>(20, 3.0F), 1));
  const auto prediction = process.Predict(rows);
  ASSERT_TRUE(prediction);
  EXPECT_NEAR(prediction->mean[0], 3, 1e-3);
}

TEST(GaussianProcess, ThinsWhatItLearnsFromWhenThereIsTooMuch) {
  const Rows rows = Grid(25);  // 625
  GaussianProcess process{GaussianProcessOptions{.most_rows = 100, .most_rows_for_scales = 50}};
  ASSERT_TRUE(process.Fit(rows, Waves(rows), 1));
  const auto prediction = process.Predict(rows);
  ASSERT_TRUE(prediction);
  double error = 0;
  for (size_t i = 0; i < rows.count(); ++i) error += std::abs(prediction->mean[i] - Wave(rows.row(i))) / static_cast<double>(rows.count());
  EXPECT_LT(error, 0.1);
}

TEST(GaussianProcess, RefusesToBeAskedBeforeItLearntOrWithOtherColumns) {
  GaussianProcess process{GaussianProcessOptions{}};
  EXPECT_FALSE(process.Predict(Grid(3)));
  ASSERT_TRUE(process.Fit(Grid(3), Waves(Grid(3)), 1));
  Rows other;
  other.columns = 3;
  other.Append({0, 0, 0});
  EXPECT_FALSE(process.Predict(other));
}

}  // namespace
}  // namespace lathe
