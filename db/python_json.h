// JSON as Python's json module writes it: NaN, Infinity and -Infinity stand bare, which no JSON reader takes.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace lathe {

// The same text with those three replaced by null, outside of strings.
std::string WithoutBareNonNumbers(const std::string& text);

// Throws nlohmann::json::parse_error.
nlohmann::ordered_json ParsePythonJson(const std::string& text);

}  // namespace lathe
