#include "power/power_rail.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <utility>

namespace lathe {
namespace {

std::optional<double> ReadNumber(int fd) {
  char text[32];
  const ssize_t got = ::pread(fd, text, sizeof text - 1, 0);
  if (got <= 0) return std::nullopt;
  text[got] = 0;
  char* end = nullptr;
  const double value = std::strtod(text, &end);
  if (end == text) return std::nullopt;
  return value;
}

int Open(const std::filesystem::path& file) { return ::open(file.c_str(), O_RDONLY | O_CLOEXEC); }

}  // namespace

PowerRail::PowerRail(PowerRail&& other) noexcept { *this = std::move(other); }

PowerRail& PowerRail::operator=(PowerRail&& other) noexcept {
  std::swap(name_, other.name_);
  std::swap(source_, other.source_);
  std::swap(kind_, other.kind_);
  std::swap(first_, other.first_);
  std::swap(second_, other.second_);
  std::swap(scale_, other.scale_);
  std::swap(counter_range_, other.counter_range_);
  return *this;
}

PowerRail::~PowerRail() {
  if (first_ >= 0) ::close(first_);
  if (second_ >= 0) ::close(second_);
}

std::optional<PowerRail> PowerRail::Power(std::string name, std::string source, const std::filesystem::path& file, double watts_per_unit) {
  PowerRail rail;
  rail.name_ = std::move(name);
  rail.source_ = std::move(source);
  rail.first_ = Open(file);
  rail.scale_ = watts_per_unit;
  if (!rail.Read()) return std::nullopt;
  return rail;
}

std::optional<PowerRail> PowerRail::Product(std::string name, std::string source, const std::filesystem::path& millivolts,
                                            const std::filesystem::path& milliamperes) {
  PowerRail rail;
  rail.name_ = std::move(name);
  rail.source_ = std::move(source);
  rail.first_ = Open(millivolts);
  rail.second_ = Open(milliamperes);
  rail.scale_ = 1e-6;
  if (rail.second_ < 0 || !rail.Read()) return std::nullopt;
  return rail;
}

std::optional<PowerRail> PowerRail::Counter(std::string name, std::string source, const std::filesystem::path& microjoules,
                                            double range_microjoules) {
  PowerRail rail;
  rail.name_ = std::move(name);
  rail.source_ = std::move(source);
  rail.kind_ = Kind::kCounter;
  rail.first_ = Open(microjoules);
  rail.scale_ = 1e-6;
  rail.counter_range_ = 1e-6 * range_microjoules;
  if (!rail.Read()) return std::nullopt;
  return rail;
}

std::optional<double> PowerRail::Read() const {
  if (first_ < 0) return std::nullopt;
  std::optional<double> value = ReadNumber(first_);
  if (value && second_ >= 0) {
    const std::optional<double> factor = ReadNumber(second_);
    value = factor ? std::optional(*value * *factor) : std::nullopt;
  }
  if (!value) return std::nullopt;
  return *value * scale_;
}

}  // namespace lathe
