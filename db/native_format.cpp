// The native exchange format: JSON lines, each {"kind": …}, so that files can be joined with cat and searched with grep.
//
//   {"kind": "target", "hash": H, "target": {…}}                        before the first line that names H
//   {"kind": "run", "run": ID, "target": H, "command": …, "options": …, "state": …, "started_unix_ms": …, "ended_unix_ms": …}
//   {"kind": "measurement", "run": ID, "target": H, "measurement": {…}} see measurement_json.h
//
// Nothing is lost: numbers are written so that they read back to the last bit. uids are not written; they follow from the content.
#include <fmt/format.h>

#include <istream>
#include <ostream>
#include <set>

#include "core/json_mistake.h"
#include "db/exchange.h"
#include "db/foreign_json.h"
#include "db/import_lines.h"
#include "db/measurement_json.h"

namespace lathe {
namespace {

using Json = nlohmann::ordered_json;

Result<Target> TargetNamed(const std::map<std::string, Target>& targets, const std::string& hash) {
  const auto found = targets.find(hash);
  if (found == targets.end())
    return Error{ErrorCode::kInvalidInput, fmt::format("target '{}' has no line of its own before this one", hash)};
  return found->second;
}

Status TakeLine(RecordWriter& writer, const Json& line, std::map<std::string, Target>& targets, ImportReport& report) {
  const std::string kind = line.at("kind").get<std::string>();
  if (kind == "target") {
    Result<Target> target = TargetFromJson(nlohmann::json(line.at("target")));
    if (!target) return target.error();
    const std::string hash = line.at("hash").get<std::string>();
    if (target->FingerprintHash() != hash)
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("the target's hash is {}, not the {} that the line claims", target->FingerprintHash(), hash)};
    targets.insert_or_assign(hash, *target);
    if (Result<int64_t> added = writer.AddTarget(*target); !added) return added.error();
    return {};
  }
  if (kind == "run") {
    Result<Target> target = TargetNamed(targets, line.at("target").get<std::string>());
    if (!target) return target.error();
    RunRecord run{.id = line.at("run").get<std::string>(),
                  .command = line.at("command").get<std::string>(),
                  .options = nlohmann::json(line.at("options")),
                  .state = line.at("state").get<std::string>(),
                  .started_unix_ms = line.at("started_unix_ms").get<int64_t>()};
    if (const Json& ended = line.at("ended_unix_ms"); !ended.is_null()) run.ended_unix_ms = ended.get<int64_t>();
    if (Result<int64_t> added = writer.AddRun(run, *target); !added) return added.error();
    return {};
  }
  if (kind == "measurement") {
    Result<Target> target = TargetNamed(targets, line.at("target").get<std::string>());
    if (!target) return target.error();
    Result<Measurement> measurement = MeasurementFromJson(line.at("measurement"));
    if (!measurement) return measurement.error();
    const std::string run = line.at("run").get<std::string>();
    Result<bool> known = writer.HasRun(run);
    if (!known) return known.error();
    if (!*known) return Error{ErrorCode::kInvalidInput, fmt::format("run '{}' has no line of its own before this one", run)};
    return AddImported(writer, *measurement, run, target->FingerprintHash(), report);
  }
  return Error{ErrorCode::kInvalidInput, fmt::format("no line is of the kind '{}'", kind)};
}

}  // namespace

Result<ImportReport> ImportNative(TuningLog& log, std::istream& in, const ImportOptions& options) {
  std::map<std::string, Target> targets;
  return ImportLines(log, in, options, [&targets](RecordWriter& writer, const std::string& line, ImportReport& report) -> Status {
    try {
      Result<Json> json = ParseForeignJson(line);
      if (!json) return json.error();
      return TakeLine(writer, *json, targets, report);
    } catch (const nlohmann::json::exception& failure) {
      return Error{ErrorCode::kInvalidInput, JsonMistake(failure)};
    }
  });
}

Result<int64_t> ExportNative(TuningLog& log, const LogFilter& filter, std::ostream& out) {
  Result<std::vector<Target>> targets = log.Targets();
  if (!targets) return targets.error();
  Result<std::vector<RunRecord>> runs = log.Runs();
  if (!runs) return runs.error();
  // Only what the measurements that pass the filter refer to.
  std::set<std::string> used_targets, used_runs;
  Status scanned = log.ForEach(filter, [&](const LoggedMeasurement& row) {
    used_targets.insert(row.target_hash);
    used_runs.insert(row.run_id);
    return true;
  });
  if (!scanned) return scanned.error();
  for (const RunRecord& run : *runs)
    if (used_runs.count(run.id) != 0) used_targets.insert(run.target_hash);
  for (const Target& target : *targets)
    if (const std::string hash = target.FingerprintHash(); used_targets.count(hash) != 0)
      out << Dump({{"kind", "target"}, {"hash", hash}, {"target", ToJson(target)}}) << '\n';
  for (auto run = runs->rbegin(); run != runs->rend(); ++run)
    if (used_runs.count(run->id) != 0)
      out << Dump({{"kind", "run"},
                   {"run", run->id},
                   {"target", run->target_hash},
                   {"command", run->command},
                   {"options", run->options},
                   {"state", run->state},
                   {"started_unix_ms", run->started_unix_ms},
                   {"ended_unix_ms", run->ended_unix_ms ? Json(*run->ended_unix_ms) : Json(nullptr)}})
          << '\n';
  int64_t written = 0;
  Status read = log.ForEach(filter, [&](const LoggedMeasurement& row) {
    // A row that another process added since the scan would name things without a line.
    if (used_targets.count(row.target_hash) == 0 || used_runs.count(row.run_id) == 0) return true;
    out << Dump({{"kind", "measurement"},
                 {"run", row.run_id},
                 {"target", row.target_hash},
                 {"measurement", MeasurementToJson(row.measurement)}})
        << '\n';
    ++written;
    return static_cast<bool>(out);
  });
  if (!read) return read.error();
  if (!out.flush()) return Error{ErrorCode::kUnavailable, "export the tuning log: the output could not be written; is the disk full?"};
  return written;
}

}  // namespace lathe
