// How the driver names a winner: finals on fresh samples, ties, and how sure it is.
#include <gtest/gtest.h>

#include <algorithm>

#include "fakes.h"
#include "search/driver.h"

namespace lathe {
namespace {

using test::FakeMeasurer;
using test::MakeSpace;
using test::MakeTask;
using test::MemoryJournal;
using test::Numbers;

TuneOptions Finals(size_t finalists) {
  TuneOptions options;
  options.search.strategy = "grid";
  options.search.trials = 100;
  options.search.finalists = finalists;
  return options;
}

TEST(TuneFinals, MeasuresTheFinalistsAgainInTurnAndBelievesThePooledSamples) {
  // A = 2 was lucky once: 0.98, but is really 1.05; A = 3 is really 1.0.
  std::map<int64_t, int> met;
  FakeMeasurer measurer([&](const Candidate& candidate) -> FakeMeasurer::Answer {
    const int64_t a = std::get<int64_t>(*Find(candidate.config, "A"));
    const bool once = met[a]++ == 0;
    if (a == 2) return {MeasureStatus::kOk, once ? 0.98 : 1.05};
    return {MeasureStatus::kOk, a == 3 ? 1.0 : 2.0};
  });
  MemoryJournal journal;
  TuneOptions options = Finals(4);
  options.search.final_rounds = 3;
  options.search.objective.statistic = [](std::vector<double> samples) {  // the median, so that one lucky sample does not decide the pool
    std::sort(samples.begin(), samples.end());
    return samples[samples.size() / 2];
  };
  std::vector<TuneTask> tasks;
  tasks.push_back(MakeTask(MakeSpace({Numbers("A", {1, 2, 3, 4, 5})})));
  const auto report = Tune(tasks, measurer, journal, options);
  ASSERT_TRUE(report);
  std::vector<int64_t> order;
  for (const MeasureRequest& request : measurer.requests) {
    if (request.finalist) order.push_back(std::get<int64_t>(*Find(request.candidate.config, "A")));
  }
  EXPECT_EQ(order, (std::vector<int64_t>{2, 3, 1, 2, 3, 1})) << "the untuned config runs with them; two rounds decide";
  EXPECT_EQ(std::get<int64_t>(*Find(report->tasks[0].best->config, "A")), 3);
  EXPECT_EQ(report->tasks[0].trials, 5u) << "finals are not trials";
}

// Of A = 1 to 5 the second is a thousandth slower than the fifth, the others far slower.
Result<TuneReport> TuneATie(size_t finalists) {
  FakeMeasurer measurer([](const Candidate& candidate) -> FakeMeasurer::Answer {
    const int64_t a = std::get<int64_t>(*Find(candidate.config, "A"));
    return {MeasureStatus::kOk, a == 2 ? 1.001 : a == 5 ? 1.0 : 3.0};
  });
  MemoryJournal journal;
  const TuneOptions options = Finals(finalists);
  std::vector<TuneTask> tasks;
  tasks.push_back(MakeTask(MakeSpace({Numbers("A", {1, 2, 3, 4, 5})})));
  return Tune(tasks, measurer, journal, options);
}

TEST(TuneFinals, PrefersTheEarlierConfigOfATieAndCountsTheTies) {
  const auto report = TuneATie(4);
  ASSERT_TRUE(report);
  EXPECT_EQ(std::get<int64_t>(*Find(report->tasks[0].best->config, "A")), 2);
  EXPECT_EQ(report->tasks[0].ties, 1u);
}

TEST(TuneFinals, PrefersTheSimplerOfATieAlsoWithoutFinals) {
  const auto report = TuneATie(0);
  ASSERT_TRUE(report);
  EXPECT_EQ(std::get<int64_t>(*Find(report->tasks[0].best->config, "A")), 2);
  EXPECT_EQ(report->tasks[0].ties, 1u);
  EXPECT_FALSE(report->tasks[0].confidence);
}

TEST(TuneFinals, SaysHowSureItIsOfTheWinner) {
  FakeMeasurer measurer([](const Candidate& candidate) -> FakeMeasurer::Answer {
    const int64_t a = std::get<int64_t>(*Find(candidate.config, "A"));
    return {MeasureStatus::kOk, a == 2 ? 1.0 : a == 3 ? 1.02 : 3.0};
  });
  MemoryJournal journal;
  std::vector<TuneTask> tasks;
  tasks.push_back(MakeTask(MakeSpace({Numbers("A", {1, 2, 3, 4, 5})})));
  const TuneOptions options = Finals(4);
  const auto report = Tune(tasks, measurer, journal, options);
  ASSERT_TRUE(report);
  ASSERT_TRUE(report->tasks[0].confidence);
  EXPECT_GT(*report->tasks[0].confidence, 0.99);
  EXPECT_EQ(report->tasks[0].ties, 0u);
  EXPECT_GT(ToJson(*report)["tasks"][0]["confidence"], 0.99);
}

TEST(TuneFinals, PrefersOfATieTheConfigThatDepartsLeastFromTheUntunedOne) {
  FakeMeasurer measurer([](const Candidate& candidate) -> FakeMeasurer::Answer {
    const int64_t a = std::get<int64_t>(*Find(candidate.config, "A")), b = std::get<int64_t>(*Find(candidate.config, "B"));
    if (a == 1 && b == 3) return {MeasureStatus::kOk, 1.001};  // departs in one parameter
    if (a == 2 && b == 2) return {MeasureStatus::kOk, 1.0};    // in two
    return {MeasureStatus::kOk, 3.0};
  });
  MemoryJournal journal;
  std::vector<TuneTask> tasks;
  tasks.push_back(MakeTask(MakeSpace({Numbers("A", {1, 2, 3}), Numbers("B", {1, 2, 3})})));
  TuneOptions options = Finals(4);
  options.search.within_noise = 0.01;
  const auto report = Tune(tasks, measurer, journal, options);
  ASSERT_TRUE(report);
  EXPECT_EQ(std::get<int64_t>(*Find(report->tasks[0].best->config, "B")), 3);
  EXPECT_EQ(report->tasks[0].ties, 1u);
}

}  // namespace
}  // namespace lathe
