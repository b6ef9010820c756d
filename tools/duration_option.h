// Options that take a span of time, in one way everywhere.
#pragma once

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdlib>
#include <string>

namespace lathe {

// "10m", "90s", "1.5h", "90": adds an option for a number of seconds. Zero is a span where `from_zero`.
inline CLI::Option* AddDuration(CLI::App& app, const std::string& name, double& seconds, const std::string& what, bool from_zero = false) {
  const auto to_seconds = [from_zero](std::string& text) {
    char* end = nullptr;
    const double number = std::strtod(text.c_str(), &end);
    const std::string unit = end;
    const double factor = unit.empty() || unit == "s" ? 1 : unit == "m" ? 60 : unit == "h" ? 3600 : 0;
    if (end == text.c_str() || factor == 0 || !std::isfinite(number) || number < 0 || (number == 0 && !from_zero))
      return fmt::format("'{}' is not a duration; write 90s, 10m or 1.5h", text);
    text = fmt::format("{}", number * factor);
    return std::string();
  };
  return app.add_option(name, seconds, what + " (10m, 90s, 2h; a bare number is seconds)")
      ->type_name("DURATION")
      ->transform(CLI::Validator(to_seconds, ""));
}

}  // namespace lathe
