// The cuda backend: CUDA C++ to cubins for one exact architecture, in a process of its own and under a time limit; the worker's "cuda"
// runner runs them. What ptxas made is read back, and a candidate that the device could never launch ends here, as invalid_config.
#pragma once

#include <memory>
#include <optional>

#include "measure/backend.h"
#include "measure/clock_lock.h"
#include "measure/cuda_architecture.h"
#include "measure/cuda_compiler.h"
#include "measure/workshop.h"

namespace lathe {

class CudaBackend : public Backend {
 public:
  // `shop` outlives the backend. No device: it builds only.
  CudaBackend(Workshop* shop, Target target, CudaCompiler compiler, std::optional<size_t> device, std::optional<ClockLock> clock);

  const Target& target() const override { return target_; }
  BuildOutcome Build(const CandidateText& text, const CancelToken* cancel) override;
  void Complete(JobSpec& spec) const override;
  const ClockLock* clock_lock() const override { return clock_ ? &*clock_ : nullptr; }
  // "gpu_clock_lock": the lock's state, where one was asked for.
  std::map<std::string, std::string> Conditions() const override;

 private:
  BuildOutcome Compile(const std::string& key, const CandidateText& text, const CancelToken* cancel);
  std::string Asked() const;  // of the compiler: "sm_87" for a cubin, "compute_87" for PTX
  std::vector<std::string> Command(const std::vector<std::string>& flags) const;
  // Adds what the kernels need as they are launched, or says why they cannot be.
  void Judge(const std::string& launches, BuildOutcome& outcome) const;

  Workshop* shop_;
  Target target_;
  CudaCompiler compiler_;
  CudaArchitecture architecture_;
  std::optional<size_t> device_;
  std::optional<ClockLock> clock_;
};

// For the device of this number.
Workshop::BackendFactory MakeCudaBackend(size_t device);
// For building alone: "sm_87". The factory fails in a workshop that is to measure.
Workshop::BackendFactory MakeCudaBuildBackend(const std::string& architecture);

}  // namespace lathe
