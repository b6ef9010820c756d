#include "core/measurement.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <utility>

namespace lathe {
namespace {

constexpr std::array<std::pair<MeasureStatus, const char*>, 9> kNames = {{
    {MeasureStatus::kOk, "ok"},
    {MeasureStatus::kInvalidConfig, "invalid_config"},
    {MeasureStatus::kBuildError, "build_error"},
    {MeasureStatus::kBuildTimeout, "build_timeout"},
    {MeasureStatus::kLaunchError, "launch_error"},
    {MeasureStatus::kCrashed, "crashed"},
    {MeasureStatus::kRunTimeout, "run_timeout"},
    {MeasureStatus::kWrongResult, "wrong_result"},
    {MeasureStatus::kBoardLost, "board_lost"},
}};

}  // namespace

const char* ToString(MeasureStatus status) {
  for (const auto& [value, name] : kNames)
    if (value == status) return name;
  return "unknown";
}

std::optional<MeasureStatus> ParseMeasureStatus(const std::string& text) {
  for (const auto& [value, name] : kNames)
    if (text == name) return value;
  return std::nullopt;
}

double LowQuantile(std::vector<double> samples) {
  if (samples.empty()) return std::numeric_limits<double>::infinity();
  const auto at = samples.begin() + static_cast<std::ptrdiff_t>((samples.size() - 1) / 5);
  std::nth_element(samples.begin(), at, samples.end());
  return *at;
}

std::optional<double> Watts(const Measurement& measurement) {
  const auto found = measurement.conditions.find("watts");
  if (found == measurement.conditions.end()) return std::nullopt;
  double watts = 0;
  const char *begin = found->second.data(), *end = begin + found->second.size();
  const auto [stopped, failure] = std::from_chars(begin, end, watts);
  if (failure != std::errc() || stopped != end) return std::nullopt;
  return watts;
}

double Seconds(const Measurement& measurement) {
  return measurement.status == MeasureStatus::kOk ? LowQuantile(measurement.seconds) : std::numeric_limits<double>::infinity();
}

}  // namespace lathe
