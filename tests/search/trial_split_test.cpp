#include "search/trial_split.h"

#include <gtest/gtest.h>

namespace lathe {
namespace {

TEST(TrialSplit, GivesASingleArmEverything) {
  TrialSplit split(1, 10);
  for (int i = 0; i < 10; ++i) {
    ASSERT_EQ(split.Next(), 0u);
    split.Take(0);
  }
}

TEST(TrialSplit, HalvesTheArmsAfterEachRound) {
  TrialSplit split(4, 120);  // three rounds of 40: 10 each, 20 each of two, 40 for one
  std::vector<size_t> taken(4);
  for (int i = 0; i < 120; ++i) {
    const size_t arm = *split.Next();
    ++taken[arm];
    split.Take(arm);
    split.Report(arm, 1.0 + static_cast<double>(arm));
  }
  EXPECT_EQ(taken, (std::vector<size_t>{70, 30, 10, 10}));
}

TEST(TrialSplit, LetsNobodyTakeMoreThanItsShareAtOnce) {
  TrialSplit split(6, 6);  // one each
  for (size_t arm = 0; arm < 6; ++arm) {
    ASSERT_EQ(split.Next(), arm);
    EXPECT_EQ(split.Turn(arm), 1u);
    split.Take(arm);
    split.Report(arm, 1);
  }
  EXPECT_GT(TrialSplit(1, 10).Turn(0), 10u) << "a single arm has no one to share with";
}

TEST(TrialSplit, PassesAnExhaustedArmsTrialsOnAndEndsWithTheLast) {
  TrialSplit split(2, 100);
  split.Exhaust(0);
  EXPECT_EQ(split.Next(), 1u);
  split.Exhaust(1);
  EXPECT_EQ(split.Next(), std::nullopt);
}

TEST(TrialSplit, ReturnsToAnArmLeftBehindWhenTheFavouriteIsExhausted) {
  TrialSplit split(2, 20);
  while (true) {
    const size_t arm = *split.Next();
    split.Take(arm);
    split.Report(arm, arm == 0 ? 1 : 2);
    if (arm == 0) {
      split.Exhaust(0);
      break;
    }
  }
  EXPECT_EQ(split.Next(), 1u);
}

}  // namespace
}  // namespace lathe
