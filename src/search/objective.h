// Objective: what a run makes small.
//
//     time       seconds of a run                                  samples: every one that was timed
//     energy     joules of a run beyond idling                     one sample a measurement: the stretch that the power rails saw
//     edp        joules times seconds, the energy-delay product    likewise
//     time@W     seconds, of candidates under which the board draws at most W watts, idling included
//
// A measurement that says nothing of power (taken for another objective, or the sensor failed) is unknown to the last three: it is neither
// good nor bad, and is measured again.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/measurement.h"
#include "core/result.h"

namespace lathe {

class Objective {
 public:
  Objective() : Objective(Kind::kTime, 0) {}
  static Result<Objective> Parse(const std::string& text);

  std::string Text() const;  // as Parse reads it
  bool is_time() const { return kind_ == Kind::kTime; }
  bool needs_power() const { return kind_ != Kind::kTime; }
  std::optional<double> power_cap() const;  // watts
  const char* unit() const;                 // "s", "J", "Js"

  // Whether the measurement says anything about it. Failures do.
  bool Knows(const Measurement& measurement) const;
  // What is compared; empty unless the candidate worked, is known, and stays under the cap.
  std::vector<double> Samples(const Measurement& measurement) const;
  // Of the samples together: their low quantile for times, on which noise only ever adds; the mean for joules, on which it does not.
  std::function<double(const std::vector<double>&)> statistic;
  // Infinity when there are no samples.
  double operator()(const Measurement& measurement) const;

 private:
  enum class Kind { kTime, kEnergy, kEnergyDelay, kTimeUnderCap };
  Objective(Kind kind, double cap);

  Kind kind_;
  double cap_watts_;
};

}  // namespace lathe
