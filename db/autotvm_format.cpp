// AutoTVM's tuning logs: JSON lines of input, config, result, as TVM 0.6 to 0.19 wrote them (and 0.1's short names).
//
//   {"input": [TARGET, TASK, ARGUMENTS, {}], "config": {"index": I, "code_hash": H, "entity": [[KNOB, KIND, VALUE], …]},
//    "result": [[SECONDS, …], ERROR_NUMBER, ALL_SECONDS, UNIX_SECONDS], "version": 0.2}
//
// What a task means is known to TVM only, so a row keeps its words: the operator is the task's name, arguments are attributes arg00, arg01,
// … in compact notation, a knob is a parameter. Such rows can be compared, ranked and exported again; they cannot be built here. Failures
// lost their messages before they came to us, and AutoTVM does not tell a crash from a refused launch.
#include <fmt/format.h>

#include <array>
#include <cmath>
#include <istream>
#include <ostream>

#include "core/json_mistake.h"
#include "db/compact_value.h"
#include "db/exchange.h"
#include "db/foreign_json.h"
#include "db/import_lines.h"
#include "db/measurement_json.h"

namespace lathe {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kTemplate = "autotvm";
constexpr const char* kUnversioned = "unversioned";
constexpr double kFailureCost = 1e9;  // what AutoTVM writes in place of times

// MeasureErrorNo, by number.
constexpr std::array kStatuses = {
    MeasureStatus::kOk,           MeasureStatus::kInvalidConfig, MeasureStatus::kBuildError,
    MeasureStatus::kBuildError,   MeasureStatus::kCrashed,       MeasureStatus::kWrongResult,
    MeasureStatus::kBuildTimeout, MeasureStatus::kRunTimeout,    MeasureStatus::kCrashed,
};

int ErrorNumber(MeasureStatus status) {
  switch (status) {
    case MeasureStatus::kLaunchError:
      return 4;
    case MeasureStatus::kBoardLost:
      return 8;
    default:
      break;
  }
  for (size_t i = 0; i < kStatuses.size(); ++i)
    if (kStatuses[i] == status) return static_cast<int>(i);
  return 8;
}

// "cuda -keys=cuda,gpu -arch=sm_87 -model=orin": the value after -NAME=.
std::string Option(const std::string& target, const std::string& name) {
  const std::string flag = " -" + name + "=";
  const size_t at = target.find(flag);
  if (at == std::string::npos) return {};
  const size_t begin = at + flag.size();
  return target.substr(begin, target.find(' ', begin) - begin);
}

Target TargetOf(const std::string& tvm_target) {
  const std::string kind = tvm_target.substr(0, tvm_target.find(' '));
  Target target;
  target.backend = kind == "llvm" ? "cpu" : kind == "cuda" || kind == "opencl" ? kind : "external";
  for (const char* option : {"arch", "mcpu", "mtriple"})
    if (target.architecture.empty()) target.architecture = Option(tvm_target, option);
  if (target.architecture.empty()) target.architecture = "unknown";
  target.name = Option(tvm_target, "model").empty() ? tvm_target : Option(tvm_target, "model");
  target.fingerprint["tvm_target"] = tvm_target;
  return target;
}

std::string TvmTargetOf(const Target& target) {
  const auto own = target.fingerprint.find("tvm_target");
  if (own != target.fingerprint.end()) return own->second;
  std::string model = target.name;
  for (char& c : model)
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '-';
  const std::string kind = target.backend == "cpu" ? "llvm" : target.backend;
  return fmt::format("{} -model={}", kind, model);
}

struct Record {
  std::string target, task;
  Json arguments, named_arguments, config, result;
};

Record Split(const Json& line) {
  if (line.contains("i")) {  // version 0.1
    const Json& input = line.at("i");
    const Json& config = input.at(5);
    return {input.at(0),
            input.at(1),
            input.at(2),
            input.at(3),
            {{"index", config.at("i")}, {"code_hash", config.at("c")}, {"entity", config.at("e")}},
            line.at("r")};
  }
  const Json& input = line.at("input");
  return {input.at(0), input.at(1), input.at(2), input.at(3), line.at("config"), line.at("result")};
}

Result<Workload> WorkloadOf(const Record& record, bool ours) {
  Workload workload{record.task, {}};
  const auto add = [&workload](const std::string& name, const Json& json) -> Status {
    Result<Value> value = CompactValue(json);
    if (!value) return value.error().In(name);
    workload.attributes.emplace_back(name, *std::move(value));
    return {};
  };
  size_t index = 0;
  for (const Json& argument : record.arguments) {
    // Our own export writes attributes as [NAME, VALUE].
    Status added = ours ? add(argument.at(0), argument.at(1)) : add(fmt::format("arg{:02}", index), argument);
    if (!added) return added.error();
    ++index;
  }
  if (record.named_arguments.is_object())
    for (const auto& [name, json] : record.named_arguments.items())
      if (Status added = add("kw_" + name, json); !added) return added.error();
  std::sort(workload.attributes.begin(), workload.attributes.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  return workload;
}

// A knob of kind "ot" (other) with a plain value is that value; the rest keep their kind: (sp (-1 4)).
Result<Value> ValueOf(const Json& knob) {
  const std::string kind = knob.at(1).get<std::string>();
  const Json& value = knob.at(2);
  if (kind == "ot" && !value.is_array()) return CompactValue(value);
  return CompactValue(Json::array({kind, value}));
}

Result<Measurement> MeasurementOf(const Json& line) {
  const Record record = Split(line);
  const Json lathe = line.value("lathe", Json::object());
  Measurement m;
  Result<Workload> workload = WorkloadOf(record, !lathe.empty());
  if (!workload) return workload.error();
  m.candidate.workload = *std::move(workload);
  m.candidate.template_name = lathe.value("template", kTemplate);
  const Json& code_hash = record.config.at("code_hash");
  m.candidate.template_hash = code_hash.is_string() ? code_hash.get<std::string>() : kUnversioned;
  for (const Json& knob : record.config.at("entity")) {
    Result<Value> value = ValueOf(knob);
    if (!value) return value.error().In(fmt::format("knob {}", Dump(knob)));
    m.candidate.config.emplace_back(knob.at(0).get<std::string>(), *std::move(value));
  }
  if (const Json& index = record.config.at("index"); index.is_number()) m.conditions["autotvm_index"] = index.dump();

  const auto number = record.result.at(1).get<int64_t>();
  if (number < 0 || number >= static_cast<int64_t>(kStatuses.size()))
    return Error{ErrorCode::kInvalidInput, fmt::format("AutoTVM has no error number {}", number)};
  m.status = kStatuses[static_cast<size_t>(number)];
  m.message = number == 0 ? "" : fmt::format("AutoTVM error {}", number);
  if (lathe.contains("status")) {
    const std::optional<MeasureStatus> status = ParseMeasureStatus(lathe["status"].get<std::string>());
    if (!status) return Error{ErrorCode::kInvalidInput, fmt::format("no status is called {}", Dump(lathe["status"]))};
    m.status = *status;
    m.message = lathe.value("message", m.message);
  }
  if (m.status == MeasureStatus::kOk) m.seconds = record.result.at(0).get<std::vector<double>>();
  for (const double seconds : m.seconds)
    if (seconds >= kFailureCost) return Error{ErrorCode::kInvalidInput, "a success with the cost that stands for failures"};
  m.run_seconds = record.result.at(2).get<double>();
  m.finished_unix_ms = std::llround(record.result.at(3).get<double>() * 1000);
  if (Status sound = CheckMeasurement(m); !sound) return sound.error();
  return m;
}

Result<Json> EntityOf(const Config& config) {
  Json entity = Json::array();
  for (const auto& [name, value] : config) {
    Result<Json> json = ExpandValue(value);
    const bool kind = json && json->is_array() && json->size() == 2 && (*json)[0].is_string();
    // A text that is not in compact notation is a category of ours.
    entity.push_back(kind ? Json::array({name, (*json)[0], (*json)[1]})
                          : Json::array({name, "ot", json ? *json : Json(std::get<std::string>(value))}));
  }
  return entity;
}

Result<Json> LineOf(const LoggedMeasurement& row, const Target& target) {
  const Measurement& m = row.measurement;
  const bool ours = m.candidate.template_name != kTemplate;
  Json arguments = Json::array(), named = Json::object();
  for (const auto& [name, value] : m.candidate.workload.attributes) {
    Result<Json> json = ExpandValue(value);
    const Json plain = json ? *json : Json(std::get<std::string>(value));
    if (ours)
      arguments.push_back(Json::array({name, plain}));
    else if (name.rfind("kw_", 0) == 0)
      named[name.substr(3)] = plain;
    else
      arguments.push_back(plain);
  }
  Result<Json> entity = EntityOf(m.candidate.config);
  if (!entity) return entity;
  const auto index = m.conditions.find("autotvm_index");
  const int64_t number = index == m.conditions.end() ? -1 : std::strtoll(index->second.c_str(), nullptr, 10);
  const bool unversioned = m.candidate.template_hash == kUnversioned;
  const Json costs = m.status == MeasureStatus::kOk ? Json(m.seconds) : Json::array({kFailureCost});
  Json line = {
      {"input", Json::array({TvmTargetOf(target), m.candidate.workload.operator_name, arguments, named})},
      {"config", {{"index", number}, {"code_hash", unversioned ? Json(nullptr) : Json(m.candidate.template_hash)}, {"entity", *entity}}},
      {"result",
       Json::array({costs, ErrorNumber(m.status), m.build_seconds + m.run_seconds, static_cast<double>(m.finished_unix_ms) / 1000})},
      {"version", 0.2}};
  // TVM reads past keys it does not know.
  if (ours) line["lathe"] = {{"template", m.candidate.template_name}, {"status", ToString(m.status)}, {"message", m.message}};
  return line;
}

}  // namespace

Result<ImportReport> ImportAutoTvm(TuningLog& log, std::istream& in, const ImportOptions& options) {
  return ImportLines(log, in, options, [](RecordWriter& writer, const std::string& text, ImportReport& report) -> Status {
    try {
      Result<Json> line = ParseForeignJson(text);
      if (!line) return line.error();
      Result<Measurement> measurement = MeasurementOf(*line);
      if (!measurement) return measurement.error();
      const Target target = TargetOf(Split(*line).target);
      // One run for each target, whatever file its lines came in: a second import finds the same rows.
      const RunRecord run{.id = "autotvm-" + target.FingerprintHash(),
                          .command = "import",
                          .options = {{"imported_from", "autotvm"}},
                          .state = "imported",
                          .started_unix_ms = measurement->finished_unix_ms,
                          .ended_unix_ms = measurement->finished_unix_ms};
      if (Result<int64_t> added = writer.AddRun(run, target); !added) return added.error();
      return AddImported(writer, *measurement, run.id, target.FingerprintHash(), report);
    } catch (const nlohmann::json::exception& failure) {
      return Error{ErrorCode::kInvalidInput, JsonMistake(failure)};
    }
  });
}

Result<int64_t> ExportAutoTvm(TuningLog& log, const LogFilter& filter, std::ostream& out) {
  Result<std::vector<Target>> targets = log.Targets();
  if (!targets) return targets.error();
  std::map<std::string, const Target*> by_hash;
  for (const Target& target : *targets) by_hash[target.FingerprintHash()] = &target;
  int64_t written = 0;
  Status failure;
  Status read = log.ForEach(filter, [&](const LoggedMeasurement& row) {
    const auto target = by_hash.find(row.target_hash);
    if (target == by_hash.end()) return true;  // another process added it since
    Result<Json> line = LineOf(row, *target->second);
    if (!line) {
      failure = line.error();
      return false;
    }
    out << Dump(*line) << '\n';
    ++written;
    return static_cast<bool>(out);
  });
  if (!read) return read.error();
  if (!failure) return failure.error();
  if (!out.flush()) return Error{ErrorCode::kUnavailable, "export the tuning log: the output could not be written; is the disk full?"};
  return written;
}

}  // namespace lathe
