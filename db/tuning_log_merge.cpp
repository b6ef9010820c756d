// Merging logs: set operations between two attached databases, so that a million rows never pass through this program one by one.
//
// Things are the same when their natural keys are: a workload's key, a template's (operator, name, source hash), a config's text, a
// target's hash, a run's uid, a measurement's uid (a hash of its content). Row ids mean nothing outside their own file, so maps lead from
// theirs to ours.
#include <fmt/format.h>

#include "core/file.h"
#include "db/schema.h"
#include "db/tuning_log.h"

namespace lathe {
namespace {

// A map from ids of `theirs` to ids of ours, for one table with its natural key.
std::string MapSql(const std::string& table, const std::string& same) {
  return fmt::format(
      "DROP TABLE IF EXISTS temp.map_{0};"
      "CREATE TEMP TABLE map_{0} (theirs INTEGER PRIMARY KEY, ours INTEGER NOT NULL);"
      "INSERT INTO temp.map_{0} SELECT t.id, o.id FROM theirs.{0} t JOIN main.{0} o ON {1};",
      table, same);
}

constexpr const char* kColumns =
    "status, message, seconds, samples, sample_count, build_seconds, run_seconds, max_error, joules, build_facts, conditions, cut_early, "
    "finished_unix_ms, board";

std::string Qualified(const std::string& columns) {
  std::string text = "m.";
  for (const char c : columns) {
    text += c;
    if (c == ' ') text += "m.";
  }
  return text;
}

Status CopyNames(sqlite::Database& database) {
  const std::string steps[] = {
      "INSERT INTO main.workloads (operator, key, attributes) SELECT operator, key, attributes FROM theirs.workloads WHERE true ORDER BY "
      "id "
      "ON CONFLICT DO NOTHING;" +
          MapSql("workloads", "o.key = t.key"),
      "INSERT INTO main.templates (operator, name, source_hash) SELECT operator, name, source_hash FROM theirs.templates WHERE true ORDER "
      "BY id "
      "ON CONFLICT DO NOTHING;" +
          MapSql("templates", "o.operator = t.operator AND o.name = t.name AND o.source_hash = t.source_hash"),
      "INSERT INTO main.configs (parameters) SELECT parameters FROM theirs.configs WHERE true ORDER BY id ON CONFLICT DO NOTHING;" +
          MapSql("configs", "o.parameters = t.parameters"),
      "INSERT INTO main.targets (key, hash, backend, description) SELECT key, hash, backend, description FROM theirs.targets WHERE true "
      "ORDER BY id "
      "ON CONFLICT DO NOTHING;" +
          MapSql("targets", "o.hash = t.hash"),
  };
  for (const std::string& step : steps)
    if (Status done = database.Run(step); !done) return done;
  return {};
}

Result<MergeReport> CopyRows(sqlite::Database& database) {
  MergeReport report;
  Result<int64_t> runs_before = database.Integer("SELECT count(*) FROM main.runs");
  if (!runs_before) return runs_before.error();
  // A run that was copied while it ran and has ended since: the end is taken over.
  const std::string runs =
      "INSERT INTO main.runs (uid, command, options, target_id, state, started_unix_ms, ended_unix_ms) "
      "SELECT r.uid, r.command, r.options, g.ours, r.state, r.started_unix_ms, r.ended_unix_ms FROM theirs.runs r "
      "JOIN temp.map_targets g ON g.theirs = r.target_id WHERE true ORDER BY r.id "
      "ON CONFLICT (uid) DO UPDATE SET state = excluded.state, ended_unix_ms = excluded.ended_unix_ms "
      "WHERE runs.ended_unix_ms IS NULL AND excluded.ended_unix_ms IS NOT NULL;" +
      MapSql("runs", "o.uid = t.uid");
  if (Status done = database.Run(runs); !done) return done.error();
  Result<int64_t> runs_after = database.Integer("SELECT count(*) FROM main.runs");
  if (!runs_after) return runs_after.error();
  report.runs_added = *runs_after - *runs_before;

  Result<int64_t> before = database.Integer("SELECT count(*) FROM main.measurements");
  Result<int64_t> theirs = database.Integer("SELECT count(*) FROM theirs.measurements");
  Result<int64_t> shared = database.Integer("SELECT count(*) FROM theirs.measurements t JOIN main.measurements o ON o.uid = t.uid");
  if (!before) return before.error();
  if (!theirs) return theirs.error();
  if (!shared) return shared.error();
  const std::string rows = fmt::format(
      "INSERT INTO main.measurements (uid, workload_id, template_id, config_id, target_id, run_id, {}) "
      "SELECT m.uid, w.ours, t.ours, c.ours, g.ours, r.ours, {} FROM theirs.measurements m "
      "JOIN temp.map_workloads w ON w.theirs = m.workload_id JOIN temp.map_templates t ON t.theirs = m.template_id "
      "JOIN temp.map_configs c ON c.theirs = m.config_id JOIN temp.map_targets g ON g.theirs = m.target_id "
      "JOIN temp.map_runs r ON r.theirs = m.run_id "
      "WHERE NOT EXISTS (SELECT 1 FROM main.measurements o WHERE o.uid = m.uid) ORDER BY m.id",
      kColumns, Qualified(kColumns));
  if (Status done = database.Run(rows); !done) return done.error();
  Result<int64_t> after = database.Integer("SELECT count(*) FROM main.measurements");
  if (!after) return after.error();
  report.added = *after - *before;
  report.duplicates = *shared;
  if (report.added + report.duplicates != *theirs)
    return Error{
        ErrorCode::kIncompatible,
        fmt::format("{} of its measurements name a workload, template, config, target or run that it does not hold; nothing was taken over",
                    *theirs - report.added - report.duplicates)};
  return report;
}

}  // namespace

Result<MergeReport> TuningLog::Merge(const std::filesystem::path& other) {
  // Opening it as a log makes every check of Open, and migrates a copy when its schema is older.
  Result<std::unique_ptr<TuningLog>> source = Open(other, {.mode = TuningLogOptions::Mode::kReadOnly});
  if (!source) return source.error();
  const auto merge = [&]() -> Result<MergeReport> {
    std::error_code absent;
    if (std::filesystem::equivalent(path_, other, absent)) return Error{ErrorCode::kInvalidInput, "a log cannot be merged into itself"};
    std::optional<TempDir> folder;
    std::filesystem::path from = other;
    if ((*source)->readable_ == ReadableAs::kMigratedCopy) {
      Result<TempDir> made = TempDir::Create("merge");
      if (!made) return made.error();
      folder.emplace(*std::move(made));
      from = folder->path() / "migrated.db";
      Result<sqlite::Statement> vacuum = (*source)->database_.Prepare("VACUUM INTO ?");
      if (!vacuum) return vacuum.error();
      if (Status copied = vacuum->Bind(1, from.string()).Run(); !copied) return copied.error();
    }
    const std::lock_guard lock(mutex_);
    if (Status attached = database_.Attach(from, "theirs", (*source)->readable_ == ReadableAs::kImmutable); !attached)
      return attached.error();
    Result<MergeReport> report = [&]() -> Result<MergeReport> {
      Result<sqlite::Transaction> transaction = sqlite::Transaction::Begin(database_);
      if (!transaction) return transaction.error();
      if (Status named = CopyNames(database_); !named) return named.error();
      Result<MergeReport> copied = CopyRows(database_);
      if (!copied) return copied;
      if (Status committed = transaction->Commit(); !committed) return committed.error();
      return copied;
    }();
    for (const char* table : {"workloads", "templates", "configs", "targets", "runs"})
      if (Status dropped = database_.Run(fmt::format("DROP TABLE IF EXISTS temp.map_{}", table)); !dropped && report)
        return dropped.error();
    if (Status detached = database_.Run("DETACH DATABASE theirs"); !detached && report) return detached.error();
    return report;
  }();
  if (!merge) return Named(merge.error().In(fmt::format("from '{}'", other.string())), "merge into");
  return merge;
}

}  // namespace lathe
