// JSON that somebody else wrote: a file to import, a row that may have been edited.
//
// Python's json module writes NaN, Infinity and -Infinity bare, which no JSON reader takes. And a text of a million brackets parses, but
// whoever walks it by recursion, as printing it in an error message does, runs out of stack: such a text is refused.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "core/result.h"

namespace lathe {

// The same text with those three replaced by null, outside of strings.
std::string WithoutBareNonNumbers(const std::string& text);

// More than 64 brackets open at once.
bool NestedTooDeeply(const std::string& text);

// Takes Python's way of writing. kInvalidInput with the place of the mistake.
Result<nlohmann::ordered_json> ParseForeignJson(const std::string& text);

}  // namespace lathe
