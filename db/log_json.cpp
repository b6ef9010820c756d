#include <cmath>

#include "db/log_records.h"
#include "db/measurement_json.h"

namespace lathe {

using Json = nlohmann::ordered_json;

namespace {

Json FiniteOrNull(double number) { return std::isfinite(number) ? Json(number) : Json(nullptr); }
Json ValueOrNull(const std::optional<int64_t>& number) { return number ? Json(*number) : Json(nullptr); }

}  // namespace

Json ToJson(const LoggedMeasurement& row) {
  Json json = {{"uid", row.uid},           {"key", row.measurement.candidate.workload.Key()},
               {"target", row.target_key}, {"target_hash", row.target_hash},
               {"run", row.run_id},        {"seconds", FiniteOrNull(row.seconds)}};
  json.update(MeasurementToJson(row.measurement));
  return json;
}

Json ToJson(const BestConfig& best) {
  Json json = ToJson(best.row);
  json["match"] = ToString(best.match);
  return json;
}

Json ToJson(const BestAnswer& answer) {
  Json best = Json::array();
  for (const BestConfig& config : answer.best) best.push_back(ToJson(config));
  return {{"best", std::move(best)}, {"history_rows", answer.history_rows}};
}

Json ToJson(const RunRecord& run) {
  return {{"run", run.id},
          {"command", run.command},
          {"options", Json(run.options)},
          {"target", run.target_key},
          {"target_hash", run.target_hash},
          {"state", run.state},
          {"started_unix_ms", run.started_unix_ms},
          {"ended_unix_ms", ValueOrNull(run.ended_unix_ms)},
          {"measurements", run.measurements}};
}

Json ToJson(const FailureCount& failure) {
  return {{"status", ToString(failure.status)}, {"count", failure.count}, {"latest_message", failure.latest_message}};
}

Json ToJson(const TraceStep& step) {
  return {{"trial", step.trial},
          {"status", ToString(step.status)},
          {"seconds", FiniteOrNull(step.seconds)},
          {"best_seconds", FiniteOrNull(step.best_seconds)},
          {"workload", step.workload.Key()},
          {"target", step.target_key},
          {"template", step.template_name},
          {"config", ConfigToJson(step.config)},
          {"finished_unix_ms", step.finished_unix_ms}};
}

Json ToJson(const LogSummary& summary) {
  return {{"path", summary.path},
          {"schema", summary.schema},
          {"bytes", summary.bytes},
          {"measurements", summary.measurements},
          {"by_status", summary.by_status},
          {"runs", summary.runs},
          {"unfinished_runs", summary.unfinished_runs},
          {"workloads", summary.workloads},
          {"templates", summary.templates},
          {"configs", summary.configs},
          {"targets", summary.targets},
          {"first_unix_ms", ValueOrNull(summary.first_unix_ms)},
          {"last_unix_ms", ValueOrNull(summary.last_unix_ms)}};
}

Json ToJson(const MergeReport& report) {
  return {{"added", report.added}, {"duplicates", report.duplicates}, {"runs_added", report.runs_added}};
}

}  // namespace lathe
