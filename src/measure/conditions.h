// Conditions: what the machine was doing around a measurement. Everything is optional; a file that is not there is left out.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "measure/worker_protocol.h"

namespace lathe {

struct Conditions {
  double load = -1;            // one-minute load average
  double mhz = -1;             // slowest of the measuring CPUs, as the kernel reports it
  double temperature_c = -1;   // hottest thermal zone
  double throttle_count = -1;  // core throttle and over-current events so far, summed
  double steal_seconds = -1;   // taken from the measuring CPUs by other virtual machines so far
  double gpu_mhz = -1;         // of the integrated GPU
  std::string power_mode;      // Jetson's nvpmodel by number
  std::string governor;        // of the first measuring CPU
};

class ConditionReader {
 public:
  // Looks once for what this machine has below `root`. Reading costs some 50 us then.
  explicit ConditionReader(std::vector<int> cpus, const std::filesystem::path& root = "/");
  Conditions Read() const;

 private:
  std::filesystem::path root_;
  std::vector<int> cpus_;
  std::vector<std::filesystem::path> frequencies_, temperatures_, throttles_;
  std::filesystem::path gpu_, governor_;
};

// "load_before", "mhz_after", "temperature_c_before", …, "power_mode", "governor"; "throttled" and "steal_ms" where they
// rose.
void Describe(const Conditions& before, const Conditions& after, std::map<std::string, std::string>& into);

// "gpu_mhz_before", "gpu_watts_after", …, and "gpu_clock_reasons" in words; "throttled" where heat or the supply held the clock down.
void Describe(const worker::GpuConditions& before, const worker::GpuConditions& after, std::map<std::string, std::string>& into);

}  // namespace lathe
