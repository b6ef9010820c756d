#include "search/driver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fakes.h"

namespace lathe {
namespace {

using test::FakeMeasurer;
using test::MakeSpace;
using test::MakeTask;
using test::MemoryJournal;
using test::Numbers;

// Answers candidates of TileSpace by its known times and failures.
FakeMeasurer::Answer Tile(const Candidate& candidate) {
  static const Space space = test::TileSpace();
  const Point point = *space.PointOf(candidate.config);
  if (!test::TileBuilds(space, point)) return {MeasureStatus::kBuildError, 0};
  return {MeasureStatus::kOk, test::TileSeconds(space, point)};
}

std::vector<TuneTask> TileTasks(int count) {
  std::vector<TuneTask> tasks;
  for (int n = 1; n <= count; ++n) tasks.push_back(MakeTask(test::TileSpace(), n));
  return tasks;
}

TuneOptions Options(const std::string& strategy, size_t trials) {
  TuneOptions options;
  options.search.strategy = strategy;
  options.search.trials = trials;
  options.search.finalists = 0;
  return options;
}

TEST(Tune, MeasuresTheFirstValidConfigFirstAndReportsTheSpeedUpOverIt) {
  FakeMeasurer measurer(Tile);
  MemoryJournal journal;
  const auto tasks = TileTasks(1);
  const auto report = Tune(tasks, measurer, journal, Options("genetic", 60));
  ASSERT_TRUE(report) << report.error().message;
  const TaskReport& task = report->tasks[0];
  const Space& space = *tasks[0].templates[0].space;
  EXPECT_EQ(journal.rows[0].candidate.config, space.ConfigAt(*space.First()));
  ASSERT_TRUE(task.untuned && task.best);
  EXPECT_EQ(task.untuned->config, space.ConfigAt(*space.First()));
  EXPECT_DOUBLE_EQ(*task.SpeedUp(), task.untuned->objective / task.best->objective);
  EXPECT_GT(*task.SpeedUp(), 1.5);
  EXPECT_EQ(task.trials, 60u);
  EXPECT_EQ(journal.rows.size(), 60u);
  EXPECT_EQ(journal.Keys().size(), 60u) << "a candidate was measured twice";
  EXPECT_EQ(report->state, "finished");
  EXPECT_EQ(journal.states, std::vector<std::string>{"finished"});
}

TEST(Tune, KeepsTheDeviceBusyAcrossTheEndsOfTasks) {
  FakeMeasurer measurer(Tile, 6);
  MemoryJournal journal;
  const auto tasks = TileTasks(3);
  double lowest = 1e9;
  size_t answered = 0;
  measurer.after_each = [&] {
    if (++answered < 3 * 20 - 6) lowest = std::min(lowest, static_cast<double>(measurer.in_flight()));
  };
  const auto report = Tune(tasks, measurer, journal, Options("annealing", 20));
  ASSERT_TRUE(report);
  EXPECT_EQ(journal.rows.size(), 60u);
  EXPECT_GE(lowest, 3) << "the queue nearly ran dry";  // proposing starts while at least half is still in flight
  EXPECT_EQ(measurer.most_in_flight, 6u);
  EXPECT_EQ(measurer.idle_seconds, 0);
}

TEST(Tune, GivesEveryTaskItsTurn) {
  FakeMeasurer measurer(Tile);
  MemoryJournal journal;
  const auto report = Tune(TileTasks(4), measurer, journal, Options("random", 10));
  ASSERT_TRUE(report);
  std::map<std::string, int> early;
  for (size_t i = 0; i < 8; ++i) ++early[journal.rows[i].candidate.workload.Key()];
  EXPECT_EQ(early.size(), 4u);
  for (const auto& [key, count] : early) EXPECT_EQ(count, 2) << key << ": all have a time before any goes on";
  std::map<std::string, int> all;
  for (const Measurement& row : journal.rows) ++all[row.candidate.workload.Key()];
  EXPECT_EQ(journal.rows.size(), 40u);
  for (const auto& [key, count] : all) EXPECT_GE(count, 8) << key << ": the floor";
}

TEST(Tune, MeasuresNothingTwiceWhenResumed) {
  MemoryJournal journal;
  const auto tasks = TileTasks(2);
  std::atomic<bool> stop = false;
  TuneOptions options = Options("model", 40);
  options.stop = &stop;
  FakeMeasurer first(Tile);
  int answered = 0;
  first.after_each = [&] { stop = ++answered == 30; };
  const auto stopped = Tune(tasks, first, journal, options);
  ASSERT_TRUE(stopped) << stopped.error().message;
  EXPECT_EQ(stopped->state, "stopped");
  EXPECT_EQ(stopped->tasks[0].ended, "stopped");
  EXPECT_EQ(journal.states.back(), "stopped");
  const size_t known = journal.rows.size();
  EXPECT_EQ(known, 30u);

  stop = false;
  FakeMeasurer second(Tile);
  const auto resumed = Tune(tasks, second, journal, options);
  ASSERT_TRUE(resumed);
  EXPECT_EQ(journal.rows.size(), 80u);
  EXPECT_EQ(journal.Keys().size(), 80u) << "a candidate was measured twice";
  EXPECT_EQ(resumed->tasks[0].from_history + resumed->tasks[1].from_history, known);
  EXPECT_EQ(resumed->measurements, 80u - known);

  FakeMeasurer third(Tile);
  const auto again = Tune(tasks, third, journal, options);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->measurements, 0u);
  ASSERT_TRUE(again->tasks[0].best);
  EXPECT_EQ(again->tasks[0].best->config, resumed->tasks[0].best->config);
}

TEST(Tune, RecordsFailuresByStatusAndNeverNamesAFailureTheWinner) {
  FakeMeasurer measurer([](const Candidate& candidate) -> FakeMeasurer::Answer {
    const int64_t a = std::get<int64_t>(*Find(candidate.config, "A"));
    const MeasureStatus statuses[] = {MeasureStatus::kBuildError, MeasureStatus::kCrashed, MeasureStatus::kWrongResult,
                                      MeasureStatus::kRunTimeout};
    if (a <= 4) return {statuses[a - 1], 0};
    return {MeasureStatus::kOk, static_cast<double>(a)};
  });
  MemoryJournal journal;
  std::vector<TuneTask> tasks;
  tasks.push_back(MakeTask(MakeSpace({Numbers("A", {1, 2, 3, 4, 5, 6, 7, 8})})));
  const auto report = Tune(tasks, measurer, journal, Options("random", 100));
  ASSERT_TRUE(report);
  const TaskReport& task = report->tasks[0];
  EXPECT_EQ(task.failures, (std::map<std::string, size_t>{{"build_error", 1}, {"crashed", 1}, {"run_timeout", 1}, {"wrong_result", 1}}));
  EXPECT_FALSE(task.untuned) << "the first config failed";
  ASSERT_TRUE(task.best);
  EXPECT_EQ(task.best->objective, 5);
  EXPECT_EQ(task.ended, "exhausted");
  EXPECT_EQ(task.trials, 8u);
  EXPECT_EQ(journal.rows.size(), 8u);
}

TEST(Tune, ReportsNoWinnerWhenEverythingFails) {
  FakeMeasurer measurer([](const Candidate&) { return FakeMeasurer::Answer{MeasureStatus::kCrashed, 0}; });
  MemoryJournal journal;
  const auto report = Tune(TileTasks(1), measurer, journal, Options("model", 20));
  ASSERT_TRUE(report);
  EXPECT_FALSE(report->tasks[0].best);
  EXPECT_EQ(report->tasks[0].failures.at("crashed"), 20u);
  EXPECT_TRUE(ToJson(*report)["tasks"][0]["best"].is_null());
}

TEST(Tune, SubmitsAgainWhatALostBoardLeftUnanswered) {
  std::map<std::string, int> tries;
  FakeMeasurer measurer([&](const Candidate& candidate) -> FakeMeasurer::Answer {
    if (++tries[candidate.Key()] <= 2) return {MeasureStatus::kBoardLost, 0};
    return Tile(candidate);
  });
  MemoryJournal journal;
  const auto report = Tune(TileTasks(1), measurer, journal, Options("random", 10));
  ASSERT_TRUE(report);
  EXPECT_EQ(report->tasks[0].trials, 10u);
  EXPECT_EQ(report->lost, 20u);
  EXPECT_EQ(journal.rows.size(), 10u) << "a lost board is no fact about a candidate";
  for (const auto& [key, count] : tries) EXPECT_EQ(count, 3) << key;
}

TEST(Tune, GivesUpACandidateThatLosesItsBoardEveryTime) {
  FakeMeasurer measurer([](const Candidate&) { return FakeMeasurer::Answer{MeasureStatus::kBoardLost, 0}; });
  MemoryJournal journal;
  TuneOptions options = Options("random", 4);
  options.lost_limit = 3;
  const auto report = Tune(TileTasks(1), measurer, journal, options);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->tasks[0].trials, 0u);
  EXPECT_EQ(measurer.requests.size(), 12u);
  ASSERT_EQ(report->notes.size(), 1u) << "once, with the board's reason";
  EXPECT_THAT(report->notes[0], testing::HasSubstr("given up after 3 attempts"));
}

TEST(Tune, EndsATaskOfWhichNothingCanBeMeasured) {
  FakeMeasurer measurer([](const Candidate&) { return FakeMeasurer::Answer{MeasureStatus::kBoardLost, 0}; });
  MemoryJournal journal;
  TuneOptions options = Options("random", 50);
  options.lost_limit = 1;
  const auto report = Tune(TileTasks(1), measurer, journal, options);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->tasks[0].ended, "unmeasurable");
  EXPECT_LT(measurer.requests.size(), 20u);
  EXPECT_FALSE(report->tasks[0].best);
}

TEST(Tune, FailsWithItsReasonWhenNoBoardIsLeft) {
  FakeMeasurer measurer(Tile);
  MemoryJournal journal;
  measurer.after_each = [&] { measurer.broken = measurer.requests.size() > 8; };
  const auto report = Tune(TileTasks(1), measurer, journal, Options("random", 40));
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().message, "no board is left");
  EXPECT_EQ(journal.states.back(), "failed: no board is left");
}

TEST(Tune, FailsWhenTheLogCannotBeWritten) {
  FakeMeasurer measurer(Tile);
  MemoryJournal journal;
  journal.full = true;
  const auto report = Tune(TileTasks(1), measurer, journal, Options("random", 40));
  ASSERT_FALSE(report);
  EXPECT_NE(report.error().message.find("the disk is full"), std::string::npos);
  EXPECT_EQ(measurer.in_flight(), 0u);
}

TEST(Tune, RefusesAnUnknownStrategyAndAnEmptyList) {
  FakeMeasurer measurer(Tile);
  MemoryJournal journal;
  EXPECT_FALSE(Tune(TileTasks(1), measurer, journal, Options("psychic", 10)));
  EXPECT_FALSE(Tune({}, measurer, journal, Options("random", 10)));
  EXPECT_TRUE(journal.runs.empty());
}

TEST(Tune, EndsWithinItsTimeAndKeepsSomeForTheFinals) {
  FakeMeasurer measurer(Tile);
  MemoryJournal journal;
  TuneOptions options = Options("random", 1000);
  options.search.finalists = 3;
  options.search.within_noise = 10;  // everybody is a finalist
  options.max_seconds = 100;
  options.clock = [&] { return measurer.now; };
  const auto report = Tune(TileTasks(2), measurer, journal, options);
  ASSERT_TRUE(report);
  EXPECT_LE(report->seconds, 100);
  EXPECT_GT(report->seconds, 90);
  EXPECT_EQ(report->tasks[0].ended, "time");
  size_t finals = 0;
  for (const MeasureRequest& request : measurer.requests) finals += request.finalist ? 1 : 0;
  // Three finalists of each of two tasks, and the untuned config beside them where it is not one of the three.
  EXPECT_EQ(finals % 2, 0u);
  EXPECT_GE(finals, 2u * 3u * 2u) << "two rounds at least";
  EXPECT_LE(finals, 2u * 4u * 2u) << "without noise two rounds decide";
}

TEST(Tune, GivesMostTrialsToTheTaskThatTheNetworkWaitsFor) {
  FakeMeasurer measurer([](const Candidate& candidate) -> FakeMeasurer::Answer {
    FakeMeasurer::Answer answer = Tile(candidate);
    if (std::get<int64_t>(*Find(candidate.workload.attributes, "n")) == 2) answer.seconds *= 100;
    return answer;
  });
  MemoryJournal journal;
  const auto report = Tune(TileTasks(4), measurer, journal, Options("genetic", 40));
  ASSERT_TRUE(report);
  size_t total = 0;
  for (const TaskReport& task : report->tasks) {
    total += task.trials;
    EXPECT_GE(task.trials, 8u) << "the floor";
    if (task.label == "fake 2") continue;
    EXPECT_LT(task.trials, report->tasks[1].trials);
  }
  EXPECT_EQ(total, 160u);
  EXPECT_GE(report->tasks[1].trials, 100u);
}

TEST(Tune, StopsWhenAFurtherMinuteIsNotExpectedToGainEnough) {
  FakeMeasurer measurer(Tile);
  MemoryJournal journal;
  TuneOptions options = Options("genetic", 2000);
  options.stop_when_gain = 0.05;
  const auto report = Tune(TileTasks(2), measurer, journal, options);
  ASSERT_TRUE(report);
  for (const TaskReport& task : report->tasks) {
    EXPECT_EQ(task.ended, "gain");
    EXPECT_GE(task.trials, 400u) << "not below the floor";
    EXPECT_LT(task.trials, 1900u);
  }
  ASSERT_TRUE(report->gain_per_minute);
  EXPECT_LT(*report->gain_per_minute, 0.05);
}

TEST(Tune, ShiftsTrialsToTheBetterTemplate) {
  FakeMeasurer measurer([](const Candidate& candidate) -> FakeMeasurer::Answer {
    FakeMeasurer::Answer answer = Tile(candidate);
    if (candidate.template_name == "slow") answer.seconds *= 10;
    return answer;
  });
  MemoryJournal journal;
  std::vector<TuneTask> tasks = TileTasks(1);
  tasks[0].templates.push_back({"slow", "hash-slow", std::make_unique<Space>(test::TileSpace()), nullptr});
  const auto report = Tune(tasks, measurer, journal, Options("random", 80));
  ASSERT_TRUE(report);
  std::map<std::string, int> trials;
  for (const Measurement& row : journal.rows) ++trials[row.candidate.template_name];
  EXPECT_EQ(trials["kernel"] + trials["slow"], 80);
  EXPECT_LE(trials["slow"], 22);
  EXPECT_GE(trials["slow"], 10) << "it never had its chance";
  EXPECT_EQ(report->tasks[0].best->template_name, "kernel");
}

TEST(Tune, TriesEveryTemplateBeforeASecondConfigOfAny) {
  FakeMeasurer measurer(Tile);
  MemoryJournal journal;
  std::vector<TuneTask> tasks = TileTasks(1);
  for (const char* name : {"second", "third", "fourth", "fifth"})
    tasks[0].templates.push_back({name, std::string("hash-") + name, std::make_unique<Space>(test::TileSpace()), nullptr});
  TuneOptions options = Options("random", 6);
  options.search.untuned_first = true;
  options.search.finalists = 0;
  options.batch = 4;
  ASSERT_TRUE(Tune(tasks, measurer, journal, options));
  ASSERT_EQ(journal.rows.size(), 6u);
  std::set<std::string> met;
  for (size_t i = 0; i < 5; ++i) {
    const Candidate& candidate = journal.rows[i].candidate;
    met.insert(candidate.template_name);
    EXPECT_EQ(candidate.config, tasks[0].templates[0].space->ConfigAt(*tasks[0].templates[0].space->First()));
  }
  EXPECT_EQ(met.size(), 5u);
}

TEST(Tune, GivesTheSameTrialsForTheSameSeed) {
  const auto run = [](uint64_t seed) {
    FakeMeasurer measurer(Tile);
    MemoryJournal journal;
    TuneOptions options = Options("model", 30);
    options.search.seed = seed;
    EXPECT_TRUE(Tune(TileTasks(2), measurer, journal, options));
    std::vector<std::string> keys;
    for (const Measurement& row : journal.rows) keys.push_back(row.candidate.Key());
    return keys;
  };
  EXPECT_EQ(run(7), run(7));
  EXPECT_NE(run(7), run(8));
}

TEST(Tune, TellsItsObserverHowFarItIs) {
  class Watcher : public ProgressObserver {
   public:
    void OnProgress(const TuneProgress& progress) override { seen.push_back(progress); }
    std::vector<TuneProgress> seen;
  } watcher;
  FakeMeasurer measurer(Tile);
  MemoryJournal journal;
  TuneOptions options = Options("random", 20);
  options.observer = &watcher;
  options.clock = [&] { return measurer.now; };
  const auto report = Tune(TileTasks(1), measurer, journal, options);
  ASSERT_TRUE(report);
  ASSERT_EQ(watcher.seen.size(), 20u);
  const TuneProgress& middle = watcher.seen[9];
  EXPECT_EQ(middle.measurements, 10u);
  EXPECT_DOUBLE_EQ(middle.per_second, 1);
  EXPECT_DOUBLE_EQ(middle.eta_seconds, 10);
  EXPECT_TRUE(watcher.seen.back().tasks[0].done);
  EXPECT_EQ(watcher.seen.back().tasks[0].best, report->tasks[0].best->objective);
}

TEST(Tune, AccountsForItsOwnTime) {
  FakeMeasurer measurer(Tile);
  MemoryJournal journal;
  const auto report = Tune(TileTasks(1), measurer, journal, Options("model", 40));
  ASSERT_TRUE(report);
  const TuneOverhead& overhead = report->overhead;
  EXPECT_GT(overhead.propose, 0);
  EXPECT_LE(overhead.Own() + overhead.waiting, report->seconds * 1.001);
  EXPECT_EQ(report->device_seconds, 40);
  const nlohmann::json json = ToJson(*report);
  EXPECT_TRUE(json["overhead"].contains("own_share"));
  EXPECT_EQ(json["tasks"][0]["trials"], 40);
}

}  // namespace
}  // namespace lathe
