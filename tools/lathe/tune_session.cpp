#include "tools/lathe/tune_session.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>

#include "core/hash.h"
#include "measure/building_measurer.h"
#include "measure/clock_lock.h"
#include "measure/cpu_set.h"
#include "measure/target_choice.h"
#include "measure/toolchain_profile.h"
#include "rpc/client/remote_measurer.h"
#include "rpc/endpoint.h"
#include "tools/lathe/command.h"
#include "tools/lathe/machine_limits.h"
#include "tools/lathe/progress_line.h"
#include "tools/lathe/stop_signal.h"
#include "tools/lathe/table.h"

namespace lathe {
namespace {

// What makes a run the same run when it is started again after a crash.
nlohmann::json RunOptions(const std::vector<WeightedWorkload>& workloads, const SessionOptions& options) {
  std::string keys;
  for (const WeightedWorkload& wanted : workloads) keys += wanted.workload.Key() + '\n';
  nlohmann::json run = {{"strategy", options.strategy},         {"trials", options.trials},         {"seed", options.seed},
                        {"threads", options.threads},           {"cold_cache", options.cold_cache}, {"workloads", ShortHash(keys)},
                        {"objective", options.objective.Text()}};
  if (!options.templates.empty()) run["templates"] = options.templates;
  if (!options.lock_clocks.empty()) run["lock_clocks"] = options.lock_clocks;  // samples at another clock are not to be pooled
  return run;
}

std::string NewRunId() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
  return ShortHash(fmt::format("{} {} {}", ns, ::getpid(), ::gethostid()));
}

// The kernel that tells a board's speed: multiply-adds alone, in the template author's own config.
Result<Candidate> CalibrationCandidate(const TemplateLibrary& library, const Target& target) {
  Result<std::vector<Workload>> limits = LimitWorkloads(library, target);
  if (!limits) return limits.error();
  Result<TuneTask> task = MakeTuneTask(library, limits->front(), target);
  if (!task) return task.error();
  const TaskTemplate& first = task->templates.front();
  const std::optional<Point> point = first.space->First();
  if (!point) return Error{ErrorCode::kNotFound, "the template of " + limits->front().Key() + " has no valid config on " + target.Key()};
  return Candidate{limits->front(), first.name, first.hash, first.space->ConfigAt(*point)};
}

// The one place that picks local or remote.
struct Devices {
  std::unique_ptr<LocalMeasurer> local;
  std::unique_ptr<HostBuild> host_build;
  std::unique_ptr<Measurer> boards;  // the pool, or what builds for it
  BoardPool* pool = nullptr;
  Measurer& measurer() const { return local ? static_cast<Measurer&>(*local) : *boards; }
};

Result<std::unique_ptr<HostBuild>> BuildHere(const TemplateLibrary& library, const SessionOptions& options) {
  Result<Toolchain> toolchain = ReadToolchainProfile(options.toolchain);
  if (!toolchain) return toolchain.error();
  HostBuild::Options build;
  build.toolchain = std::move(*toolchain);
  build.worker_program = WorkerOptions::DefaultProgram();
  Result<std::unique_ptr<HostBuild>> made = HostBuild::Create(&library, std::move(build));
  if (!made) return OfMachine(made.error());
  return made;
}

Result<Devices> OpenDevices(const TemplateLibrary& library, const SessionOptions& options, ProgressLine& progress) {
  const auto tell = [&progress](const std::string& text) {
    progress.Clear();
    fmt::print(stderr, "lathe: {}\n", text);
  };
  Devices devices;
  if (options.board != "local") {
    RemoteOptions remote;
    remote.boards = options.board;
    remote.certs = options.certs;
    remote.pool.session.target = options.target;
    remote.pool.session.threads = options.threads;
    remote.pool.session.cold_cache = options.cold_cache;
    remote.pool.session.seed = options.seed;
    remote.pool.session.energy = options.objective.needs_power();
    remote.pool.wait = std::chrono::milliseconds(static_cast<int64_t>(1000 * options.wait_seconds));
    if (options.calibrate) remote.pool.calibration = [&library](const Target& target) { return CalibrationCandidate(library, target); };
    const auto told = std::make_shared<std::string>();
    remote.pool.notice = [tell, told](const std::string& text) {
      *told = text;
      tell(text);
    };
    if (!options.toolchain.empty()) {
      Result<std::unique_ptr<HostBuild>> build = BuildHere(library, options);
      if (!build) return build.error();
      devices.host_build = std::move(*build);
      remote.host_build = devices.host_build.get();
    }
    Result<std::unique_ptr<BoardPool>> pool = OpenBoards(library, std::move(remote), &StopRequested());
    if (!pool) {
      Error error = OfMachine(pool.error());
      if (error.message == *told) error.message = "no board is left to measure on";  // the reason stands in the line above
      return error;
    }
    devices.pool = pool->get();
    devices.boards = std::move(*pool);
    if (!devices.host_build) return devices;
    Result<std::unique_ptr<BuildingMeasurer>> building =
        BuildingMeasurer::Create(std::move(devices.boards), devices.host_build.get(), static_cast<int>(AvailableCpus().size()));
    if (!building) return building.error();
    devices.boards = std::move(*building);
    return devices;
  }
  WorkshopOptions shop;
  shop.threads = options.threads;
  shop.cold_cache = options.cold_cache;
  shop.seed = options.seed;
  shop.sysfs_root = options.sysfs_root;
  shop.lock_clocks = options.lock_clocks;
  shop.notice = tell;
  if (options.objective.needs_power()) shop.energy = WorkshopOptions::Energy::kAlways;
  Result<Workshop::BackendFactory> backend = BackendFor(options.target);
  if (!backend) return backend.error();
  Result<std::unique_ptr<LocalMeasurer>> measurer = LocalMeasurer::Create(&library, shop, 0, *backend);
  if (!measurer) return OfMachine(measurer.error());
  devices.local = std::move(*measurer);
  if (const ClockLock* lock = devices.local->workshop().backend().clock_lock(); lock != nullptr)
    tell(lock->locked() ? fmt::format("the GPU's clock is locked at {} MHz until the end", lock->mhz())
                        : fmt::format("the GPU's clock is not locked: {}; measuring goes on, and each measurement's conditions say so",
                                      lock->refusal()));
  return devices;
}

}  // namespace

bool TakesTemplate(const SessionOptions& options, const std::string& operator_name, const std::string& template_name) {
  const auto& wanted = options.templates;
  return wanted.empty() || std::any_of(wanted.begin(), wanted.end(), [&](const std::string& name) {
           return name == template_name || name == operator_name + '/' + template_name;
         });
}

std::string Contradiction(const SessionOptions& options, std::optional<bool> build_only) {
  if (!options.toolchain.empty() && options.target != "cpu")
    return fmt::format("--toolchain '{}' builds for the cpu, --target is {}", options.toolchain, options.target);
  if (options.board != "local")
    if (const auto endpoints = ParseEndpoints(options.board); !endpoints) return "--board: " + endpoints.error().message;
  if (!options.toolchain.empty() && options.board == "local")
    return fmt::format("--toolchain '{}' is for boards: name one with --board", options.toolchain);
  if (!options.lock_clocks.empty() && (options.board != "local" || !options.target.starts_with("cuda")))
    return fmt::format("--lock-clocks '{}' is for a CUDA device of this machine (--target cuda); {}", options.lock_clocks,
                       options.board != "local" ? "boards are told so where they are: lathe-agent --lock-clocks"
                                                : fmt::format("--target is {}", options.target));
  if (!options.lock_clocks.empty() && build_only.value_or(false))
    return fmt::format("--lock-clocks '{}' is for measuring, and --build-only measures nothing", options.lock_clocks);
  if (!build_only.value_or(false) && options.target.starts_with("cuda/"))
    return fmt::format("--target {} is an architecture and no device: give --target cuda where one is{}", options.target,
                       build_only ? ", or --build-only" : "");
  return "";
}

Result<SessionResult> RunSession(const TemplateLibrary& library, const std::vector<WeightedWorkload>& workloads,
                                 const SessionOptions& options, std::vector<std::string>& skipped) {
  // A log that is there is looked at before anybody waits for a board; a new one is made when the run can begin.
  std::unique_ptr<TuningLog> log;
  const auto open_log = [&]() -> Status {
    Result<std::unique_ptr<TuningLog>> opened = TuningLog::Open(options.log);
    if (!opened) return OfMachine(opened.error());
    log = std::move(*opened);
    return {};
  };
  if (Status there = TuningLog::FolderIsThere(options.log); !there) return OfMachine(there.error());
  std::error_code failure;
  if (std::filesystem::exists(options.log, failure))
    if (Status opened = open_log(); !opened) return opened.error();

  ProgressLine progress(options.progress);
  Result<Devices> devices = OpenDevices(library, options, progress);
  if (!devices) return devices.error();
  Measurer& measurer = devices->measurer();
  const Target& target = measurer.target();

  std::vector<TuneTask> tasks;
  for (const WeightedWorkload& wanted : workloads) {
    Result<TuneTask> task = MakeTuneTask(library, wanted.workload, target);
    if (!task) {
      skipped.push_back(task.error().message);
      continue;
    }
    auto& kernels = task->templates;
    kernels.erase(
        std::remove_if(kernels.begin(), kernels.end(),
                       [&](const TaskTemplate& kernel) { return !TakesTemplate(options, wanted.workload.operator_name, kernel.name); }),
        kernels.end());
    if (kernels.empty()) {
      skipped.push_back(fmt::format("{}: none of the templates {} computes it", wanted.workload.Key(), fmt::join(options.templates, ", ")));
      continue;
    }
    task->weight = wanted.weight;
    if (Result<const Operator*> op = library.FindOperator(task->workload.operator_name)) task->label = (*op)->Label(task->workload);
    tasks.push_back(*std::move(task));
  }
  if (tasks.empty())
    return Error{ErrorCode::kNotFound, fmt::format("nothing to tune on {}{}{}", target.Key(), skipped.empty() ? "" : ": ",
                                                   skipped.empty() ? "" : skipped.front())};

  if (!log)
    if (Status opened = open_log(); !opened) return opened.error();

  const nlohmann::json run_options = RunOptions(workloads, options);
  Result<std::vector<RunRecord>> unfinished = log->RunsToResume(run_options, target);
  if (!unfinished) return unfinished.error();

  TuneOptions tune;
  tune.run_id = unfinished->empty() || options.fresh ? NewRunId() : unfinished->front().id;
  tune.command = options.command;
  tune.search.strategy = options.strategy;
  tune.search.seed = options.seed;
  tune.search.trials = options.trials;
  tune.search.warm = options.warm;
  tune.search.objective = options.objective;
  tune.stop_when_gain = options.stop_when_gain;
  tune.max_seconds = options.seconds;
  tune.use_history = !options.fresh;
  tune.stop = &StopRequested();
  tune.observer = &progress;
  tune.run_options = run_options;
  if (!unfinished->empty() && !options.fresh) fmt::print(stderr, "continuing run {}\n", tune.run_id);

  progress.Show(fmt::format("{} {}, {} trials{}: compiling the first candidates", tasks.size(), tasks.size() == 1 ? "task" : "tasks",
                            options.trials * tasks.size(),
                            options.seconds > 0 ? fmt::format(", {} at most", FormatSpan(options.seconds)) : ""));
  Result<TuneReport> report = Tune(tasks, measurer, *log, tune);
  progress.Clear();
  if (!report) return report.error();
  SessionResult result{*std::move(report), target, std::nullopt, {}};
  if (devices->local) result.pipeline = devices->local->stats();
  if (devices->pool) result.boards = devices->pool->boards();
  return result;
}

}  // namespace lathe
