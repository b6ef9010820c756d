// Which config is best, and reading rows.
//
// A candidate counts with all its samples together: the search's quick look and the finals' repetitions, as the tuner itself counts. Their
// common quantile is in no index, but it is never below the smallest quantile of the rows it is made of. So rows are walked in the order of
// measurements_by_speed (workload, target, cut_early, seconds), each new candidate's samples are put together, and the walk ends when the
// next row's own time is no better than the worst answer in hand: a few look-ups whatever the log's size. Tried and dropped: a table of
// winners kept by the writer, which a merge, a changed template or a late wrong result each make wrong; the row with most samples alone,
// which disagrees with the tuner about ties.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <tuple>

#include "core/json_mistake.h"
#include "db/foreign_json.h"
#include "db/log_rows.h"
#include "db/measurement_json.h"
#include "db/tuning_log.h"

namespace lathe {
namespace {

// What the log knows of one candidate on one target.
struct CandidateRecord {
  std::vector<double> samples;
  int64_t newest_row = 0;
  bool cut_early = true;  // every row was
  bool reliable = true;   // never wrong, and nothing failed after the newest success
};

// A wrong result stands whenever it came; a crash, a timeout and the like until a later success; a lost board or a build that ran out of
// time say nothing about the candidate.
Result<CandidateRecord> RecordOf(sqlite::Database& database, int64_t workload, int64_t version, int64_t target, int64_t config,
                                 const RowConditions& where) {
  Result<sqlite::Statement> rows = PrepareWith(
      database,
      fmt::format(
          "SELECT m.id, m.status, m.cut_early, m.samples, {} FROM measurements m WHERE m.workload_id = {} AND m.template_id = {} AND "
          "m.target_id = {} AND m.config_id = {} ORDER BY m.finished_unix_ms, m.id",
          where.sql, workload, version, target, config),
      where.texts);
  if (!rows) return rows.error();
  CandidateRecord record;
  bool wrong = false;
  while (true) {
    Result<bool> row = rows->Step();
    if (!row) return row.error();
    if (!*row) break;
    const std::string status = rows->Text(1);
    if (status != "ok") {
      wrong = wrong || status == "wrong_result";
      if (status != "board_lost" && status != "build_timeout") record.reliable = false;
      continue;
    }
    record.reliable = true;
    const bool cut = rows->Integer(2) != 0;
    if (rows->Integer(4) == 0 || (cut && !record.cut_early)) continue;
    if (!cut && record.cut_early) record.samples.clear();  // what was cut early counts only where there is nothing better
    record.cut_early = cut;
    record.newest_row = rows->Integer(0);
    try {
      for (const nlohmann::ordered_json& sample : nlohmann::ordered_json::parse(rows->Text(3)))
        record.samples.push_back(NumberFromJson(sample));
    } catch (const nlohmann::json::exception& failure) {
      return Error{ErrorCode::kIncompatible, fmt::format("row {}: {}", record.newest_row, JsonMistake(failure))};
    }
  }
  if (wrong) record.reliable = false;
  return record;
}

}  // namespace

const char* ToString(TargetMatch match) { return match == TargetMatch::kExact ? "exact" : "other_fingerprint"; }

Status TuningLog::ForEachLocked(const LogFilter& filter, const std::function<bool(const LoggedMeasurement&)>& visit) {
  // Ids first, rows one by one: sorting whole rows would carry every sample along.
  const RowConditions where = ConditionsOf(filter);
  Result<std::vector<int64_t>> ids = ReadIds(database_, "SELECT m.id FROM measurements m WHERE " + where.sql, where.texts);
  if (!ids) return ids.error();
  std::sort(ids->begin(), ids->end());
  for (const int64_t id : *ids) {
    Result<LoggedMeasurement> row = ReadRow(statements_, id);
    if (!row) return row.error();
    if (!visit(*row)) break;
  }
  return {};
}

Status TuningLog::ForEach(const LogFilter& filter, const std::function<bool(const LoggedMeasurement&)>& visit) {
  const std::lock_guard lock(mutex_);
  Result<sqlite::Transaction> view = sqlite::Transaction::BeginRead(database_);
  if (!view) return Named(view.error(), "read");
  if (Status read = ForEachLocked(filter, visit); !read) return Named(read.error(), "read");
  return {};
}

Result<int64_t> TuningLog::Count(const LogFilter& filter) {
  const std::lock_guard lock(mutex_);
  const RowConditions where = ConditionsOf(filter);
  Result<std::vector<int64_t>> count = ReadIds(database_, "SELECT count(*) FROM measurements m WHERE " + where.sql, where.texts);
  if (!count) return Named(count.error(), "read");
  return count->front();
}

Result<std::vector<LoggedMeasurement>> TuningLog::Fastest(const std::string& from, const RowConditions& where, size_t count) {
  Result<sqlite::Statement> walk = PrepareWith(
      database_,
      fmt::format("SELECT m.cut_early, m.seconds, m.workload_id, m.template_id, m.target_id, m.config_id FROM measurements m {} AND "
                  "m.seconds IS NOT NULL AND {} ORDER BY m.cut_early, m.seconds",
                  from, where.sql),
      where.texts);
  if (!walk) return walk.error();
  struct Found {
    bool cut_early;
    double seconds;
    CandidateRecord record;
    bool operator<(const Found& other) const { return std::tie(cut_early, seconds) < std::tie(other.cut_early, other.seconds); }
  };
  std::vector<Found> best;  // sorted, at most `count`
  std::set<std::array<int64_t, 4>> seen;
  while (count > 0) {
    Result<bool> row = walk->Step();
    if (!row) return row.error();
    if (!*row) break;
    const Found bound{walk->Integer(0) != 0, walk->Real(1), {}};
    if (best.size() == count && !(bound < best.back())) break;
    if (!seen.insert({walk->Integer(2), walk->Integer(3), walk->Integer(4), walk->Integer(5)}).second) continue;
    Result<CandidateRecord> record = RecordOf(database_, walk->Integer(2), walk->Integer(3), walk->Integer(4), walk->Integer(5), where);
    if (!record) return record.error();
    if (!record->reliable || record->samples.empty()) continue;
    Found found{record->cut_early, LowQuantile(record->samples), *std::move(record)};
    best.insert(std::upper_bound(best.begin(), best.end(), found), std::move(found));
    if (best.size() > count) best.pop_back();
  }
  std::vector<LoggedMeasurement> rows;
  for (Found& found : best) {
    Result<LoggedMeasurement> row = ReadRow(statements_, found.record.newest_row);
    if (!row) return row.error();
    row->measurement.seconds = std::move(found.record.samples);
    row->seconds = found.seconds;
    rows.push_back(*std::move(row));
  }
  return rows;
}

Result<std::vector<LoggedMeasurement>> TuningLog::BestOfTarget(int64_t workload_id, int64_t target_id, const RowConditions& where,
                                                               size_t count) {
  return Fastest(fmt::format("INDEXED BY measurements_by_speed WHERE m.workload_id = {} AND m.target_id = {}", workload_id, target_id),
                 where, count);
}

Result<BestAnswer> TuningLog::Best(const BestQuery& query, size_t count) {
  const std::lock_guard lock(mutex_);
  auto answer = [&]() -> Result<BestAnswer> {
    Result<sqlite::Transaction> view = sqlite::Transaction::BeginRead(database_);
    if (!view) return view.error();
    Result<std::vector<int64_t>> workloads = ReadIds(database_, "SELECT id FROM workloads WHERE key = ?", {query.workload.Key()});
    if (!workloads) return workloads.error();
    if (workloads->empty()) return BestAnswer{};
    const int64_t workload = workloads->front();
    // The exact fingerprint first, then others of the same device.
    Result<std::vector<int64_t>> exact = ReadIds(database_, "SELECT id FROM targets WHERE hash = ?", {query.target_hash});
    if (!exact) return exact.error();
    Result<std::vector<int64_t>> others =
        ReadIds(database_, "SELECT id FROM targets WHERE key = ? AND hash <> ?", {query.target_key, query.target_hash});
    if (!others) return others.error();
    if (query.target_hash.empty()) std::swap(*exact, *others);

    RowConditions where = ConditionsOf({.template_name = query.template_name, .run_id = query.run_id, .current = query.current});
    BestAnswer found;
    const auto look = [&](const std::vector<int64_t>& targets, TargetMatch match) -> Status {
      for (const int64_t target : targets) {
        Result<std::vector<LoggedMeasurement>> rows = BestOfTarget(workload, target, where, count);
        if (!rows) return rows.error();
        for (LoggedMeasurement& row : *rows) found.best.push_back({std::move(row), match});
        if (!query.current) continue;
        // By template version, so that only what is history is counted.
        const RowConditions old = HistoryConditions(*query.current);
        const RowConditions also = ConditionsOf({.template_name = query.template_name, .run_id = query.run_id});
        std::vector<std::string> texts = also.texts;
        texts.insert(texts.end(), old.texts.begin(), old.texts.end());
        Result<std::vector<int64_t>> history = ReadIds(
            database_,
            fmt::format("SELECT ifnull(sum((SELECT count(*) FROM measurements m WHERE m.workload_id = {} AND m.template_id = t.id AND "
                        "m.target_id = {} AND {})), 0) FROM templates t WHERE {}",
                        workload, target, also.sql, old.sql),
            texts);
        if (!history) return history.error();
        found.history_rows += history->front();
      }
      return {};
    };
    if (Status done = look(*exact, TargetMatch::kExact); !done) return done.error();
    if (found.best.empty() && query.allow_other_fingerprint)
      if (Status done = look(*others, TargetMatch::kOtherFingerprint); !done) return done.error();
    std::stable_sort(found.best.begin(), found.best.end(),
                     [](const BestConfig& a, const BestConfig& b) { return a.row.seconds < b.row.seconds; });
    if (found.best.size() > count) found.best.resize(count);
    return found;
  }();
  if (!answer) return Named(answer.error(), "query");
  return answer;
}

Result<std::vector<LoggedMeasurement>> TuningLog::BestPerWorkload(const LogFilter& filter) {
  const std::lock_guard lock(mutex_);
  auto rows = [&]() -> Result<std::vector<LoggedMeasurement>> {
    Result<sqlite::Transaction> view = sqlite::Transaction::BeginRead(database_);
    if (!view) return view.error();
    const RowConditions where = ConditionsOf(filter);
    // Of each workload and device, the fingerprint measured last. Few pairs, each an index look-up, instead of one pass over all rows.
    Result<sqlite::Statement> pairs = PrepareWith(
        database_,
        fmt::format(
            "SELECT w.id, g.id, w.key, g.key, max(last) FROM (SELECT w.id AS workload, g.id AS target, (SELECT max(m.id) FROM measurements "
            "m "
            "WHERE m.workload_id = w.id AND m.target_id = g.id AND m.seconds IS NOT NULL AND {}) AS last FROM workloads w, targets g) "
            "JOIN workloads w ON w.id = workload JOIN targets g ON g.id = target WHERE last IS NOT NULL GROUP BY w.id, g.key ORDER BY "
            "w.key, g.key",
            where.sql),
        where.texts);
    if (!pairs) return pairs.error();
    std::vector<LoggedMeasurement> best;
    while (true) {
      Result<bool> row = pairs->Step();
      if (!row) return row.error();
      if (!*row) return best;
      Result<std::vector<LoggedMeasurement>> first = BestOfTarget(pairs->Integer(0), pairs->Integer(1), where, 1);
      if (!first) return first.error();
      for (LoggedMeasurement& found : *first) best.push_back(std::move(found));
    }
  }();
  if (!rows) return Named(rows.error(), "query");
  return rows;
}

Result<std::vector<LoggedMeasurement>> TuningLog::Top(const LogFilter& filter, size_t count) {
  const std::lock_guard lock(mutex_);
  auto rows = [&]() -> Result<std::vector<LoggedMeasurement>> {
    Result<sqlite::Transaction> view = sqlite::Transaction::BeginRead(database_);
    if (!view) return view.error();
    return Fastest("WHERE 1", ConditionsOf(filter), count);
  }();
  if (!rows) return Named(rows.error(), "query");
  return rows;
}

}  // namespace lathe
