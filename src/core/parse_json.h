// Reads a JSON text that a person wrote.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "core/result.h"

namespace lathe {

// Comments are allowed. A mistake is kInvalidInput in the words of json_mistake.h; the caller adds which text it is in.
Result<nlohmann::json> ParseJson(const std::string& text);

}  // namespace lathe
