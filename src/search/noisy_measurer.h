// NoisyMeasurer: answers requests out of a recorded space with a few of its raw samples, so that a search is as uncertain as on the device.
//
// An answer is a process of its own, as in real measuring: it launches the kernel, leaves out what the worker leaves out until it is warm,
// and takes samples. A record's first launches are slow because they come first, so they stay in their places; the others are drawn, none
// twice in an answer. What is clearly slower than the best so far is cut early, likewise by the rule of real measuring (SamplingOptions).
#pragma once

#include <deque>
#include <random>

#include "measure/measurer.h"
#include "search/recorded_space.h"

namespace lathe {

struct NoisyOptions {
  uint64_t seed = 1;
  size_t in_order = 4;  // so many first launches of the record are an answer's first launches
  bool warm_up = true;  // the first run and those until it is warm are not reported (measure/warm_up.h)
  size_t samples = 5, finalist_samples = 15;
  size_t cut_after = 2;  // 0: never
  double cut_ratio = 2;
};

// How many of a record's launches, in order, a measurement leaves out until it is warm; leaves one at least.
size_t LaunchesUntilWarm(const std::vector<double>& seconds);

class NoisyMeasurer : public Measurer {
 public:
  // `space` outlives the measurer and has its samples loaded.
  NoisyMeasurer(const RecordedSpace& space, size_t in_flight, const NoisyOptions& options);

  const Target& target() const override { return target_; }
  size_t capacity() const override { return in_flight_; }
  Status Submit(MeasureRequest request) override;
  Result<std::vector<Measurement>> Wait(std::chrono::milliseconds timeout) override;
  void Cancel() override { queue_.clear(); }

  size_t launches() const { return launches_; }  // the warm-up's included

 private:
  void Launch(const std::vector<float>& recorded, const MeasureRequest& request, Measurement* measurement);

  const RecordedSpace& space_;
  NoisyOptions options_;
  Target target_;
  size_t in_flight_, launches_ = 0;
  std::mt19937_64 random_;
  std::deque<MeasureRequest> queue_;
};

}  // namespace lathe
