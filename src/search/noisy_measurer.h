// NoisyMeasurer: answers requests out of a recorded space with a few of its raw samples, so that a search is as uncertain as on the device.
//
// Each answer draws its samples from those recorded, without drawing one twice in an answer: an early look is a small draw, a finalist's a
// larger one. What is clearly slower than the best so far is cut early, by the rule of real measuring (SamplingOptions).
#pragma once

#include <deque>
#include <random>

#include "measure/measurer.h"
#include "search/recorded_space.h"

namespace lathe {

struct NoisyOptions {
  uint64_t seed = 1;
  size_t samples = 5, finalist_samples = 15;
  size_t cut_after = 2;  // 0: never
  double cut_ratio = 2;
};

class NoisyMeasurer : public Measurer {
 public:
  // `space` outlives the measurer and has its samples loaded.
  NoisyMeasurer(const RecordedSpace& space, size_t in_flight, const NoisyOptions& options);

  const Target& target() const override { return target_; }
  size_t capacity() const override { return in_flight_; }
  Status Submit(MeasureRequest request) override;
  Result<std::vector<Measurement>> Wait(std::chrono::milliseconds timeout) override;
  void Cancel() override { queue_.clear(); }

  size_t samples_taken() const { return samples_taken_; }

 private:
  std::vector<double> Draw(const std::vector<float>& recorded, const MeasureRequest& request);

  const RecordedSpace& space_;
  NoisyOptions options_;
  Target target_;
  size_t in_flight_, samples_taken_ = 0;
  std::mt19937_64 random_;
  std::deque<MeasureRequest> queue_;
};

}  // namespace lathe
