// TuningLog: every measurement ever made, in one SQLite file; the best config of a workload is a query on it.
//
// WAL mode, one writer at a time, readers never wait. Safe to call from several threads (one lock); several processes may share the file
// on a local disk: a writer waits up to `busy_timeout_ms` for another, then says so. WAL needs shared memory, so a log does not belong on
// a network file system: give each host its own and Merge.
//
// Record is durable on return: it survives kill -9 and, since commits are synced (synchronous=FULL), power loss. The price is one fsync a
// call, whatever the batch; docs/tuning-log.md has the numbers.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/result.h"
#include "db/log_records.h"
#include "db/sqlite.h"
#include "search/journal.h"

namespace lathe {

class RecordWriter;
struct RowConditions;

struct TuningLogOptions {
  enum class Mode {
    kCreate,     // makes the file when there is none; migrates an older schema
    kReadWrite,  // must exist; migrates an older schema
    kReadOnly,   // must exist and have the newest schema or one that can be read in a migrated copy; never changed
  };
  Mode mode = Mode::kCreate;
  int busy_timeout_ms = 30000;
  std::function<int64_t()> now_unix_ms = {};  // empty: the system clock; stamps runs
};

class TuningLog final : public Journal {
 public:
  // Errors begin with "open tuning log 'PATH': ". A file that cannot be used is left exactly as it was.
  static Result<std::unique_ptr<TuningLog>> Open(const std::filesystem::path& path, const TuningLogOptions& options = {});
  // Fails where not even a new log could be made for want of its folder: to be asked before anything slow.
  static Status FolderIsThere(const std::filesystem::path& path);
  static Result<std::unique_ptr<TuningLog>> OpenInMemory(const TuningLogOptions& options = {});
  ~TuningLog() override;

  const std::filesystem::path& path() const { return path_; }

  // Journal. BeginRun of a known id continues that run: it is "running" again.
  Status BeginRun(const RunInfo& run) override;
  // All of them or none. A measurement that is stored already is not stored twice.
  Status Record(const std::string& run_id, const std::vector<Measurement>& measurements) override;
  // Only this very fingerprint: under another compiler or driver a candidate is worth measuring again.
  Result<std::vector<Measurement>> History(const Workload& workload, const std::string& template_name, const std::string& template_hash,
                                           const Target& target) override;
  Result<std::vector<Relative>> Relatives(const std::string& operator_name, const std::string& template_name) override;
  Status EndRun(const std::string& run_id, const std::string& state) override;

  // The fastest candidates: one row each, fastest first, up to `count`. A candidate counts with all its samples together (those cut early
  // only where there are no others): its row is the newest, its samples and seconds are the common ones. It does not count when it was ever
  // wrong, or failed after its last success.
  Result<BestAnswer> Best(const BestQuery& query, size_t count = 1);
  // The best of each workload on each target that the filter lets through, sorted by workload key, then target key.
  // Among fingerprints of one target the newest measured one is taken.
  Result<std::vector<LoggedMeasurement>> BestPerWorkload(const LogFilter& filter);
  // The fastest `count` candidates of the filter, whatever their workload.
  Result<std::vector<LoggedMeasurement>> Top(const LogFilter& filter, size_t count);
  // Every measurement of the filter in the order stored, until `visit` returns false. One row in memory at a time; `visit` must not call
  // the log.
  Status ForEach(const LogFilter& filter, const std::function<bool(const LoggedMeasurement&)>& visit);
  Result<int64_t> Count(const LogFilter& filter);

  Result<std::vector<FailureCount>> Failures(const LogFilter& filter);  // most frequent first
  // Trial number against best so far, of each workload on each target by itself, one after the other.
  Result<std::vector<TraceStep>> Trace(const LogFilter& filter);
  // Each once, in alphabetical order; of one operator where it is given. Templates as "conv2d/direct_cpu", workloads by their keys.
  enum class Kind { kOperator, kTemplate, kWorkload };
  Result<std::vector<std::string>> Names(Kind kind, const std::string& operator_name = {});
  Result<std::vector<RunRecord>> Runs();  // newest first
  Result<std::optional<RunRecord>> FindRun(const std::string& run_id);
  // Runs with exactly these options on this target that never ended (the tuner was killed) or were stopped; newest first.
  Result<std::vector<RunRecord>> RunsToResume(const nlohmann::json& options, const Target& target);
  Result<Target> FindTarget(const std::string& target_hash);
  Result<std::vector<Target>> Targets();
  Result<LogSummary> Summary();

  // Takes over what `other` has and this one lacks. All or nothing; `other` is only read, also when its schema is older.
  Result<MergeReport> Merge(const std::filesystem::path& other);

  // For importers: `fill` writes through one transaction; an error from it undoes everything.
  Status Import(const std::function<Status(RecordWriter&)>& fill);

 private:
  // How another log can attach this one.
  enum class ReadableAs { kItself, kImmutable, kMigratedCopy };

  TuningLog(std::filesystem::path path, sqlite::Database database, ReadableAs readable, const TuningLogOptions& options);
  static Result<std::unique_ptr<TuningLog>> Prepare(std::filesystem::path path, sqlite::Database database, const TuningLogOptions& options);
  Error Named(const Error& error, const std::string& doing) const;  // "DOING tuning log 'PATH': …"
  // `from` is what follows "FROM measurements m", up to the first condition.
  Result<std::vector<LoggedMeasurement>> Fastest(const std::string& from, const RowConditions& where, size_t count);
  Result<std::vector<LoggedMeasurement>> BestOfTarget(int64_t workload_id, int64_t target_id, const RowConditions& where, size_t count);
  Status ForEachLocked(const LogFilter& filter, const std::function<bool(const LoggedMeasurement&)>& visit);

  const std::filesystem::path path_;
  const ReadableAs readable_;
  const std::function<int64_t()> now_unix_ms_;
  std::mutex mutex_;  // guards everything below
  sqlite::Database database_;
  sqlite::StatementCache statements_;
};

}  // namespace lathe
