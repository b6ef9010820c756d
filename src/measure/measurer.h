// Measurer: builds candidates and runs them on a device. Local in this process, remote in rpc/, replayed in src/search/, fake in tests/.
//
// Submitting and waiting are apart, so that building, measuring and proposing overlap, and so that one seam serves one device, a pool of
// boards and a recorded space. One caller at a time per object; the object may use threads of its own.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "core/measurement.h"
#include "core/result.h"
#include "core/target.h"

namespace lathe {

struct CandidateText;

struct MeasureRequest {
  uint64_t ticket = 0;  // the caller's; comes back in the Measurement
  Candidate candidate;
  double best_seconds = 0;  // best so far of this workload, 0 when unknown: a candidate clearly slower than it is cut early
  bool finalist = false;    // take more samples, never cut early
  // The candidate as text, where the measurer has no templates to render it from (a board); null otherwise.
  std::shared_ptr<const CandidateText> text = nullptr;
};

class Measurer {
 public:
  virtual ~Measurer() = default;
  virtual const Target& target() const = 0;
  // How many requests in flight keep compilers and device busy; more only wait.
  virtual size_t capacity() const = 0;
  // Never blocks for long. Fails only when nothing can be tried any more (no board, no scratch space).
  virtual Status Submit(MeasureRequest request) = 0;
  // At least one measurement, or none when `timeout` passed first. A candidate that fails is a measurement, not an error.
  virtual Result<std::vector<Measurement>> Wait(std::chrono::milliseconds timeout) = 0;
  // Drops what has not started; what runs is stopped. Tickets dropped are never answered.
  virtual void Cancel() = 0;
  // `started` is called, from any thread, when a device begins with a request: a board that dies then died of that one. Before the first
  // Submit; a measurer that cannot tell never calls it.
  virtual void ObserveStarts(std::function<void(uint64_t ticket)> started) { (void)started; }
};

}  // namespace lathe
