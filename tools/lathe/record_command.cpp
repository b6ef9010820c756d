// lathe record: measures every configuration of a small space and writes it as a recorded space, for replays.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/hash.h"
#include "db/tuning_log.h"
#include "measure/local_measurer.h"
#include "measure/target_choice.h"
#include "search/driver.h"
#include "search/space_record.h"
#include "tools/lathe/command.h"
#include "tools/lathe/progress_line.h"
#include "tools/lathe/stop_signal.h"
#include "tools/lathe/table.h"
#include "tools/number_check.h"

namespace lathe {
namespace {

struct RecordFlags {
  std::string tmpl, workload, out, log, target = "cpu";
  std::vector<std::string> fixes;
  int threads = 1;
  size_t most = 5000;
};

// One task with the one template, its space narrowed.
Result<TuneTask> TaskOf(const TemplateLibrary& library, const RecordFlags& flags, const Target& target) {
  Result<NamedWorkload> named = ReadWorkload(library, flags.workload);
  if (!named) return named.error();
  Result<const KernelTemplate*> tmpl = library.FindTemplate(flags.tmpl);
  if (!tmpl) return tmpl.error();
  const auto& [op, workload] = *named;
  if ((*tmpl)->operator_name() != op->name()) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("template '{}' computes '{}', not '{}'", flags.tmpl, (*tmpl)->operator_name(), op->name())};
  }
  Result<bool> applies = (*tmpl)->Applies(*op, workload, target);
  if (!applies) return applies.error();
  if (!*applies) {
    return Error{ErrorCode::kNotFound, fmt::format("template '{}' does not apply to {} on {}", flags.tmpl, workload.Key(), target.Key())};
  }
  Result<Space> whole = (*tmpl)->SpaceFor(*op, workload, target);
  if (!whole) return whole.error();
  Result<SpaceDefinition> narrow = Narrowed(whole->definition(), flags.fixes);
  if (!narrow) return narrow.error();
  Result<Space> space = Space::Create(*std::move(narrow));
  if (!space) return space.error();
  const std::optional<uint64_t> size = space->CountValid();
  if (!size || *size == 0 || *size > flags.most) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("record {}: {} configurations, and it may have 1 to {}; narrow it with --fix, or raise --most", flags.tmpl,
                             size ? std::to_string(*size) : "too many to count", flags.most)};
  }
  TuneTask task;
  task.workload = workload;
  task.label = op->Label(workload);
  task.templates.push_back({(*tmpl)->name(), (*tmpl)->hash(), std::make_unique<Space>(*std::move(space)), nullptr});
  return task;
}

int RecordSpace(const CommonOptions& common, const RecordFlags& flags) {
  Result<TemplateLibrary> library = LoadTemplates(common);
  if (!library) return Fail(library.error());
  WorkshopOptions shop;
  shop.threads = flags.threads;
  shop.sampling.cut_after = 0;  // a slow configuration is as much part of the space as a fast one
  shop.sampling.min_samples = 8;
  shop.sampling.max_samples = 32;
  shop.sampling.max_seconds = 0.15;
  Result<Workshop::BackendFactory> backend = BackendFor(flags.target);
  if (!backend) return Fail(OfMachine(backend.error()));
  Result<std::unique_ptr<LocalMeasurer>> measurer = LocalMeasurer::Create(&*library, shop, 0, *backend);
  if (!measurer) return Fail(OfMachine(measurer.error()));
  const Target& target = (*measurer)->target();
  std::vector<TuneTask> tasks;
  Result<TuneTask> task = TaskOf(*library, flags, target);
  if (!task) return Fail(task.error());
  tasks.push_back(*std::move(task));
  const TaskTemplate& kernel = tasks[0].templates[0];
  const std::string log_path = flags.log.empty() ? flags.out + ".db" : flags.log;
  Result<std::unique_ptr<TuningLog>> log = TuningLog::Open(log_path);
  if (!log) return Fail(OfMachine(log.error()));

  ProgressLine progress;
  TuneOptions tune;
  tune.run_id = ShortHash("record " + flags.out + ' ' + tasks[0].workload.Key() + ' ' + kernel.hash);
  tune.command = fmt::format("lathe record {} --workload {} --out {}", flags.tmpl, flags.workload, flags.out);
  tune.search.strategy = "grid";
  tune.search.trials = static_cast<size_t>(*kernel.space->CountValid());
  tune.search.finalists = 0;
  tune.search.untuned_first = false;
  tune.stop = &StopRequested();
  tune.observer = &progress;
  Result<TuneReport> report = Tune(tasks, **measurer, **log, tune);
  progress.Clear();
  if (!report) return Fail(report.error());
  if (report->state == "stopped") {
    fmt::print(stderr, "lathe: stopped; what was measured is in '{}', the same command goes on\n", log_path);
    return kExitStopped;
  }
  Result<std::vector<Measurement>> history = (*log)->History(tasks[0].workload, kernel.name, kernel.hash, target);
  if (!history) return Fail(history.error());
  const SpaceRecordHeader header{
      std::filesystem::path(flags.out).filename().string(), tasks[0].label, tasks[0].workload, kernel.name, kernel.hash, target};
  Result<SpaceRecordSummary> summary = WriteSpaceRecord(flags.out, header, *kernel.space, *history);
  if (!summary) return Fail(summary.error());
  if (common.json) {
    PrintJson(nlohmann::json{{"out", flags.out},
                             {"configurations", summary->rows},
                             {"worked", summary->worked},
                             {"optimum_seconds", summary->optimum_seconds},
                             {"median_seconds", summary->median_seconds},
                             {"seconds", report->seconds},
                             {"measurements", report->measurements}});
    return kExitOk;
  }
  fmt::print("{}: {} configurations, {} worked, best {}, median {}; {} measured now in {}\n", flags.out, summary->rows, summary->worked,
             FormatSeconds(summary->optimum_seconds), FormatSeconds(summary->median_seconds), report->measurements,
             FormatSpan(report->seconds));
  return kExitOk;
}

}  // namespace

void RegisterRecord(CLI::App& app, CommonOptions& common, Action& chosen) {
  CLI::App* command = app.add_subcommand("record", "Measure every configuration of a small space, for replays");
  auto flags = std::make_shared<RecordFlags>();
  command->add_option("template", flags->tmpl, "Template: direct_cpu, or conv2d/direct_cpu")->required();
  command->add_option("--workload", flags->workload, "OPERATOR:attribute=value,…")->required();
  command->add_option("--out", flags->out, "Writes OUT.json, OUT.csv.gz, OUT.samples.csv.gz")->required();
  command->add_option("--fix", flags->fixes, "PARAMETER=VALUE or PARAMETER=VALUE,VALUE: only these; repeatable")->delimiter(';');
  command->add_option("--most", flags->most, "Refuse a space with more configurations")->check(WholeFromOne())->capture_default_str();
  command->add_option("--log", flags->log, "Tuning log that the measurements go to (default: OUT.db)");
  Parsed(command->add_option("--target", flags->target, "cpu, opencl (the first device), opencl:1 (another)"), CheckTargetChoice)
      ->capture_default_str();
  command->add_option("--threads", flags->threads, "Threads a kernel may use")->capture_default_str()->check(CLI::Range(1, 1024));
  command->footer(
      "Stopped by Ctrl-C or by kill -9, the same command goes on where it was.\n\nExample:\n"
      "  lathe record nms_cpu --workload nms:n=5000,max_out=5000 --fix TASKS=1 --out nms5000 && lathe replay nms5000.json");
  command->callback([&common, &chosen, flags] { chosen = [&common, flags] { return RecordSpace(common, *flags); }; });
}

}  // namespace lathe
