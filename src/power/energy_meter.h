// EnergyMeter: what a stretch of work costs in joules, from rails that are sampled by a thread of their own.
//
// Sensors are coarse (an INA3221 updates every few ms and resolves some 40 mW), so a kernel of a millisecond is run in a loop of at least
// some 200 ms and the caller divides by the runs. The work may run in another process: readings carry steady-clock times, and the stretch
// is cut out of the trace afterwards. What the board draws doing nothing is measured before and subtracted.
#pragma once

#include <atomic>
#include <chrono>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "power/power_rail.h"

namespace lathe {

// One rail's readings at increasing times, in seconds of CLOCK_MONOTONIC (std::chrono::steady_clock).
class RailTrace {
 public:
  explicit RailTrace(const PowerRail& rail) : RailTrace(rail.kind(), rail.counter_range()) {}
  RailTrace(PowerRail::Kind kind, double counter_range) : kind_(kind), counter_range_(counter_range) {}

  // A missing reading is bridged by its neighbours.
  void Add(double at, std::optional<double> reading);
  // Trapezoids under watts, differences of a counter across its wraps; linear between readings. Nothing when the trace does not cover it.
  std::optional<double> JoulesBetween(double begin, double end) const;
  // Readings within the stretch: how well it is known.
  int SamplesBetween(double begin, double end) const;

 private:
  double CumulativeAt(double at) const;

  PowerRail::Kind kind_;
  double counter_range_;
  double last_reading_ = 0;
  std::vector<double> times_, readings_, cumulative_;  // readings only for watts; joules since the first reading
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

  // Samples from its making to Stop(), or to its end.
  class Watch {
   public:
    explicit Watch(const EnergyMeter& meter);
    ~Watch() { Stop(); }
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;

    void Stop();
    // After Stop(). Nothing when a rail was not seen throughout.
    std::optional<EnergyReading> Between(double begin, double end) const;

   private:
    void Look();

    const EnergyMeter& meter_;
    std::vector<RailTrace> traces_;
    std::atomic<bool> stop_ = false;
    std::thread thread_;
  };

  // What the board draws while this thread sleeps.
  std::optional<EnergyReading> Idle(std::chrono::milliseconds span) const;

 private:
  EnergyMeter(std::vector<PowerRail> rails, std::chrono::microseconds period) : rails_(std::move(rails)), period_(period) {}

  std::vector<PowerRail> rails_;
  std::chrono::microseconds period_;
};

// Joules of one of `runs` runs beyond idling. Nothing when too few samples were seen to say, or when idling drew more (noise).
std::optional<double> JoulesPerRun(const EnergyReading& work, double idle_watts, double runs);

}  // namespace lathe
