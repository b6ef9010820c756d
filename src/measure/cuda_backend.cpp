#include "measure/cuda_backend.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <csignal>

#include "core/file.h"
#include "core/hash.h"
#include "measure/cubin.h"
#include "measure/cuda_target.h"
#include "measure/launch_list.h"
#include "measure/subprocess.h"

namespace lathe {
namespace {

constexpr const char *kSourceName = "candidate.cu", *kCubinName = "candidate.cubin", *kLogName = "log";
constexpr size_t kMostLog = 3000;  // of a compiler's output
constexpr int kPatience = 5;       // clock over CPU time: the machine may be busy

uint64_t Product(const std::vector<uint64_t>& sizes) {
  uint64_t product = 1;
  for (const uint64_t size : sizes) product *= size;
  return product;
}

}  // namespace

CudaBackend::CudaBackend(Workshop* shop, Target target, CudaCompiler compiler, std::optional<size_t> device, std::optional<ClockLock> clock)
    : shop_(shop), target_(std::move(target)), compiler_(std::move(compiler)), device_(device), clock_(std::move(clock)) {
  target_.fingerprint["compiler"] = compiler_.Name();
  architecture_ = WithLimits(FindCudaArchitecture(target_.architecture).value_or(CudaArchitecture{}), target_.limits);
}

std::string CudaBackend::Asked() const {
  return compiler_.makes_cubins ? target_.architecture : "compute_" + target_.architecture.substr(3);
}

std::vector<std::string> CudaBackend::Command(const std::vector<std::string>& flags) const {
  const WorkshopOptions& options = shop_->options();
  const std::string worker = options.worker_program.string();
  const auto cpu_seconds = static_cast<long long>(std::ceil(std::chrono::duration<double>(options.build.timeout).count()));
  const std::vector<int> cpus = options.pin && !shop_->cpus().exclusive ? shop_->cpus().others : std::vector<int>();
  std::vector<std::string> command = {worker, "--launch", std::to_string(cpu_seconds), "0", fmt::format("{}", fmt::join(cpus, ",")),
                                      "-",    "--"};
  if (compiler_.is_nvcc) {
    for (const std::string& word : {compiler_.path.string(), std::string("-cubin"), std::string("-std=c++14"), "-arch=" + Asked(),
                                    std::string("-Xptxas=-v"), std::string("-o"), std::string(kCubinName), std::string(kSourceName)})
      command.push_back(word);
  } else {
    for (const std::string& word :
         {worker, std::string("--cuda-compile"), compiler_.path.string(), std::string(kSourceName), std::string(kCubinName),
          std::string(kLogName), "--gpu-architecture=" + Asked(), std::string("-std=c++14")})
      command.push_back(word);
    if (compiler_.makes_cubins) command.emplace_back("--ptxas-options=-v");
  }
  command.insert(command.end(), flags.begin(), flags.end());
  return command;
}

BuildOutcome CudaBackend::Build(const CandidateText& text, const CancelToken* cancel) {
  const std::string key = Sha256(fmt::format("cuda\n{}\n{}\n{}\n{}", Asked(), compiler_.Name(), fmt::join(text.flags, " "), text.source));
  BuildOutcome outcome;
  if (std::optional<Artifact> there = shop_->artifacts().Find(key))
    outcome.artifact = std::move(*there);
  else
    outcome = Compile(key, text, cancel);
  if (outcome.status == MeasureStatus::kOk) Judge(text.spec.runner_options, outcome);
  return outcome;
}

BuildOutcome CudaBackend::Compile(const std::string& key, const CandidateText& text, const CancelToken* cancel) {
  const auto lost = [](const Error& error) { return BuildOutcome{MeasureStatus::kBoardLost, error.message, {}, 0}; };
  Result<ScratchDir> dir = shop_->scratch().NewDir("build");
  if (!dir) return lost(dir.error());
  if (Status written = WriteFile(dir->path() / kSourceName, text.source); !written) return lost(written.error());
  SubprocessOptions run;
  run.argv = Command(text.flags);
  run.directory = dir->path();
  run.environment = {"TMPDIR=" + dir->path().string(), "LC_ALL=C"};
  run.deadline = kPatience * shop_->options().build.timeout;
  run.head_bytes = 20'000;
  run.cancel = cancel;
  Result<SubprocessResult> result = RunSubprocess(run);
  if (!result) return lost(result.error().In("build a candidate"));

  using End = SubprocessResult::End;
  const auto ended = [&](MeasureStatus status, const std::string& message) {
    return BuildOutcome{status, message.substr(0, kMostLog), {}, result->seconds};
  };
  if (result->end == End::kCancelled) return ended(MeasureStatus::kBoardLost, "cancelled");
  if (result->end == End::kDeadline || (result->end == End::kSignalled && result->code == SIGXCPU))
    return ended(MeasureStatus::kBuildTimeout, fmt::format("{} took longer than {:.1f} s", compiler_.Name(), result->seconds));
  if (result->end == End::kSignalled)
    return ended(MeasureStatus::kBuildError,
                 fmt::format("{} ended with {}: {}", compiler_.Name(), SignalName(result->code), result->output));
  constexpr int kNoCompiler = 3;  // the machine's fault, not the candidate's; see worker/cuda_tool.cpp
  if (result->code == kNoCompiler) return lost({ErrorCode::kUnavailable, result->output});
  if (result->code != 0) {
    const bool too_large = result->output.find("uses too much shared data") != std::string::npos;
    return ended(too_large ? MeasureStatus::kInvalidConfig : MeasureStatus::kBuildError, result->output);
  }
  const Result<std::string> log = ReadFile(dir->path() / kLogName);
  Result<Artifact> artifact = shop_->artifacts().Add(key, dir->path() / kCubinName,
                                                     ReadPtxasLog(compiler_.is_nvcc ? result->output
                                                                  : log             ? *log
                                                                                    : ""));
  if (!artifact) return lost(artifact.error());
  BuildOutcome outcome{MeasureStatus::kOk, "", std::move(*artifact), result->seconds};
  return outcome;
}

void CudaBackend::Judge(const std::string& text, BuildOutcome& outcome) const {
  const Result<std::string> content = ReadFile(outcome.artifact.path);
  if (!content || !IsCubin(*content)) return;  // PTX says nothing yet
  const Result<std::map<std::string, CubinKernel>> kernels = ReadCubin(*content);
  std::vector<KernelLaunch> launches;
  const auto refuse = [&](MeasureStatus status, std::string why) {
    outcome.status = status;
    outcome.message = std::move(why);
  };
  if (!kernels) return refuse(MeasureStatus::kBuildError, kernels.error().message);
  if (!ParseLaunches(text, launches)) return refuse(MeasureStatus::kBoardLost, "the candidate's launches are not understood");

  std::map<std::string, double>& facts = outcome.artifact.facts;
  double most_items = -1;
  for (const char* name : {"registers", "local_bytes", "stack_bytes", "code_bytes"}) facts[name] = 0;
  for (const auto& [name, kernel] : *kernels) facts["code_bytes"] += static_cast<double>(kernel.code_bytes);
  const auto limit = [&](const char* name) { return target_.limits.at(name); };
  for (const KernelLaunch& launch : launches) {
    const auto found = kernels->find(launch.kernel);
    if (found == kernels->end())
      return refuse(MeasureStatus::kLaunchError, fmt::format("find kernel '{}': the source has none of that name", launch.kernel));
    const CubinKernel& kernel = found->second;
    const uint64_t items = Product(launch.local), local_bytes = kernel.local_bytes + launch.dynamic_local_bytes;
    const GroupNeeds needs{static_cast<uint32_t>(items), kernel.registers, local_bytes};
    std::string why;
    for (size_t i = 0; i < launch.global.size() && why.empty(); ++i) {
      if (launch.local[i] == 0 || launch.global[i] % launch.local[i] != 0)
        why = fmt::format("{} work items are no multiple of a group's {}", launch.global[i], launch.local[i]);
      else if (const double most = i == 0 ? 2147483647.0 : limit("max_groups_yz");
               static_cast<double>(launch.global[i] / launch.local[i]) > most)
        why = fmt::format("{} groups in dimension {}, at most {} are possible", launch.global[i] / launch.local[i], i, most);
    }
    const auto check = [&](const char* what, double value, double most) {
      if (why.empty() && value > most) why = fmt::format("a group takes {} {}, at most {} are possible", value, what, most);
    };
    check("work items", static_cast<double>(items), limit("max_work_group"));
    if (launch.local.size() == 3) check("work items in dimension 2", static_cast<double>(launch.local[2]), limit("max_work_group_z"));
    check("registers", static_cast<double>(RegistersOfGroup(needs)), limit("registers_per_group"));
    check("bytes of shared memory", static_cast<double>(local_bytes),
          launch.dynamic_local_bytes > 0 ? limit("local_bytes_asked") : limit("local_bytes"));
    if (kernel.max_items > 0) check("work items", static_cast<double>(items), kernel.max_items);
    if (!why.empty()) return refuse(MeasureStatus::kInvalidConfig, fmt::format("kernel '{}': {}", launch.kernel, why));
    if (launch.prepares) continue;
    facts["registers"] = std::max(facts["registers"], static_cast<double>(kernel.registers));
    facts["local_bytes"] = std::max(facts["local_bytes"], static_cast<double>(local_bytes));
    facts["stack_bytes"] = std::max(facts["stack_bytes"], static_cast<double>(kernel.frame_bytes));
    // Of the launch with the most work items: where the time goes.
    if (const auto all = static_cast<double>(Product(launch.global)); all > most_items) {
      most_items = all;
      facts["occupancy"] = Occupancy(architecture_, needs);
    }
  }
}

void CudaBackend::Complete(JobSpec& spec) const {
  spec.runner = "cuda";
  spec.limit_address_space = false;
  spec.confine = false;
  spec.runner_options.insert(0, fmt::format("device {}\n", device_.value_or(0)));
}

std::map<std::string, std::string> CudaBackend::Conditions() const {
  if (!clock_) return {};
  return {{"gpu_clock_lock", clock_->state()}};
}

namespace {

Result<std::unique_ptr<Backend>> Make(Workshop& shop, Target target, std::optional<size_t> device) {
  Result<CudaCompiler> compiler = ChooseCudaCompiler(ListCudaCompilers(shop.options().worker_program), target.architecture);
  if (!compiler) return compiler.error();
  const WorkshopOptions& options = shop.options();
  std::optional<ClockLock> clock;
  if (device && !options.lock_clocks.empty() && !options.build_only) {
    if (Status can = CanLockClocks(options.sysfs_root); !can) return can.error();
    Result<ClockLock> lock = ClockLock::Take(options.worker_program, *device, options.lock_clocks, options.notice);
    if (!lock) return lock.error();
    clock.emplace(std::move(*lock));
  }
  return std::unique_ptr<Backend>(std::make_unique<CudaBackend>(&shop, std::move(target), std::move(*compiler), device, std::move(clock)));
}

}  // namespace

Workshop::BackendFactory MakeCudaBackend(size_t device) {
  return [device](Workshop& shop) -> Result<std::unique_ptr<Backend>> {
    Result<Target> target = CudaTarget(device, shop.options().worker_program);
    if (!target) return target.error();
    return Make(shop, std::move(*target), device);
  };
}

Workshop::BackendFactory MakeCudaBuildBackend(const std::string& architecture) {
  return [architecture](Workshop& shop) -> Result<std::unique_ptr<Backend>> {
    Result<Target> target = CudaTargetWithoutDevice(architecture);
    if (!target) return target.error();
    if (!shop.options().build_only)
      return Error{
          ErrorCode::kInvalidInput,
          fmt::format("measure on cuda/{}: that is an architecture and no device; give --target cuda where one is, or --build-only",
                      architecture)};
    return Make(shop, std::move(*target), std::nullopt);
  };
}

}  // namespace lathe
