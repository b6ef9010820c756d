// What a log holds: runs, failures, the course of a task, totals.
#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "db/foreign_json.h"
#include "db/log_rows.h"
#include "db/schema.h"
#include "db/tuning_log.h"

namespace lathe {
namespace {

constexpr const char* kRunColumns =
    "SELECT r.uid, r.command, r.options, g.key, g.hash, r.state, r.started_unix_ms, r.ended_unix_ms, "
    "(SELECT count(*) FROM measurements m WHERE m.run_id = r.id) FROM runs r JOIN targets g ON g.id = r.target_id ";

Result<std::vector<RunRecord>> ReadRuns(sqlite::Database& database, const std::string& condition, const std::vector<std::string>& texts) {
  Result<sqlite::Statement> statement =
      PrepareWith(database, std::string(kRunColumns) + condition + " ORDER BY r.started_unix_ms DESC, r.id DESC", texts);
  if (!statement) return statement.error();
  std::vector<RunRecord> runs;
  while (true) {
    Result<bool> row = statement->Step();
    if (!row) return row.error();
    if (!*row) return runs;
    RunRecord run;
    run.id = statement->Text(0);
    run.command = statement->Text(1);
    Result<nlohmann::ordered_json> options = ParseForeignJson(statement->Text(2));
    if (!options) return Error{ErrorCode::kIncompatible, fmt::format("read run '{}': its options: {}", run.id, options.error().message)};
    run.options = nlohmann::json(*options);
    run.target_key = statement->Text(3);
    run.target_hash = statement->Text(4);
    run.state = statement->Text(5);
    run.started_unix_ms = statement->Integer(6);
    if (!statement->IsNull(7)) run.ended_unix_ms = statement->Integer(7);
    run.measurements = statement->Integer(8);
    runs.push_back(std::move(run));
  }
}

Result<std::vector<Target>> ReadTargets(sqlite::Database& database, const std::string& condition, const std::vector<std::string>& texts) {
  Result<sqlite::Statement> statement = PrepareWith(database, "SELECT description FROM targets " + condition + " ORDER BY id", texts);
  if (!statement) return statement.error();
  std::vector<Target> targets;
  while (true) {
    Result<bool> row = statement->Step();
    if (!row) return row.error();
    if (!*row) return targets;
    Result<nlohmann::ordered_json> description = ParseForeignJson(statement->Text(0));
    if (!description) return Error{ErrorCode::kIncompatible, "read a target: " + description.error().message};
    Result<Target> target = TargetFromJson(nlohmann::json(*description));
    if (!target) return Error{ErrorCode::kIncompatible, target.error().message};
    targets.push_back(*std::move(target));
  }
}

}  // namespace

Result<std::vector<std::string>> TuningLog::Names(Kind kind, const std::string& operator_name) {
  const char* name = kind == Kind::kOperator ? "operator" : kind == Kind::kTemplate ? "operator || '/' || name" : "key";
  const char* table = kind == Kind::kTemplate ? "templates" : "workloads";
  const std::lock_guard lock(mutex_);
  Result<sqlite::Statement> rows =
      database_.Prepare(fmt::format("SELECT DISTINCT {} FROM {} WHERE ?1 IN ('', operator) ORDER BY 1", name, table));
  if (!rows) return Named(rows.error(), "read");
  rows->Bind(1, operator_name);
  std::vector<std::string> names;
  while (true) {
    Result<bool> row = rows->Step();
    if (!row) return Named(row.error(), "read");
    if (!*row) return names;
    names.push_back(rows->Text(0));
  }
}

Result<std::vector<RunRecord>> TuningLog::Runs() {
  const std::lock_guard lock(mutex_);
  Result<std::vector<RunRecord>> runs = ReadRuns(database_, "", {});
  if (!runs) return Named(runs.error(), "read");
  return runs;
}

Result<std::optional<RunRecord>> TuningLog::FindRun(const std::string& run_id) {
  const std::lock_guard lock(mutex_);
  Result<std::vector<RunRecord>> runs = ReadRuns(database_, "WHERE r.uid = ?", {run_id});
  if (!runs) return Named(runs.error(), "read");
  return runs->empty() ? std::nullopt : std::optional(std::move(runs->front()));
}

Result<std::vector<RunRecord>> TuningLog::RunsToResume(const nlohmann::json& options, const Target& target) {
  const std::lock_guard lock(mutex_);
  const std::string text = options.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  Result<std::vector<RunRecord>> runs =
      ReadRuns(database_, "WHERE r.options = ? AND g.hash = ? AND (r.ended_unix_ms IS NULL OR r.state = 'stopped')",
               {text, target.FingerprintHash()});
  if (!runs) return Named(runs.error(), "read");
  return runs;
}

Result<std::vector<Target>> TuningLog::Targets() {
  const std::lock_guard lock(mutex_);
  Result<std::vector<Target>> targets = ReadTargets(database_, "", {});
  if (!targets) return Named(targets.error(), "read");
  return targets;
}

Result<Target> TuningLog::FindTarget(const std::string& target_hash) {
  const std::lock_guard lock(mutex_);
  Result<std::vector<Target>> targets = ReadTargets(database_, "WHERE hash = ?", {target_hash});
  if (!targets) return Named(targets.error(), "read");
  if (targets->empty()) return Named({ErrorCode::kNotFound, fmt::format("it knows no target '{}'", target_hash)}, "read");
  return std::move(targets->front());
}

Result<std::vector<Relative>> TuningLog::Relatives(const std::string& operator_name, const std::string& template_name) {
  const std::lock_guard lock(mutex_);
  Result<sqlite::Statement> statement =
      PrepareWith(database_,
                  "SELECT w.key, p.source_hash, t.hash, count(*) FROM measurements m JOIN workloads w ON w.id = m.workload_id "
                  "JOIN templates p ON p.id = m.template_id JOIN targets t ON t.id = m.target_id "
                  "WHERE p.operator = ? AND p.name = ? AND m.status <> 'board_lost' GROUP BY m.workload_id, m.template_id, m.target_id "
                  "ORDER BY max(m.id) DESC",
                  {operator_name, template_name});
  if (!statement) return Named(statement.error(), "query");
  std::map<std::string, Target> targets;
  std::vector<Relative> relatives;
  while (true) {
    Result<bool> row = statement->Step();
    if (!row) return Named(row.error(), "query");
    if (!*row) return relatives;
    Result<Workload> workload = ParseWorkload(statement->Text(0));
    if (!workload) return Named(workload.error(), "query");
    const std::string hash = statement->Text(2);
    if (targets.count(hash) == 0) {
      Result<std::vector<Target>> found = ReadTargets(database_, "WHERE hash = ?", {hash});
      if (!found) return Named(found.error(), "query");
      if (found->empty())
        return Named({ErrorCode::kIncompatible, fmt::format("a row names target '{}', which is not there", hash)}, "query");
      targets[hash] = found->front();
    }
    relatives.push_back({*std::move(workload), targets[hash], statement->Text(1), static_cast<size_t>(statement->Integer(3))});
  }
}

Result<std::vector<FailureCount>> TuningLog::Failures(const LogFilter& filter) {
  const std::lock_guard lock(mutex_);
  const RowConditions where = ConditionsOf(filter);
  // With max(), SQLite takes the other bare columns from the row that holds the maximum.
  Result<sqlite::Statement> statement = PrepareWith(
      database_,
      fmt::format("SELECT m.status, count(*), m.message, max(m.id) FROM measurements m WHERE m.status <> 'ok' AND {} GROUP BY m.status "
                  "ORDER BY count(*) DESC, m.status",
                  where.sql),
      where.texts);
  if (!statement) return Named(statement.error(), "query");
  std::vector<FailureCount> failures;
  while (true) {
    Result<bool> row = statement->Step();
    if (!row) return Named(row.error(), "query");
    if (!*row) return failures;
    const std::optional<MeasureStatus> status = ParseMeasureStatus(statement->Text(0));
    if (!status) return Named({ErrorCode::kIncompatible, fmt::format("no status is called '{}'", statement->Text(0))}, "query");
    failures.push_back({*status, statement->Integer(1), statement->Text(2)});
  }
}

Result<std::vector<TraceStep>> TuningLog::Trace(const LogFilter& filter) {
  std::map<std::pair<std::string, std::string>, std::vector<TraceStep>> searches;
  Status read = ForEach(filter, [&](const LoggedMeasurement& row) {
    const Measurement& m = row.measurement;
    if (m.status == MeasureStatus::kBoardLost) return true;
    std::vector<TraceStep>& steps = searches[{m.candidate.workload.Key(), row.target_key}];
    const double best = std::min(row.seconds, steps.empty() ? std::numeric_limits<double>::infinity() : steps.back().best_seconds);
    steps.push_back({static_cast<int64_t>(steps.size()) + 1, m.status, row.seconds, best, m.candidate.workload, row.target_key,
                     m.candidate.template_name, m.candidate.config, m.finished_unix_ms});
    return true;
  });
  if (!read) return read.error();
  std::vector<TraceStep> all;
  for (auto& [search, steps] : searches) std::move(steps.begin(), steps.end(), std::back_inserter(all));
  return all;
}

Result<LogSummary> TuningLog::Summary() {
  const std::lock_guard lock(mutex_);
  LogSummary summary;
  summary.path = path_.string();
  summary.schema = NewestSchema();
  const auto fill = [&]() -> Status {
    Result<sqlite::Transaction> view = sqlite::Transaction::BeginRead(database_);
    if (!view) return view.error();
    const std::pair<int64_t*, const char*> counts[] = {{&summary.runs, "SELECT count(*) FROM runs"},
                                                       {&summary.unfinished_runs, "SELECT count(*) FROM runs WHERE ended_unix_ms IS NULL"},
                                                       {&summary.workloads, "SELECT count(*) FROM workloads"},
                                                       {&summary.templates, "SELECT count(*) FROM templates"},
                                                       {&summary.configs, "SELECT count(*) FROM configs"},
                                                       {&summary.targets, "SELECT count(*) FROM targets"}};
    for (const auto& [count, sql] : counts) {
      Result<int64_t> number = database_.Integer(sql);
      if (!number) return number.error();
      *count = *number;
    }
    Result<sqlite::Statement> statuses = database_.Prepare("SELECT status, count(*) FROM measurements GROUP BY status");
    if (!statuses) return statuses.error();
    while (true) {
      Result<bool> row = statuses->Step();
      if (!row) return row.error();
      if (!*row) break;
      summary.by_status[statuses->Text(0)] = statuses->Integer(1);
      summary.measurements += statuses->Integer(1);
    }
    Result<sqlite::Statement> times = database_.Prepare("SELECT min(finished_unix_ms), max(finished_unix_ms) FROM measurements");
    if (!times) return times.error();
    Result<bool> row = times->Step();
    if (!row) return row.error();
    if (*row && !times->IsNull(0)) summary.first_unix_ms = times->Integer(0), summary.last_unix_ms = times->Integer(1);
    return {};
  };
  if (Status filled = fill(); !filled) return Named(filled.error(), "read");
  for (const char* suffix : {"", "-wal"}) {
    std::error_code absent;
    if (const auto bytes = std::filesystem::file_size(path_.string() + suffix, absent); !absent)
      summary.bytes += static_cast<int64_t>(bytes);
  }
  return summary;
}

}  // namespace lathe
