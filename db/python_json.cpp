#include "db/python_json.h"

#include <string_view>

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

nlohmann::ordered_json ParsePythonJson(const std::string& text) { return nlohmann::ordered_json::parse(WithoutBareNonNumbers(text)); }

}  // namespace lathe
