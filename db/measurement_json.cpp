#include "db/measurement_json.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "core/hash.h"
#include "core/json_mistake.h"

namespace lathe {

using Json = nlohmann::ordered_json;

std::string Dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

std::string ValidUtf8(const std::string& text) {
  for (const char c : text)
    if (static_cast<unsigned char>(c) >= 0x80) return Json::parse(Dump(Json(text))).get<std::string>();
  return text;
}

Json NumberToJson(double number) {
  if (std::isnan(number)) return "nan";
  if (std::isinf(number)) return number > 0 ? "inf" : "-inf";
  return number;
}

double NumberFromJson(const Json& json) {
  if (json == "nan") return std::numeric_limits<double>::quiet_NaN();
  if (json == "inf") return std::numeric_limits<double>::infinity();
  if (json == "-inf") return -std::numeric_limits<double>::infinity();
  return json.get<double>();
}

Json NumbersToJson(const std::vector<double>& numbers) {
  Json array = Json::array();
  for (const double number : numbers) array.push_back(NumberToJson(number));
  return array;
}

Json NumbersToJson(const std::map<std::string, double>& numbers) {
  Json object = Json::object();
  for (const auto& [name, number] : numbers) object[ValidUtf8(name)] = NumberToJson(number);
  return object;
}

Json ConfigToJson(const Config& config) {
  Json object = Json::object();
  for (const auto& [name, value] : config) object[name] = std::visit([](const auto& held) { return Json(held); }, value);
  return object;
}

Result<Config> ConfigFromJson(const Json& json) {
  if (!json.is_object()) return Error{ErrorCode::kInvalidInput, fmt::format("expected an object, found {}", Dump(json))};
  Config config;
  for (const auto& [name, item] : json.items()) {
    Result<Value> value = ValueFromJson(nlohmann::json(item));
    if (!value) return value.error().In(name);
    config.emplace_back(name, *std::move(value));
  }
  return config;
}

Json MeasurementToJson(const Measurement& m) {
  Json conditions = Json::object();
  for (const auto& [name, text] : m.conditions) conditions[ValidUtf8(name)] = ValidUtf8(text);
  Json json = {{"operator", m.candidate.workload.operator_name},
               {"workload", ToJson(m.candidate.workload)["workload"]},
               {"template", m.candidate.template_name},
               {"template_hash", m.candidate.template_hash},
               {"config", ConfigToJson(m.candidate.config)},
               {"status", ToString(m.status)},
               {"message", ValidUtf8(m.message)},
               {"samples", NumbersToJson(m.seconds)},
               {"build_seconds", NumberToJson(m.build_seconds)},
               {"run_seconds", NumberToJson(m.run_seconds)},
               {"max_error", NumberToJson(m.max_error)},
               {"build_facts", NumbersToJson(m.build_facts)},
               {"conditions", std::move(conditions)},
               {"cut_early", m.cut_early},
               {"finished_unix_ms", m.finished_unix_ms},
               {"board", ValidUtf8(m.board)}};
  if (m.joules) json["joules"] = NumberToJson(*m.joules);
  return json;
}

namespace {

Result<Measurement> Read(const Json& json) {
  Measurement m;
  Result<Workload> workload =
      WorkloadFromJson({{"operator", json.at("operator").get<std::string>()}, {"workload", nlohmann::json(json.at("workload"))}});
  if (!workload) return workload.error();
  m.candidate.workload = *std::move(workload);
  m.candidate.template_name = json.at("template").get<std::string>();
  m.candidate.template_hash = json.at("template_hash").get<std::string>();
  Result<Config> config = ConfigFromJson(json.at("config"));
  if (!config) return config.error().In("config");
  m.candidate.config = *std::move(config);
  const std::string status = json.at("status").get<std::string>();
  const std::optional<MeasureStatus> parsed = ParseMeasureStatus(status);
  if (!parsed) return Error{ErrorCode::kInvalidInput, fmt::format("no status is called '{}'", status)};
  m.status = *parsed;
  m.message = json.value("message", "");
  if (const auto samples = json.find("samples"); samples != json.end())
    for (const Json& sample : *samples) m.seconds.push_back(NumberFromJson(sample));
  m.build_seconds = NumberFromJson(json.value("build_seconds", Json(0.0)));
  m.run_seconds = NumberFromJson(json.value("run_seconds", Json(0.0)));
  m.max_error = NumberFromJson(json.value("max_error", Json(0.0)));
  if (const auto joules = json.find("joules"); joules != json.end()) m.joules = NumberFromJson(*joules);
  if (const auto facts = json.find("build_facts"); facts != json.end())
    for (const auto& [name, number] : facts->items()) m.build_facts[name] = NumberFromJson(number);
  if (const auto conditions = json.find("conditions"); conditions != json.end())
    for (const auto& [name, text] : conditions->items()) m.conditions[name] = text.get<std::string>();
  m.cut_early = json.value("cut_early", false);
  m.finished_unix_ms = json.value("finished_unix_ms", int64_t{0});
  m.board = json.value("board", "");
  return m;
}

}  // namespace

Status CheckMeasurement(const Measurement& m) {
  if (m.candidate.workload.operator_name.empty()) return Error{ErrorCode::kInvalidInput, "the operator has no name"};
  if (m.candidate.template_name.empty()) return Error{ErrorCode::kInvalidInput, "the template has no name"};
  if (!std::isfinite(m.build_seconds) || !std::isfinite(m.run_seconds) || !std::isfinite(m.joules.value_or(0)))
    return Error{ErrorCode::kInvalidInput, "build_seconds, run_seconds or joules is not a finite number"};
  if (m.status != MeasureStatus::kOk) return {};
  if (m.seconds.empty()) return Error{ErrorCode::kInvalidInput, "status ok without a single sample"};
  for (const double sample : m.seconds)
    if (!std::isfinite(sample) || sample <= 0) return Error{ErrorCode::kInvalidInput, fmt::format("a sample of {} seconds", sample)};
  return {};
}

Result<Measurement> MeasurementFromJson(const Json& json) {
  try {
    Result<Measurement> measurement = Read(json);
    if (!measurement) return measurement;
    if (Status sound = CheckMeasurement(*measurement); !sound) return sound.error();
    return measurement;
  } catch (const nlohmann::json::exception& failure) {
    return Error{ErrorCode::kInvalidInput, JsonMistake(failure)};
  }
}

std::string MeasurementUid(const Json& measurement, const std::string& run_id, const std::string& target_hash) {
  return Sha256(run_id + '\n' + target_hash + '\n' + Dump(measurement)).substr(0, 32);
}

}  // namespace lathe
