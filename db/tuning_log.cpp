// Opening, and the Journal: what the tuning driver does with a log. Questions are in tuning_log_queries.cpp and tuning_log_reports.cpp.
#include "db/tuning_log.h"

#include <fmt/format.h>

#include <array>
#include <chrono>
#include <fstream>
#include <utility>

#include "db/measurement_json.h"
#include "db/record_writer.h"
#include "db/schema.h"

namespace lathe {
namespace fs = std::filesystem;
using sqlite::Database;
using Mode = TuningLogOptions::Mode;

namespace {

int64_t SystemNow() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

Error InOpen(const Error& error, const fs::path& path) { return error.In(fmt::format("open tuning log '{}'", path.string())); }

// Readers of a read-only disk: SQLite wants to make a shared-memory file beside a WAL database. When nobody can have left a write-ahead log
// behind, the file alone is the whole truth and may be read as it lies.
bool OnlyReadableAsItLies(Database& database, const fs::path& path) {
  Result<int64_t> probe = database.Integer("SELECT count(*) FROM sqlite_schema");
  std::error_code ignored;
  return !probe && (probe.error().code == ErrorCode::kUnavailable || probe.error().code == ErrorCode::kNotFound) &&
         !fs::exists(path.string() + "-wal", ignored);
}

// SQLite notices missing pages, but reads half a page at the end as if the rest were zeros. A log is whole pages, unless a crash left a
// journal that completes it. Looked at before SQLite opens the file, because it makes an empty journal at once.
Status CheckWholePages(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::array<char, 18> head{};
  if (!file.read(head.data(), head.size()) || std::string_view(head.data(), 15) != "SQLite format 3") return {};
  std::error_code absent;
  for (const char* journal : {"-wal", "-journal"})
    if (const auto bytes = fs::file_size(path.string() + journal, absent); !absent && bytes > 0) return {};
  const auto byte = [&head](size_t i) { return static_cast<uint64_t>(static_cast<unsigned char>(head[i])); };
  const uint64_t page = byte(16) * 256 + byte(17) * (byte(17) == 1 ? 65536 : 1);  // 1 stands for 65536
  const auto bytes = fs::file_size(path, absent);
  if (absent || page == 0 || bytes % page == 0) return {};
  return Error{ErrorCode::kIncompatible,
               fmt::format("the file is cut off after {} bytes; take it from a backup, or save what is readable with "
                           "`sqlite3 CUT .recover | sqlite3 SAVED` (sqlite.org's sqlite3 can; Debian 12's has no .recover)",
                           bytes)};
}

// An older log, brought up to date in a private copy (SQLite keeps a nameless database in a temporary file).
Result<Database> MigratedCopy(Database& old) {
  Result<Database> copy = Database::Open("", Database::Access::kCreate, 0);
  if (!copy) return copy;
  if (Status copied = old.CopyInto(*copy); !copied) return copied.error();
  if (Status migrated = MigrateSchema(*copy, NewestSchema()); !migrated) return migrated.error();
  return copy;
}

Status PrepareForWriting(Database& database) {
  // FULL: a commit is on the disk before Record returns. Foreign keys: a row cannot name a run or a target that is not there.
  if (Status set = database.Run("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY"); !set) return set;
  if (Status migrated = MigrateSchema(database, NewestSchema()); !migrated) return migrated;
  Result<std::string> journal = database.Text("PRAGMA journal_mode");
  if (!journal) return journal.error();
  // After the schema check, because it changes the file. When another process is in the way the rollback journal stays for now: slower, as
  // safe.
  if (*journal == "delete")
    if (Result<std::string> changed = database.Text("PRAGMA journal_mode = WAL");
        !changed && changed.error().code != ErrorCode::kUnavailable)
      return changed.error();
  return {};
}

}  // namespace

// Not made along with the log: under a mistyped folder hours of tuning would begin anew, without what the right log knows.
Status TuningLog::FolderIsThere(const fs::path& path) {
  const fs::path folder = path.parent_path();
  std::error_code failure;
  if (folder.empty() || fs::is_directory(folder, failure)) return {};
  if (fs::exists(folder, failure)) return InOpen({ErrorCode::kNotFound, fmt::format("'{}' is no folder", folder.string())}, path);
  return InOpen(
      {ErrorCode::kNotFound, fmt::format("there is no folder '{0}'; make it with `mkdir -p {0}`, or name another log", folder.string())},
      path);
}

Result<std::unique_ptr<TuningLog>> TuningLog::Open(const fs::path& path, const TuningLogOptions& options) {
  if (path.empty()) return Error{ErrorCode::kInvalidInput, "open tuning log: the path is empty"};
  std::error_code failure;
  if (fs::is_directory(path, failure)) return InOpen({ErrorCode::kInvalidInput, "it is a folder; name a file in it"}, path);
  if (Status there = FolderIsThere(path); !there) return there.error();
  if (options.mode != Mode::kCreate && !fs::exists(path, failure))
    return InOpen({ErrorCode::kNotFound, "there is no such file; `lathe tune --log` makes one"}, path);
  if (Status whole = CheckWholePages(path); !whole) return InOpen(whole.error(), path);
  const auto access = options.mode == Mode::kCreate      ? Database::Access::kCreate
                      : options.mode == Mode::kReadWrite ? Database::Access::kReadWrite
                                                         : Database::Access::kReadOnly;
  Result<Database> database = Database::Open(path, access, options.busy_timeout_ms);
  if (!database) return InOpen(database.error(), path);
  return Prepare(path, *std::move(database), options);
}

Result<std::unique_ptr<TuningLog>> TuningLog::OpenInMemory(const TuningLogOptions& options) {
  Result<Database> database = Database::Open(":memory:", Database::Access::kCreate, options.busy_timeout_ms);
  if (!database) return InOpen(database.error(), ":memory:");
  return Prepare(":memory:", *std::move(database), options);
}

Result<std::unique_ptr<TuningLog>> TuningLog::Prepare(fs::path path, Database database, const TuningLogOptions& options) {
  ReadableAs readable = ReadableAs::kItself;
  if (options.mode == Mode::kReadOnly && OnlyReadableAsItLies(database, path)) {
    Result<Database> as_it_lies = Database::OpenImmutable(path);
    if (!as_it_lies) return InOpen(as_it_lies.error(), path);
    database = *std::move(as_it_lies);
    readable = ReadableAs::kImmutable;
  }
  Result<int64_t> version = CheckSchema(database);
  if (!version) return InOpen(version.error(), path);
  if (options.mode != Mode::kReadOnly) {
    if (database.read_only())
      return InOpen({ErrorCode::kUnavailable, "the file may not be written; check its permissions, or open it for reading only"}, path);
    if (Status ready = PrepareForWriting(database); !ready) return InOpen(ready.error(), path);
  } else if (*version == 0) {
    return InOpen({ErrorCode::kIncompatible, "it is empty"}, path);
  } else if (*version < NewestSchema()) {
    Result<Database> copy = MigratedCopy(database);
    if (!copy) return InOpen(copy.error(), path);
    database = *std::move(copy);
    readable = ReadableAs::kMigratedCopy;
  }
  return std::unique_ptr<TuningLog>(new TuningLog(std::move(path), std::move(database), readable, options));
}

TuningLog::TuningLog(fs::path path, Database database, ReadableAs readable, const TuningLogOptions& options)
    : path_(std::move(path)),
      readable_(readable),
      now_unix_ms_(options.now_unix_ms ? options.now_unix_ms : SystemNow),
      database_(std::move(database)),
      statements_(database_) {}

TuningLog::~TuningLog() = default;

Error TuningLog::Named(const Error& error, const std::string& doing) const {
  return error.In(fmt::format("{} tuning log '{}'", doing, path_.string()));
}

Status TuningLog::Import(const std::function<Status(RecordWriter&)>& fill) {
  const std::lock_guard lock(mutex_);
  Result<sqlite::Transaction> transaction = sqlite::Transaction::Begin(database_);
  if (!transaction) return Named(transaction.error(), "write to");
  RecordWriter writer(statements_, database_);
  if (Status filled = fill(writer); !filled) return Named(filled.error(), "write to");
  if (Status committed = transaction->Commit(); !committed) return Named(committed.error(), "write to");
  return {};
}

Status TuningLog::BeginRun(const RunInfo& run) {
  if (run.id.empty()) return Error{ErrorCode::kInvalidInput, "begin a run: it has no id"};
  return Import([&](RecordWriter& writer) -> Status {
    // A run commits every measurement by itself: as much as the log holds between two checkpoints, 1000 pages, and
    // some more; a frame is a page and its header of 24 bytes.
    constexpr int64_t kWriteAheadBytes = 1100 * (4096 + 24);
    database_.LengthenWriteAheadLog(kWriteAheadBytes);
    const RunRecord record{
        .id = run.id, .command = run.command, .options = run.options, .state = "running", .started_unix_ms = now_unix_ms_()};
    if (Result<int64_t> added = writer.AddRun(record, run.target); !added) return added.error();
    // A resumed run keeps its start and its options; its target may have a new fingerprint since.
    Result<sqlite::Statement*> update = statements_.Get(
        "UPDATE runs SET state = 'running', ended_unix_ms = NULL, target_id = (SELECT id FROM targets WHERE hash = ?) WHERE uid = ?");
    if (!update) return update.error();
    return (*update)->Bind(1, run.target.FingerprintHash()).Bind(2, run.id).Run();
  });
}

Status TuningLog::Record(const std::string& run_id, const std::vector<Measurement>& measurements) {
  if (measurements.empty()) return {};
  return Import([&](RecordWriter& writer) -> Status {
    Result<sqlite::Statement*> find = statements_.Get("SELECT t.hash FROM runs r JOIN targets t ON t.id = r.target_id WHERE r.uid = ?");
    if (!find) return find.error();
    Result<bool> found = (*find)->Bind(1, run_id).Step();
    if (!found) return found.error();
    const std::string target_hash = *found ? (*find)->Text(0) : std::string();
    (*find)->Reset();
    if (!*found) return Error{ErrorCode::kNotFound, fmt::format("run '{}' was never begun", run_id)};
    for (const Measurement& measurement : measurements)
      if (Result<bool> added = writer.AddMeasurement(measurement, run_id, target_hash); !added) return added.error();
    return {};
  });
}

Status TuningLog::EndRun(const std::string& run_id, const std::string& state) {
  return Import([&](RecordWriter&) -> Status {
    Result<sqlite::Statement*> update = statements_.Get("UPDATE runs SET state = ?, ended_unix_ms = ? WHERE uid = ?");
    if (!update) return update.error();
    if (Status done = (*update)->Bind(1, ValidUtf8(state)).Bind(2, now_unix_ms_()).Bind(3, run_id).Run(); !done) return done;
    if (database_.changes() == 0) return Error{ErrorCode::kNotFound, fmt::format("run '{}' was never begun", run_id)};
    return {};
  });
}

Result<std::vector<Measurement>> TuningLog::History(const Workload& workload, const std::string& template_name,
                                                    const std::string& template_hash, const Target& target) {
  LogFilter filter{.workload_key = workload.Key(),
                   .target_hash = target.FingerprintHash(),
                   .template_name = template_name,
                   .template_hash = template_hash};
  std::vector<Measurement> history;
  Status read = ForEach(filter, [&](const LoggedMeasurement& row) {
    if (row.measurement.status != MeasureStatus::kBoardLost) history.push_back(row.measurement);
    return true;
  });
  if (!read) return read.error();
  return history;
}

}  // namespace lathe
