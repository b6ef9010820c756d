// Files that are not what they should be, and schemas of other times.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <random>

#include "db/schema.h"
#include "db/sqlite.h"
#include "tests/db/made_up_rows.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using Mode = TuningLogOptions::Mode;

class Opening : public InFolder {
 protected:
  std::string FailureOf(const fs::path& path, Mode mode = Mode::kCreate) {
    TuningLogOptions options;
    options.mode = mode;
    auto log = TuningLog::Open(path, options);
    EXPECT_FALSE(log);
    return log ? "" : log.error().message;
  }
  static void RunSql(const fs::path& path, const std::string& sql) {
    auto database = sqlite::Database::Open(path, sqlite::Database::Access::kCreate, 0);
    ASSERT_TRUE(database);
    const Status done = database->Run(sql);
    ASSERT_TRUE(done) << done.error().message;
  }
};

TEST_F(Opening, RefusesANewerSchemaAndLeavesItAlone) {
  LogOf({MakeMeasurement(1, 1)}, At("a.db"));
  RunSql(At("a.db"), "PRAGMA user_version = 7");
  const std::string before = ReadFile(At("a.db")).value();
  for (const Mode mode : {Mode::kCreate, Mode::kReadWrite, Mode::kReadOnly})
    EXPECT_THAT(FailureOf(At("a.db"), mode),
                AllOf(StartsWith("open tuning log '" + At("a.db").string() + "': schema 7 is newer than this program's 2"),
                      HasSubstr("use a newer lathe")));
  EXPECT_EQ(ReadFile(At("a.db")).value(), before);
}

TEST_F(Opening, RefusesADatabaseOfSomebodyElseAndLeavesItAlone) {
  RunSql(At("a.db"), "CREATE TABLE songs (title TEXT); INSERT INTO songs VALUES ('x')");
  const std::string before = ReadFile(At("a.db")).value();
  EXPECT_THAT(FailureOf(At("a.db")), HasSubstr("not a tuning log"));
  EXPECT_EQ(ReadFile(At("a.db")).value(), before);
}

// What `sqlite3 a.db .dump | sqlite3 b.db` leaves: every table and row, but neither mark.
TEST_F(Opening, KnowsACopyWithoutMarksByItsStructureAndMarksItAgain) {
  LogOf({MakeMeasurement(1, 1), MakeMeasurement(2, 2)}, At("a.db"));
  RunSql(At("a.db"), "PRAGMA application_id = 0; PRAGMA user_version = 0");
  TuningLogOptions reading;
  reading.mode = Mode::kReadOnly;
  {
    auto log = TuningLog::Open(At("a.db"), reading);
    ASSERT_TRUE(log) << log.error().message;
    EXPECT_EQ((*log)->Count({}).value(), 2);
  }
  const auto other = OpenLog({});
  EXPECT_EQ(other->Merge(At("a.db")).value().added, 2);
  {
    const auto log = OpenLog(At("a.db"));
    EXPECT_EQ(log->Count({}).value(), 2);
  }
  auto database = sqlite::Database::Open(At("a.db"), sqlite::Database::Access::kReadOnly, 0);
  EXPECT_EQ(database->Integer("PRAGMA application_id").value(), 0x4c617468);
  EXPECT_EQ(database->Integer("PRAGMA user_version").value(), NewestSchema());
}

TEST_F(Opening, MigratesACopyWithoutMarksOfSchemaOne) {
  {
    auto database = sqlite::Database::Open(At("v1.db"), sqlite::Database::Access::kCreate, 0);
    ASSERT_TRUE(database && MigrateSchema(*database, 1));
    ASSERT_TRUE(database->Run("PRAGMA application_id = 0; PRAGMA user_version = 0"));
  }
  EXPECT_EQ(LogOf({MakeMeasurement(1, 1)}, At("v1.db"))->Count({}).value(), 1);
  auto database = sqlite::Database::Open(At("v1.db"), sqlite::Database::Access::kReadOnly, 0);
  EXPECT_EQ(database->Integer("PRAGMA user_version").value(), NewestSchema());
}

TEST_F(Opening, MarksACopyOfANewerSchemaThanWasAskedForAsWhatItIs) {
  auto database = sqlite::Database::Open(At("a.db"), sqlite::Database::Access::kCreate, 0);
  ASSERT_TRUE(database && MigrateSchema(*database, NewestSchema()));
  ASSERT_TRUE(database->Run("PRAGMA application_id = 0; PRAGMA user_version = 0"));
  ASSERT_TRUE(MigrateSchema(*database, 1));
  EXPECT_EQ(database->Integer("PRAGMA user_version").value(), NewestSchema());
}

TEST_F(Opening, RefusesACopyWithoutMarksThatIsNotWholeAndSaysHowToCopy) {
  for (const char* damage : {"DROP INDEX measurements_by_run", "ALTER TABLE measurements DROP COLUMN joules", "CREATE TABLE songs (title)",
                             "DELETE FROM configs"}) {
    SCOPED_TRACE(damage);
    fs::remove(At("a.db"));
    LogOf({MakeMeasurement(1, 1)}, At("a.db"));
    RunSql(At("a.db"), std::string("PRAGMA application_id = 0; PRAGMA user_version = 0;") + damage);
    const std::string before = ReadFile(At("a.db")).value();
    for (const Mode mode : {Mode::kCreate, Mode::kReadOnly}) EXPECT_THAT(FailureOf(At("a.db"), mode), HasSubstr(".backup COPY"));
    EXPECT_EQ(ReadFile(At("a.db")).value(), before);
  }
}

TEST_F(Opening, RefusesAFileThatIsNoDatabaseAndLeavesItAlone) {
  const std::string text(5000, 'x');
  ASSERT_TRUE(WriteFile(At("a.db"), text));
  EXPECT_THAT(FailureOf(At("a.db")), HasSubstr("it is not a SQLite database"));
  ASSERT_TRUE(WriteFile(At("b.db"), "hello"));
  EXPECT_THAT(FailureOf(At("b.db")), HasSubstr("it is not a SQLite database"));
  EXPECT_EQ(ReadFile(At("a.db")).value(), text);
  EXPECT_EQ(ReadFile(At("b.db")).value(), "hello");
}

TEST_F(Opening, RefusesFoldersAndMissingFiles) {
  EXPECT_THAT(FailureOf(At("")), HasSubstr("it is a folder"));
  EXPECT_THAT(FailureOf(At("absent.db"), Mode::kReadOnly), HasSubstr("there is no such file"));
  EXPECT_THAT(FailureOf(At("absent.db"), Mode::kReadWrite), HasSubstr("there is no such file"));
  EXPECT_FALSE(fs::exists(At("absent.db")));
  EXPECT_THAT(FailureOf(At("no/folder/a.db")), HasSubstr("there is no folder"));
  EXPECT_THAT(FailureOf(""), HasSubstr("the path is empty"));
}

TEST_F(Opening, TakesNamesWithMarksThatUrisUse) {
  LogOf({MakeMeasurement(1, 1)}, At("100% #1?.db"));
  EXPECT_TRUE(fs::exists(At("100% #1?.db")));
  EXPECT_EQ(OpenLog(At("100% #1?.db"))->Count({}).value(), 1);
}

TEST_F(Opening, AnEmptyFileBecomesALogButIsNothingToRead) {
  ASSERT_TRUE(WriteFile(At("a.db"), ""));
  EXPECT_THAT(FailureOf(At("a.db"), Mode::kReadOnly), HasSubstr("it is empty"));
  EXPECT_NE(LogOf({MakeMeasurement(1, 1)}, At("a.db")), nullptr);
}

TEST_F(Opening, AReadOnlyLogCanBeReadAndSaysWhyItCannotBeWritten) {
  LogOf({MakeMeasurement(1, 1)}, At("a.db"));
  TuningLogOptions options;
  options.mode = Mode::kReadOnly;
  auto log = TuningLog::Open(At("a.db"), options);
  ASSERT_TRUE(log) << log.error().message;
  EXPECT_EQ((*log)->Best(AskFor())->best.size(), 1u);
  const Status recorded = (*log)->Record("run-1", {MakeMeasurement(2, 1)});
  ASSERT_FALSE(recorded);
  EXPECT_THAT(recorded.error().message, HasSubstr("may not be written"));
}

// Root may write everything, so a test that runs as root takes somebody else's rights for a while.
class WithoutRootRights {
 public:
  explicit WithoutRootRights(const std::vector<fs::path>& files) {
    if (!was_root_) return;
    for (const fs::path& file : files) EXPECT_EQ(::chown(file.c_str(), kNobody, kNobody), 0);
    EXPECT_EQ(::seteuid(kNobody), 0);
  }
  ~WithoutRootRights() {
    if (was_root_) {
      EXPECT_EQ(::seteuid(0), 0);
    }
  }

 private:
  static constexpr uid_t kNobody = 65534;
  const bool was_root_ = ::geteuid() == 0;
};

TEST_F(Opening, ALogInAFolderWithoutWritePermissionCanBeReadAndMerged) {
  LogOf({MakeMeasurement(1, 1)}, At("a.db"));
  ASSERT_FALSE(fs::exists(At("a.db-wal"))) << "the last one to close a log tidies up";
  const WithoutRootRights rights({At("a.db"), At("")});
  fs::permissions(At("a.db"), fs::perms::owner_read);
  fs::permissions(At(""), fs::perms::owner_read | fs::perms::owner_exec);
  EXPECT_THAT(FailureOf(At("a.db")), HasSubstr("may not be written"));
  TuningLogOptions options;
  options.mode = Mode::kReadOnly;
  auto log = TuningLog::Open(At("a.db"), options);
  ASSERT_TRUE(log) << log.error().message;
  EXPECT_EQ((*log)->Best(AskFor())->best.size(), 1u);
  const auto ours = OpenLog({});
  const auto report = ours->Merge(At("a.db"));
  EXPECT_TRUE(report) << report.error().message;
  EXPECT_EQ(ours->Count({}).value(), 1);
  fs::permissions(At(""), fs::perms::owner_all);
}

// A limit on the size of files stops a write half-way, as a full disk does.
TEST_F(Opening, AFullDiskIsReportedAndLosesNothing) {
  const auto log = LogOf({MakeMeasurement(1, 1)}, At("a.db"));
  Measurement large = MakeFailure(2, MeasureStatus::kBuildError, std::string(4 << 20, 'x'));
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit small = before;
  small.rlim_cur = 2 << 20;
  std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const Status recorded = log->Record("run-1", {MakeMeasurement(3, 1), large});
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, SIG_DFL);
  ASSERT_FALSE(recorded);
  EXPECT_EQ(recorded.error().code, ErrorCode::kResourceExhausted);
  EXPECT_THAT(recorded.error().message, HasSubstr("the disk is full"));
  EXPECT_EQ(log->Count({}).value(), 1) << "all of a batch or none";
  EXPECT_TRUE(log->Record("run-1", {MakeMeasurement(3, 1), large})) << "with room again it goes on";
  EXPECT_EQ(OpenLog(At("a.db"))->Count({}).value(), 3);
}

TEST_F(Opening, ATruncatedLogNeverCrashesUs) {
  std::vector<Measurement> rows;
  for (int64_t i = 0; i < 300; ++i) rows.push_back(MakeMeasurement(i, 1));
  LogOf(rows, At("whole.db"));
  const std::string whole = ReadFile(At("whole.db")).value();
  std::mt19937 random(1);
  for (int i = 0; i < 20; ++i) {
    const size_t length = std::uniform_int_distribution<size_t>(1, whole.size() - 1)(random);
    ASSERT_TRUE(WriteFile(At("cut.db"), whole.substr(0, length)));
    auto log = TuningLog::Open(At("cut.db"));
    ASSERT_FALSE(log) << "cut to " << length << " of " << whole.size() << " bytes";
    EXPECT_EQ(log.error().code, ErrorCode::kIncompatible);
    EXPECT_EQ(fs::file_size(At("cut.db")), length) << "left as it was";
  }
}

TEST_F(Opening, ALogWithOverwrittenBytesNeverCrashesUs) {
  std::vector<Measurement> rows;
  for (int64_t i = 0; i < 200; ++i) rows.push_back(MakeMeasurement(i, 1));
  LogOf(rows, At("whole.db"));
  const std::string whole = ReadFile(At("whole.db")).value();
  std::mt19937 random(2);
  int refused = 0;
  for (int i = 0; i < 60; ++i) {
    std::string broken = whole;
    for (int k = 0; k < 40; ++k)
      broken[std::uniform_int_distribution<size_t>(100, whole.size() - 1)(random)] ^= static_cast<char>(random());
    ASSERT_TRUE(WriteFile(At("broken.db"), broken));
    auto log = TuningLog::Open(At("broken.db"));
    if (!log) {
      ++refused;
      continue;
    }
    // Whatever these answer, they answer.
    if (!(*log)->Best(AskFor())) ++refused;
    if (!(*log)->ForEach({}, [](const LoggedMeasurement&) { return true; })) ++refused;
    (void)(*log)->Runs();
    (void)(*log)->Record("run-1", {MakeMeasurement(1000, 1)});
  }
  EXPECT_GT(refused, 0) << "the damage was never noticed, so this test tests nothing";
}

TEST_F(Opening, MigratesALogOfSchemaOneWithEverythingInIt) {
  {
    auto database = sqlite::Database::Open(At("v1.db"), sqlite::Database::Access::kCreate, 0);
    ASSERT_TRUE(database);
    ASSERT_TRUE(MigrateSchema(*database, 1));
    ASSERT_EQ(database->Integer("PRAGMA user_version").value(), 1);
    const std::string target = ToJson(MakeTarget()).dump();
    const Status filled = database->Run(
        "INSERT INTO workloads VALUES (1, 'conv2d', '" + MakeWorkload().Key() + R"(', '{"h":56,"layout":"nhwc","scale":0.5}');)" +
        "INSERT INTO templates VALUES (1, 'conv2d', 'direct_cpu', 'aaaa');" +
        R"(INSERT INTO configs VALUES (1, '{"TILE_X":4}'), (2, '{"TILE_X":5}');)" + "INSERT INTO targets VALUES (1, '" +
        MakeTarget().Key() + "', '" + MakeTarget().FingerprintHash() + "', 'cpu', '" + target + "');" +
        R"(INSERT INTO runs VALUES (1, 'run-1', 'lathe tune', '{}', 1, 'finished', 5, 6);)" +
        "INSERT INTO measurements (uid, workload_id, template_id, config_id, target_id, run_id, status, seconds, samples, "
        "finished_unix_ms) VALUES "
        "('u1', 1, 1, 1, 1, 1, 'ok', 0.5, '[0.5,0.75]', 10), ('u2', 1, 1, 2, 1, 1, 'crashed', NULL, '[]', 11);");
    ASSERT_TRUE(filled) << filled.error().message;
  }
  ASSERT_TRUE(WriteFile(At("copy.db"), ReadFile(At("v1.db")).value()));
  TuningLogOptions reading;
  reading.mode = Mode::kReadOnly;
  {
    auto log = TuningLog::Open(At("v1.db"), reading);
    ASSERT_TRUE(log) << log.error().message;
    EXPECT_EQ((*log)->Best(AskFor())->best.size(), 1u);
    EXPECT_EQ(ReadFile(At("v1.db")).value(), ReadFile(At("copy.db")).value()) << "reading migrates a copy, never the file";
  }
  const auto log = OpenLog(At("v1.db"));
  const auto rows = AllRows(*log);
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].measurement.seconds, (std::vector<double>{0.5, 0.75}));
  EXPECT_EQ(rows[0].measurement.board, "local");
  EXPECT_FALSE(rows[0].measurement.joules);
  EXPECT_EQ(rows[1].measurement.status, MeasureStatus::kCrashed);
  EXPECT_EQ(log->Best(AskFor())->best.size(), 1u);
  ASSERT_TRUE(log->Record("run-1", {MakeMeasurement(9, 0.25)}));
  EXPECT_EQ(log->Best(AskFor())->best.at(0).row.seconds, 0.25);
  auto database = sqlite::Database::Open(At("v1.db"), sqlite::Database::Access::kReadOnly, 0);
  EXPECT_EQ(database->Integer("PRAGMA user_version").value(), NewestSchema());
  EXPECT_EQ(database->Integer("SELECT sample_count FROM measurements WHERE uid = 'u1'").value(), 2);
}

TEST_F(Opening, AMigrationThatFailsLeavesTheOldLogWhole) {
  {
    auto database = sqlite::Database::Open(At("v1.db"), sqlite::Database::Access::kCreate, 0);
    ASSERT_TRUE(database && MigrateSchema(*database, 1));
    // A column that step 2 wants to add is there already.
    ASSERT_TRUE(database->Run("ALTER TABLE measurements ADD COLUMN joules REAL"));
  }
  EXPECT_THAT(FailureOf(At("v1.db")), HasSubstr("migrate from schema 1 to 2"));
  auto database = sqlite::Database::Open(At("v1.db"), sqlite::Database::Access::kReadOnly, 0);
  EXPECT_EQ(database->Integer("PRAGMA user_version").value(), 1);
  EXPECT_EQ(database->Integer("SELECT count(*) FROM pragma_table_info('measurements') WHERE name = 'board'").value(), 0);
}

TEST_F(Opening, EveryLogRunsInWalModeWithForeignKeysAndItsOwnMark) {
  const auto log = LogOf({}, At("a.db"));
  auto database = sqlite::Database::Open(At("a.db"), sqlite::Database::Access::kReadOnly, 0);
  EXPECT_EQ(database->Text("PRAGMA journal_mode").value(), "wal");
  EXPECT_EQ(database->Integer("PRAGMA application_id").value(), 0x4c617468);
  EXPECT_EQ(database->Integer("SELECT count(*) FROM pragma_foreign_key_list('measurements')").value(), 5);
}

}  // namespace
}  // namespace lathe
