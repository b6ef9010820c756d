#include "db/tuning_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <thread>

#include "tests/db/made_up_rows.h"

namespace lathe {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class TuningLogFile : public InFolder {};

void ExpectSame(const Measurement& a, const Measurement& b) {
  EXPECT_EQ(a.candidate.Key(), b.candidate.Key());
  EXPECT_EQ(a.candidate.workload.attributes, b.candidate.workload.attributes);
  EXPECT_EQ(a.candidate.config, b.candidate.config);
  EXPECT_EQ(a.status, b.status);
  EXPECT_EQ(a.message, b.message);
  EXPECT_EQ(a.seconds, b.seconds);
  EXPECT_EQ(a.build_seconds, b.build_seconds);
  EXPECT_EQ(a.run_seconds, b.run_seconds);
  EXPECT_TRUE(a.max_error == b.max_error || (std::isnan(a.max_error) && std::isnan(b.max_error))) << a.max_error << " " << b.max_error;
  EXPECT_EQ(a.joules, b.joules);
  EXPECT_EQ(a.build_facts, b.build_facts);
  EXPECT_EQ(a.conditions, b.conditions);
  EXPECT_EQ(a.cut_early, b.cut_early);
  EXPECT_EQ(a.finished_unix_ms, b.finished_unix_ms);
  EXPECT_EQ(a.board, b.board);
}

TEST_F(TuningLogFile, GivesBackEveryFieldOfAMeasurementAfterReopen) {
  Measurement m = MakeMeasurement(4, 1.0 / 3);
  m.message = "a warning: \xc3\xa9\n";
  m.joules = 0.1;
  m.cut_early = true;
  m.board = "orin-3";
  LogOf({m}, At("a.db"));
  const auto rows = AllRows(*OpenLog(At("a.db")));
  ASSERT_EQ(rows.size(), 1u);
  ExpectSame(rows[0].measurement, m);
  EXPECT_EQ(rows[0].run_id, "run-1");
  EXPECT_EQ(rows[0].target_hash, MakeTarget().FingerprintHash());
  EXPECT_EQ(rows[0].seconds, Seconds(m));
}

TEST_F(TuningLogFile, KeepsFailedMeasurementsAfterReopen) {
  std::vector<Measurement> failures;
  for (int i = 1; i <= static_cast<int>(MeasureStatus::kBoardLost); ++i) failures.push_back(MakeFailure(i, static_cast<MeasureStatus>(i)));
  failures[3].max_error = std::numeric_limits<double>::quiet_NaN();
  failures[4].max_error = std::numeric_limits<double>::infinity();
  LogOf(failures, At("a.db"));
  const auto rows = AllRows(*OpenLog(At("a.db")));
  ASSERT_EQ(rows.size(), failures.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    ExpectSame(rows[i].measurement, failures[i]);
    EXPECT_TRUE(std::isinf(rows[i].seconds));
  }
}

TEST(TuningLog, StoresMessagesThatAreNotUtf8) {
  const auto log = LogOf({MakeFailure(1, MeasureStatus::kBuildError, "unknown type \xff\xfe in line 3")});
  EXPECT_EQ(AllRows(*log)[0].measurement.message, "unknown type \xef\xbf\xbd\xef\xbf\xbd in line 3");
}

TEST(TuningLog, TellsANumberFromATextThatLooksLikeOne) {
  Measurement number = MakeMeasurement(1, 1), text = number, real = number;
  number.candidate.config = {{"T", int64_t{2}}};
  text.candidate.config = {{"T", std::string("2")}};
  real.candidate.config = {{"T", 2.0}};
  const auto rows = AllRows(*LogOf({number, text, real}));
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[0].measurement.candidate.config, number.candidate.config);
  EXPECT_EQ(rows[1].measurement.candidate.config, text.candidate.config);
  EXPECT_EQ(rows[2].measurement.candidate.config, real.candidate.config);
}

TEST(TuningLog, StoresTheSameMeasurementOnce) {
  const auto log = LogOf({MakeMeasurement(1, 1), MakeMeasurement(1, 1)});
  ASSERT_TRUE(log->Record("run-1", {MakeMeasurement(1, 1)}));
  EXPECT_EQ(AllRows(*log).size(), 1u);
}

TEST(TuningLog, StoresNothingOfABatchWithAContradiction) {
  const auto log = LogOf({});
  Measurement empty = MakeMeasurement(2, 1);
  empty.seconds.clear();
  const Status recorded = log->Record("run-1", {MakeMeasurement(1, 1), empty});
  ASSERT_FALSE(recorded);
  EXPECT_THAT(recorded.error().message, HasSubstr("ok without a single sample"));
  EXPECT_TRUE(AllRows(*log).empty());
  EXPECT_TRUE(log->Record("run-1", {MakeMeasurement(1, 1)})) << "the log is usable afterwards";
}

TEST(TuningLog, RefusesMeasurementsOfARunThatWasNeverBegun) {
  const auto log = OpenLog({});
  const Status recorded = log->Record("nobody", {MakeMeasurement(1, 1)});
  ASSERT_FALSE(recorded);
  EXPECT_EQ(recorded.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(recorded.error().message, HasSubstr("run 'nobody' was never begun"));
  EXPECT_FALSE(log->EndRun("nobody", "finished"));
}

TEST(TuningLog, HistoryHoldsThisTemplateVersionOnThisTargetWithoutLostBoards) {
  const auto log = LogOf({MakeMeasurement(1, 1), MakeFailure(2, MeasureStatus::kBoardLost), MakeFailure(3, MeasureStatus::kCrashed),
                          MakeMeasurement(4, 1, 28), MakeMeasurement(5, 1, 56, "bbbb")});
  ASSERT_TRUE(log->BeginRun(MakeRun("run-2", MakeTarget("gcc 13"))));
  ASSERT_TRUE(log->Record("run-2", {MakeMeasurement(6, 1)}));
  const auto history = log->History(MakeWorkload(), "direct_cpu", "aaaa", MakeTarget());
  ASSERT_TRUE(history);
  ASSERT_EQ(history->size(), 2u);
  ExpectSame((*history)[0], MakeMeasurement(1, 1));
  ExpectSame((*history)[1], MakeFailure(3, MeasureStatus::kCrashed));
}

TEST(TuningLog, AResumedRunKeepsItsStartAndIsRunningAgain) {
  const auto log = LogOf({MakeMeasurement(1, 1)});
  ASSERT_TRUE(log->EndRun("run-1", "stopped"));
  ASSERT_TRUE(log->BeginRun(MakeRun()));
  const auto run = log->FindRun("run-1");
  ASSERT_TRUE(run && *run);
  EXPECT_EQ((*run)->state, "running");
  EXPECT_FALSE((*run)->ended_unix_ms);
  EXPECT_EQ((*run)->measurements, 1);
  EXPECT_EQ(log->Runs()->size(), 1u);
}

TEST_F(TuningLogFile, ARunsCommitsLengthenNoFileOfItsLog) {
  const auto log = OpenLog(At("a.db"));
  ASSERT_TRUE(log->BeginRun(MakeRun()));
  const auto bytes = [&] { return std::filesystem::file_size(At("a.db-wal")) + std::filesystem::file_size(At("a.db")); };
  const auto before = bytes();
  for (int64_t tile = 1; tile <= 20; ++tile) ASSERT_TRUE(log->Record("run-1", {MakeMeasurement(tile, 1)}));
  EXPECT_EQ(bytes(), before);
  EXPECT_EQ(AllRows(*OpenLog(At("a.db"))).size(), 20u);
}

TEST(TuningLog, OffersRunsWithTheSameOptionsThatNeverEnded) {
  const auto log = OpenLog({});
  RunInfo killed = MakeRun("killed"), finished = MakeRun("finished"), stopped = MakeRun("stopped"), other = MakeRun("other");
  other.options["seed"] = 2;
  RunInfo elsewhere = MakeRun("elsewhere", MakeTarget("clang 19"));
  for (const RunInfo& run : {killed, finished, stopped, other, elsewhere}) ASSERT_TRUE(log->BeginRun(run));
  ASSERT_TRUE(log->EndRun("finished", "finished"));
  ASSERT_TRUE(log->EndRun("stopped", "stopped"));
  const auto runs = log->RunsToResume({{"seed", 1}, {"strategy", "random"}}, MakeTarget());
  ASSERT_TRUE(runs);
  ASSERT_EQ(runs->size(), 2u);
  EXPECT_EQ((*runs)[0].id, "stopped");
  EXPECT_EQ((*runs)[1].id, "killed");
}

TEST(TuningLog, TakesMeasurementsFromSeveralThreads) {
  const auto log = LogOf({});
  std::vector<std::thread> threads;
  for (int64_t t = 0; t < 4; ++t)
    threads.emplace_back([&log, t] {
      for (int64_t i = 0; i < 50; ++i) EXPECT_TRUE(log->Record("run-1", {MakeMeasurement(1000 * t + i, 1)}));
    });
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(log->Best(AskFor()));
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(log->Count({}).value(), 200);
}

TEST(TuningLog, GivesTargetsBackWhole) {
  const auto log = LogOf({});
  const auto target = log->FindTarget(MakeTarget().FingerprintHash());
  ASSERT_TRUE(target);
  EXPECT_EQ(target->FingerprintHash(), MakeTarget().FingerprintHash());
  EXPECT_EQ(target->fingerprint, MakeTarget().fingerprint);
  EXPECT_FALSE(log->FindTarget("0123"));
}

TEST_F(TuningLogFile, TwoProcessesTakeTurnsAndTheOneThatWaitsTooLongIsToldWhy) {
  const auto first = LogOf({}, At("a.db"));
  TuningLogOptions hasty;
  hasty.busy_timeout_ms = 20;
  auto second = TuningLog::Open(At("a.db"), hasty);
  ASSERT_TRUE(second) << second.error().message;
  // The lock is held while an import of the first one is under way.
  ASSERT_TRUE(first->Import([&](RecordWriter&) -> Status {
    const Status recorded = (*second)->Record("run-1", {MakeMeasurement(1, 1)});
    EXPECT_FALSE(recorded);
    EXPECT_EQ(recorded.error().code, ErrorCode::kUnavailable);
    EXPECT_THAT(recorded.error().message, HasSubstr("another process holds it for writing"));
    EXPECT_TRUE((*second)->Best(AskFor())) << "readers never wait";
    return {};
  }));
  EXPECT_TRUE((*second)->Record("run-1", {MakeMeasurement(1, 1)}));
  EXPECT_EQ(first->Count({}).value(), 1);
}

// Connections of their own meet in the file as processes do.
TEST_F(TuningLogFile, SeveralProcessesMayMakeAndWriteOneLogAtOnce) {
  std::vector<std::thread> threads;
  for (int64_t t = 0; t < 6; ++t)
    threads.emplace_back([this, t] {
      const auto log = OpenLog(At("a.db"));
      ASSERT_NE(log, nullptr);
      EXPECT_TRUE(log->BeginRun(MakeRun("run-" + std::to_string(t))));
      for (int64_t i = 0; i < 10; ++i) {
        const Status recorded = log->Record("run-" + std::to_string(t), {MakeMeasurement(100 * t + i, 1)});
        EXPECT_TRUE(recorded) << recorded.error().message;
      }
    });
  for (std::thread& thread : threads) thread.join();
  const auto log = OpenLog(At("a.db"));
  EXPECT_EQ(log->Count({}).value(), 60);
  EXPECT_EQ(log->Summary()->runs, 6);
}

TEST(TuningLog, SummaryCountsWhatThereIs) {
  const auto log = LogOf({MakeMeasurement(1, 1), MakeMeasurement(2, 1, 28), MakeFailure(3, MeasureStatus::kCrashed)});
  const auto summary = log->Summary();
  ASSERT_TRUE(summary);
  EXPECT_EQ(summary->measurements, 3);
  EXPECT_EQ(summary->by_status.at("ok"), 2);
  EXPECT_EQ(summary->by_status.at("crashed"), 1);
  EXPECT_EQ(summary->runs, 1);
  EXPECT_EQ(summary->unfinished_runs, 1);
  EXPECT_EQ(summary->workloads, 2);
  EXPECT_EQ(summary->first_unix_ms, 1700000000001);
  EXPECT_EQ(summary->last_unix_ms, 1700000000003);
  EXPECT_EQ(ToJson(*summary)["by_status"]["ok"], 2);
}

TEST(TuningLog, CountsFailuresByStatusWithTheLatestMessage) {
  const auto log = LogOf({MakeMeasurement(1, 1), MakeFailure(2, MeasureStatus::kCrashed, "first"),
                          MakeFailure(3, MeasureStatus::kCrashed, "last"), MakeFailure(4, MeasureStatus::kWrongResult, "off by 3")});
  const auto failures = log->Failures({.operator_name = "conv2d"});
  ASSERT_TRUE(failures);
  ASSERT_EQ(failures->size(), 2u);
  EXPECT_EQ((*failures)[0].status, MeasureStatus::kCrashed);
  EXPECT_EQ((*failures)[0].count, 2);
  EXPECT_EQ((*failures)[0].latest_message, "last");
  EXPECT_EQ((*failures)[1].count, 1);
}

TEST(TuningLog, TraceFollowsTheBestSoFar) {
  const auto log = LogOf({MakeFailure(1, MeasureStatus::kCrashed), MakeMeasurement(2, 3), MakeFailure(3, MeasureStatus::kBoardLost),
                          MakeMeasurement(4, 5), MakeMeasurement(5, 2)});
  const auto trace = log->Trace({.workload_key = MakeWorkload().Key()});
  ASSERT_TRUE(trace);
  ASSERT_EQ(trace->size(), 4u);
  EXPECT_TRUE(std::isinf((*trace)[0].best_seconds));
  EXPECT_TRUE(ToJson((*trace)[0])["best_seconds"].is_null());
  EXPECT_EQ((*trace)[1].best_seconds, 3);
  EXPECT_EQ((*trace)[2].best_seconds, 3);
  EXPECT_EQ((*trace)[3].best_seconds, 2);
  EXPECT_EQ((*trace)[3].trial, 4);
}

TEST(TuningLog, TracesEachWorkloadByItself) {
  const auto log = LogOf({MakeMeasurement(1, 3, 56), MakeMeasurement(2, 1, 28), MakeMeasurement(3, 2, 56), MakeMeasurement(4, 5, 28)});
  const auto trace = log->Trace({});
  ASSERT_TRUE(trace);
  ASSERT_EQ(trace->size(), 4u);
  const int64_t trials[] = {1, 2, 1, 2};
  const double best[] = {1, 1, 3, 2};
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ((*trace)[i].trial, trials[i]);
    EXPECT_EQ((*trace)[i].best_seconds, best[i]);
    EXPECT_EQ((*trace)[i].workload, MakeWorkload(i < 2 ? 28 : 56));
    EXPECT_EQ(ToJson((*trace)[i])["workload"], MakeWorkload(i < 2 ? 28 : 56).Key());
  }
}

TEST(TuningLog, ListsTheNamesItHolds) {
  const auto log = LogOf({MakeMeasurement(1, 3, 56), MakeMeasurement(2, 1, 28), MakeMeasurement(2, 1, 28, "bbbb")});
  using Kind = TuningLog::Kind;
  EXPECT_EQ(log->Names(Kind::kOperator).value(), (std::vector<std::string>{"conv2d"}));
  EXPECT_EQ(log->Names(Kind::kTemplate, "conv2d").value(), (std::vector<std::string>{"conv2d/direct_cpu"}));
  EXPECT_EQ(log->Names(Kind::kWorkload).value(), (std::vector<std::string>{MakeWorkload(28).Key(), MakeWorkload(56).Key()}));
  EXPECT_TRUE(log->Names(Kind::kTemplate, "nms").value().empty());
}

TEST(TuningLog, ListsForWhomATemplateWasMeasuredUnderAnyCircumstances) {
  const auto log = OpenLog("");
  ASSERT_TRUE(log->BeginRun(MakeRun("here")));
  ASSERT_TRUE(log->BeginRun(MakeRun("there", MakeTarget("gcc 13"))));
  ASSERT_TRUE(log->Record("here", {MakeMeasurement(1, 1), MakeMeasurement(2, 1), MakeMeasurement(1, 1, 28),
                                   MakeMeasurement(1, 1, 56, "old"), MakeFailure(9, MeasureStatus::kBoardLost)}));
  ASSERT_TRUE(log->Record("there", {MakeMeasurement(1, 2)}));
  const auto relatives = log->Relatives("conv2d", "direct_cpu");
  ASSERT_TRUE(relatives) << relatives.error().message;
  ASSERT_EQ(relatives->size(), 4u);
  std::map<std::string, size_t> counts;
  for (const Relative& relative : *relatives)
    counts[relative.workload.Key() + '@' + relative.template_hash + '/' + relative.target.fingerprint.at("compiler")] =
        relative.measurements;
  EXPECT_EQ(counts.at(MakeWorkload(56).Key() + "@aaaa/gcc 12"), 2u) << "a lost board is no measurement";
  EXPECT_EQ(counts.at(MakeWorkload(28).Key() + "@aaaa/gcc 12"), 1u);
  EXPECT_EQ(counts.at(MakeWorkload(56).Key() + "@old/gcc 12"), 1u);
  EXPECT_EQ(counts.at(MakeWorkload(56).Key() + "@aaaa/gcc 13"), 1u);
  EXPECT_TRUE(log->Relatives("conv2d", "other")->empty());
}

}  // namespace
}  // namespace lathe
