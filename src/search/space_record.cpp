#include "search/space_record.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/file.h"
#include "search/gzip_file.h"
#include "search/point_set.h"

namespace lathe {
namespace {

constexpr size_t kMostSamples = 32;  // of each configuration; the columns ms_0 … ms_31

// Whether `name` stands in the expression as a word of its own.
bool Mentions(const std::string& expression, const std::string& name) {
  const auto part = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.'; };
  for (size_t at = expression.find(name); at != std::string::npos; at = expression.find(name, at + 1)) {
    const size_t end = at + name.size();
    if ((at == 0 || !part(expression[at - 1])) && (end == expression.size() || !part(expression[end]))) return true;
  }
  return false;
}

nlohmann::ordered_json HeaderJson(const SpaceRecordHeader& header, const Space& space) {
  nlohmann::ordered_json json = {{"id", header.id},
                                 {"kernel", header.workload.operator_name + '/' + header.template_name},
                                 {"workload", header.workload.Key()},
                                 {"label", header.operator_label},
                                 {"template_hash", header.template_hash},
                                 {"device", header.target.Key()},
                                 {"source", "recorded with `lathe record`"},
                                 {"objective", "time_ms"},
                                 {"statistic", "20 % quantile of the samples"},
                                 {"direction", "minimise"},
                                 {"complete", true}};
  nlohmann::ordered_json names = nlohmann::ordered_json::array(), values = nlohmann::ordered_json::object();
  for (const Parameter& parameter : space.parameters()) {
    names.push_back(parameter.name);
    values[parameter.name] = nlohmann::ordered_json::array();
    for (const Value& value : parameter.values) values[parameter.name].push_back(nlohmann::ordered_json(ToJson(value)));
  }
  nlohmann::ordered_json numbers = nlohmann::ordered_json::object(), constraints = nlohmann::ordered_json::array();
  for (const Constraint& constraint : space.constraints()) constraints.push_back(constraint.require);
  for (const auto& [name, number] : space.definition().numbers) {
    const auto mentions = [&wanted = name](const Constraint& constraint) { return Mentions(constraint.require, wanted); };
    if (std::any_of(space.constraints().begin(), space.constraints().end(), mentions)) numbers[name] = number;
  }
  json["parameters"] = names;
  json["values"] = values;
  json["fixed_parameters"] = numbers;
  json["constraints"] = constraints;
  return json;
}

double Deviation(const std::vector<double>& samples) {
  double sum = 0, squares = 0;
  for (const double sample : samples) sum += sample;
  const auto count = static_cast<double>(samples.size());
  for (const double sample : samples) squares += (sample - sum / count) * (sample - sum / count);
  return samples.size() < 2 ? 0 : std::sqrt(squares / (count - 1));
}

}  // namespace

Result<SpaceDefinition> Narrowed(SpaceDefinition definition, const std::vector<std::string>& fixes) {
  for (const std::string& fix : fixes) {
    const size_t equals = fix.find('=');
    const auto wrong = [&](const std::string& reason) {
      return Error{ErrorCode::kInvalidInput, fmt::format("narrow space '{}' by '{}': {}", definition.id, fix, reason)};
    };
    if (equals == std::string::npos) return wrong("write PARAMETER=VALUE or PARAMETER=VALUE,VALUE");
    const std::string name = fix.substr(0, equals);
    const auto parameter = std::find_if(definition.parameters.begin(), definition.parameters.end(),
                                        [&](const Parameter& candidate) { return candidate.name == name; });
    if (parameter == definition.parameters.end()) return wrong(fmt::format("there is no parameter '{}'", name));
    std::vector<Value> kept;
    for (size_t at = equals + 1; at <= fix.size();) {
      const size_t comma = std::min(fix.find(',', at), fix.size());
      const std::string text = fix.substr(at, comma - at);
      const auto value = std::find_if(parameter->values.begin(), parameter->values.end(),
                                      [&](const Value& candidate) { return ToString(candidate) == text; });
      if (value == parameter->values.end()) return wrong(fmt::format("'{}' is not one of its values", text));
      kept.push_back(*value);
      at = comma + 1;
    }
    parameter->values = std::move(kept);
  }
  return definition;
}

Result<SpaceRecordSummary> WriteSpaceRecord(const std::filesystem::path& stem, const SpaceRecordHeader& header, const Space& space,
                                            const std::vector<Measurement>& measurements) {
  const std::string doing = fmt::format("record space '{}'", stem.string());
  PointMap<const Measurement*> known;
  for (const Measurement& measurement : measurements) {
    const Result<Point> point = space.PointOf(measurement.candidate.config);
    if (point) known[*point] = &measurement;
  }
  std::string rows, samples;
  for (const Parameter& parameter : space.parameters()) rows += parameter.name + ',';
  samples = rows;
  rows += "time_ms,std_ms,error,compile_ms,bench_ms\n";
  for (size_t i = 0; i < kMostSamples; ++i) samples += fmt::format("ms_{}{}", i, i + 1 < kMostSamples ? "," : "\n");

  SpaceRecordSummary summary;
  std::vector<double> worked;
  size_t missing = 0;
  nlohmann::ordered_json optimum;
  space.ForEach([&](const Point& point) {
    const auto found = known.find(point);
    if (found == known.end()) {
      ++missing;
      return true;
    }
    const Measurement& measurement = *found->second;
    std::string values;
    for (const auto& [name, value] : space.ConfigAt(point)) values += ToString(value) + ',';
    const bool ok = measurement.status == MeasureStatus::kOk;
    const bool built = measurement.status != MeasureStatus::kBuildError && measurement.status != MeasureStatus::kBuildTimeout;
    rows += values;
    if (ok) rows += fmt::format("{:.6g},{:.3g},", 1e3 * Seconds(measurement), 1e3 * Deviation(measurement.seconds));
    if (!ok) rows += built ? ",,runtime" : ",,compile";
    rows += fmt::format(",{:.4g},{:.4g}\n", 1e3 * measurement.build_seconds, 1e3 * measurement.run_seconds);
    ++summary.rows;
    if (!ok) return true;
    const double seconds = Seconds(measurement);
    if (worked.empty() || seconds < summary.optimum_seconds) {
      summary.optimum_seconds = seconds;
      optimum = nlohmann::ordered_json(ToJson(space.ConfigAt(point)));
    }
    worked.push_back(seconds);
    samples += values;
    for (size_t i = 0; i < kMostSamples; ++i) {
      if (i < measurement.seconds.size()) samples += fmt::format("{:.5g}", 1e3 * measurement.seconds[i]);
      samples += i + 1 < kMostSamples ? ',' : '\n';
    }
    return true;
  });
  if (missing > 0) {
    return Error{ErrorCode::kNotFound,
                 fmt::format("{}: {} of {} configurations were not measured yet", doing, missing, missing + summary.rows)};
  }
  if (worked.empty()) return Error{ErrorCode::kNotFound, doing + ": no configuration worked"};
  std::sort(worked.begin(), worked.end());
  summary.worked = worked.size();
  summary.median_seconds = worked[worked.size() / 2];
  nlohmann::ordered_json json = HeaderJson(header, space);
  json["n_configs"] = summary.rows;
  json["n_valid"] = summary.worked;
  json["optimum_ms"] = 1e3 * summary.optimum_seconds;
  json["optimum_config"] = optimum;
  json["median_ms"] = 1e3 * summary.median_seconds;
  if (Status written = WriteFile(stem.string() + ".json", json.dump(1) + '\n'); !written) return written.error().In(doing);
  if (Status written = WriteGzipFile(stem.string() + ".csv.gz", rows); !written) return written.error().In(doing);
  if (Status written = WriteGzipFile(stem.string() + ".samples.csv.gz", samples); !written) return written.error().In(doing);
  return summary;
}

}  // namespace lathe
