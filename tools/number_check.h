// What numbers an option takes, in words: CLI11's own checks print the largest number there is, all 309 digits of it.
#pragma once

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string>

namespace lathe {

inline CLI::Validator WholeFromOne() {
  return CLI::Validator(
      [](const std::string& text) {
        uint64_t number = 0;
        const char* end = text.data() + text.size();
        const auto [stopped, failure] = std::from_chars(text.data(), end, number);
        const bool fits = failure == std::errc() && stopped == end && number > 0;
        return fits ? std::string() : fmt::format("'{}' is not a whole number from 1 up", text);
      },
      "");
}

inline CLI::Validator NumberThat(const char* is, bool (*holds)(double)) {
  return CLI::Validator(
      [is, holds](const std::string& text) {
        char* end = nullptr;
        const double number = std::strtod(text.c_str(), &end);
        const bool fits = end != text.c_str() && *end == '\0' && std::isfinite(number) && holds(number);
        return fits ? std::string() : fmt::format("'{}' is not a number {}", text, is);
      },
      "");
}
inline CLI::Validator NumberAboveZero() {
  return NumberThat("above 0", [](double number) { return number > 0; });
}
inline CLI::Validator NumberFromZero() {
  return NumberThat("from 0 up", [](double number) { return number >= 0; });
}

}  // namespace lathe
