#include "db/record_writer.h"

#include <fmt/format.h>

#include "core/json_mistake.h"
#include "db/measurement_json.h"

namespace lathe {

// Selects by the first `key_columns` of `values`; inserts all of them when there is no such row.
Result<int64_t> RecordWriter::IdOf(const char* select, const char* insert, const std::vector<std::string>& values, size_t key_columns) {
  Result<sqlite::Statement*> find = statements_.Get(select);
  if (!find) return find.error();
  for (size_t i = 0; i < key_columns; ++i) (*find)->Bind(static_cast<int>(i) + 1, values[i]);
  Result<bool> found = (*find)->Step();
  if (!found) return found.error();
  const int64_t id = *found ? (*find)->Integer(0) : 0;
  (*find)->Reset();
  if (*found) return id;

  Result<sqlite::Statement*> add = statements_.Get(insert);
  if (!add) return add.error();
  for (size_t i = 0; i < values.size(); ++i) (*add)->Bind(static_cast<int>(i) + 1, values[i]);
  if (Status added = (*add)->Run(); !added) return added.error();
  return database_.last_row_id();
}

Result<int64_t> RecordWriter::Require(const char* select, const std::string& key, const std::string& what) {
  Result<sqlite::Statement*> find = statements_.Get(select);
  if (!find) return find.error();
  Result<bool> found = (*find)->Bind(1, key).Step();
  if (!found) return found.error();
  const int64_t id = *found ? (*find)->Integer(0) : 0;
  (*find)->Reset();
  if (!*found) return Error{ErrorCode::kNotFound, fmt::format("the log knows no {} '{}'", what, key)};
  return id;
}

Result<int64_t> RecordWriter::AddTarget(const Target& target) {
  try {
    const std::string description = ToJson(target).dump();
    // A limit that is not a number would be written as null and never read back.
    if (Result<Target> back = TargetFromJson(nlohmann::json::parse(description)); !back) return back.error();
    return IdOf("SELECT id FROM targets WHERE hash = ?", "INSERT INTO targets (hash, key, backend, description) VALUES (?, ?, ?, ?)",
                {target.FingerprintHash(), target.Key(), target.backend, description}, 1);
  } catch (const nlohmann::json::exception& failure) {
    return Error{ErrorCode::kInvalidInput, fmt::format("store target '{}': {}", target.Key(), JsonMistake(failure))};
  }
}

Result<int64_t> RecordWriter::AddRun(const RunRecord& run, const Target& target) {
  Result<int64_t> target_id = AddTarget(target);
  if (!target_id) return target_id;
  Result<sqlite::Statement*> add = statements_.Get(
      "INSERT INTO runs (uid, command, options, target_id, state, started_unix_ms, ended_unix_ms) VALUES (?, ?, ?, ?, ?, ?, ?) "
      "ON CONFLICT (uid) DO NOTHING");
  if (!add) return add.error();
  const std::string options = Dump(run.options);
  const std::string command = ValidUtf8(run.command);
  const std::string state = ValidUtf8(run.state);
  (*add)->Bind(1, run.id).Bind(2, command).Bind(3, options).Bind(4, *target_id);
  if (Status added = (*add)->Bind(5, state).Bind(6, run.started_unix_ms).Bind(7, run.ended_unix_ms).Run(); !added) return added.error();
  return Require("SELECT id FROM runs WHERE uid = ?", run.id, "run");
}

Result<bool> RecordWriter::HasRun(const std::string& run_id) {
  Result<int64_t> id = Require("SELECT id FROM runs WHERE uid = ?", run_id, "run");
  if (!id && id.error().code != ErrorCode::kNotFound) return id.error();
  return static_cast<bool>(id);
}

Result<bool> RecordWriter::AddMeasurement(const Measurement& m, const std::string& run_id, const std::string& target_hash) {
  if (Status sound = CheckMeasurement(m); !sound) return sound.error().In("store a measurement of " + m.candidate.Key());
  const nlohmann::ordered_json json = MeasurementToJson(m);
  const std::string uid = MeasurementUid(json, run_id, target_hash);
  Result<sqlite::Statement*> known = statements_.Get("SELECT 1 FROM measurements WHERE uid = ?");
  if (!known) return known.error();
  Result<bool> found = (*known)->Bind(1, uid).Step();
  (*known)->Reset();
  if (!found) return found;
  if (*found) return false;

  Result<int64_t> run = Require("SELECT id FROM runs WHERE uid = ?", run_id, "run");
  if (!run) return run.error();
  Result<int64_t> target = Require("SELECT id FROM targets WHERE hash = ?", target_hash, "target");
  if (!target) return target.error();
  const Workload& w = m.candidate.workload;
  Result<int64_t> workload =
      IdOf("SELECT id FROM workloads WHERE key = ?", "INSERT INTO workloads (key, operator, attributes) VALUES (?, ?, ?)",
           {w.Key(), w.operator_name, Dump(json["workload"])}, 1);
  if (!workload) return workload.error();
  Result<int64_t> version = IdOf("SELECT id FROM templates WHERE operator = ? AND name = ? AND source_hash = ?",
                                 "INSERT INTO templates (operator, name, source_hash) VALUES (?, ?, ?)",
                                 {w.operator_name, m.candidate.template_name, m.candidate.template_hash}, 3);
  if (!version) return version.error();
  Result<int64_t> config =
      IdOf("SELECT id FROM configs WHERE parameters = ?", "INSERT INTO configs (parameters) VALUES (?)", {Dump(json["config"])}, 1);
  if (!config) return config.error();

  Result<sqlite::Statement*> add = statements_.Get(
      "INSERT INTO measurements (uid, workload_id, template_id, config_id, target_id, run_id, status, message, seconds, samples, "
      "sample_count, "
      "build_seconds, run_seconds, max_error, joules, build_facts, conditions, cut_early, finished_unix_ms, board) "
      "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  if (!add) return add.error();
  sqlite::Statement& row = **add;
  row.Bind(1, uid).Bind(2, *workload).Bind(3, *version).Bind(4, *config).Bind(5, *target).Bind(6, *run);
  row.Bind(7, ToString(m.status)).Bind(8, json["message"].get_ref<const std::string&>());
  row.Bind(9, m.status == MeasureStatus::kOk ? std::optional<double>(Seconds(m)) : std::nullopt);
  row.Bind(10, Dump(json["samples"])).Bind(11, static_cast<int64_t>(m.seconds.size()));
  // SQLite has no NaN: a NaN deviation is stored as NULL and read back as NaN.
  row.Bind(12, m.build_seconds).Bind(13, m.run_seconds).Bind(14, m.max_error).Bind(15, m.joules);
  row.Bind(16, Dump(json["build_facts"])).Bind(17, Dump(json["conditions"]));
  row.Bind(18, int64_t{m.cut_early}).Bind(19, m.finished_unix_ms).Bind(20, json["board"].get_ref<const std::string&>());
  if (Status added = row.Run(); !added) return added.error();
  return true;
}

}  // namespace lathe
