#include "core/workload.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace lathe {
namespace {

void SortByName(NamedValues& values) {
  std::sort(values.begin(), values.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
}

}  // namespace

std::string Workload::Key() const {
  NamedValues sorted = attributes;
  SortByName(sorted);
  return operator_name + ':' + ToString(sorted);
}

nlohmann::json ToJson(const Workload& workload) {
  return {{"operator", workload.operator_name}, {"workload", ToJson(workload.attributes)}};
}

Result<Workload> WorkloadFromJson(const nlohmann::json& json) {
  if (!json.is_object() || !json.contains("operator") || !json["operator"].is_string() || !json.contains("workload"))
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("a workload is {{\"operator\": NAME, \"workload\": {{ATTRIBUTE: VALUE, …}}}}, found {}", json.dump())};
  Result<NamedValues> attributes = NamedValuesFromJson(json["workload"]);
  if (!attributes) return attributes.error().In(fmt::format("workload of operator '{}'", json["operator"].get<std::string>()));
  Workload workload{json["operator"].get<std::string>(), *std::move(attributes)};
  SortByName(workload.attributes);
  return workload;
}

Result<Workload> ParseWorkload(const std::string& text) {
  const size_t colon = text.find_first_of(": ");  // a blank as tables print it
  if (colon == std::string::npos || colon == 0)
    return Error{ErrorCode::kInvalidInput, fmt::format("a workload reads OPERATOR:attribute=value,…; found '{}'", text)};
  Result<NamedValues> attributes = ParseNamedValues(text.substr(colon + 1));
  if (!attributes) return attributes.error().In(fmt::format("workload '{}'", text));
  Workload workload{text.substr(0, colon), *std::move(attributes)};
  SortByName(workload.attributes);
  return workload;
}

}  // namespace lathe
