#include "measure/sampling.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace lathe {

uint32_t SamplingPlan::Repeats(double run_seconds) const {
  constexpr double kMost = 1e6;
  if (!(run_seconds > 0)) return static_cast<uint32_t>(kMost);
  return static_cast<uint32_t>(std::clamp(std::ceil(options_.min_sample_seconds / run_seconds), 1.0, kMost));
}

double SamplingPlan::RelativeInterval(std::vector<double> samples) {
  if (samples.size() < 2) return std::numeric_limits<double>::infinity();
  std::sort(samples.begin(), samples.end());
  constexpr double kQuantile = 0.2, kNormal95 = 1.96;
  const double n = static_cast<double>(samples.size());
  const double middle = kQuantile * (n - 1), spread = kNormal95 * std::sqrt(n * kQuantile * (1 - kQuantile));
  const auto at = [&](double rank) { return samples[static_cast<size_t>(std::clamp(rank, 0.0, n - 1))]; };
  const double quantile = at(std::floor(middle));
  return (at(std::ceil(middle + spread)) - at(std::floor(std::max(0.0, middle - spread)))) / quantile;
}

void SamplingPlan::Add(double seconds, double elapsed) {
  samples_.push_back(seconds);
  const size_t count = samples_.size();
  if (options_.cut_after > 0 && options_.best_seconds > 0 && count == options_.cut_after &&
      *std::min_element(samples_.begin(), samples_.end()) > options_.cut_ratio * options_.best_seconds) {
    done_ = cut_early_ = true;
    return;
  }
  constexpr uint32_t kFewest = 3;  // what a kernel that takes a second gets
  const bool late = elapsed >= options_.max_seconds;
  if (count < (late ? std::min(kFewest, options_.min_samples) : options_.min_samples)) return;
  done_ = count >= options_.max_samples || late || (elapsed >= options_.min_seconds && RelativeInterval(samples_) <= options_.interval);
}

}  // namespace lathe
