#include "measure/local_measurer.h"

#include <fstream>
#include <set>
#include <thread>

#include "fault_fixture.h"
#include "tests/power/board_tree.h"

namespace lathe {
namespace {
namespace fs = std::filesystem;

std::unique_ptr<LocalMeasurer> MakeMeasurer(WorkshopOptions options = TestOptions(), int builders = 2) {
  Result<std::unique_ptr<LocalMeasurer>> measurer = LocalMeasurer::Create(&FaultTemplates(), std::move(options), builders);
  if (!measurer) ADD_FAILURE() << measurer.error().message;
  return measurer ? std::move(*measurer) : nullptr;
}

std::map<uint64_t, Measurement> Collect(LocalMeasurer& measurer, size_t count, std::chrono::seconds most = std::chrono::seconds(60)) {
  std::map<uint64_t, Measurement> all;
  const auto end = std::chrono::steady_clock::now() + most;
  while (all.size() < count && std::chrono::steady_clock::now() < end) {
    Result<std::vector<Measurement>> some = measurer.Wait(std::chrono::milliseconds(500));
    if (!some) {
      ADD_FAILURE() << some.error().message;
      break;
    }
    for (Measurement& measurement : *some) {
      EXPECT_EQ(all.count(measurement.ticket), 0U) << "answered twice";
      all[measurement.ticket] = std::move(measurement);
    }
  }
  return all;
}

size_t EntriesIn(const fs::path& dir) { return static_cast<size_t>(std::distance(fs::directory_iterator(dir), fs::directory_iterator())); }

TEST(LocalMeasurer, AnswersEveryTicketOnceWhateverBecomesOfIt) {
  const auto measurer = MakeMeasurer();
  const std::vector<std::pair<std::string, MeasureStatus>> cases = {{"ok", MeasureStatus::kOk},
                                                                    {"segfault", MeasureStatus::kCrashed},
                                                                    {"wrong_value", MeasureStatus::kWrongResult},
                                                                    {"refuse", MeasureStatus::kInvalidConfig},
                                                                    {"compile_error", MeasureStatus::kBuildError},
                                                                    {"missing_symbol", MeasureStatus::kLaunchError},
                                                                    {"threads", MeasureStatus::kOk}};
  for (size_t i = 0; i < cases.size(); ++i) ASSERT_TRUE(measurer->Submit({100 + i, FaultCandidate(cases[i].first), 0, false}));
  const auto all = Collect(*measurer, cases.size());
  ASSERT_EQ(all.size(), cases.size());
  for (size_t i = 0; i < cases.size(); ++i)
    EXPECT_STREQ(ToString(all.at(100 + i).status), ToString(cases[i].second)) << cases[i].first << ": " << all.at(100 + i).message;
  const PipelineStats stats = measurer->stats();
  EXPECT_EQ(stats.submitted, cases.size());
  EXPECT_EQ(stats.finished, cases.size());
  EXPECT_GT(stats.building, 0);
  EXPECT_GT(stats.measuring, 0);
  EXPECT_GE(stats.measuring, stats.sampling);
  EXPECT_LE(stats.measuring + stats.device_idle, stats.wall * 1.01);
  EXPECT_EQ(EntriesIn(measurer->workshop().scratch().path()), 1U) << "the lock, and nothing else";
}

// Counts over-current events for as long as `more` says.
std::thread Throttling(const testing::BoardTree& tree, std::function<bool()> more) {
  return std::thread([file = tree.root() / "sys/class/hwmon/hwmon1/oc3_event_cnt", more = std::move(more)] {
    for (int events = 100'000; more(); ++events) {
      std::fstream(file, std::ios::in | std::ios::out) << events;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  });
}

TEST(LocalMeasurer, TakesAThrottledSampleAgain) {
  testing::BoardTree tree;
  tree.MakeAgxOrin();
  WorkshopOptions options = TestOptions();
  options.sysfs_root = tree.root();
  const auto measurer = MakeMeasurer(options);
  std::thread throttling = Throttling(tree, [&] { return measurer->stats().throttled < 2; });
  ASSERT_TRUE(measurer->Submit({1, FaultCandidate("ok"), 0, false}));
  const auto all = Collect(*measurer, 1);
  throttling.join();
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all.at(1).status, MeasureStatus::kOk) << all.at(1).message;
  EXPECT_EQ(all.at(1).conditions.count("throttled"), 0U);
  EXPECT_FALSE(all.at(1).seconds.empty());
  EXPECT_GE(measurer->stats().throttled, 2U);
}

TEST(LocalMeasurer, GivesACandidateBackThatIsThrottledEveryTime) {
  testing::BoardTree tree;
  tree.MakeAgxOrin();
  WorkshopOptions options = TestOptions();
  options.sysfs_root = tree.root();
  const auto measurer = MakeMeasurer(options);
  std::atomic<bool> more = true;
  std::thread throttling = Throttling(tree, [&] { return more.load(); });
  ASSERT_TRUE(measurer->Submit({1, FaultCandidate("ok"), 0, false}));
  const auto all = Collect(*measurer, 1);
  more = false;
  throttling.join();
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all.at(1).status, MeasureStatus::kBoardLost) << "says nothing about the candidate";
  EXPECT_TRUE(all.at(1).seconds.empty());
  EXPECT_THAT(all.at(1).message, ::testing::HasSubstr("throttled"));
}

TEST(LocalMeasurer, WaitingForNothingTimesOutEmpty) {
  const auto measurer = MakeMeasurer();
  const Result<std::vector<Measurement>> none = measurer->Wait(std::chrono::milliseconds(1));
  ASSERT_TRUE(none);
  EXPECT_TRUE(none->empty());
}

TEST(LocalMeasurer, CancelStopsWhatRunsAtOnceAndDropsTheRest) {
  WorkshopOptions options = TestOptions();
  options.run.timeout = std::chrono::minutes(5);
  options.build.timeout = std::chrono::minutes(5);
  const auto measurer = MakeMeasurer(options);
  ASSERT_TRUE(measurer->Submit({1, FaultCandidate("ok"), 0, false}));
  ASSERT_EQ(Collect(*measurer, 1).size(), 1U);
  ASSERT_TRUE(measurer->Submit({2, FaultCandidate("endless_loop"), 0, false}));
  ASSERT_TRUE(measurer->Submit({3, FaultCandidate("endless_compile"), 0, false}));
  for (uint64_t i = 4; i < 20; ++i) ASSERT_TRUE(measurer->Submit({i, FaultCandidate("ok", 1), 0, false}));
  // Until both endless ones are under way: a run directory and a build directory.
  const fs::path scratch = measurer->workshop().scratch().path();
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  std::set<std::string> kinds;
  while (kinds.size() < 2 && std::chrono::steady_clock::now() < end) {
    kinds.clear();
    for (const auto& entry : fs::directory_iterator(scratch))
      if (entry.is_directory()) kinds.insert(entry.path().filename().string().substr(0, 3));
  }
  EXPECT_EQ(kinds.size(), 2U);
  const auto begin = std::chrono::steady_clock::now();
  measurer->Cancel();
  ASSERT_TRUE(measurer->Submit({50, FaultCandidate("ok"), 0, false}));
  const auto after = Collect(*measurer, 1);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20));
  ASSERT_EQ(after.size(), 1U);
  EXPECT_EQ(after.begin()->first, 50U) << "tickets dropped are never answered";
  EXPECT_STREQ(ToString(after.begin()->second.status), "ok") << after.begin()->second.message;
}

TEST(LocalMeasurer, EndingWhileBusyLeavesNoFileBehind) {
  fs::path scratch;
  {
    WorkshopOptions options = TestOptions();
    options.run.timeout = std::chrono::minutes(5);
    const auto measurer = MakeMeasurer(options);
    scratch = measurer->workshop().scratch().path();
    ASSERT_TRUE(measurer->Submit({1, FaultCandidate("endless_loop"), 0, false}));
    ASSERT_TRUE(measurer->Submit({2, FaultCandidate("endless_compile"), 0, false}));
  }
  EXPECT_FALSE(fs::exists(scratch));
}

TEST(LocalMeasurer, TakesTurnsWhenKernelsTakeEveryCpu) {
  WorkshopOptions options = TestOptions();
  options.threads = static_cast<int>(AvailableCpus().size());
  const auto measurer = MakeMeasurer(options);
  EXPECT_TRUE(measurer->workshop().cpus().exclusive);
  for (uint64_t i = 0; i < 9; ++i)
    ASSERT_TRUE(measurer->Submit({i, FaultCandidate(i % 3 == 2 ? "abort" : "threads", static_cast<int64_t>(i % 3)), 0, false}));
  const auto all = Collect(*measurer, 9);
  ASSERT_EQ(all.size(), 9U);
  for (const auto& [ticket, measurement] : all)
    EXPECT_STREQ(ToString(measurement.status), ticket % 3 == 2 ? "crashed" : "ok") << measurement.message;
}

TEST(LocalMeasurer, AnUnknownTemplateIsABuildErrorThatNamesIt) {
  const auto measurer = MakeMeasurer();
  Candidate candidate = FaultCandidate("ok");
  candidate.template_name = "no_such_template";
  ASSERT_TRUE(measurer->Submit({1, candidate, 0, false}));
  const auto all = Collect(*measurer, 1);
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all.at(1).status, MeasureStatus::kBuildError);
  EXPECT_THAT(all.at(1).message, ::testing::HasSubstr("no_such_template"));
}

TEST(LocalMeasurer, CutsCandidatesAgainstItsOwnBest) {
  const auto measurer = MakeMeasurer();
  ASSERT_TRUE(measurer->Submit({1, FaultCandidate("ok"), 0, false}));
  ASSERT_EQ(Collect(*measurer, 1).size(), 1U);
  ASSERT_TRUE(measurer->Submit({2, FaultCandidate("slow"), 0, false}));
  const auto all = Collect(*measurer, 1);
  EXPECT_TRUE(all.at(2).cut_early);
  EXPECT_LE(all.at(2).seconds.size(), 2U);
}

}  // namespace
}  // namespace lathe
