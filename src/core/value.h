// Value: what an attribute or a parameter holds: an integer, a real number, or a name out of a list of choices.
// Truth values are the integers 0 and 1.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "core/result.h"

namespace lathe {

using Value = std::variant<int64_t, double, std::string>;

// An ordered list of named values; small, so look-up is a scan.
using NamedValues = std::vector<std::pair<std::string, Value>>;

// Null when absent.
const Value* Find(const NamedValues& values, const std::string& name);

// The shortest text that reads back as the same value: 3, 0.1, relu.
std::string ToString(const Value& value);
Value ParseValue(const std::string& text);

nlohmann::json ToJson(const Value& value);
Result<Value> ValueFromJson(const nlohmann::json& json);

// "name=value,name=value" in the order given; ParseNamedValues is its inverse.
std::string ToString(const NamedValues& values);
Result<NamedValues> ParseNamedValues(const std::string& text);

nlohmann::json ToJson(const NamedValues& values);  // an object; names sorted, as nlohmann::json does
Result<NamedValues> NamedValuesFromJson(const nlohmann::json& object);

}  // namespace lathe
