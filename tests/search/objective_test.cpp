#include "search/objective.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fakes.h"
#include "search/driver.h"

namespace lathe {
namespace {

using test::FakeMeasurer;
using test::MakeSpace;
using test::MakeTask;
using test::MemoryJournal;
using test::Numbers;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Objective Of(const std::string& text) {
  Result<Objective> objective = Objective::Parse(text);
  EXPECT_TRUE(objective) << text;
  return objective ? *objective : Objective();
}

Measurement Made(std::vector<double> seconds, std::optional<double> joules = {}, const std::string& watts = "") {
  Measurement measurement;
  measurement.seconds = std::move(seconds);
  measurement.joules = joules;
  if (!watts.empty()) measurement.conditions["watts"] = watts;
  return measurement;
}

TEST(Objective, IsReadAsItIsWritten) {
  for (const char* text : {"time", "energy", "edp", "time@15", "time@7.5"}) EXPECT_EQ(Of(text).Text(), text);
  for (const char* text : {"", "speed", "time@", "time@-3", "time@0", "time@15W", "time@nan", "energy@3"}) {
    const Result<Objective> none = Objective::Parse(text);
    ASSERT_FALSE(none) << text;
    EXPECT_THAT(none.error().message, HasSubstr("time@WATTS"));
  }
}

TEST(Objective, ComparesWhatItIsAbout) {
  const Measurement measured = Made({2, 3}, 10, "12.5");
  EXPECT_THAT(Of("time").Samples(measured), ElementsAre(2, 3));
  EXPECT_THAT(Of("energy").Samples(measured), ElementsAre(10));
  EXPECT_THAT(Of("edp").Samples(measured), ElementsAre(20));
  EXPECT_THAT(Of("time@13").Samples(measured), ElementsAre(2, 3));
  EXPECT_THAT(Of("time@12").Samples(measured), IsEmpty()) << "over the cap";
  EXPECT_DOUBLE_EQ(Of("energy").statistic({1, 2, 6}), 3) << "noise of a power rail goes both ways";
}

TEST(Objective, DoesNotKnowAMeasurementWithoutPower) {
  const Measurement blind = Made({2, 3});
  EXPECT_TRUE(Of("time").Knows(blind));
  for (const char* text : {"energy", "edp", "time@12"}) {
    EXPECT_FALSE(Of(text).Knows(blind)) << text;
    EXPECT_THAT(Of(text).Samples(blind), IsEmpty());
  }
  Measurement crash;
  crash.status = MeasureStatus::kCrashed;
  EXPECT_TRUE(Of("energy").Knows(crash)) << "a failure is one whatever is wanted";
}

// A: 1 is fastest and draws most; 4 draws least joules; 3 has the smallest product.
FakeMeasurer::Answer Answers(const Candidate& candidate) {
  switch (std::get<int64_t>(*Find(candidate.config, "A"))) {
    case 1:
      return {MeasureStatus::kOk, 1.0, 20.0, 20.0};
    case 2:
      return {MeasureStatus::kOk, 1.5, 18.0, 12.0};
    case 3:
      return {MeasureStatus::kOk, 2.0, 8.0, 4.0};
    default:
      return {MeasureStatus::kOk, 4.0, 6.0, 1.5};
  }
}

struct Tuned {
  TuneReport report;
  std::vector<MeasureRequest> requests;
  const TaskReport& task() const { return report.tasks[0]; }
  int64_t Winner() const { return task().best ? std::get<int64_t>(*Find(task().best->config, "A")) : 0; }
};

Tuned TuneFor(const std::string& objective, MemoryJournal& journal, size_t finalists = 0) {
  FakeMeasurer measurer(Answers);
  TuneOptions options;
  options.search.strategy = "grid";
  options.search.trials = 100;
  options.search.finalists = finalists;
  options.search.objective = Of(objective);
  std::vector<TuneTask> tasks;
  tasks.push_back(MakeTask(MakeSpace({Numbers("A", {1, 2, 3, 4})})));
  Result<TuneReport> report = Tune(tasks, measurer, journal, options);
  EXPECT_TRUE(report) << report.error().message;
  return {report ? *report : TuneReport(), measurer.requests};
}

TEST(Tune, NamesTheWinnerOfItsObjective) {
  for (const size_t finalists : {size_t{0}, size_t{4}})
    for (const auto& [objective, winner] :
         {std::pair<const char*, int64_t>{"time", 1}, {"energy", 4}, {"edp", 3}, {"time@12", 2}, {"time@4", 3}}) {
      MemoryJournal journal;
      const Tuned tuned = TuneFor(objective, journal, finalists);
      EXPECT_EQ(tuned.Winner(), winner) << objective;
      EXPECT_EQ(tuned.task().best->joules.has_value(), true);
    }
}

TEST(Tune, CutsNothingEarlyWhenSlowerMayBeBetter) {
  MemoryJournal journal;
  for (const MeasureRequest& request : TuneFor("energy", journal).requests) EXPECT_EQ(request.best_seconds, 0);
}

TEST(Tune, SaysHowFarFromThePowerCapTheLowestWas) {
  MemoryJournal journal;
  const Tuned tuned = TuneFor("time@1", journal);
  EXPECT_FALSE(tuned.task().best);
  EXPECT_EQ(tuned.task().failures.at("over_power_cap"), 4u);
  EXPECT_EQ(tuned.task().least_watts, 1.5);
}

TEST(Tune, MeasuresAgainWhatWasMeasuredWithoutPower) {
  MemoryJournal journal;
  TuneFor("energy", journal);
  EXPECT_EQ(TuneFor("energy", journal).requests.size(), 0u) << "all is known";
  EXPECT_EQ(TuneFor("edp", journal).requests.size(), 0u) << "what was measured for one answers for the other";
  for (Measurement& row : journal.rows) row.joules.reset(), row.conditions.erase("watts");
  EXPECT_EQ(TuneFor("energy", journal).requests.size(), 4u);
  MemoryJournal later;
  later.rows = journal.rows;
  EXPECT_EQ(TuneFor("time", later).requests.size(), 0u) << "times are times";
}

class BrokenShelf : public MemoryJournal {
 public:
  Result<std::vector<Relative>> Relatives(const std::string&, const std::string&) override {
    return Error{ErrorCode::kIncompatible, "row 7: parse error"};
  }
};

TEST(Tune, GoesOnWithoutWhatItCannotBorrow) {
  BrokenShelf journal;
  const Tuned tuned = TuneFor("time", journal);
  EXPECT_EQ(tuned.Winner(), 1);
  ASSERT_EQ(tuned.report.notes.size(), 1u);
  EXPECT_THAT(tuned.report.notes[0], HasSubstr("row 7"));
}

TEST(Tune, HoldsAsManyFinalRoundsAsItIsTold) {
  FakeMeasurer measurer(Answers);
  MemoryJournal journal;
  TuneOptions options;
  options.search.strategy = "grid";
  options.search.trials = 100;
  options.search.finalists = 3;
  options.search.within_noise = 10;
  options.search.final_rounds = 1;
  std::vector<TuneTask> tasks;
  tasks.push_back(MakeTask(MakeSpace({Numbers("A", {1, 2, 3, 4})})));
  ASSERT_TRUE(Tune(tasks, measurer, journal, options));
  std::map<std::string, int> finals;
  for (const MeasureRequest& request : measurer.requests)
    if (request.finalist) ++finals[request.candidate.Key()];
  EXPECT_GE(finals.size(), 2u);
  for (const auto& [key, times] : finals) EXPECT_EQ(times, 1) << key;
}

}  // namespace
}  // namespace lathe
