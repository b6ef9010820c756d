#include "search/objective.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <limits>
#include <numeric>

namespace lathe {
namespace {

constexpr const char* kCapPrefix = "time@";

double Mean(const std::vector<double>& samples) {
  if (samples.empty()) return std::numeric_limits<double>::infinity();
  return std::accumulate(samples.begin(), samples.end(), 0.0) / static_cast<double>(samples.size());
}

}  // namespace

Objective::Objective(Kind kind, double cap) : kind_(kind), cap_watts_(cap) {
  if (kind == Kind::kTime || kind == Kind::kTimeUnderCap)
    statistic = LowQuantile;
  else
    statistic = Mean;
}

Result<Objective> Objective::Parse(const std::string& text) {
  if (text == "time") return Objective(Kind::kTime, 0);
  if (text == "energy") return Objective(Kind::kEnergy, 0);
  if (text == "edp") return Objective(Kind::kEnergyDelay, 0);
  if (text.rfind(kCapPrefix, 0) == 0) {
    const char *begin = text.data() + std::char_traits<char>::length(kCapPrefix), *end = text.data() + text.size();
    double watts = 0;
    const auto [stopped, failure] = std::from_chars(begin, end, watts);
    if (failure == std::errc() && stopped == end && std::isfinite(watts) && watts > 0) return Objective(Kind::kTimeUnderCap, watts);
  }
  return Error{ErrorCode::kInvalidInput, fmt::format("objective '{}' is none of time, energy, edp, time@WATTS (time@15)", text)};
}

std::string Objective::Text() const {
  switch (kind_) {
    case Kind::kTime:
      return "time";
    case Kind::kEnergy:
      return "energy";
    case Kind::kEnergyDelay:
      return "edp";
    case Kind::kTimeUnderCap:
      break;
  }
  return fmt::format("{}{}", kCapPrefix, cap_watts_);
}

std::optional<double> Objective::power_cap() const { return kind_ == Kind::kTimeUnderCap ? std::optional(cap_watts_) : std::nullopt; }

const char* Objective::unit() const { return kind_ == Kind::kEnergy ? "J" : kind_ == Kind::kEnergyDelay ? "Js" : "s"; }

bool Objective::Knows(const Measurement& measurement) const {
  if (measurement.status != MeasureStatus::kOk || kind_ == Kind::kTime) return true;
  return kind_ == Kind::kTimeUnderCap ? Watts(measurement).has_value() : measurement.joules.has_value();
}

std::vector<double> Objective::Samples(const Measurement& measurement) const {
  if (measurement.status != MeasureStatus::kOk || measurement.seconds.empty() || !Knows(measurement)) return {};
  switch (kind_) {
    case Kind::kTime:
      return measurement.seconds;
    case Kind::kEnergy:
      return {*measurement.joules};
    case Kind::kEnergyDelay:
      return {*measurement.joules * Seconds(measurement)};
    case Kind::kTimeUnderCap:
      break;
  }
  return *Watts(measurement) <= cap_watts_ ? measurement.seconds : std::vector<double>();
}

double Objective::operator()(const Measurement& measurement) const {
  const std::vector<double> samples = Samples(measurement);
  return samples.empty() ? std::numeric_limits<double>::infinity() : statistic(samples);
}

}  // namespace lathe
