#include "core/json_mistake.h"

#include <fmt/format.h>

#include <array>
#include <string_view>
#include <utility>

namespace lathe {
namespace {

// The text between two marks, or from one to the end; empty where the first is missing.
std::string_view Between(std::string_view text, std::string_view from, std::string_view to) {
  const size_t begin = text.find(from);
  if (begin == std::string_view::npos) return {};
  text.remove_prefix(begin + from.size());
  return to.empty() ? text : text.substr(0, text.find(to));
}

std::string InWords(std::string_view token) {
  constexpr std::array<std::pair<std::string_view, const char*>, 4> kWords = {{{"end of input", "the end of the text"},
                                                                               {"string literal", "a text in double quotes"},
                                                                               {"number literal", "a number"},
                                                                               {"'[', '{', or a literal", "a value"}}};
  for (const auto& [name, words] : kWords)
    if (token == name) return words;
  return std::string(token);
}

}  // namespace

// The library writes "[json.exception.parse_error.101] parse error at line 1, column 4: syntax error while parsing array - unexpected
// number literal; expected ']'", and where its lexer gave up "… - invalid literal; last read: 'nul'; expected string literal".
std::string JsonMistake(const nlohmann::json::exception& failure) {
  std::string_view text = failure.what();
  if (const size_t bracket = text.find("] "); text.starts_with("[json.exception") && bracket != std::string_view::npos)
    text.remove_prefix(bracket + 2);
  const std::string_view place = Between(text, "parse error at ", ": ");
  const std::string_view context = Between(text, "syntax error while parsing ", " - ");
  const std::string_view detail = Between(text, " - ", "");
  if (place.empty() || context.empty() || detail.empty()) return std::string(text);
  const std::string_view unexpected = Between(detail, "unexpected ", "; ");
  std::string expected = InWords(Between(detail, "; expected ", ""));
  if ((context == "array" && expected == "']'") || (context == "object" && expected == "'}'")) expected = "',' or " + expected;
  std::string found;
  if (!unexpected.empty()) {
    found = "found " + InWords(unexpected);
  } else {
    const std::string_view read = Between(detail, "; last read: ", expected.empty() ? "" : "; expected ");
    found = fmt::format("{} in {}", detail.substr(0, detail.find("; last read")), read);
  }
  return fmt::format("{}: {}{}", place, found, expected.empty() ? "" : fmt::format(" where {} was expected", expected));
}

}  // namespace lathe
