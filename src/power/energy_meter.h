// EnergyMeter: what a stretch of work costs in joules, from rails that are sampled by a thread of their own.
//
// Sensors are coarse (an INA3221 updates every few ms and resolves some 40 mW), so a kernel of a millisecond is run in a loop of at least
// some 200 ms; the caller divides by the runs. What the board draws doing nothing is measured before and subtracted.
#pragma once

#include <atomic>
#include <chrono>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "power/power_rail.h"

namespace lathe {

// Joules of one rail from readings at increasing times: trapezoids under watts, differences of a counter across its wraps.
class RailIntegral {
 public:
  explicit RailIntegral(const PowerRail& rail) : RailIntegral(rail.kind(), rail.counter_range()) {}
  RailIntegral(PowerRail::Kind kind, double counter_range) : kind_(kind), counter_range_(counter_range) {}

  // `at`: seconds on any steady clock. A missing reading is bridged by its neighbours.
  void Add(double at, std::optional<double> reading);
  double joules() const { return joules_; }
  double seconds() const { return samples_ < 2 ? 0 : last_at_ - first_at_; }
  int samples() const { return samples_; }

 private:
  PowerRail::Kind kind_;
  double counter_range_;
  double joules_ = 0, first_at_ = 0, last_at_ = 0, last_ = 0;
  int samples_ = 0;
};

struct EnergyReading {
  double joules = 0;               // of the board rails together, what idling would have drawn included
  double seconds = 0;              // what it covers
  int samples = 0;                 // of the rail that has fewest
  std::vector<std::string> rails;  // which were added up: "ina3221 VDD_IN"
  double Watts() const { return seconds > 0 ? joules / seconds : 0; }
};

class EnergyMeter {
 public:
  // Takes the board's rails out of `rails`; without any there is no meter. `period`: between two looks at the sensors.
  static std::optional<EnergyMeter> Create(std::vector<PowerRail> rails, std::chrono::microseconds period = std::chrono::milliseconds(2));

  // Runs `work` while the rails are sampled. Not to be called twice at a time.
  template <typename Work>
  EnergyReading Measure(Work&& work) const {
    Sampler sampler(*this);
    work();
    return sampler.Stop();
  }
  // What the board draws while this thread sleeps.
  EnergyReading Idle(std::chrono::milliseconds span) const;

 private:
  class Sampler {
   public:
    explicit Sampler(const EnergyMeter& meter);
    ~Sampler();
    EnergyReading Stop();

   private:
    void Look();

    const EnergyMeter& meter_;
    std::vector<RailIntegral> integrals_;
    std::atomic<bool> stop_ = false;
    std::thread thread_;
  };

  EnergyMeter(std::vector<PowerRail> rails, std::chrono::microseconds period) : rails_(std::move(rails)), period_(period) {}

  std::vector<PowerRail> rails_;
  std::chrono::microseconds period_;
};

// Joules of one of `runs` runs beyond idling. Nothing when too few samples were seen to say, or when idling drew more (noise).
std::optional<double> JoulesPerRun(const EnergyReading& work, double idle_watts, double runs);

}  // namespace lathe
