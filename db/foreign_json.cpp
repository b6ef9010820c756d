#include "db/foreign_json.h"

#include <string_view>

#include "core/json_mistake.h"

namespace lathe {

std::string WithoutBareNonNumbers(const std::string& text) {
  std::string clean;
  clean.reserve(text.size());
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string && c == '\\' && i + 1 < text.size()) {
      clean += c;
      clean += text[++i];
      continue;
    }
    if (c == '"') in_string = !in_string;
    bool replaced = false;
    if (!in_string && (c == 'N' || c == 'I' || c == '-'))
      for (const std::string_view word : {"NaN", "Infinity", "-Infinity"})
        if (!replaced && text.compare(i, word.size(), word) == 0) {
          clean += "null";
          i += word.size() - 1;
          replaced = true;
        }
    if (!replaced) clean += c;
  }
  return clean;
}

bool NestedTooDeeply(const std::string& text) {
  constexpr int kDeepest = 64;
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string && c == '\\') {
      ++i;
    } else if (c == '"') {
      in_string = !in_string;
    } else if (!in_string && (c == '[' || c == '{')) {
      if (++depth > kDeepest) return true;
    } else if (!in_string && (c == ']' || c == '}')) {
      --depth;
    }
  }
  return false;
}

Result<nlohmann::ordered_json> ParseForeignJson(const std::string& text) {
  if (NestedTooDeeply(text)) return Error{ErrorCode::kInvalidInput, "brackets are nested more than 64 deep"};
  try {
    // Few texts hold an N or an I outside of strings; the copy is made only where one may.
    const bool python = text.find("NaN") != std::string::npos || text.find("Infinity") != std::string::npos;
    return nlohmann::ordered_json::parse(python ? WithoutBareNonNumbers(text) : text);
  } catch (const nlohmann::json::exception& failure) {
    return Error{ErrorCode::kInvalidInput, JsonMistake(failure)};
  }
}

}  // namespace lathe
