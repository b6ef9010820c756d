#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <set>

#include "power/power_rail.h"

namespace lathe {
namespace fs = std::filesystem;
namespace {

std::string FirstLine(const fs::path& file) {
  std::ifstream in(file);
  std::string line;
  std::getline(in, line);
  while (!line.empty() && (line.back() == '\n' || line.back() == ' ' || line.back() == '\0')) line.pop_back();
  return line;
}

// Sorted, so that rails come in the same order on every boot of the same kernel.
std::vector<fs::path> Children(const fs::path& dir, const std::string& prefix = "") {
  std::error_code failure;
  std::vector<fs::path> children;
  for (const auto& entry : fs::directory_iterator(dir, failure))
    if (entry.path().filename().string().rfind(prefix, 0) == 0) children.push_back(entry.path());
  std::sort(children.begin(), children.end());
  return children;
}

// "NC" is a channel that is not connected; "sum of shunt voltages" is no power.
bool IsNoRail(const std::string& label) { return label.empty() || label == "NC" || label.rfind("sum of", 0) == 0; }

void AddIfAnswering(std::vector<PowerRail>& rails, std::optional<PowerRail> rail) {
  if (rail) rails.push_back(*std::move(rail));
}

void AddIna3221(const fs::path& root, std::vector<PowerRail>& rails) {
  for (const fs::path& device : Children(root / "sys/bus/i2c/devices")) {
    if (FirstLine(device / "name").find("ina3221") == std::string::npos) continue;
    for (const fs::path& iio : Children(device, "iio:device"))
      for (int channel = 0; channel < 3; ++channel)
        if (const std::string label = FirstLine(iio / fmt::format("rail_name_{}", channel)); !IsNoRail(label))
          AddIfAnswering(rails, PowerRail::Power(label, "ina3221", iio / fmt::format("in_power{}_input", channel), 1e-3));
    for (const fs::path& hwmon : Children(device / "hwmon", "hwmon"))
      for (int channel = 1; channel <= 3; ++channel)
        if (const std::string label = FirstLine(hwmon / fmt::format("in{}_label", channel)); !IsNoRail(label))
          AddIfAnswering(rails, PowerRail::Product(label, "ina3221", hwmon / fmt::format("in{}_input", channel),
                                                   hwmon / fmt::format("curr{}_input", channel)));
  }
}

void AddRapl(const fs::path& root, std::vector<PowerRail>& rails) {
  for (const fs::path& zone : Children(root / "sys/class/powercap")) {
    if (!fs::exists(zone / "energy_uj")) continue;
    if (zone.filename().string().rfind("intel-rapl-mmio", 0) == 0) continue;  // the same packages by another way
    const std::string range = FirstLine(zone / "max_energy_range_uj");
    AddIfAnswering(rails, PowerRail::Counter(FirstLine(zone / "name"), "rapl", zone / "energy_uj", std::strtod(range.c_str(), nullptr)));
  }
}

void AddHwmon(const fs::path& root, std::vector<PowerRail>& rails) {
  for (const fs::path& hwmon : Children(root / "sys/class/hwmon", "hwmon")) {
    const std::string chip = FirstLine(hwmon / "name");
    if (chip.find("ina3221") != std::string::npos) continue;
    for (int channel = 1; channel <= 8; ++channel) {
      const std::string label = FirstLine(hwmon / fmt::format("power{}_label", channel));
      for (const char* kind : {"input", "average"}) {
        std::optional<PowerRail> rail = PowerRail::Power(label.empty() ? fmt::format("{}.power{}", chip, channel) : label, "hwmon",
                                                         hwmon / fmt::format("power{}_{}", channel, kind), 1e-6);
        if (!rail) continue;
        rails.push_back(*std::move(rail));
        break;
      }
    }
  }
}

}  // namespace

std::vector<PowerRail> FindPowerRails(const fs::path& root) {
  std::vector<PowerRail> rails;
  AddIna3221(root, rails);
  AddRapl(root, rails);
  AddHwmon(root, rails);
  return rails;
}

std::vector<size_t> BoardRails(const std::vector<PowerRail>& rails) {
  static const std::set<std::string> kInputs = {"VDD_IN", "POM_5V_IN", "VIN", "psys"};
  for (size_t i = 0; i < rails.size(); ++i)
    if (kInputs.count(rails[i].name()) > 0) return {i};
  std::vector<size_t> parts;
  for (size_t i = 0; i < rails.size(); ++i) {
    if (rails[i].source() != rails.front().source()) continue;
    // RAPL's cores and graphics are inside their package; memory is beside it.
    const std::string& name = rails[i].name();
    if (rails[i].source() == "rapl" && name.rfind("package", 0) != 0 && name != "dram") continue;
    parts.push_back(i);
  }
  return parts;
}

}  // namespace lathe
