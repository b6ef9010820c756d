#include "measure/worker_run.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <numeric>

#include "measure/conditions.h"
#include "measure/verification.h"

namespace lathe {
namespace {
using worker::Job;
using worker::JobTensor;
using worker::ResultHeader;
using worker::Stage;
using End = SubprocessResult::End;

uint64_t Align(uint64_t value) { return (value + 63) / 64 * 64; }

worker::Role RoleOf(TensorRole role) {
  return role == TensorRole::kIn ? worker::Role::kIn : role == TensorRole::kConstant ? worker::Role::kConstant : worker::Role::kOut;
}

template <size_t N>
void CopyText(char (&to)[N], const std::string& from) {
  const size_t bytes = std::min(from.size(), N - 1);
  std::memcpy(to, from.data(), bytes);
  to[bytes] = 0;
}

Status FillTensors(const JobSpec& spec, const ReferenceData& data, WorkerTask task, Job& job) {
  if (spec.tensors.size() > worker::kMaxTensors || data.dynamic.size() > worker::kMaxDynamic)
    return Error{ErrorCode::kInvalidInput, fmt::format("run a candidate: at most {} tensors and {} dynamic attributes are possible",
                                                       worker::kMaxTensors, worker::kMaxDynamic)};
  job.tensor_count = static_cast<uint32_t>(spec.tensors.size());
  job.dynamic_count = static_cast<uint32_t>(data.dynamic.size());
  std::copy(data.dynamic.begin(), data.dynamic.end(), job.dynamic);
  uint64_t slot_bytes = 0;
  for (size_t i = 0; i < spec.tensors.size(); ++i) {
    const TensorShape& shape = spec.tensors[i];
    JobTensor& tensor = job.tensors[i];
    CopyText(tensor.name, shape.name);
    tensor.role = RoleOf(shape.role);
    tensor.present = shape.present ? 1 : 0;
    tensor.bytes = shape.bytes();
    if (i < spec.packed_bytes.size() && spec.packed_bytes[i] > 0) {
      tensor.packed = 1;
      tensor.packed_bytes = spec.packed_bytes[i];
    }
    tensor.input_offset = i < data.layout.offsets.size() && data.layout.offsets[i] != kNoOffset ? data.layout.offsets[i] : 0;
    if (shape.present && (shape.role == TensorRole::kOut || task == WorkerTask::kReferenceMakingInputs)) {
      tensor.result_offset = slot_bytes;
      slot_bytes += Align(tensor.bytes);
    }
  }
  job.samples_offset = Align(sizeof(ResultHeader));
  job.slot_offset[0] = job.samples_offset + Align(job.sampling.max_samples * sizeof(double));
  job.slot_offset[1] = job.slot_offset[0] + slot_bytes;
  job.results_bytes = job.slot_offset[1] + (task == WorkerTask::kMeasure ? slot_bytes : 0);
  return {};
}

uint32_t FlagsOf(const JobSpec& spec, const WorkerOptions& options, WorkerTask task) {
  uint32_t flags = options.limits.confine && spec.confine ? worker::kConfine : 0U;
  if (task != WorkerTask::kMeasure) flags |= worker::kRunOnce;
  if (task == WorkerTask::kReferenceMakingInputs) flags |= worker::kMakeInputs;
  if (options.verify_only) flags |= worker::kVerifyOnly;
  if (options.cold_cache) flags |= worker::kColdCache;
  return flags;
}

const char* StageName(Stage stage) {
  switch (stage) {
    case Stage::kStarting:
    case Stage::kConfined:
      return "starting the worker";
    case Stage::kLoading:
      return "loading it";
    case Stage::kPreparing:
      return "lathe_prepare";
    case Stage::kFirstRun:
      return "the first run";
    case Stage::kTiming:
      return "timing";
    case Stage::kLastRun:
      return "the last run";
    case Stage::kFinished:
      break;
  }
  return "ending";
}

std::string SandboxText(uint32_t flags) {
  std::string text;
  for (const auto& [flag, name] : {std::pair<uint32_t, const char*>{worker::kNoNewPrivileges, "no_new_privileges"},
                                   {worker::kSystemCallFilter, "system_call_filter"},
                                   {worker::kNetworkNamespace, "network_namespace"},
                                   {worker::kOtherUser, "other_user"},
                                   {worker::kAddressSpaceLimit, "address_space_limit"}})
    if ((flags & flag) != 0) text.append(text.empty() ? "" : ",").append(name);
  return text.empty() ? std::string("none") : text;
}

}  // namespace

std::filesystem::path WorkerOptions::DefaultProgram() {
  if (const char* given = std::getenv("LATHE_WORKER"); given != nullptr && *given != 0) return given;
  std::error_code failure;
  return std::filesystem::read_symlink("/proc/self/exe", failure).parent_path() / "lathe-worker";
}

Result<WorkerRun> WorkerRun::Prepare(const JobSpec& spec, const std::filesystem::path& artifact, std::shared_ptr<const ReferenceData> data,
                                     const WorkerOptions& options, const Scratch& scratch, WorkerTask task, uint64_t seed) {
  WorkerRun run;
  run.job_ = std::make_unique<Job>();
  Job& job = *run.job_;
  job.magic = worker::kMagic;
  job.version = worker::kVersion;
  CopyText(job.runner, spec.runner);
  job.flags = FlagsOf(spec, options, task);
  job.parent_pid = ::getpid();
  job.threads = static_cast<uint32_t>(std::max(1, options.threads));
  job.cpu_count = static_cast<uint32_t>(std::min(options.cpus.size(), worker::kMaxCpus));
  std::copy_n(options.cpus.begin(), job.cpu_count, job.cpus);
  job.seed = seed;
  job.workspace_bytes = spec.workspace_bytes;
  job.memory_headroom_bytes = spec.limit_address_space ? options.limits.memory_headroom_bytes : 0;
  job.file_bytes = options.limits.file_bytes;
  // Every thread's time counts; only a worker whose parent was killed ever gets this far.
  job.cpu_seconds = static_cast<uint64_t>(std::chrono::ceil<std::chrono::seconds>(options.limits.timeout).count() + 1) * job.threads;
  job.uid = options.limits.uid;
  job.gid = options.limits.gid;
  job.sampling = options.sampling;
  job.energy_seconds = options.energy_seconds;
  job.sampling.max_samples = std::max({job.sampling.max_samples, job.sampling.min_samples, 1U});
  if (Status filled = FillTensors(spec, *data, task, job); !filled) return filled.error();
  job.options_offset = sizeof(Job);
  job.options_bytes = spec.runner_options.size();

  Result<SharedMemory> job_file = SharedMemory::Create("lathe-job", sizeof(Job) + spec.runner_options.size());
  if (!job_file) return job_file.error();
  run.job_file_ = std::move(*job_file);
  if (Status written = run.job_file_.Write(spec.runner_options.data(), spec.runner_options.size(), sizeof(Job)); !written)
    return written.error();
  Result<SharedMemory> results = SharedMemory::Create("lathe-results", job.results_bytes);
  if (!results) return results.error();
  run.results_ = std::move(*results);

  run.artifact_ = Descriptor(::open(artifact.c_str(), O_RDONLY | O_CLOEXEC));
  if (run.artifact_.get() < 0)
    return Error{errno == ENOENT ? ErrorCode::kNotFound : ErrorCode::kUnavailable,
                 fmt::format("open artifact '{}': {}", artifact.string(), std::strerror(errno))};
  Result<ScratchDir> directory = scratch.NewDir("run");
  if (!directory) return directory.error();
  if (job.uid != 0 && ::geteuid() == 0 && ::chown(directory->path().c_str(), job.uid, job.gid) != 0)
    return Error{ErrorCode::kUnavailable,
                 fmt::format("give '{}' to user {}: {}", directory->path().string(), job.uid, std::strerror(errno))};
  run.directory_.emplace(std::move(*directory));
  run.tensors_ = spec.tensors;
  run.data_ = std::move(data);
  run.program_ = options.program;
  run.launcher_ = options.launcher;
  run.timeout_ = options.limits.timeout;
  return run;
}

void WorkerRun::Run(const CancelToken* cancel) {
  SubprocessOptions options;
  options.argv = launcher_;
  options.argv.push_back(program_.string());
  options.files = {{job_file_.fd(), worker::kJobFd},
                   {data_->inputs.fd() >= 0 ? data_->inputs.fd() : job_file_.fd(), worker::kInputsFd},
                   {results_.fd(), worker::kResultsFd},
                   {artifact_.get(), worker::kArtifactFd}};
  options.directory = directory_->path();
  options.environment = {"TMPDIR=" + directory_->path().string()};
  options.deadline = timeout_;
  options.head_bytes = 1500;
  options.tail_bytes = 500;
  options.cancel = cancel;
  if (Status written = job_file_.Write(job_.get(), sizeof(Job), 0); !written) {
    ended_ = written.error();
    return;
  }
  ended_ = RunSubprocess(options);
  if (Status read = results_.Read(&header_, sizeof header_, 0); !read) ended_ = read.error();
  header_.message[sizeof header_.message - 1] = 0;
  // With the filter nothing could leave the process group; without it a daemon may have, and then it stands in our directory.
  if ((header_.sandbox & worker::kSystemCallFilter) == 0) KillProcessesIn(directory_->path());
  directory_.reset();
  samples_.resize(std::min<size_t>(header_.samples, job_->sampling.max_samples));
  if (Status read = results_.Read(samples_.data(), samples_.size() * sizeof(double), job_->samples_offset); !read) samples_.clear();
}

std::optional<WorkerRun::EnergyStretch> WorkerRun::energy_stretch() const {
  if (header_.energy_runs == 0 || !(header_.energy_end > header_.energy_begin)) return std::nullopt;
  return EnergyStretch{header_.energy_begin, header_.energy_end, header_.energy_runs};
}

MeasureStatus WorkerRun::Fault(std::string& message) const {
  const SubprocessResult& process = ended_->value();
  const std::string signal = SignalName(process.code);
  if (process.code == SIGXCPU) {
    message = "out of CPU time";
    return MeasureStatus::kRunTimeout;
  }
  message = fmt::format("{} in {}", signal, StageName(header_.stage));
  const auto count = static_cast<int32_t>(tensors_.size());
  if (header_.fault_signal != process.code) return MeasureStatus::kCrashed;
  if (header_.fault_tensor < 0 || header_.fault_tensor > 2 * count || count == 0) {
    message += fmt::format(" at address {:#x}", header_.fault_address);
    return MeasureStatus::kCrashed;
  }
  const bool workspace = header_.fault_tensor == 2 * count, packed = !workspace && header_.fault_tensor >= count;
  const JobTensor& tensor = job_->tensors[header_.fault_tensor % count];
  const std::string name = workspace ? "the workspace" : fmt::format("{}'{}'", packed ? "packed " : "", tensor.name);
  const auto bytes = static_cast<int64_t>(workspace ? job_->workspace_bytes : packed ? tensor.packed_bytes : tensor.bytes);
  const std::string where = header_.fault_offset < 0        ? fmt::format("{} bytes before {}", -header_.fault_offset, name)
                            : header_.fault_offset >= bytes ? fmt::format("{} bytes past the end of {}", header_.fault_offset - bytes, name)
                                                            : fmt::format("byte {} of {}", header_.fault_offset, name);
  if (header_.fault_is_write_protected != 0) {
    message = fmt::format("wrote to {}, which is read-only, in {}", where, StageName(header_.stage));
    return MeasureStatus::kWrongResult;
  }
  message.append(", ").append(where);
  return MeasureStatus::kCrashed;
}

MeasureStatus WorkerRun::Outcome(std::string& message) const {
  if (!ended_ || !*ended_) {
    message = ended_ ? ended_->error().message : "never started";
    return MeasureStatus::kBoardLost;
  }
  const SubprocessResult& process = ended_->value();
  // Until the artifact is loaded, only our own code has run.
  const bool ours = header_.magic != worker::kMagic || header_.stage < Stage::kLoading;
  if (process.end == End::kCancelled) {
    message = "cancelled";
    return MeasureStatus::kBoardLost;
  }
  if (process.end == End::kDeadline) {
    message = fmt::format("killed after {:.1f} s in {}", process.seconds, StageName(header_.stage));
    return ours ? MeasureStatus::kBoardLost : MeasureStatus::kRunTimeout;
  }
  if (ours && header_.outcome == worker::Outcome::kNone) {
    message = fmt::format("the worker '{}' failed to start ({} {}): {}", program_.string(),
                          process.end == End::kSignalled ? "signal" : "exit status", process.code, process.output);
    return MeasureStatus::kBoardLost;
  }
  // The kernel's clock of CPU time may run out before ours of wall time: the candidate ran on all the same.
  const auto cpu_limit = static_cast<double>(job_->cpu_seconds);
  if (process.end == End::kSignalled && process.code == SIGKILL && cpu_limit > 0 && process.UsedUp(cpu_limit)) {
    message = fmt::format("killed after {:.1f} s of CPU time in {}", process.cpu_seconds, StageName(header_.stage));
    return MeasureStatus::kRunTimeout;
  }
  if (process.end == End::kSignalled) return Fault(message);
  message = header_.message;
  switch (header_.outcome) {
    case worker::Outcome::kDone:
      return MeasureStatus::kOk;
    case worker::Outcome::kNotLaunched:
      return MeasureStatus::kLaunchError;
    case worker::Outcome::kRefused:
      return MeasureStatus::kInvalidConfig;
    case worker::Outcome::kGuardBroken:
      return MeasureStatus::kWrongResult;
    case worker::Outcome::kJobUnusable:
      return MeasureStatus::kBoardLost;
    case worker::Outcome::kOutOfMemory:
    case worker::Outcome::kException:
      return MeasureStatus::kCrashed;
    case worker::Outcome::kNone:
      break;
  }
  message = fmt::format("ended the process with exit status {} in {}", process.code, StageName(header_.stage));
  return MeasureStatus::kCrashed;
}

Result<std::vector<std::byte>> WorkerRun::FirstResult(size_t tensor) const {
  std::vector<std::byte> bytes(job_->tensors[tensor].bytes);
  if (Status read = results_.Read(bytes.data(), bytes.size(), job_->slot_offset[0] + job_->tensors[tensor].result_offset); !read)
    return read.error();
  return bytes;
}

MeasureStatus WorkerRun::Verify(Measurement& measurement) const {
  if (header_.slots < 2) {
    measurement.message = "claims to have finished, but delivered no outputs";
    return MeasureStatus::kCrashed;
  }
  // Mapped rather than read: outputs may be large, and the seal on the file's size makes reading safe whatever the worker did.
  const void* all = ::mmap(nullptr, results_.bytes(), PROT_READ, MAP_SHARED, results_.fd(), 0);
  if (all == MAP_FAILED) {
    measurement.message = fmt::format("map {} bytes of results: {}", results_.bytes(), std::strerror(errno));
    return MeasureStatus::kBoardLost;
  }
  const MeasureStatus status = VerifyOutputs(static_cast<const std::byte*>(all), measurement);
  ::munmap(const_cast<void*>(all), results_.bytes());
  return status;
}

MeasureStatus WorkerRun::VerifyOutputs(const std::byte* results, Measurement& measurement) const {
  for (size_t i = 0; i < tensors_.size(); ++i) {
    if (tensors_[i].role != TensorRole::kOut || !tensors_[i].present) continue;
    for (int slot = 0; slot < 2; ++slot) {
      const std::byte* actual = results + job_->slot_offset[slot] + job_->tensors[i].result_offset;
      const Comparison comparison = Compare(tensors_[i], data_->expected[i].data(), actual, data_->largest[i]);
      measurement.max_error = std::max(measurement.max_error, comparison.max_error);
      if (comparison.agrees) continue;
      measurement.message = fmt::format("{}: {}", slot == 0 ? "first run" : "right at first, wrong in the last run", comparison.message);
      return MeasureStatus::kWrongResult;
    }
  }
  return MeasureStatus::kOk;
}

void WorkerRun::Judge(Measurement& measurement) const {
  measurement.status = Outcome(measurement.message);
  if (ended_ && *ended_) {
    const SubprocessResult& process = ended_->value();
    measurement.run_seconds = process.seconds;
    if (measurement.status != MeasureStatus::kOk && !process.output.empty()) measurement.message.append("\n").append(process.output);
  }
  auto& conditions = measurement.conditions;
  conditions["sandbox"] = SandboxText(header_.sandbox);
  conditions["pinned"] = std::to_string((header_.sandbox & worker::kPinned) != 0 ? 1 : 0);
  conditions["raised_priority"] = std::to_string((header_.sandbox & worker::kPriority) != 0 ? 1 : 0);
  if (measurement.status != MeasureStatus::kOk) return;

  measurement.status = Verify(measurement);
  if (measurement.status != MeasureStatus::kOk) return;
  const bool possible = std::all_of(samples_.begin(), samples_.end(), [](double s) { return std::isfinite(s) && s > 0; }) &&
                        std::accumulate(samples_.begin(), samples_.end(), 0.0) * header_.repeats <= measurement.run_seconds;
  if (!possible) {
    measurement.status = MeasureStatus::kCrashed;
    measurement.message = "its samples cannot be true: it overwrote the worker's memory";
    return;
  }
  measurement.seconds = samples_;
  measurement.cut_early = header_.cut_early != 0;
  conditions["involuntary_switches"] = std::to_string(header_.involuntary_switches);
  conditions["repeats"] = std::to_string(header_.repeats);
  conditions["first_run_us"] = fmt::format("{:.1f}", 1e6 * header_.first_run_seconds);
  conditions["timed_ms"] = fmt::format("{:.2f}", 1e3 * header_.timed_seconds);
  if (header_.device_clock != 0) conditions["clock"] = "device";
  Describe(header_.gpu_before, header_.gpu_after, conditions);
  if ((job_->flags & worker::kColdCache) != 0) conditions.insert_or_assign("cache", std::string("cold"));
}

}  // namespace lathe
