// One candidate through one worker process, in three steps that a pipeline may do on three threads:
//   Prepare   job and results files, the directory, the artifact opened             host work, before the device is free
//   Run       the process, from start to its end or its deadline                    the device is held
//   Judge     what it came to: status, message, samples, outputs against expected   host work again
// The local measurer and the board agent both go this way.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/measurement.h"
#include "core/result.h"
#include "measure/backend.h"
#include "measure/descriptor.h"
#include "measure/reference_data.h"
#include "measure/sampling.h"
#include "measure/scratch.h"
#include "measure/subprocess.h"
#include "measure/worker_protocol.h"

namespace lathe {

struct WorkerLimits {
  std::chrono::milliseconds timeout{15'000};           // wall clock from the worker's start, everything included
  uint64_t memory_headroom_bytes = uint64_t{1} << 30;  // address space beyond tensors, workspace and threads; 0: no limit
  uint64_t file_bytes = uint64_t{16} << 20;            // of each file it writes, where it may write any
  bool confine = true;                                 // filter system calls: no processes, network, files, signals to others
  uint32_t uid = 0, gid = 0;                           // whom to run as when we are root; 0: as we are
};

struct WorkerOptions {
  std::filesystem::path program;      // lathe-worker
  std::vector<std::string> launcher;  // in front of it, where it is another architecture's
  WorkerLimits limits;
  SamplingOptions sampling;
  int threads = 1;        // of the kernel
  std::vector<int> cpus;  // thread i is pinned to cpus[i]; empty: not pinned
  bool verify_only = false;
  bool cold_cache = false;
  double energy_seconds = 0;  // run on for so long after the samples while the caller watches the power rails

  // $LATHE_WORKER, or lathe-worker beside this program.
  static std::filesystem::path DefaultProgram();
};

// What becomes of a worker that runs a reference: one run, nothing to compare with.
enum class WorkerTask { kMeasure, kReference, kReferenceMakingInputs };

class WorkerRun {
 public:
  // `data` must outlive the run. Fails for want of memory, descriptors or disk; a missing artifact is the caller's to rebuild (kNotFound).
  static Result<WorkerRun> Prepare(const JobSpec& spec, const std::filesystem::path& artifact, std::shared_ptr<const ReferenceData> data,
                                   const WorkerOptions& options, const Scratch& scratch, WorkerTask task = WorkerTask::kMeasure,
                                   uint64_t seed = 0);
  WorkerRun(WorkerRun&&) noexcept = default;
  WorkerRun& operator=(WorkerRun&&) = delete;

  void SetBestSeconds(double seconds) { job_->sampling.best_seconds = seconds; }
  // Once. Afterwards no process of it is left, and no file.
  void Run(const CancelToken* cancel);
  double sampling_seconds() const { return header_.timed_seconds; }
  // When and how often the kernel ran back to back for the power rails; nothing when it did not get that far.
  struct EnergyStretch {
    double begin, end;  // CLOCK_MONOTONIC
    uint64_t runs;
  };
  bool wants_energy() const { return job_->energy_seconds > 0; }
  std::optional<EnergyStretch> energy_stretch() const;
  // Status, message, samples, run_seconds, max_error, cut_early and conditions of `measurement`.
  void Judge(Measurement& measurement) const;
  // For references: how it ended, and a tensor's bytes in the first slot.
  MeasureStatus ReferenceOutcome(std::string& message) const { return Outcome(message); }
  Result<std::vector<std::byte>> FirstResult(size_t tensor) const;

 private:
  WorkerRun() = default;
  MeasureStatus Outcome(std::string& message) const;
  MeasureStatus Fault(std::string& message) const;
  MeasureStatus Verify(Measurement& measurement) const;
  MeasureStatus VerifyOutputs(const std::byte* results, Measurement& measurement) const;

  std::unique_ptr<worker::Job> job_;
  std::vector<TensorShape> tensors_;
  std::shared_ptr<const ReferenceData> data_;
  SharedMemory job_file_, results_;
  std::optional<ScratchDir> directory_;
  Descriptor artifact_;
  std::filesystem::path program_;
  std::vector<std::string> launcher_;
  std::chrono::milliseconds timeout_{0};
  std::optional<Result<SubprocessResult>> ended_;
  worker::ResultHeader header_ = {};
  std::vector<double> samples_;
};

}  // namespace lathe
