#include "tests/power/board_tree.h"

#include <fmt/format.h>

namespace lathe::testing {

void BoardTree::AddIioRail(const std::string& device, int iio, int channel, const std::string& label, int milliwatts) {
  const std::string dir = "sys/bus/i2c/devices/" + device;
  Write(dir + "/name", "ina3221x");
  const std::string node = fmt::format("{}/iio:device{}", dir, iio);
  Write(fmt::format("{}/rail_name_{}", node, channel), label);
  Write(fmt::format("{}/in_power{}_input", node, channel), std::to_string(milliwatts));
}

void BoardTree::AddHwmonRail(const std::string& device, int hwmon, int channel, const std::string& label, int millivolts,
                             int milliamperes) {
  const std::string dir = "sys/bus/i2c/devices/" + device;
  Write(dir + "/name", "ina3221");
  const std::string node = fmt::format("{}/hwmon/hwmon{}", dir, hwmon);
  Write(fmt::format("{}/in{}_label", node, channel), label);
  Write(fmt::format("{}/in{}_input", node, channel), std::to_string(millivolts));
  Write(fmt::format("{}/curr{}_input", node, channel), std::to_string(milliamperes));
}

void BoardTree::MakeTx2() {
  AddIioRail("0-0040", 0, 0, "VDD_SYS_GPU", 1520);
  AddIioRail("0-0040", 0, 1, "VDD_SYS_SOC", 610);
  AddIioRail("0-0040", 0, 2, "VDD_4V0_WIFI", 19);
  AddIioRail("0-0041", 1, 0, "VDD_IN", 4321);
  AddIioRail("0-0041", 1, 1, "VDD_SYS_CPU", 760);
  AddIioRail("0-0041", 1, 2, "VDD_SYS_DDR", 480);
  Write("sys/devices/17000000.gp10b/devfreq/17000000.gp10b/cur_freq", "1122000000");
  Write("sys/class/devfreq/17000000.gp10b/cur_freq", "1122000000");
  Write("sys/class/thermal/thermal_zone0/type", "BCPU-therm");
  Write("sys/class/thermal/thermal_zone0/temp", "41500");
  Write("sys/class/thermal/thermal_zone1/type", "PMIC-Die");
  Write("sys/class/thermal/thermal_zone1/temp", "100000");
  Write("var/lib/nvpmodel/status", "pmode:0000");
}

void BoardTree::MakeXavierNx() {
  AddHwmonRail("7-0040", 3, 1, "VDD_IN", 5032, 1200);
  AddHwmonRail("7-0040", 3, 2, "VDD_CPU_GPU_CV", 5032, 400);
  AddHwmonRail("7-0040", 3, 3, "VDD_SOC", 5032, 260);
  Write("sys/class/devfreq/17000000.gv11b/cur_freq", "1109250000");
  Write("var/lib/nvpmodel/status", "pmode:0008");
}

void BoardTree::MakeAgxXavier() {
  AddHwmonRail("1-0040", 2, 1, "GPU", 19000, 100);
  AddHwmonRail("1-0040", 2, 2, "CPU", 19000, 50);
  AddHwmonRail("1-0040", 2, 3, "SOC", 19000, 70);
  AddHwmonRail("1-0041", 3, 1, "CV", 19000, 10);
  AddHwmonRail("1-0041", 3, 2, "VDDRQ", 19000, 30);
  AddHwmonRail("1-0041", 3, 3, "SYS5V", 19000, 140);
}

void BoardTree::MakeAgxOrin() {
  AddHwmonRail("1-0040", 4, 1, "VDD_GPU_SOC", 19000, 300);
  AddHwmonRail("1-0040", 4, 2, "VDD_CPU_CV", 19000, 100);
  AddHwmonRail("1-0040", 4, 3, "VIN_SYS_5V0", 5000, 800);
  AddHwmonRail("1-0041", 5, 1, "NC", 0, 0);
  AddHwmonRail("1-0041", 5, 2, "VDDQ_VDD2_1V8AO", 19000, 40);
  AddHwmonRail("1-0041", 5, 3, "NC", 0, 0);
  Write("sys/class/hwmon/hwmon1/name", "soctherm_oc");
  for (int i = 1; i <= 3; ++i) Write(fmt::format("sys/class/hwmon/hwmon1/oc{}_event_cnt", i), i == 3 ? "7" : "0");
  Write("sys/class/thermal/thermal_zone0/type", "cpu-thermal");
  Write("sys/class/thermal/thermal_zone0/temp", "52250");
  Write("sys/class/thermal/thermal_zone1/type", "cv0-thermal");
  Write("sys/class/thermal/thermal_zone1/temp", "-256000");  // the engine is off
  Write("sys/class/devfreq/17000000.gpu/cur_freq", "918000000");
  Write("var/lib/nvpmodel/status", "pmode:0002");
}

void BoardTree::MakeOrinNano() {
  AddHwmonRail("1-0040", 1, 1, "VDD_IN", 5000, 1500);
  AddHwmonRail("1-0040", 1, 2, "VDD_CPU_GPU_CV", 5000, 600);
  AddHwmonRail("1-0040", 1, 3, "VDD_SOC", 5000, 300);
}

void BoardTree::MakeAtlasHost() {
  Write("sys/class/thermal/thermal_zone0/type", "soc_thermal");
  Write("sys/class/thermal/thermal_zone0/temp", "63000");
  Write("sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "1600000");
  Write("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "ondemand");
}

void BoardTree::MakeServer() {
  const auto zone = [&](const std::string& dir, const std::string& name, const std::string& energy) {
    Write("sys/class/powercap/" + dir + "/name", name);
    Write("sys/class/powercap/" + dir + "/energy_uj", energy);
    Write("sys/class/powercap/" + dir + "/max_energy_range_uj", "262143328850");
  };
  zone("intel-rapl:0", "package-0", "262143000000");
  zone("intel-rapl:0:0", "core", "1000000");
  zone("intel-rapl:0:1", "dram", "5000000");
  Write("sys/class/powercap/intel-rapl/enabled", "1");
}

}  // namespace lathe::testing
