// RecordedMeasurer: answers requests out of a recorded space, as a device would, in no time.
//
// Answers come one at a time, in the order submitted, so a strategy proposes with as much in flight as it would in real tuning.
#pragma once

#include <deque>

#include "measure/measurer.h"
#include "search/recorded_space.h"

namespace lathe {

class RecordedMeasurer : public Measurer {
 public:
  // `space` outlives the measurer.
  RecordedMeasurer(const RecordedSpace& space, size_t in_flight);

  const Target& target() const override { return target_; }
  size_t capacity() const override { return in_flight_; }
  Status Submit(MeasureRequest request) override;
  Result<std::vector<Measurement>> Wait(std::chrono::milliseconds timeout) override;
  void Cancel() override { queue_.clear(); }

 private:
  const RecordedSpace& space_;
  Target target_;
  size_t in_flight_;
  std::deque<MeasureRequest> queue_;
};

}  // namespace lathe
