#include "power/energy_meter.h"

#include <algorithm>

namespace lathe {
namespace {

constexpr int kFewestSamples = 10;

double Now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

}  // namespace

void RailIntegral::Add(double at, std::optional<double> reading) {
  if (!reading) return;
  if (samples_ == 0) {
    first_at_ = at;
  } else if (kind_ == PowerRail::Kind::kWatts) {
    joules_ += 0.5 * (*reading + last_) * (at - last_at_);
  } else {
    joules_ += *reading >= last_ ? *reading - last_ : *reading + counter_range_ - last_;
  }
  last_ = *reading;
  last_at_ = at;
  ++samples_;
}

std::optional<EnergyMeter> EnergyMeter::Create(std::vector<PowerRail> rails, std::chrono::microseconds period) {
  std::vector<PowerRail> board;
  for (const size_t i : BoardRails(rails)) board.push_back(std::move(rails[i]));
  if (board.empty()) return std::nullopt;
  return EnergyMeter(std::move(board), period);
}

EnergyReading EnergyMeter::Idle(std::chrono::milliseconds span) const {
  return Measure([span] { std::this_thread::sleep_for(span); });
}

EnergyMeter::Sampler::Sampler(const EnergyMeter& meter) : meter_(meter), integrals_(meter.rails_.begin(), meter.rails_.end()) {
  Look();
  thread_ = std::thread([this] {
    while (!stop_.load(std::memory_order_relaxed)) {
      std::this_thread::sleep_for(meter_.period_);
      Look();
    }
  });
}

EnergyMeter::Sampler::~Sampler() {
  if (thread_.joinable()) Stop();
}

void EnergyMeter::Sampler::Look() {
  const double now = Now();  // one time for all: a sum of rails must not depend on when this thread was interrupted
  for (size_t i = 0; i < integrals_.size(); ++i) integrals_[i].Add(now, meter_.rails_[i].Read());
}

EnergyReading EnergyMeter::Sampler::Stop() {
  stop_ = true;
  thread_.join();
  Look();
  EnergyReading total;
  total.samples = integrals_.front().samples();
  for (size_t i = 0; i < integrals_.size(); ++i) {
    total.joules += integrals_[i].joules();
    total.seconds = std::max(total.seconds, integrals_[i].seconds());
    total.samples = std::min(total.samples, integrals_[i].samples());
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
