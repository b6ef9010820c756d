// PowerRail: one supply line that this machine can measure, as the kernel's sysfs shows it.
//
// Sources, looked for in this order below a root that tests replace:
//   ina3221  Jetson. JetPack 4 (kernel 4.9): iio:deviceN/{rail_name_K,in_powerK_input}, mW. JetPack 5 and up: hwmon/hwmonM/
//            {inK_label,inK_input,currK_input}, mV and mA without a power file. Numbers of buses and hwmons change between boots: rails
//            are known by label. (Linux: Documentation/hwmon/ina3221.rst)
//   rapl     x86 and some servers: powercap's energy counters in microjoules, which wrap. (Documentation/power/powercap/powercap.rst)
//   hwmon    any other chip with powerK_input or powerK_average, in microwatts. (Documentation/hwmon/sysfs-interface.rst)
//
// Rails differ from board to board, so joules compare only within one kind of board; a measurement names the rails it used.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace lathe {

class PowerRail {
 public:
  enum class Kind {
    kWatts,   // an instantaneous or averaged power: integrate it
    kCounter  // joules since some moment, wrapping at counter_range()
  };

  // Files stay open: a reading is one or two pread calls.
  static std::optional<PowerRail> Power(std::string name, std::string source, const std::filesystem::path& file, double watts_per_unit);
  static std::optional<PowerRail> Product(std::string name, std::string source, const std::filesystem::path& millivolts,
                                          const std::filesystem::path& milliamperes);
  static std::optional<PowerRail> Counter(std::string name, std::string source, const std::filesystem::path& microjoules,
                                          double range_microjoules);

  PowerRail(PowerRail&& other) noexcept;
  PowerRail& operator=(PowerRail&& other) noexcept;
  ~PowerRail();

  const std::string& name() const { return name_; }      // "VDD_IN", "package-0"
  const std::string& source() const { return source_; }  // "ina3221", "rapl", "hwmon"
  Kind kind() const { return kind_; }
  double counter_range() const { return counter_range_; }  // joules
  // Watts or joules by kind. Nothing when the sensor does not answer: an engine that is switched off, a missing right.
  std::optional<double> Read() const;

 private:
  PowerRail() = default;

  std::string name_, source_;
  Kind kind_ = Kind::kWatts;
  int first_ = -1, second_ = -1;  // file descriptors; `second_` is multiplied in
  double scale_ = 1, counter_range_ = 0;
};

// Every rail that answers, in the order above. Empty on a machine without sensors.
std::vector<PowerRail> FindPowerRails(const std::filesystem::path& root = "/");

// Which of the rails add up to what the whole board draws: its input rail where there is one (VDD_IN, POM_5V_IN, psys), else all of one
// source that do not contain each other (AGX boards have no input rail). Indices into `rails`.
std::vector<size_t> BoardRails(const std::vector<PowerRail>& rails);

}  // namespace lathe
