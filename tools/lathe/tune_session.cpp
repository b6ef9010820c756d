#include "tools/lathe/tune_session.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>

#include "core/hash.h"
#include "measure/target_choice.h"
#include "tools/lathe/progress_line.h"
#include "tools/lathe/stop_signal.h"

namespace lathe {
namespace {

// What makes a run the same run when it is started again after a crash.
nlohmann::json RunOptions(const std::vector<WeightedWorkload>& workloads, const SessionOptions& options) {
  std::string keys;
  for (const WeightedWorkload& wanted : workloads) keys += wanted.workload.Key() + '\n';
  return {{"strategy", options.strategy}, {"trials", options.trials},         {"seed", options.seed},
          {"threads", options.threads},   {"cold_cache", options.cold_cache}, {"workloads", ShortHash(keys)}};
}

std::string NewRunId() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
  return ShortHash(fmt::format("{} {} {}", ns, ::getpid(), ::gethostid()));
}

}  // namespace

Result<SessionResult> RunSession(const TemplateLibrary& library, const std::vector<WeightedWorkload>& workloads,
                                 const SessionOptions& options, std::vector<std::string>& skipped) {
  if (options.board != "local")
    return Error{ErrorCode::kInvalidInput, fmt::format("--board '{}': only 'local' can be reached by this version", options.board)};
  Result<std::unique_ptr<TuningLog>> log = TuningLog::Open(options.log);
  if (!log) return log.error();

  WorkshopOptions shop;
  shop.threads = options.threads;
  shop.cold_cache = options.cold_cache;
  shop.seed = options.seed;
  Result<Workshop::BackendFactory> backend = BackendFor(options.target);
  if (!backend) return backend.error();
  Result<std::unique_ptr<LocalMeasurer>> measurer = LocalMeasurer::Create(&library, shop, 0, *backend);
  if (!measurer) return measurer.error();
  const Target& target = (*measurer)->target();

  std::vector<TuneTask> tasks;
  for (const WeightedWorkload& wanted : workloads) {
    Result<TuneTask> task = MakeTuneTask(library, wanted.workload, target);
    if (!task) {
      skipped.push_back(task.error().message);
      continue;
    }
    task->weight = wanted.weight;
    tasks.push_back(*std::move(task));
  }
  if (tasks.empty())
    return Error{ErrorCode::kNotFound, fmt::format("nothing to tune on {}{}{}", target.Key(), skipped.empty() ? "" : ": ",
                                                   skipped.empty() ? "" : skipped.front())};

  const nlohmann::json run_options = RunOptions(workloads, options);
  Result<std::vector<RunRecord>> unfinished = (*log)->RunsToResume(run_options, target);
  if (!unfinished) return unfinished.error();

  ProgressLine progress;
  TuneOptions tune;
  tune.run_id = unfinished->empty() || options.fresh ? NewRunId() : unfinished->front().id;
  tune.command = options.command;
  tune.search.strategy = options.strategy;
  tune.search.seed = options.seed;
  tune.search.trials = options.trials;
  tune.max_seconds = options.seconds;
  tune.use_history = !options.fresh;
  tune.stop = &StopRequested();
  tune.observer = &progress;
  tune.run_options = run_options;
  if (!unfinished->empty() && !options.fresh) fmt::print(stderr, "continuing run {}\n", tune.run_id);

  Result<TuneReport> report = Tune(tasks, **measurer, **log, tune);
  progress.Clear();
  if (!report) return report.error();
  return SessionResult{*std::move(report), target, (*measurer)->stats()};
}

}  // namespace lathe
