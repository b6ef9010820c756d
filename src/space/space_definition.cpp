// The neutral format of recorded and brute-forced spaces, as JSON. Keys beyond these (counts, sources, notes) are left alone.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "space/space.h"

namespace lathe {
namespace {

Error Wrong(const std::string& key, const std::string& reason) {
  return Error{ErrorCode::kInvalidInput, fmt::format("read space definition: key '{}': {}", key, reason)};
}

// One parameter's list of values. `values` may hold parameters that are not listed: a recorded space may name only those it varied.
Result<Parameter> ReadParameter(const nlohmann::json& name, const nlohmann::json& values) {
  if (!name.is_string() || name.get<std::string>().empty())
    return Wrong("parameters", fmt::format("expected a parameter's name, found {}", name.dump()));
  Parameter parameter;
  parameter.name = name.get<std::string>();
  const auto list = values.find(parameter.name);
  const std::string key = "values." + parameter.name;
  if (list == values.end()) return Wrong(key, fmt::format("parameter '{}' has no list of values", parameter.name));
  if (!list->is_array() || list->empty()) return Wrong(key, fmt::format("expected a list of values, found {}", list->dump()));
  for (const nlohmann::json& item : *list) {
    Result<Value> value = ValueFromJson(item);
    if (!value) return Wrong(key, value.error().message);
    parameter.values.push_back(*std::move(value));
  }
  return parameter;
}

}  // namespace

Result<SpaceDefinition> SpaceDefinitionFromJson(const nlohmann::json& json) {
  if (!json.is_object())
    return Error{ErrorCode::kInvalidInput, "read space definition: expected a JSON object with 'parameters' and 'values'"};
  SpaceDefinition definition;
  if (const auto id = json.find("id"); id != json.end()) {
    if (!id->is_string()) return Wrong("id", fmt::format("expected a name, found {}", id->dump()));
    definition.id = id->get<std::string>();
  }

  const auto names = json.find("parameters");
  if (names == json.end()) return Wrong("parameters", "missing; expected a list of names");
  if (!names->is_array()) return Wrong("parameters", fmt::format("expected a list of names, found {}", names->dump()));
  const auto values = json.find("values");
  if (values == json.end()) return Wrong("values", "missing; expected an object with each parameter's list of values");
  if (!values->is_object()) return Wrong("values", fmt::format("expected an object, found {}", values->dump()));
  for (const nlohmann::json& name : *names) {
    Result<Parameter> parameter = ReadParameter(name, *values);
    if (!parameter) return parameter.error();
    definition.parameters.push_back(*std::move(parameter));
  }

  if (const auto constraints = json.find("constraints"); constraints != json.end()) {
    if (!constraints->is_array()) return Wrong("constraints", fmt::format("expected a list of expressions, found {}", constraints->dump()));
    for (const nlohmann::json& constraint : *constraints) {
      if (!constraint.is_string())
        return Wrong("constraints", fmt::format("expected an expression in quotes, found {}", constraint.dump()));
      definition.constraints.push_back({constraint.get<std::string>(), ""});
    }
  }

  if (const auto fixed = json.find("fixed_parameters"); fixed != json.end()) {
    if (!fixed->is_object()) return Wrong("fixed_parameters", fmt::format("expected an object, found {}", fixed->dump()));
    for (const auto& [name, value] : fixed->items()) {
      const std::string key = "fixed_parameters." + name;
      if (!value.is_number() && !value.is_boolean()) return Wrong(key, fmt::format("expected a number, found {}", value.dump()));
      const auto same_name = [&fixed_name = name](const Parameter& parameter) { return parameter.name == fixed_name; };
      if (std::any_of(definition.parameters.begin(), definition.parameters.end(), same_name))
        return Wrong(key, "is a parameter with a list of values too; keep one of the two");
      definition.numbers[name] = value.is_boolean() ? (value.get<bool>() ? 1.0 : 0.0) : value.get<double>();
    }
  }
  return definition;
}

}  // namespace lathe
