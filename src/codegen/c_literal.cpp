#include "codegen/c_literal.h"

#include <fmt/format.h>

namespace lathe {

std::string CLiteral(const std::string& text) {
  std::string literal = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\' || c == '?')  // "??=" and its like were trigraphs before C++17
      (literal += '\\') += c;
    else if (byte < 0x20 || byte == 0x7f)
      literal += fmt::format("\\{:03o}", byte);  // three octal digits end by themselves, \x would swallow what follows
    else
      literal += c;
  }
  return literal + '"';
}

}  // namespace lathe
