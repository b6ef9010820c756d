// lathe build: the log's winners as a kernel library.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "codegen/candidate_source.h"
#include "core/file.h"
#include "deploy/gpu_library.h"
#include "deploy/model_tasks.h"
#include "measure/cuda_backend.h"
#include "measure/cuda_target.h"
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

// For a CUDA architecture that no log knows, one can still build: its kernels are then the templates' first configs.
Result<Target> TargetOf(const Result<std::unique_ptr<TuningLog>>& log, const std::string& name) {
  Result<Target> known = log ? ChooseTarget(**log, name) : Result<Target>(OfInput(log.error()));
  constexpr std::string_view kArchitecture = "cuda/sm_";
  if (known || name.compare(0, kArchitecture.size(), kArchitecture) != 0) return known;
  return CudaTargetWithoutDevice(name.substr(5));
}

// What a device of the target loads; `shop` is made when the first CUDA candidate asks.
Result<GpuProgram> ProgramFor(const TemplateLibrary& library, const Target& target, std::unique_ptr<Workshop>& shop,
                              const Candidate& candidate) {
  if (target.backend != "cuda") {
    Result<std::string> source = CandidateSource(library, candidate, target);
    if (!source) return source.error();
    return GpuProgram{*std::move(source)};
  }
  if (!shop) {
    WorkshopOptions options;
    options.build_only = true;
    Result<std::unique_ptr<Workshop>> made = Workshop::Create(&library, options, MakeCudaBuildBackend(target.architecture));
    if (!made) return OfMachine(made.error());
    shop = std::move(*made);
  }
  Result<CandidateText> text = RenderCandidate(library, candidate, target);
  if (!text) return text.error();
  const BuildOutcome built = shop->backend().Build(*text, nullptr);
  if (built.status != MeasureStatus::kOk)
    return Error{ErrorCode::kInvalidInput, fmt::format("build {} for {}: {}", candidate.Key(), target.architecture, built.message)};
  Result<std::string> content = ReadFile(built.artifact.path);
  if (!content) return content.error();
  return GpuProgram{*std::move(content), shop->backend().target().fingerprint.at("compiler")};
}

// Workloads whose measurements are all of templates that have changed since look as if they were never tuned; says that they were.
Status NoteOutdated(TuningLog& log, const Target& target, const std::vector<Task>& tasks, const std::vector<Winner>& winners) {
  std::set<std::string> missing;
  for (const Task& task : tasks) missing.insert(task.workload.Key());
  for (const Winner& winner : winners) missing.erase(winner.candidate.workload.Key());
  LogFilter every_version;
  every_version.target = target.Key();
  Result<std::vector<LoggedMeasurement>> rows = log.BestPerWorkload(every_version);
  if (!rows) return rows.error();
  const auto outdated = std::count_if(rows->begin(), rows->end(), [&](const LoggedMeasurement& row) {
    return missing.count(row.measurement.candidate.workload.Key()) > 0;
  });
  if (outdated > 0)
    fmt::print(stderr, "lathe: {} of {} workloads were tuned with templates or references that have changed since; `lathe tune` again\n",
               outdated, tasks.size());
  return {};
}

int RunBuild(const CommonOptions& common, const BuildFlags& flags) {
  Result<TemplateLibrary> library = LoadTemplates(common);
  if (!library) return Fail(library.error());
  Result<ShapeOverrides> overrides = ParseShapeOverrides(flags.shapes);
  if (!overrides) return Fail(overrides.error());
  if (Status there = InputIsThere("read model", flags.model); !there) return Fail(there.error());
  Result<ModelTasks> tasks = ReadTasks(flags.model, *library, *overrides);
  if (!tasks) return Fail(tasks.error());
  Result<std::unique_ptr<TuningLog>> log = TuningLog::Open(flags.log, {.mode = TuningLogOptions::Mode::kReadOnly});
  Result<Target> target = TargetOf(log, flags.target);
  if (!target) return Fail(target.error());
  if (!log) fmt::print(stderr, "lathe: no winners, every kernel is untuned: {}\n", log.error().message);
  Result<Objective> objective = Objective::Parse(flags.objective);
  if (!objective) return Fail(objective.error());
  Result<std::vector<Winner>> winners =
      log ? WinnersOf(*library, **log, *target, *objective) : Result<std::vector<Winner>>(std::vector<Winner>());
  if (!winners) return Fail(winners.error());
  if (log && objective->is_time())
    if (Status noted = NoteOutdated(**log, *target, tasks->tasks, *winners); !noted) return Fail(noted.error());
  if (log && objective->needs_power() && winners->empty())
    fmt::print(stderr,
               "lathe: no winners by --objective {0}: '{1}' holds nothing that was measured for power on {2}; `lathe tune --objective {0}` "
               "does that\n",
               objective->Text(), flags.log, target->Key());
  std::vector<WantedWorkload> wanted;
  for (const Task& task : tasks->tasks) {
    Result<std::set<std::string>> failed =
        log ? FailedOf(*library, **log, task.workload, *target) : Result<std::set<std::string>>(std::set<std::string>());
    if (!failed) return Fail(failed.error());
    wanted.push_back({task.workload, task.count, *std::move(failed)});
  }
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
  std::unique_ptr<Workshop> shop;
  Result<LibraryFiles> files =
      target->backend == "cpu"
          ? GenerateLibrary(*library, *plan)
          : GenerateGpuLibrary(*library, *plan, [&](const Candidate& candidate) { return ProgramFor(*library, *target, shop, candidate); });
  if (!files) return Fail(files.error());
  for (const PlannedKernel& kernel : plan->kernels)
    if (kernel.match == Match::kNone) fmt::print(stderr, "lathe: {}: {}\n", kernel.workload.Key(), kernel.reason);
  if (Status written = WriteLibrary(*files, flags.out); !written) return Fail(written.error());
  std::fflush(stdout);
  if (inexact > 0) fmt::print(stderr, "{} of {} workloads are not tuned exactly\n", inexact, plan->kernels.size());
  const std::string out = (std::filesystem::path(flags.out) / "").parent_path().string();  // without a slash at its end
  fmt::print(stderr, "{0} files in {1}; build them with: cmake -B {1}/build -S {1} && cmake --build {1}/build\n", files->size(), out);
  return DoneWithAll(*library);
}

}  // namespace

void RegisterBuild(CLI::App& app, CommonOptions& common, Action& chosen) {
  CLI::App* command = app.add_subcommand("build", "Generate the kernel library of a model from the tuning log");
  auto flags = std::make_shared<BuildFlags>();
  command->add_option("model", flags->model, "ONNX file, or a JSON file of workloads")->required();
  command->add_option("--log", flags->log, "Tuning log")->capture_default_str();
  command->add_option("--out", flags->out, "Directory of the library; an earlier library there is replaced")->required();
  command->add_option(
      "--target", flags->target,
      "Whose winners: a target's key or a beginning of it; needed when the log has several. cuda/sm_87 needs no GPU and no log");
  Parsed(command->add_option("--objective", flags->objective, "What makes a winner: time, energy, edp, time@WATTS, as tuned for"),
         Objective::Parse)
      ->capture_default_str();
  Parsed(command->add_option("--shape", flags->shapes, "As for `lathe tasks`"),
         [](const std::string& text) { return ParseShapeOverrides({text}); });
  command->add_flag("--strict", flags->strict, "Fail unless every workload was tuned exactly");
  command->footer(
      "The table's 'match': 'exact', tuned for this workload; 'nearest', with the config that was tuned for a workload near it; 'untuned', "
      "with the\n"
      "template author's first config; 'fallback', the plain portable kernel (CPU); 'none', nothing computes it (GPU) and it is left "
      "out.\n\n"
      "Example:\n  lathe build detector.onnx --log tuning.db --out kernels/ --strict");
  command->callback([&common, &chosen, flags] { chosen = [&common, flags] { return RunBuild(common, *flags); }; });
}

}  // namespace lathe
