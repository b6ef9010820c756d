#include "rpc/agent/flag_rules.h"

#include <fmt/format.h>

#include <regex>

namespace lathe {

Status CheckFlags(const std::vector<std::string>& flags) {
  constexpr size_t kMost = 64;
  // Nothing with a slash, so no file can be named but a header of the system, and none of the families that read, write or load files.
  static const std::regex allowed(R"(-(f|m|O|D|U|W|std=|cl-|pthread|g)[A-Za-z0-9_=+.,()\-]{0,120})");
  static const std::regex refused(
      R"(-(f(plugin|profile|dump|save|file|debug-prefix|macro-prefix|auto-profile|module|opt-info|stack-usage|sanitize|lto|use-ld|self|diagnostics|callgraph|test-coverage|record).*|W[lap],.*|dumpbase.*|g?split.*|gen-.*|mrelocation.*))");
  static const std::regex header(R"([A-Za-z0-9_]+(/[A-Za-z0-9_]+)?\.h)");
  if (flags.size() > kMost)
    return Error{ErrorCode::kInvalidInput, fmt::format("{} compiler flags: a template may have {}", flags.size(), kMost)};
  for (size_t i = 0; i < flags.size(); ++i) {
    if (flags[i] == "-include" && i + 1 < flags.size() && flags[i + 1].size() < 64 && std::regex_match(flags[i + 1], header)) {
      ++i;
      continue;
    }
    if (flags[i].size() > 128 || !std::regex_match(flags[i], allowed) || std::regex_match(flags[i], refused))
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("the compiler flag '{:.40}' is not one that this board lets a client use", flags[i])};
  }
  return {};
}

}  // namespace lathe
