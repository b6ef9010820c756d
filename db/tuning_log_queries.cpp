// Which config is best, and reading rows.
//
// The best of a workload on a target walks the index measurements_by_speed (workload, target, cut_early, seconds) from its fast end until a
// row passes two look-ups in measurements_by_candidate: no more careful measurement of the same candidate, no failure after it. So the
// question costs a few look-ups whatever the log's size. Tried and dropped: a table of winners kept by the writer, which a merge, a changed
// template or a late wrong_result each make wrong.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "db/log_rows.h"
#include "db/tuning_log.h"

namespace lathe {
namespace {

// The row stands for its candidate. A later build_timeout or board_lost says nothing against it.
constexpr const char* kStands = R"sql(NOT EXISTS (
  SELECT 1 FROM measurements o
  WHERE o.workload_id = m.workload_id AND o.template_id = m.template_id AND o.target_id = m.target_id AND o.config_id = m.config_id
    AND CASE
      WHEN o.status = 'ok' THEN (1 - o.cut_early, o.sample_count, o.finished_unix_ms, o.id) > (1 - m.cut_early, m.sample_count, m.finished_unix_ms, m.id)
      ELSE o.status NOT IN ('board_lost', 'build_timeout') AND (o.finished_unix_ms, o.id) > (m.finished_unix_ms, m.id)
    END))sql";

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

Result<std::vector<LoggedMeasurement>> TuningLog::BestOfTarget(int64_t workload_id, int64_t target_id, const RowConditions& where,
                                                               size_t count) {
  Result<std::vector<int64_t>> ids =
      ReadIds(database_,
              fmt::format("SELECT m.id FROM measurements m INDEXED BY measurements_by_speed WHERE m.workload_id = {} AND m.target_id = {} "
                          "AND m.seconds IS NOT NULL AND {} AND {} ORDER BY m.cut_early, m.seconds LIMIT {}",
                          workload_id, target_id, where.sql, kStands, count),
              where.texts);
  if (!ids) return ids.error();
  std::vector<LoggedMeasurement> rows;
  for (const int64_t id : *ids) {
    Result<LoggedMeasurement> row = ReadRow(statements_, id);
    if (!row) return row.error();
    rows.push_back(*std::move(row));
  }
  return rows;
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
    const RowConditions where = ConditionsOf(filter);
    Result<std::vector<int64_t>> ids = ReadIds(
        database_,
        fmt::format("SELECT m.id FROM measurements m WHERE m.seconds IS NOT NULL AND {} AND {} ORDER BY m.cut_early, m.seconds LIMIT {}",
                    where.sql, kStands, count),
        where.texts);
    if (!ids) return ids.error();
    std::vector<LoggedMeasurement> top;
    for (const int64_t id : *ids) {
      Result<LoggedMeasurement> row = ReadRow(statements_, id);
      if (!row) return row.error();
      top.push_back(*std::move(row));
    }
    return top;
  }();
  if (!rows) return Named(rows.error(), "query");
  return rows;
}

}  // namespace lathe
