// Merging logs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "db/schema.h"
#include "db/sqlite.h"
#include "tests/db/made_up_rows.h"

namespace lathe {
namespace {

using ::testing::HasSubstr;

class Merging : public InFolder {};

TEST_F(Merging, AddsWhatIsNewAndNothingTwice) {
  const auto ours = LogOf({MakeMeasurement(1, 3), MakeMeasurement(2, 2)}, At("ours.db"));
  {
    const auto theirs = LogOf({MakeMeasurement(2, 2), MakeMeasurement(3, 1), MakeMeasurement(4, 1, 28)}, At("theirs.db"));
    ASSERT_TRUE(theirs->BeginRun(MakeRun("run-2", MakeTarget("gcc 13"))));
    ASSERT_TRUE(theirs->Record("run-2", {MakeMeasurement(5, 1), MakeFailure(6, MeasureStatus::kCrashed)}));
  }
  const auto report = ours->Merge(At("theirs.db"));
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->added, 4);
  EXPECT_EQ(report->duplicates, 1);
  EXPECT_EQ(report->runs_added, 1);
  EXPECT_EQ(ours->Count({}).value(), 6);
  EXPECT_EQ(ours->Best(AskFor())->best.at(0).row.seconds, 1);
  EXPECT_EQ(ours->FindRun("run-2").value()->measurements, 2);
  EXPECT_EQ(ours->Summary()->targets, 2);

  const auto again = ours->Merge(At("theirs.db"));
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->added, 0);
  EXPECT_EQ(again->duplicates, 5);
  EXPECT_EQ(ours->Count({}).value(), 6);
}

TEST_F(Merging, GivesTheSameRowsInBothDirections) {
  LogOf({MakeMeasurement(1, 3), MakeMeasurement(2, 2)}, At("a.db"));
  LogOf({MakeMeasurement(3, 1, 28)}, At("b.db"));
  const auto uids = [&](const std::string& first, const std::string& second) {
    const auto log = OpenLog({});
    EXPECT_TRUE(log->Merge(At(first)));
    EXPECT_TRUE(log->Merge(At(second)));
    std::set<std::string> found;
    for (const LoggedMeasurement& row : AllRows(*log)) found.insert(row.uid);
    return found;
  };
  EXPECT_EQ(uids("a.db", "b.db"), uids("b.db", "a.db"));
  EXPECT_EQ(uids("a.db", "b.db").size(), 3u);
}

TEST_F(Merging, TakesOverTheEndOfARunThatWasCopiedWhileItRan) {
  const auto ours = LogOf({MakeMeasurement(1, 1)}, At("ours.db"));
  {
    const auto theirs = LogOf({MakeMeasurement(1, 1)}, At("theirs.db"));
    ASSERT_TRUE(theirs->EndRun("run-1", "finished"));
  }
  ASSERT_TRUE(ours->Merge(At("theirs.db")));
  EXPECT_EQ(ours->FindRun("run-1").value()->state, "finished");
  EXPECT_TRUE(ours->FindRun("run-1").value()->ended_unix_ms);
}

TEST_F(Merging, ReadsALogThatIsBeingWritten) {
  const auto theirs = LogOf({MakeMeasurement(1, 1)}, At("theirs.db"));
  const auto ours = OpenLog(At("ours.db"));
  ASSERT_TRUE(theirs->Import([&](RecordWriter&) -> Status {
    const auto report = ours->Merge(At("theirs.db"));
    EXPECT_TRUE(report) << report.error().message;
    return {};
  }));
  EXPECT_EQ(ours->Count({}).value(), 1);
}

TEST_F(Merging, MigratesACopyOfAnOlderLog) {
  LogOf({MakeMeasurement(1, 1), MakeMeasurement(2, 1)}, At("new.db"));
  {
    auto old = sqlite::Database::Open(At("old.db"), sqlite::Database::Access::kCreate, 0);
    ASSERT_TRUE(old && MigrateSchema(*old, 1));
    ASSERT_TRUE(old->Attach(At("new.db"), "new", false));
    const Status copied = old->Run(
        "INSERT INTO main.workloads SELECT * FROM new.workloads; INSERT INTO main.templates SELECT * FROM new.templates;"
        "INSERT INTO main.configs SELECT * FROM new.configs; INSERT INTO main.targets SELECT * FROM new.targets;"
        "INSERT INTO main.runs SELECT * FROM new.runs;"
        "INSERT INTO main.measurements SELECT id, uid, workload_id, template_id, config_id, target_id, run_id, status, message, seconds, "
        "samples,"
        "build_seconds, run_seconds, max_error, build_facts, conditions, cut_early, finished_unix_ms FROM new.measurements");
    ASSERT_TRUE(copied) << copied.error().message;
  }
  const std::string before = ReadFile(At("old.db")).value();
  const auto ours = OpenLog(At("ours.db"));
  const auto report = ours->Merge(At("old.db"));
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->added, 2);
  EXPECT_EQ(ReadFile(At("old.db")).value(), before) << "the other log is only read";
  EXPECT_EQ(ours->Merge(At("new.db"))->duplicates, 2) << "the rows keep their uids through a migration";
}

TEST_F(Merging, RefusesWhatIsNoLogAndItself) {
  const auto ours = LogOf({MakeMeasurement(1, 1)}, At("ours.db"));
  ASSERT_TRUE(WriteFile(At("text.db"), "hello"));
  EXPECT_THAT(ours->Merge(At("text.db")).error().message, HasSubstr("not a SQLite database"));
  EXPECT_THAT(ours->Merge(At("absent.db")).error().message, HasSubstr("there is no such file"));
  EXPECT_THAT(ours->Merge(At("ours.db")).error().message, HasSubstr("itself"));
  EXPECT_EQ(ours->Count({}).value(), 1);
}

TEST_F(Merging, TakesNothingFromALogWithDanglingRows) {
  LogOf({MakeMeasurement(1, 1), MakeMeasurement(2, 1)}, At("theirs.db"));
  {
    auto database = sqlite::Database::Open(At("theirs.db"), sqlite::Database::Access::kReadWrite, 0);
    ASSERT_TRUE(database->Run("PRAGMA foreign_keys = OFF; DELETE FROM configs WHERE id = 2"));
  }
  const auto ours = OpenLog(At("ours.db"));
  const auto report = ours->Merge(At("theirs.db"));
  ASSERT_FALSE(report);
  EXPECT_THAT(report.error().message, HasSubstr("1 of its measurements"));
  EXPECT_EQ(ours->Count({}).value(), 0);
  EXPECT_EQ(ours->Runs()->size(), 0u);
  EXPECT_TRUE(ours->Merge(At("theirs.db")).error().message == report.error().message) << "the failed merge left nothing attached";
}

}  // namespace
}  // namespace lathe
