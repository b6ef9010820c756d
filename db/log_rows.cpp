#include "db/log_rows.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "core/json_mistake.h"
#include "db/foreign_json.h"
#include "db/measurement_json.h"

namespace lathe {

void RowConditions::And(const std::string& condition, const std::vector<std::string>& values) {
  sql += " AND " + condition;
  texts.insert(texts.end(), values.begin(), values.end());
}

namespace {

// "(operator, name, source_hash) IN …", false of everything when `current` is empty.
RowConditions IsCurrent(const std::vector<TemplateVersion>& current) {
  RowConditions is;
  if (current.empty()) return {"0", {}};
  std::string list;
  for (const TemplateVersion& version : current) {
    list += list.empty() ? "(?, ?, ?)" : ", (?, ?, ?)";
    is.texts.insert(is.texts.end(), {version.operator_name, version.template_name, version.template_hash});
  }
  is.sql = fmt::format("(operator, name, source_hash) IN (VALUES {})", list);
  return is;
}

}  // namespace

void AndCurrent(RowConditions& conditions, const std::vector<TemplateVersion>& current) {
  const RowConditions is = IsCurrent(current);
  conditions.And(fmt::format("m.template_id IN (SELECT id FROM templates WHERE {})", is.sql), is.texts);
}

RowConditions HistoryConditions(const std::vector<TemplateVersion>& current) {
  RowConditions is = IsCurrent(current);
  is.sql = fmt::format("NOT ({})", is.sql);
  return is;
}

RowConditions ConditionsOf(const LogFilter& filter) {
  RowConditions where;
  const auto in = [&where](const char* column, const char* select, const std::string& value) {
    if (!value.empty()) where.And(fmt::format("m.{} IN (SELECT id FROM {} = ?)", column, select), {value});
  };
  in("workload_id", "workloads WHERE key", filter.workload_key);
  in("workload_id", "workloads WHERE operator", filter.operator_name);
  in("target_id", "targets WHERE hash", filter.target_hash);
  in("template_id", "templates WHERE name", filter.template_name);
  in("template_id", "templates WHERE source_hash", filter.template_hash);
  in("run_id", "runs WHERE uid", filter.run_id);
  if (!filter.target.empty())
    where.And("m.target_id IN (SELECT id FROM targets WHERE key = ? OR substr(key, 1, length(?) + 1) = ? || '/')",
              {filter.target, filter.target, filter.target});
  if (filter.status) where.And("m.status = ?", {ToString(*filter.status)});
  if (filter.current) AndCurrent(where, *filter.current);
  return where;
}

Result<sqlite::Statement> PrepareWith(sqlite::Database& database, const std::string& sql, const std::vector<std::string>& texts) {
  Result<sqlite::Statement> statement = database.Prepare(sql);
  if (!statement) return statement;
  for (size_t i = 0; i < texts.size(); ++i) statement->Bind(static_cast<int>(i) + 1, texts[i]);
  return statement;
}

Result<std::vector<int64_t>> ReadIds(sqlite::Database& database, const std::string& sql, const std::vector<std::string>& texts) {
  Result<sqlite::Statement> statement = PrepareWith(database, sql, texts);
  if (!statement) return statement.error();
  std::vector<int64_t> ids;
  while (true) {
    Result<bool> row = statement->Step();
    if (!row) return row.error();
    if (!*row) return ids;
    ids.push_back(statement->Integer(0));
  }
}

namespace {

// What a row says is checked like any input: a file that somebody edited must not crash us. Throws nlohmann::json::exception on broken
// JSON.
Result<LoggedMeasurement> Decode(const sqlite::Statement& row) {
  using Json = nlohmann::ordered_json;
  LoggedMeasurement logged;
  logged.id = row.Integer(0);
  logged.uid = row.Text(1);
  logged.run_id = row.Text(2);
  logged.target_key = row.Text(3);
  logged.target_hash = row.Text(4);
  logged.seconds = row.IsNull(11) ? std::numeric_limits<double>::infinity() : row.Real(11);
  Measurement& m = logged.measurement;
  Json texts[5];  // attributes, parameters, samples, build facts, conditions
  for (size_t i = 0; const int column : {6, 9, 13, 18, 19}) {
    Result<Json> json = ParseForeignJson(row.Text(column));
    if (!json) return json.error();
    texts[i++] = *std::move(json);
  }
  Result<NamedValues> attributes = NamedValuesFromJson(nlohmann::json(texts[0]));
  if (!attributes) return attributes.error().In("workload");
  m.candidate.workload = {row.Text(5), *std::move(attributes)};
  m.candidate.template_name = row.Text(7);
  m.candidate.template_hash = row.Text(8);
  Result<Config> config = ConfigFromJson(texts[1]);
  if (!config) return config.error().In("config");
  m.candidate.config = *std::move(config);
  const std::optional<MeasureStatus> status = ParseMeasureStatus(row.Text(10));
  if (!status) return Error{ErrorCode::kIncompatible, fmt::format("no status is called '{}'", row.Text(10))};
  m.status = *status;
  m.message = row.Text(12);
  for (const Json& sample : texts[2]) m.seconds.push_back(NumberFromJson(sample));
  m.build_seconds = row.Real(14);
  m.run_seconds = row.Real(15);
  m.max_error = row.IsNull(16) ? std::nan("") : row.Real(16);
  if (!row.IsNull(17)) m.joules = row.Real(17);
  for (const auto& [name, number] : texts[3].items()) m.build_facts[name] = NumberFromJson(number);
  for (const auto& [name, text] : texts[4].items()) m.conditions[name] = text.get<std::string>();
  m.cut_early = row.Integer(20) != 0;
  m.finished_unix_ms = row.Integer(21);
  m.board = row.Text(22);
  if (Status sound = CheckMeasurement(m); !sound) return sound.error();
  return logged;
}

}  // namespace

Result<LoggedMeasurement> ReadRow(sqlite::StatementCache& statements, int64_t id) {
  Result<sqlite::Statement*> statement = statements.Get(
      "SELECT m.id, m.uid, r.uid, g.key, g.hash, w.operator, w.attributes, t.name, t.source_hash, c.parameters, m.status, m.seconds, "
      "m.message, "
      "m.samples, m.build_seconds, m.run_seconds, m.max_error, m.joules, m.build_facts, m.conditions, m.cut_early, m.finished_unix_ms, "
      "m.board "
      "FROM measurements m JOIN runs r ON r.id = m.run_id JOIN targets g ON g.id = m.target_id JOIN workloads w ON w.id = m.workload_id "
      "JOIN templates t ON t.id = m.template_id JOIN configs c ON c.id = m.config_id WHERE m.id = ?");
  if (!statement) return statement.error();
  Result<bool> found = (*statement)->Bind(1, id).Step();
  if (!found) return found.error();
  if (!*found) {
    (*statement)->Reset();
    return Error{ErrorCode::kIncompatible,
                 fmt::format("row {} names a workload, template, config, target or run that is not in the log", id)};
  }
  Result<LoggedMeasurement> row = [&]() -> Result<LoggedMeasurement> {
    try {
      return Decode(**statement);
    } catch (const nlohmann::json::exception& failure) {
      return Error{ErrorCode::kIncompatible, JsonMistake(failure)};
    }
  }();
  (*statement)->Reset();
  if (!row) return Error{ErrorCode::kIncompatible, fmt::format("row {}: {}", id, row.error().message)};
  return row;
}

}  // namespace lathe
