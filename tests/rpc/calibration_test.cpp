// Samples count when their board was as fast after them as before.
#include "rpc/client/calibration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fleet.h"

namespace lathe {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

TEST(Calibration, TakesTheBestOfThreeReadingsAsABoardsSpeed) {
  Calibration calibration(0.25);
  EXPECT_EQ(calibration.Add(1.4), Calibration::Verdict::kAgain);
  EXPECT_EQ(calibration.Add(1.0), Calibration::Verdict::kAgain);
  EXPECT_EQ(calibration.Add(1.2), Calibration::Verdict::kSteady);
  EXPECT_EQ(calibration.baseline(), 1.0);
  EXPECT_EQ(calibration.Add(1.2), Calibration::Verdict::kSteady) << "within the tolerance";
}

TEST(Calibration, BelievesASlowReadingOnlyTheThirdTime) {
  Calibration calibration(0.25);
  for (int i = 0; i < 3; ++i) (void)calibration.Add(1.0);
  EXPECT_EQ(calibration.Add(2.0), Calibration::Verdict::kAgain);
  EXPECT_EQ(calibration.Add(1.05), Calibration::Verdict::kSteady) << "that was somebody else's work";
  EXPECT_EQ(calibration.Add(2.0), Calibration::Verdict::kAgain);
  EXPECT_EQ(calibration.Add(2.0), Calibration::Verdict::kAgain);
  EXPECT_EQ(calibration.Add(2.0), Calibration::Verdict::kDrifted);
  EXPECT_EQ(calibration.Add(1.0), Calibration::Verdict::kSteady) << "and is as before";
}

TEST(Calibration, ABoardThatStaysSlowHasSettled) {
  Calibration calibration(0.25);
  for (int i = 0; i < 3; ++i) (void)calibration.Add(1.0);
  for (int i = 0; i < 2; ++i) (void)calibration.Add(2.0);
  EXPECT_EQ(calibration.Add(2.0), Calibration::Verdict::kDrifted);
  for (int i = 0; i < 2; ++i) (void)calibration.Add(2.1);
  EXPECT_EQ(calibration.Add(2.1), Calibration::Verdict::kSettled);
  EXPECT_EQ(calibration.baseline(), 2.1);
  EXPECT_EQ(calibration.Add(2.0), Calibration::Verdict::kSteady);
}

TEST(BoardPool, SamplesOfABoardThatSlowedDownAreTakenAgain) {
  Fleet fleet(1);
  PoolOptions options = Quick();
  options.calibration = [](const Target&) { return Result<Candidate>(ScriptedCandidate(0, 10)); };
  options.calibrate_after = 4;
  options.rest = milliseconds(100);
  const auto pool = fleet.Pool(options);
  ASSERT_TRUE(pool) << fleet.error;
  Submit(*pool, 1, 4, 20);
  auto all = Collect(*pool, 4);
  for (const auto& [ticket, measurement] : all) EXPECT_EQ(measurement.conditions.count("calibration"), 1U);
  EXPECT_EQ(pool->boards()[0].tainted, 0U);

  // Twice as slow while the next are measured; as before a little later.
  fleet.machines[0]->slowness = 2;
  Submit(*pool, 11, 14, 20);
  const auto end = Clock::now() + std::chrono::seconds(20);
  while (pool->boards()[0].tainted == 0 && Clock::now() < end) std::this_thread::sleep_for(milliseconds(2));
  fleet.machines[0]->slowness = 1;
  all = Collect(*pool, 4);
  EXPECT_GE(pool->boards()[0].tainted, 1U);
  for (const auto& [ticket, measurement] : all) EXPECT_LT(Seconds(measurement), 0.030) << "ticket " << ticket << " is from the slow time";
  EXPECT_THAT(fleet.Notices(), testing::Contains(testing::HasSubstr("taken again")));
}

TEST(BoardPool, BoardsAreHeardWhileTheCalibrationKernelIsBuilt) {
  Fleet fleet(1);
  PoolOptions options = Quick();
  options.silence = milliseconds(1000);
  options.calibration = [](const Target&) {
    std::this_thread::sleep_for(milliseconds(2000));  // as a compiler may
    return Result<Candidate>(ScriptedCandidate(0, 1));
  };
  const auto pool = fleet.Pool(options);
  ASSERT_TRUE(pool) << fleet.error;
  Submit(*pool, 1, 4);
  Collect(*pool, 4);
  EXPECT_THAT(fleet.Notices(), testing::Each(testing::Not(testing::HasSubstr("lost board"))));
}

TEST(BoardPool, ACalibrationKernelThatCannotBeMadeIsTheReasonThatNothingStarts) {
  Fleet fleet(1);
  PoolOptions options = Quick();
  options.calibration = [](const Target&) -> Result<Candidate> { return Error{ErrorCode::kNotFound, "no such kernel"}; };
  EXPECT_FALSE(fleet.Pool(options));
  EXPECT_THAT(fleet.error, testing::HasSubstr("do without: --no-calibration): no such kernel"));
}

TEST(BoardPool, AThrottledSampleIsTakenAgain) {
  Fleet fleet(1);
  PoolOptions options = Quick();
  options.calibration = [](const Target&) { return Result<Candidate>(ScriptedCandidate(0, 1)); };
  const auto pool = fleet.Pool(options);
  ASSERT_TRUE(pool) << fleet.error;
  fleet.machines[0]->throttled_samples = 1;
  Submit(*pool, 1, 1, 2);
  const auto all = Collect(*pool, 1);
  EXPECT_EQ(all.at(1).status, MeasureStatus::kOk);
  EXPECT_EQ(all.at(1).conditions.count("throttled"), 0U);
  EXPECT_EQ(pool->boards()[0].tainted, 1U);
}

}  // namespace
}  // namespace lathe
