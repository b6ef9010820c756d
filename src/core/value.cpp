#include "core/value.h"

#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>

namespace lathe {

const Value* Find(const NamedValues& values, const std::string& name) {
  for (const auto& [key, value] : values)
    if (key == name) return &value;
  return nullptr;
}

std::string ToString(const Value& value) {
  if (const auto* integer = std::get_if<int64_t>(&value)) return std::to_string(*integer);
  if (const auto* real = std::get_if<double>(&value)) {
    std::string text = fmt::format("{}", *real);
    // A real number stays one when it is read back: 2 would become an integer.
    if (text.find_first_of(".en") == std::string::npos) text += ".0";
    return text;
  }
  return std::get<std::string>(value);
}

Value ParseValue(const std::string& text) {
  const char* end = text.data() + text.size();
  int64_t integer = 0;
  if (auto [rest, failure] = std::from_chars(text.data(), end, integer); failure == std::errc() && rest == end) return integer;
  double real = 0;
  if (auto [rest, failure] = std::from_chars(text.data(), end, real); failure == std::errc() && rest == end) return real;
  return text;
}

nlohmann::json ToJson(const Value& value) {
  return std::visit([](const auto& held) { return nlohmann::json(held); }, value);
}

Result<Value> ValueFromJson(const nlohmann::json& json) {
  if (json.is_boolean()) return Value(int64_t{json.get<bool>() ? 1 : 0});
  if (json.is_number_integer()) return Value(json.get<int64_t>());
  if (json.is_number_float()) return Value(json.get<double>());
  if (json.is_string()) return Value(json.get<std::string>());
  return Error{ErrorCode::kInvalidInput, fmt::format("expected a number, true, false or a name, found {}", json.dump())};
}

std::string ToString(const NamedValues& values) {
  std::string text;
  for (const auto& [name, value] : values) {
    if (!text.empty()) text += ',';
    text += name + '=' + ToString(value);
  }
  return text;
}

Result<NamedValues> ParseNamedValues(const std::string& text) {
  NamedValues values;
  size_t begin = 0;
  while (begin < text.size()) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const std::string item = text.substr(begin, end - begin);
    const size_t equals = item.find('=');
    if (equals == std::string::npos || equals == 0)
      return Error{ErrorCode::kInvalidInput, fmt::format("expected name=value, found '{}' in '{}'", item, text)};
    values.emplace_back(item.substr(0, equals), ParseValue(item.substr(equals + 1)));
    begin = end + 1;
  }
  return values;
}

nlohmann::json ToJson(const NamedValues& values) {
  nlohmann::json object = nlohmann::json::object();
  for (const auto& [name, value] : values) object[name] = ToJson(value);
  return object;
}

Result<NamedValues> NamedValuesFromJson(const nlohmann::json& object) {
  if (!object.is_object()) return Error{ErrorCode::kInvalidInput, fmt::format("expected an object, found {}", object.dump())};
  NamedValues values;
  for (const auto& [name, json] : object.items()) {
    Result<Value> value = ValueFromJson(json);
    if (!value) return value.error().In(name);
    values.emplace_back(name, *value);
  }
  return values;
}

}  // namespace lathe
