// The opencl backend: OpenCL C compiled by the device's driver, in a worker process of its own, and the program's binary run through the
// worker's "opencl" runner. The driver is never loaded into this process.
#pragma once

#include <memory>

#include "measure/backend.h"
#include "measure/workshop.h"

namespace lathe {

class OpenClBackend : public Backend {
 public:
  // All outlive the backend. `device`: the target's place among ListOpenClTargets.
  OpenClBackend(Workshop* shop, Target target, size_t device) : shop_(shop), target_(std::move(target)), device_(device) {}

  const Target& target() const override { return target_; }
  BuildOutcome Build(const CandidateText& text, const CancelToken* cancel) override;
  void Complete(JobSpec& spec) const override;

 private:
  BuildOutcome Compile(const std::string& source, const std::string& flags, const CancelToken* cancel);

  Workshop* shop_;
  Target target_;
  size_t device_;
};

// For the device of this number. The factory fails where there is none, with a list of those there are.
Workshop::BackendFactory MakeOpenClBackend(size_t device);

}  // namespace lathe
