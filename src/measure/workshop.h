// Workshop: everything it takes to build and measure on this machine, without threads of its own: scratch space, artifact cache, compiler,
// backend, references, workers. The local measurer is a pipeline over one; a board agent and `lathe check` use one directly.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>

#include "core/measurement.h"
#include "core/result.h"
#include "measure/backend.h"
#include "measure/conditions.h"
#include "measure/cpu_set.h"
#include "measure/measurer.h"
#include "measure/reference_cache.h"
#include "measure/worker_run.h"
#include "power/energy_meter.h"
#include "space/template_library.h"

namespace lathe {

struct WorkshopOptions {
  Toolchain toolchain = Toolchain::Default();  // a cross toolchain with a launcher: candidates are emulated here, references are not
  bool needs_compiler = true;                  // false: every candidate and reference comes built
  std::filesystem::path worker_program = WorkerOptions::DefaultProgram();
  std::filesystem::path cache_dir;  // of artifacts; empty: ArtifactCache::DefaultDirectory(), or scratch when there is no home
  uint64_t cache_bytes = uint64_t{2} << 30;
  std::filesystem::path scratch_root;  // empty: $TMPDIR or /tmp
  int threads = 1;                     // a kernel may use
  bool pin = true;                     // measured kernels to CPUs of their own
  BuildLimits build;                   // its CPUs are chosen here
  WorkerLimits run;
  std::chrono::milliseconds reference_timeout{180'000};
  size_t reference_bytes = size_t{1} << 30;  // memory for inputs and expected outputs
  SamplingOptions sampling;
  SamplingOptions finalist_sampling{
      .max_seconds = 1.0, .min_seconds = 0.15, .interval = 0.005, .cut_after = 0, .min_samples = 15, .max_samples = 800};
  bool verify_only = false;  // no timing: `lathe check`
  bool build_only = false;   // no device: a measurement is the outcome of a build, without samples
  bool cold_cache = false;
  uint64_t seed = 1;        // of the inputs
  std::string lock_clocks;  // what a CUDA device keeps to while the workshop lives: MHz, or "max"; empty: what it likes
  std::function<void(const std::string&)> notice;  // told what goes wrong where no result can tell it; none: nobody is
  // Where the board has power rails: joules per run of finalists, or of every candidate, from so long a stretch of runs. Building and
  // measuring then take turns, because a compiler beside it draws power too.
  enum class Energy { kNever, kFinalists, kAlways };
  Energy energy = Energy::kNever;
  double energy_seconds = 0.3;
  std::filesystem::path sysfs_root = "/";  // where rails and conditions are looked for
};

// Builds candidates with the address sanitizer and runs them in lathe-worker-asan beside `options.worker_program`: reads outside of tensors
// are then found, too. For verifying; timings mean nothing.
void UseAddressSanitizer(WorkshopOptions& options);

class Workshop {
 public:
  // Makes a backend over this workshop's builder; the cpu backend when none is given.
  using BackendFactory = std::function<Result<std::unique_ptr<Backend>>(Workshop&)>;
  // `library` outlives the workshop; null: every candidate comes as text. Fails when there is no scratch space, no compiler, or no worker
  // program.
  static Result<std::unique_ptr<Workshop>> Create(const TemplateLibrary* library, WorkshopOptions options,
                                                  const BackendFactory& make_backend = nullptr);

  Backend& backend() { return *backend_; }
  const Target& target() const { return backend_->target(); }
  const CpuPlan& cpus() const { return cpus_; }
  const WorkshopOptions& options() const { return options_; }
  const Scratch& scratch() const { return scratch_; }
  ArtifactCache& artifacts() { return cache_; }
  CpuBuilder& builder() { return *builder_; }
  ReferenceCache& references() { return *references_; }
  const ConditionReader& conditions() const { return conditions_; }
  bool measures_energy() const { return meter_.has_value(); }

  // A candidate on its way to the device; `run` is empty when it got no further than `measurement` says.
  struct Job {
    Measurement measurement;
    std::optional<WorkerRun> run;
  };
  // All host work before the device: build, reference, worker files. Thread-safe.
  Job Prepare(const MeasureRequest& request, const CancelToken* cancel);
  // Holds the device. `best_seconds`: see MeasureRequest. One at a time a device.
  void Run(Job& job, double best_seconds, const CancelToken* cancel);
  // All host work after the device. Thread-safe.
  static Measurement Finish(Job job);

  // The three in a row.
  Measurement Measure(const MeasureRequest& request, const CancelToken* cancel = nullptr);

 private:
  Workshop(const TemplateLibrary* library, WorkshopOptions options, CpuPlan cpus, Scratch scratch, ArtifactCache cache);
  void AddEnergy(const WorkerRun& run, const EnergyMeter::Watch& watch, Measurement& measurement) const;

  const TemplateLibrary* library_;
  WorkshopOptions options_;
  CpuPlan cpus_;
  Scratch scratch_;
  ArtifactCache cache_;
  ConditionReader conditions_;
  std::optional<EnergyMeter> meter_;
  double idle_watts_ = 0;
  std::unique_ptr<CpuBuilder> builder_;
  std::unique_ptr<CpuBuilder> reference_builder_;  // null: builder_ does both
  std::unique_ptr<ReferenceCache> references_;
  std::unique_ptr<Backend> backend_;
};

}  // namespace lathe
