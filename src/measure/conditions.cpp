#include "measure/conditions.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>

namespace lathe {
namespace fs = std::filesystem;
namespace {

double Number(const fs::path& file, double otherwise = -1) {
  std::ifstream in(file);
  double value = otherwise;
  return in >> value ? value : otherwise;
}

std::string Text(const fs::path& file) {
  std::ifstream in(file);
  std::string word;
  in >> word;
  return word;
}

// Zones whose engine is off say -256 C or nothing at all; the TX2's PMIC-Die says 100 C for ever.
bool IsTemperature(double celsius) { return celsius > -50 && celsius < 200; }

// user nice system idle iowait irq softirq steal: the eighth column of "cpuN".
double StealSeconds(const fs::path& stat, const std::vector<int>& cpus) {
  std::ifstream in(stat);
  double ticks = -1;
  for (std::string line; std::getline(in, line) && line.rfind("cpu", 0) == 0;) {
    if (line.size() < 4 || line[3] == ' ') continue;
    std::istringstream fields(line.substr(3));
    int cpu = 0;
    double value = 0;
    fields >> cpu;
    for (int i = 0; i < 8; ++i) fields >> value;
    if (fields && std::find(cpus.begin(), cpus.end(), cpu) != cpus.end()) ticks = std::max(0.0, ticks) + value;
  }
  return ticks < 0 ? -1 : ticks / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

}  // namespace

ConditionReader::ConditionReader(std::vector<int> cpus, const fs::path& root) : root_(root), cpus_(std::move(cpus)) {
  std::error_code failure;
  for (const int cpu : cpus_) {
    const fs::path dir = root / fmt::format("sys/devices/system/cpu/cpu{}", cpu);
    if (const fs::path file = dir / "cpufreq/scaling_cur_freq"; fs::exists(file, failure)) frequencies_.push_back(file);
    if (const fs::path file = dir / "thermal_throttle/core_throttle_count"; fs::exists(file, failure)) throttles_.push_back(file);
    if (const fs::path file = dir / "cpufreq/scaling_governor"; governor_.empty() && fs::exists(file, failure)) governor_ = file;
  }
  for (const auto& zone : fs::directory_iterator(root / "sys/class/thermal", failure))
    if (zone.path().filename().string().rfind("thermal_zone", 0) == 0 && Text(zone.path() / "type") != "PMIC-Die")
      temperatures_.push_back(zone.path() / "temp");
  // Orin and later count over-current throttling here, as cumulative events.
  for (const auto& hwmon : fs::directory_iterator(root / "sys/class/hwmon", failure))
    if (Text(hwmon.path() / "name") == "soctherm_oc")
      for (int i = 1; i <= 3; ++i) throttles_.push_back(hwmon.path() / fmt::format("oc{}_event_cnt", i));
  for (const auto& device : fs::directory_iterator(root / "sys/class/devfreq", failure)) {
    const std::string name = device.path().filename().string();
    for (const char* gpu : {"gp10b", "gv11b", "gpu", "mali"})
      if (name.find(gpu) != std::string::npos) gpu_ = device.path() / "cur_freq";
  }
}

Conditions ConditionReader::Read() const {
  Conditions now;
  now.load = Number(root_ / "proc/loadavg");
  now.steal_seconds = StealSeconds(root_ / "proc/stat", cpus_);
  for (const fs::path& file : frequencies_)
    if (const double mhz = Number(file) / 1000; mhz > 0) now.mhz = now.mhz < 0 ? mhz : std::min(now.mhz, mhz);
  for (const fs::path& file : temperatures_)
    if (const double celsius = Number(file, -1e6) / 1000; IsTemperature(celsius)) now.temperature_c = std::max(now.temperature_c, celsius);
  for (const fs::path& file : throttles_)
    if (const double count = Number(file); count >= 0) now.throttle_count = std::max(0.0, now.throttle_count) + count;
  if (!gpu_.empty()) now.gpu_mhz = Number(gpu_, -1e6) / 1e6;
  if (!governor_.empty()) now.governor = Text(governor_);
  // "pmode:0002", with or without a name behind it.
  if (const std::string mode = Text(root_ / "var/lib/nvpmodel/status"); mode.rfind("pmode:", 0) == 0) now.power_mode = mode.substr(6);
  return now;
}

void Describe(const Conditions& before, const Conditions& after, std::map<std::string, std::string>& into) {
  const auto both = [&](const char* name, double first, double second) {
    if (first >= 0) into[fmt::format("{}_before", name)] = fmt::format("{:.6g}", first);
    if (second >= 0) into[fmt::format("{}_after", name)] = fmt::format("{:.6g}", second);
  };
  both("load", before.load, after.load);
  both("mhz", before.mhz, after.mhz);
  both("gpu_mhz", before.gpu_mhz, after.gpu_mhz);
  both("temperature_c", before.temperature_c, after.temperature_c);
  if (!after.power_mode.empty()) into["power_mode"] = after.power_mode;
  if (!after.governor.empty()) into["governor"] = after.governor;
  if (before.throttle_count >= 0 && after.throttle_count > before.throttle_count)
    into["throttled"] = fmt::format("{:.0f}", after.throttle_count - before.throttle_count);
  if (before.steal_seconds >= 0 && after.steal_seconds > before.steal_seconds)
    into["steal_ms"] = fmt::format("{:.0f}", 1000 * (after.steal_seconds - before.steal_seconds));
}

void Describe(const worker::GpuConditions& before, const worker::GpuConditions& after, std::map<std::string, std::string>& into) {
  const auto both = [&](const char* name, double first, double second) {
    if (first > 0) into[fmt::format("gpu_{}_before", name)] = fmt::format("{:.6g}", first);
    if (second > 0) into[fmt::format("gpu_{}_after", name)] = fmt::format("{:.6g}", second);
  };
  both("mhz", before.mhz, after.mhz);
  both("memory_mhz", before.memory_mhz, after.memory_mhz);
  both("temperature_c", before.temperature_c, after.temperature_c);
  both("watts", before.milliwatts / 1e3, after.milliwatts / 1e3);
  // NVML's bits. A power limit is how many boards run all the time; heat and a weak supply come and go.
  struct Reason {
    uint64_t bit;
    const char* name;
    bool throttles;
  };
  constexpr Reason kReasons[] = {{0x2, "set", false},  {0x4, "power_limit", false}, {0x8, "slowdown", true},
                                 {0x20, "heat", true}, {0x40, "heat", true},        {0x80, "power_brake", true}};
  std::string names;
  for (const Reason& reason : kReasons) {
    if (((before.clock_reasons | after.clock_reasons) & reason.bit) == 0) continue;
    if (names.find(reason.name) == std::string::npos) names += (names.empty() ? "" : ",") + std::string(reason.name);
    if (reason.throttles) into["throttled"] = "1";
  }
  if (!names.empty()) into["gpu_clock_reasons"] = names;
}

}  // namespace lathe
