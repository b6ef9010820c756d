// lathe build: the log's winners as a kernel library.
#include <fmt/format.h>

#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>

#include "deploy/kernel_library.h"
#include "deploy/model_tasks.h"
#include "tools/lathe/command.h"
#include "tools/lathe/table.h"
#include "tools/lathe/winners.h"

namespace lathe {
namespace {

struct BuildFlags {
  std::string model, log = "tuning.db", out, target, objective = "time";
  std::vector<std::string> shapes;
  bool strict = false;
};

int RunBuild(const CommonOptions& common, const BuildFlags& flags) {
  Result<TemplateLibrary> library = LoadTemplates(common);
  if (!library) return Fail(library.error());
  Result<ShapeOverrides> overrides = ParseShapeOverrides(flags.shapes);
  if (!overrides) return Fail(overrides.error());
  Result<ModelTasks> tasks = ReadTasks(flags.model, *library, *overrides);
  if (!tasks) return Fail(tasks.error());
  Result<std::unique_ptr<TuningLog>> log = TuningLog::Open(flags.log, {.mode = TuningLogOptions::Mode::kReadOnly});
  if (!log) return Fail(log.error());
  Result<Target> target = ChooseTarget(**log, flags.target);
  if (!target) return Fail(target.error());
  Result<Objective> objective = Objective::Parse(flags.objective);
  if (!objective) return Fail(objective.error());
  Result<std::vector<Winner>> winners = WinnersOf(*library, **log, *target, *objective);
  if (!winners) return Fail(winners.error());
  std::vector<WantedWorkload> wanted;
  for (const Task& task : tasks->tasks) wanted.push_back({task.workload, task.count});
  Result<LibraryPlan> plan = PlanLibrary(*library, *target, wanted, *winners);
  if (!plan) return Fail(plan.error());

  size_t inexact = 0;
  for (const PlannedKernel& kernel : plan->kernels) inexact += kernel.match != Match::kExact ? 1 : 0;
  if (common.json) {
    PrintJson(ToJson(*plan));
  } else {
    Table table({"count", "match", "tuned", "gain", "template", "workload"});
    for (const PlannedKernel& kernel : plan->kernels) {
      const bool exact = kernel.match == Match::kExact;
      table.Add({std::to_string(kernel.count), ToString(kernel.match), exact ? FormatSeconds(kernel.origin->seconds) : "-",
                 exact && kernel.origin->untuned_seconds > 0
                     ? fmt::format("{:.2f}x", kernel.origin->untuned_seconds / kernel.origin->seconds)
                     : "-",
                 kernel.candidate ? kernel.candidate->template_name : "-",
                 (*library->FindOperator(kernel.workload.operator_name))->Label(kernel.workload)});
    }
    fmt::print("{}", table.Text());
    std::map<std::string, size_t> reasons;  // a model nobody tuned has one reason, not sixty
    for (const PlannedKernel& kernel : plan->kernels)
      if (kernel.match != Match::kExact) ++reasons[fmt::format("{}: {}", ToString(kernel.match), kernel.reason)];
    for (const auto& [reason, count] : reasons) fmt::print("{} of {} workloads {}\n", count, plan->kernels.size(), reason);
  }
  if (flags.strict && inexact > 0)
    return Fail(
        {ErrorCode::kNotFound, fmt::format("build kernel library from '{}': {} of {} workloads are not tuned exactly on {} (--strict); "
                                           "tune them or build without --strict",
                                           flags.log, inexact, plan->kernels.size(), target->Key())});
  Result<LibraryFiles> files = GenerateLibrary(*library, *plan);
  if (!files) return Fail(files.error());
  if (Status written = WriteLibrary(*files, flags.out); !written) return Fail(written.error());
  std::fflush(stdout);
  if (inexact > 0) fmt::print(stderr, "{} of {} workloads are not tuned exactly\n", inexact, plan->kernels.size());
  fmt::print(stderr, "{} files in {}; build them with: cmake -B {}/build -S {} && cmake --build {}/build\n", files->size(), flags.out,
             flags.out, flags.out, flags.out);
  return kExitOk;
}

}  // namespace

void RegisterBuild(CLI::App& app, CommonOptions& common, Action& chosen) {
  CLI::App* command = app.add_subcommand("build", "Generate the kernel library of a model from the tuning log");
  auto flags = std::make_shared<BuildFlags>();
  command->add_option("model", flags->model, "ONNX file, or a JSON file of workloads")->required();
  command->add_option("--log", flags->log, "Tuning log")->capture_default_str();
  command->add_option("--out", flags->out, "Directory of the library; an earlier library there is replaced")->required();
  command->add_option("--target", flags->target, "Whose winners: a target's key or a beginning of it; needed when the log has several");
  command->add_option("--objective", flags->objective, "What makes a winner: time, energy, edp, time@WATTS, as tuned for")
      ->capture_default_str();
  command->add_option("--shape", flags->shapes, "As for `lathe tasks`");
  command->add_flag("--strict", flags->strict, "Fail unless every workload was tuned exactly");
  command->footer("Example:\n  lathe build detector.onnx --log tuning.db --out kernels/ --strict");
  command->callback([&common, &chosen, flags] { chosen = [&common, flags] { return RunBuild(common, *flags); }; });
}

}  // namespace lathe
