#include "tools/lathe/table.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <string_view>

namespace lathe {
namespace {

// Characters, not bytes: cells hold "µs" and "×".
size_t Width(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

bool LooksLikeNumber(const std::string& text) {
  return text.empty() || text == "-" || std::isdigit(static_cast<unsigned char>(text.front())) != 0;
}

std::string ThreeDigits(double value) { return fmt::format("{:.{}f}", value, value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2); }

}  // namespace

std::string Table::Text() const {
  size_t columns = 0;
  for (const auto& row : rows_) columns = std::max(columns, row.size());
  std::vector<size_t> widths(columns, 0);
  std::vector<bool> right(columns, true);
  for (size_t r = 0; r < rows_.size(); ++r)
    for (size_t c = 0; c < rows_[r].size(); ++c) {
      widths[c] = std::max(widths[c], Width(rows_[r][c]));
      if (r > 0 && !LooksLikeNumber(rows_[r][c])) right[c] = false;
    }
  std::string text;
  for (const auto& row : rows_) {
    std::string line;
    for (size_t c = 0; c < row.size(); ++c) {
      const std::string padding(widths[c] - Width(row[c]), ' ');
      line += (c == 0 ? "" : "  ") + (right[c] ? padding + row[c] : row[c] + padding);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + '\n';
  }
  return text;
}

std::string FormatQuantity(double value, const char* unit) {
  if (!std::isfinite(value)) return "-";
  if (value < 999.5e-9) return ThreeDigits(value * 1e9) + " n" + unit;
  if (value < 999.5e-6) return ThreeDigits(value * 1e6) + " µ" + unit;
  if (value < 0.9995) return ThreeDigits(value * 1e3) + " m" + unit;
  return ThreeDigits(value) + " " + unit;
}

std::string FormatSeconds(double seconds) { return FormatQuantity(seconds, "s"); }

bool AddsUp(const char* unit) { return std::string_view(unit) != "Js"; }

std::string FormatRate(double per_second, const char* unit) {
  constexpr std::array<const char*, 5> kPrefixes = {"", "k", "M", "G", "T"};
  if (!std::isfinite(per_second) || per_second <= 0) return "-";
  size_t prefix = 0;
  for (; per_second >= 999.5 && prefix + 1 < kPrefixes.size(); ++prefix) per_second /= 1000;
  return fmt::format("{} {}{}/s", ThreeDigits(per_second), kPrefixes[prefix], unit);
}

std::string FormatSpan(double seconds) {
  if (!std::isfinite(seconds)) return "?";
  const auto whole = static_cast<int64_t>(std::llround(seconds));
  if (whole < 60) return fmt::format("{}s", whole);
  if (whole < 3600) return fmt::format("{}m{:02}s", whole / 60, whole % 60);
  return fmt::format("{}h{:02}m", whole / 3600, whole / 60 % 60);
}

std::string FormatTime(int64_t unix_ms) {
  return fmt::format("{:%Y-%m-%d %H:%M}", fmt::localtime(static_cast<std::time_t>(unix_ms / 1000)));
}

}  // namespace lathe
