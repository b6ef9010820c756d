#include "measure/sampling.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "measure/warm_up.h"

namespace lathe {
namespace {

// Feeds a plan from `next` with a clock that only samples advance, until the plan has enough.
template <typename Next>
SamplingPlan Take(const SamplingOptions& options, const Next& next, double* elapsed = nullptr) {
  SamplingPlan plan(options);
  double clock = 0;
  while (!plan.done()) {
    const double seconds = next();
    clock += seconds * plan.Repeats(seconds);
    plan.Add(seconds, clock);
  }
  if (elapsed != nullptr) *elapsed = clock;
  return plan;
}

TEST(Sampling, RepeatsAShortKernelUntilTheClockIsExact) {
  const SamplingPlan plan({.min_sample_seconds = 100e-6});
  EXPECT_NEAR(plan.Repeats(1e-6), 100, 1);
  EXPECT_EQ(plan.Repeats(99e-6), 2U);
  EXPECT_EQ(plan.Repeats(1), 1U);
  EXPECT_EQ(plan.Repeats(0), 1000000U);
}

TEST(Sampling, StopsAtTheLeastNumberWhenSamplesAgree) {
  const SamplingPlan plan = Take({.min_seconds = 0, .min_samples = 5}, [] { return 1e-3; });
  EXPECT_EQ(plan.samples().size(), 5U);
  EXPECT_FALSE(plan.cut_early());
}

TEST(Sampling, SpreadsEvenAgreeingSamplesOverALittleTime) {
  double elapsed = 0;
  const SamplingPlan plan = Take(
      {.min_seconds = 0.02, .min_samples = 5}, [] { return 1e-3; }, &elapsed);
  EXPECT_NEAR(elapsed, 0.02, 1.1e-3);
}

TEST(Sampling, TakesMoreOfAWanderingKernelAndStopsAtTheMost) {
  std::mt19937 random(1);
  std::uniform_real_distribution<double> wild(1e-5, 2e-5);
  const SamplingPlan plan = Take({.max_seconds = 10, .interval = 0.001, .min_samples = 5, .max_samples = 40}, [&] { return wild(random); });
  EXPECT_EQ(plan.samples().size(), 40U);
}

TEST(Sampling, StopsWhenTheBudgetIsSpentWithThreeSamplesAtLeast) {
  double elapsed = 0;
  int n = 0;
  const SamplingPlan plan = Take(
      {.max_seconds = 0.25, .min_samples = 5}, [&] { return 1.0 + 0.1 * n++; }, &elapsed);
  EXPECT_EQ(plan.samples().size(), 3U);
  std::mt19937 random(1);
  std::uniform_real_distribution<double> wild(1e-3, 2e-3);
  Take(
      {.max_seconds = 0.05, .interval = 1e-9, .max_samples = 1000}, [&] { return wild(random); }, &elapsed);
  EXPECT_NEAR(elapsed, 0.05, 2e-3);
}

TEST(Sampling, CutsWhatIsClearlySlowerThanTheBest) {
  const SamplingPlan slow = Take({.best_seconds = 1e-3, .cut_ratio = 2, .cut_after = 2}, [] { return 2.1e-3; });
  EXPECT_TRUE(slow.cut_early());
  EXPECT_EQ(slow.samples().size(), 2U);
  const SamplingPlan fair = Take({.best_seconds = 1e-3, .cut_ratio = 2, .cut_after = 2}, [] { return 1.9e-3; });
  EXPECT_FALSE(fair.cut_early());
  int n = 0;
  const SamplingPlan disturbed = Take({.best_seconds = 1e-3, .cut_ratio = 2, .cut_after = 2}, [&] { return n++ == 0 ? 9e-3 : 1.1e-3; });
  EXPECT_FALSE(disturbed.cut_early()) << "one slow sample is noise";
}

TEST(Sampling, NeverCutsAFinalist) {
  EXPECT_FALSE(Take({.best_seconds = 1e-6, .cut_after = 0}, [] { return 1e-3; }).cut_early());
}

TEST(Sampling, OneSidedNoiseDoesNotKeepItFromStopping) {
  // A third of the samples hit by bursts of others' work, up to ten times slower; the rest within 0.2 %.
  std::mt19937 random(7);
  std::uniform_real_distribution<double> unit(0, 1);
  const SamplingPlan plan = Take({.max_seconds = 100, .interval = 0.01, .min_samples = 5, .max_samples = 200},
                                 [&] { return 1e-3 * (1 + 0.002 * unit(random)) * (unit(random) < 0.33 ? 1 + 9 * unit(random) : 1); });
  EXPECT_LT(plan.samples().size(), 60U);
}

TEST(Sampling, TheIntervalIsAsWideAsTheNormalApproximationSays) {
  // Samples spread evenly over [1, 2): the 20 % quantile is 1.2, and its standard error sqrt(0.2 * 0.8 / n).
  std::mt19937 random(3);
  std::uniform_real_distribution<double> uniform(1, 2);
  int narrow = 0;
  for (int trial = 0; trial < 500; ++trial) {
    std::vector<double> samples(60);
    for (double& sample : samples) sample = uniform(random);
    const double width = SamplingPlan::RelativeInterval(samples);
    EXPECT_GT(width, 0);
    narrow += width < 2 * 1.96 * std::sqrt(0.16 / 60) / 1.2 * 1.6;  // the normal approximation's width, with room
  }
  EXPECT_GT(narrow, 450);
  EXPECT_TRUE(std::isinf(SamplingPlan::RelativeInterval({1})));
}

// Runs until the warm-up is over; how many.
size_t RunsUntilWarm(const std::vector<double>& seconds, double least_seconds) {
  WarmUp warm_up(seconds[0], least_seconds);
  double elapsed = 0;
  size_t run = 1;
  for (; run < seconds.size() && !warm_up.done(); ++run) warm_up.Add(seconds[run], elapsed += seconds[run]);
  return run;
}

TEST(WarmUp, LastsForItsTimeAndOneRunAtLeast) {
  EXPECT_EQ(RunsUntilWarm({1e-3, 1e-3, 1e-3, 1e-3, 1e-3, 1e-3}, 3.5e-3), 4u) << "a further run would end after it";
  EXPECT_EQ(RunsUntilWarm({0.1, 0.1, 0.1, 0.1}, 2e-3), 2u);
}

TEST(WarmUp, GoesOnWhileRunsGetMuchFaster) {
  EXPECT_EQ(RunsUntilWarm({5.8e-3, 4e-3, 3e-3, 1.45e-3, 1.5e-3, 1.5e-3}, 2e-3), 5u);
  EXPECT_EQ(RunsUntilWarm({5.8e-3, 5e-3, 4.5e-3, 4e-3}, 2e-3), 2u) << "a little faster is noise";
  std::vector<double> ever_faster = {1.0};
  for (int run = 0; run < 40; ++run) ever_faster.push_back(0.5 * ever_faster.back());
  EXPECT_EQ(RunsUntilWarm(ever_faster, 0), 9u) << "it ends all the same";
}

}  // namespace
}  // namespace lathe
