#include "power/energy_meter.h"

#include <algorithm>

namespace lathe {
namespace {

constexpr int kFewestSamples = 10;

double Now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

}  // namespace

void RailTrace::Add(double at, std::optional<double> reading) {
  if (!reading) return;
  double joules = 0;
  if (!times_.empty()) {
    if (kind_ == PowerRail::Kind::kWatts)
      joules = 0.5 * (*reading + last_reading_) * (at - times_.back());
    else
      joules = *reading >= last_reading_ ? *reading - last_reading_ : *reading + counter_range_ - last_reading_;
  }
  times_.push_back(at);
  readings_.push_back(*reading);
  cumulative_.push_back(cumulative_.empty() ? 0 : cumulative_.back() + joules);
  last_reading_ = *reading;
}

double RailTrace::CumulativeAt(double at) const {
  const auto after = std::upper_bound(times_.begin(), times_.end(), at);
  if (after == times_.end()) return cumulative_.back();
  const auto i = static_cast<size_t>(after - times_.begin());
  const double span = times_[i] - times_[i - 1], part = at - times_[i - 1];
  if (kind_ == PowerRail::Kind::kCounter) return cumulative_[i - 1] + (cumulative_[i] - cumulative_[i - 1]) * part / span;
  const double watts = readings_[i - 1] + (readings_[i] - readings_[i - 1]) * part / span;
  return cumulative_[i - 1] + 0.5 * (readings_[i - 1] + watts) * part;
}

std::optional<double> RailTrace::JoulesBetween(double begin, double end) const {
  if (times_.empty() || begin < times_.front() || end > times_.back() || end < begin) return std::nullopt;
  return CumulativeAt(end) - CumulativeAt(begin);
}

int RailTrace::SamplesBetween(double begin, double end) const {
  const auto first = std::lower_bound(times_.begin(), times_.end(), begin), last = std::upper_bound(times_.begin(), times_.end(), end);
  return std::max(0, static_cast<int>(last - first));
}

std::optional<EnergyMeter> EnergyMeter::Create(std::vector<PowerRail> rails, std::chrono::microseconds period) {
  std::vector<PowerRail> board;
  for (const size_t i : BoardRails(rails)) board.push_back(std::move(rails[i]));
  if (board.empty()) return std::nullopt;
  return EnergyMeter(std::move(board), period);
}

std::optional<EnergyReading> EnergyMeter::Idle(std::chrono::milliseconds span) const {
  Watch watch(*this);
  const double begin = Now();
  std::this_thread::sleep_for(span);
  const double end = Now();
  watch.Stop();
  return watch.Between(begin, end);
}

EnergyMeter::Watch::Watch(const EnergyMeter& meter) : meter_(meter), traces_(meter.rails_.begin(), meter.rails_.end()) {
  Look();
  thread_ = std::thread([this] {
    while (!stop_.load(std::memory_order_relaxed)) {
      std::this_thread::sleep_for(meter_.period_);
      Look();
    }
  });
}

void EnergyMeter::Watch::Look() {
  const double now = Now();  // one time for all: a sum of rails must not depend on when this thread was interrupted
  for (size_t i = 0; i < traces_.size(); ++i) traces_[i].Add(now, meter_.rails_[i].Read());
}

void EnergyMeter::Watch::Stop() {
  if (!thread_.joinable()) return;
  stop_ = true;
  thread_.join();
  Look();
}

std::optional<EnergyReading> EnergyMeter::Watch::Between(double begin, double end) const {
  EnergyReading total;
  total.seconds = end - begin;
  total.samples = traces_.front().SamplesBetween(begin, end);
  for (size_t i = 0; i < traces_.size(); ++i) {
    const std::optional<double> joules = traces_[i].JoulesBetween(begin, end);
    if (!joules) return std::nullopt;
    total.joules += *joules;
    total.samples = std::min(total.samples, traces_[i].SamplesBetween(begin, end));
    total.rails.push_back(meter_.rails_[i].source() + ' ' + meter_.rails_[i].name());
  }
  return total;
}

std::optional<double> JoulesPerRun(const EnergyReading& work, double idle_watts, double runs) {
  if (work.samples < kFewestSamples || runs <= 0) return std::nullopt;
  const double beyond = work.joules - idle_watts * work.seconds;
  if (beyond <= 0) return std::nullopt;
  return beyond / runs;
}

}  // namespace lathe
