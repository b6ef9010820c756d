#include "search/trial_schedule.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace lathe {
namespace {

constexpr double kUnknown = std::numeric_limits<double>::infinity();

TaskState State(size_t trials, double best, double gain) {
  TaskState state;
  state.trials = trials;
  state.best = best;
  state.gain = gain;
  return state;
}

TEST(TrialSchedule, GivesTwoTrialsToEveryTaskThenEndsOneFloorAfterTheOther) {
  const TrialSchedule schedule(3, 50, TrialSchedule::Limit::kTrials);
  ASSERT_EQ(schedule.floor(), 10u);
  std::vector<TaskState> tasks(3, State(0, kUnknown, kUnknown));
  const double best[] = {1, 5, 2};
  std::vector<size_t> order;
  for (int i = 0; i < 30; ++i) {
    const size_t turn = *schedule.Turn(tasks);
    order.push_back(turn);
    ++tasks[turn].trials;
    tasks[turn].best = best[turn];
    tasks[turn].gain = 0.1;
  }
  EXPECT_EQ(std::vector<size_t>(order.begin(), order.begin() + 6), (std::vector<size_t>{0, 1, 2, 0, 1, 2}));
  EXPECT_EQ(std::vector<size_t>(order.begin() + 6, order.begin() + 14), std::vector<size_t>(8, 1)) << "the most expensive first";
  for (const TaskState& task : tasks) EXPECT_EQ(task.trials, 10u);
}

TEST(TrialSchedule, TriesEachTemplateOfEveryTaskBeforeAnyGoesOn) {
  const TrialSchedule schedule(2, 50, TrialSchedule::Limit::kTrials);
  std::vector<TaskState> tasks(2, State(0, kUnknown, kUnknown));
  tasks[1].first = 4;
  for (int i = 0; i < 6; ++i) {
    const size_t turn = *schedule.Turn(tasks);
    ++tasks[turn].trials;
    tasks[turn].best = turn == 0 ? 5 : 1;
  }
  EXPECT_EQ(tasks[0].trials, 2u) << "though it is the more expensive one";
  EXPECT_EQ(tasks[1].trials, 4u);
}

TEST(TrialSchedule, LeavesSecondsForAllTasksWhereTheyAreLimited) {
  const TrialSchedule by_trials(2, 200, TrialSchedule::Limit::kTrials), by_seconds(2, 200, TrialSchedule::Limit::kSeconds);
  const std::vector<TaskState> tasks = {State(8, 1, 0.01), State(8, 1, 0.02)};
  EXPECT_EQ(by_trials.floor(), 40u);
  EXPECT_EQ(by_seconds.floor(), 8u);
  EXPECT_EQ(by_trials.Turn(tasks), 0u) << "the floor of one task, whatever it promises";
  EXPECT_EQ(by_seconds.Turn(tasks), 1u) << "by what it promises";
}

TEST(TrialSchedule, FollowsTheGainPerSecondOfTheWholeNetwork) {
  const TrialSchedule schedule(2, 50, TrialSchedule::Limit::kTrials);
  std::vector<TaskState> tasks = {State(20, 1, 0.01), State(20, 1, 0.02)};
  EXPECT_EQ(schedule.Turn(tasks), 1u);
  tasks[0].weight = 3;  // the layer occurs three times
  EXPECT_EQ(schedule.Turn(tasks), 0u);
  tasks[0].seconds_per_trial = 2;  // but costs twice as much to measure
  EXPECT_EQ(schedule.Turn(tasks), 1u);
  tasks[1].in_flight = 3;  // and the other one's answers are still out
  EXPECT_EQ(schedule.Turn(tasks), 0u);
  tasks[0].open = false;
  EXPECT_EQ(schedule.Turn(tasks), 1u);
  tasks[1].open = false;
  EXPECT_EQ(schedule.Turn(tasks), std::nullopt);
}

TEST(TrialSchedule, KnowsNoGainBeforeEveryTaskHasItsFloor) {
  const TrialSchedule schedule(2, 50, TrialSchedule::Limit::kTrials);
  std::vector<TaskState> tasks = {State(20, 1, 0.01), State(4, 1, 0.01)};
  EXPECT_TRUE(std::isinf(schedule.GainWithin(1, tasks)));
  tasks[1].trials = 20;
  tasks[1].weight = 3;
  EXPECT_NEAR(schedule.GainWithin(0.01, tasks), 0.01 * 0.03 / 4, 1e-7);
}

TEST(TrialSchedule, ExpectsLaterTrialsToGainLess) {
  const TrialSchedule schedule(1, 50, TrialSchedule::Limit::kTrials);
  const std::vector<TaskState> tasks = {State(100, 1, 1e-3)};
  const double short_while = schedule.GainWithin(10, tasks), twice_the_trials = schedule.GainWithin(100, tasks),
               long_while = schedule.GainWithin(1e6, tasks);
  EXPECT_NEAR(short_while, 1 - std::exp(-1e-3 * 1000 / 110), 1e-4);
  EXPECT_NEAR(twice_the_trials, 1 - std::exp(-0.05), 1e-4);
  EXPECT_LE(long_while, 1 - std::exp(-0.1)) << "no more than the next trial's gain times the trials so far";
}

TEST(TrialSchedule, ExpectsAMinuteToGoWhereItBringsMost) {
  const TrialSchedule schedule(2, 50, TrialSchedule::Limit::kTrials);
  std::vector<TaskState> tasks = {State(50, 1, 0.01), State(50, 1, 0.01)};
  const double both = schedule.GainWithin(60, tasks);
  tasks[1].open = false;
  EXPECT_LT(schedule.GainWithin(60, tasks), both);
  EXPECT_GT(schedule.GainWithin(60, tasks), both / 2);
}

TEST(TrialSchedule, LeavesATaskAloneItsWholeBudget) {
  const TrialSchedule schedule(1, 50, TrialSchedule::Limit::kTrials);
  EXPECT_EQ(schedule.total(), 50u);
  EXPECT_EQ(schedule.most_each(), 50u);
}

}  // namespace
}  // namespace lathe
