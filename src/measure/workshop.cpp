#include "measure/workshop.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <chrono>

#include "measure/cpu_backend.h"
#include "measure/cpu_target.h"

namespace lathe {
namespace {
constexpr std::chrono::milliseconds kIdleSpan{500};

Status CanLaunch(const Toolchain& toolchain) {
  if (!toolchain.cross()) return {};
  const auto cannot = [&](const std::string& why) {
    return Error{ErrorCode::kNotFound, fmt::format("run what toolchain profile '{}' builds on this machine: {}", toolchain.profile, why)};
  };
  if (toolchain.launcher.empty()) return cannot("the profile names no 'launcher'");
  if (toolchain.worker.empty()) return cannot("the profile names no 'worker' for the launcher");
  if (::access(toolchain.worker.c_str(), R_OK) != 0)
    return cannot(fmt::format("its worker '{}' is not there; for aarch64: cmake --preset aarch64 && cmake --build --preset aarch64",
                              toolchain.worker.string()));
  return {};
}
}  // namespace

void UseAddressSanitizer(WorkshopOptions& options) {
  options.worker_program = options.worker_program.parent_path() / "lathe-worker-asan";
  for (const char* flag : {"-fsanitize=address", "-fno-omit-frame-pointer", "-g1"}) options.toolchain.extra_flags.emplace_back(flag);
  options.verify_only = true;
}

Workshop::Workshop(const TemplateLibrary* library, WorkshopOptions options, CpuPlan cpus, Scratch scratch, ArtifactCache cache)
    : library_(library),
      options_(std::move(options)),
      cpus_(std::move(cpus)),
      scratch_(std::move(scratch)),
      cache_(std::move(cache)),
      conditions_(cpus_.measuring, options_.sysfs_root) {}

Result<std::unique_ptr<Workshop>> Workshop::Create(const TemplateLibrary* library, WorkshopOptions options,
                                                   const BackendFactory& make_backend) {
  if (::access(options.worker_program.c_str(), X_OK) != 0)
    return Error{ErrorCode::kNotFound,
                 fmt::format("find the worker program '{}': it is not there; set LATHE_WORKER to where lathe-worker is",
                             options.worker_program.string())};
  if (Status can = CanLaunch(options.toolchain); !can && !options.build_only) return can.error();
  CpuPlan cpus = PlanCpus(AvailableCpus(), options.threads);
  std::optional<EnergyMeter> meter;
  double idle_watts = 0;
  if (options.energy != WorkshopOptions::Energy::kNever) {
    meter = EnergyMeter::Create(FindPowerRails(options.sysfs_root));
    if (!meter)
      return Error{
          ErrorCode::kNotFound,
          "measure energy: this machine shows no power rail (INA3221, RAPL or another hwmon sensor); the rails may need root to be "
          "read; tune for time instead"};
    const std::optional<EnergyReading> idle = meter->Idle(kIdleSpan);
    if (!idle) return Error{ErrorCode::kUnavailable, "measure energy: the power rails stopped answering"};
    idle_watts = idle->Watts();
    cpus.exclusive = true;
  }
  Result<Scratch> scratch = Scratch::Create(options.scratch_root);
  if (!scratch) return scratch.error();
  std::filesystem::path cache_dir = options.cache_dir.empty() ? ArtifactCache::DefaultDirectory() : options.cache_dir;
  if (cache_dir.empty()) cache_dir = scratch->path() / "artifacts";
  Result<ArtifactCache> cache = ArtifactCache::Open(cache_dir, options.cache_bytes);
  if (!cache) return cache.error();

  std::unique_ptr<Workshop> shop(new Workshop(library, std::move(options), std::move(cpus), std::move(*scratch), std::move(*cache)));
  shop->meter_ = std::move(meter);
  shop->idle_watts_ = idle_watts;
  const WorkshopOptions& chosen = shop->options_;
  CpuBuilder::Options build{chosen.toolchain, chosen.build, chosen.worker_program};
  if (chosen.pin && !shop->cpus_.exclusive) build.limits.cpus = shop->cpus_.others;
  Result<std::unique_ptr<CpuBuilder>> builder = CpuBuilder::Create(build, &shop->scratch_, &shop->cache_);
  if (!builder && chosen.needs_compiler) return builder.error();
  shop->builder_ = builder ? std::move(*builder) : CpuBuilder::Without(builder.error().message, build, &shop->scratch_, &shop->cache_);
  if (chosen.toolchain.cross()) {
    build.toolchain = Toolchain::Default();
    Result<std::unique_ptr<CpuBuilder>> ours = CpuBuilder::Create(std::move(build), &shop->scratch_, &shop->cache_);
    if (!ours) return ours.error();
    shop->reference_builder_ = std::move(*ours);
  }

  ReferenceCache::Options references;
  references.worker.program = chosen.worker_program;
  references.worker.limits = chosen.run;
  references.worker.limits.timeout = chosen.reference_timeout;
  references.worker.threads = static_cast<int>(shop->cpus_.others.size());
  if (chosen.pin) references.worker.cpus = shop->cpus_.others;
  references.seed = chosen.seed;
  references.max_bytes = chosen.reference_bytes;
  CpuBuilder* reference_builder = shop->reference_builder_ ? shop->reference_builder_.get() : shop->builder_.get();
  shop->references_ = std::make_unique<ReferenceCache>(library, reference_builder, &shop->scratch_, references);

  if (make_backend) {
    Result<std::unique_ptr<Backend>> backend = make_backend(*shop);
    if (!backend) return backend.error();
    shop->backend_ = std::move(*backend);
  } else {
    const std::string& version = shop->builder_->compiler_version();
    Target target = chosen.toolchain.cross() ? EmulatedCpuTarget(chosen.threads, chosen.toolchain, version)
                                             : DetectCpuTarget(chosen.threads, chosen.toolchain, version);
    shop->backend_ = std::make_unique<CpuBackend>(std::move(target), shop->builder_.get());
  }
  return shop;
}

Workshop::Job Workshop::Prepare(const MeasureRequest& request, const CancelToken* cancel) {
  Job job;
  Measurement& measurement = job.measurement;
  measurement.ticket = request.ticket;
  measurement.candidate = request.candidate;
  measurement.board = "local";
  const auto stop = [&](MeasureStatus status, std::string message) {
    measurement.status = status;
    measurement.message = std::move(message);
    return std::move(job);
  };

  WorkerOptions worker;
  worker.program = options_.toolchain.cross() ? options_.toolchain.worker : options_.worker_program;
  worker.launcher = options_.toolchain.launcher;
  worker.limits = options_.run;
  worker.sampling = request.finalist ? options_.finalist_sampling : options_.sampling;
  worker.threads = options_.threads;
  if (options_.pin) worker.cpus = cpus_.measuring;
  worker.verify_only = options_.verify_only;
  worker.cold_cache = options_.cold_cache;
  if (options_.energy == WorkshopOptions::Energy::kAlways || (options_.energy == WorkshopOptions::Energy::kFinalists && request.finalist))
    worker.energy_seconds = options_.energy_seconds;

  std::optional<CandidateText> rendered;
  if (request.text == nullptr) {
    if (library_ == nullptr) return stop(MeasureStatus::kBoardLost, "there are no templates here, and the candidate came without text");
    Result<CandidateText> text = RenderCandidate(*library_, request.candidate, target());
    if (!text) return stop(MeasureStatus::kBuildError, text.error().message);
    rendered = std::move(*text);
  }
  const CandidateText& text = rendered ? *rendered : *request.text;
  JobSpec spec = text.spec;
  backend_->Complete(spec);
  // The cache may be cleaned by another process between building and opening: then once more.
  for (int attempt = 0;; ++attempt) {
    BuildOutcome built = text.artifact ? BuildOutcome{MeasureStatus::kOk, "", *text.artifact, 0} : backend_->Build(text, cancel);
    measurement.build_seconds += built.seconds;
    if (built.status != MeasureStatus::kOk) return stop(built.status, std::move(built.message));
    measurement.build_facts = std::move(built.artifact.facts);
    if (options_.build_only) return stop(MeasureStatus::kOk, "");
    Result<std::shared_ptr<const ReferenceData>> data =
        text.reference ? references_->Get(*text.reference, cancel) : references_->Get(request.candidate.workload, cancel);
    if (!data) return stop(MeasureStatus::kBoardLost, data.error().message);
    Result<WorkerRun> run = WorkerRun::Prepare(spec, built.artifact.path, std::move(*data), worker, scratch_);
    if (run) {
      job.run.emplace(std::move(*run));
      return job;
    }
    if (attempt > 0 || run.error().code != ErrorCode::kNotFound) return stop(MeasureStatus::kBoardLost, run.error().message);
  }
}

void Workshop::Run(Job& job, double best_seconds, const CancelToken* cancel) {
  const Conditions before = conditions_.Read();
  job.run->SetBestSeconds(best_seconds);
  std::optional<EnergyMeter::Watch> watch;
  if (meter_ && job.run->wants_energy()) watch.emplace(*meter_);
  job.run->Run(cancel);
  if (watch) {
    watch->Stop();
    AddEnergy(*job.run, *watch, job.measurement);
  }
  Describe(before, conditions_.Read(), job.measurement.conditions);
  job.measurement.conditions.merge(backend_->Conditions());
}

void Workshop::AddEnergy(const WorkerRun& run, const EnergyMeter::Watch& watch, Measurement& measurement) const {
  const std::optional<WorkerRun::EnergyStretch> stretch = run.energy_stretch();
  if (!stretch) return;
  const std::optional<EnergyReading> reading = watch.Between(stretch->begin, stretch->end);
  if (!reading) return;
  measurement.joules = JoulesPerRun(*reading, idle_watts_, static_cast<double>(stretch->runs));
  measurement.conditions["power_rails"] = fmt::format("{}", fmt::join(reading->rails, ","));
  measurement.conditions["watts"] = fmt::format("{:.3f}", reading->Watts());
  measurement.conditions["idle_watts"] = fmt::format("{:.3f}", idle_watts_);
  measurement.conditions["power_samples"] = std::to_string(reading->samples);
}

Measurement Workshop::Finish(Job job) {
  if (job.run) job.run->Judge(job.measurement);
  job.measurement.finished_unix_ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  return std::move(job.measurement);
}

Measurement Workshop::Measure(const MeasureRequest& request, const CancelToken* cancel) {
  Job job = Prepare(request, cancel);
  if (job.run) Run(job, request.best_seconds, cancel);
  return Finish(std::move(job));
}

}  // namespace lathe
