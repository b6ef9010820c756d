// lathe tune and lathe limits: run the tuner on a board.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "deploy/model_tasks.h"
#include "measure/clock_lock.h"
#include "measure/target_choice.h"
#include "search/strategy.h"
#include "tools/duration_option.h"
#include "tools/lathe/command.h"
#include "tools/lathe/machine_limits.h"
#include "tools/lathe/table.h"
#include "tools/lathe/template_check.h"
#include "tools/lathe/tune_report_text.h"
#include "tools/lathe/tune_session.h"
#include "tools/number_check.h"

namespace lathe {
namespace {

struct TuneFlags {
  std::string input;                   // a model or a file of workloads
  std::vector<std::string> workloads;  // or given here
  std::vector<std::string> shapes, operators;
  std::string warm = "auto", objective = "time";
  bool build_only = false;
  double stop_when_gain = 0;  // percent a minute
  SessionOptions session;
};

Result<std::vector<WeightedWorkload>> Wanted(const TemplateLibrary& library, const TuneFlags& flags) {
  std::vector<WeightedWorkload> wanted;
  for (const std::string& text : flags.workloads) {
    Result<NamedWorkload> named = ReadWorkload(library, text);
    if (!named) return named.error();
    wanted.push_back({std::move(named->workload), 1});
  }
  if (flags.input.empty()) return wanted;
  Result<ShapeOverrides> overrides = ParseShapeOverrides(flags.shapes);
  if (!overrides) return overrides.error();
  for (const std::string& name : flags.operators)
    if (Result<const Operator*> known = library.FindOperator(name); !known) return known.error();
  if (Status there = InputIsThere("read model", flags.input); !there) return there.error();
  Result<ModelTasks> tasks = ReadTasks(flags.input, library, *overrides);
  if (!tasks) return tasks.error();
  for (const UnknownNode& node : tasks->unknown)
    fmt::print(stderr, "lathe: {} node '{}' is left out: {}\n", node.op_type, node.name, node.reason);
  for (const Task& task : tasks->tasks) {
    const auto& only = flags.operators;
    if (!only.empty() && std::find(only.begin(), only.end(), task.workload.operator_name) == only.end()) continue;
    wanted.push_back({task.workload, static_cast<double>(task.count)});
  }
  return wanted;
}

nlohmann::json PipelineJson(const PipelineStats& stats) {
  return {{"wall", stats.wall},         {"building", stats.building}, {"compiling", stats.compiling},     {"measuring", stats.measuring},
          {"sampling", stats.sampling}, {"judging", stats.judging},   {"device_idle", stats.device_idle}, {"builders", stats.builders}};
}

Result<MachineLimits> LimitsOf(const TemplateLibrary& library, const SessionOptions& options, const Target& target) {
  Result<std::unique_ptr<TuningLog>> log = TuningLog::Open(options.log, {.mode = TuningLogOptions::Mode::kReadOnly});
  if (!log) return log.error();
  return LimitsFromLog(library, **log, target.Key());
}

int Report(const CommonOptions& common, const TemplateLibrary& library, const SessionOptions& options, const SessionResult& session) {
  Result<MachineLimits> limits = LimitsOf(library, options, session.target);
  if (!limits) return Fail(limits.error());
  if (common.json) {
    nlohmann::json json = ToJson(session.report);
    json["objective"] = options.objective.Text();
    json["target"] = ToJson(session.target);
    if (session.pipeline) json["pipeline"] = PipelineJson(*session.pipeline);
    for (const BoardState& board : session.boards)
      json["boards"].push_back({{"endpoint", board.endpoint},
                                {"board", board.board},
                                {"state", board.state},
                                {"finished", board.finished},
                                {"tainted", board.tainted},
                                {"calibration_seconds", board.calibration_seconds},
                                {"problem", board.problem}});
    json["limits"] = {{"flops_per_second", limits->flops_per_second}, {"bytes_per_second", limits->bytes_per_second}};
    PrintJson(json);
  } else {
    fmt::print("{}", TuneReportText(library, session, *limits, options.objective));
    size_t failed = 0;
    for (const TaskReport& task : session.report.tasks)
      for (const auto& [status, count] : task.failures)
        if (ParseMeasureStatus(status)) failed += count;  // what only missed the objective worked
    if (failed > 0) fmt::print("{} candidates failed, which is no harm; `lathe query --log {} --failures` says why\n", failed, options.log);
    if (limits->flops_per_second == 0)
      fmt::print("to see how near to the machine's limit that is (column 'of limit'), run `lathe limits --log {}` once\n", options.log);
  }
  if (session.report.state == "stopped") return kExitStopped;
  const auto& tasks = session.report.tasks;
  const auto lost = std::count_if(tasks.begin(), tasks.end(), [](const TaskReport& task) { return !task.best; });
  const auto untried = std::count_if(tasks.begin(), tasks.end(), [](const TaskReport& task) { return task.trials == 0; });
  if (lost == 0) return kExitOk;
  fmt::print(stderr, "lathe: {} of {} tasks have no winner{}\n", lost, tasks.size(),
             untried > 0 ? fmt::format(", {} of them were not reached: the same command goes on with them", untried) : "");
  return kExitIncomplete;
}

// As far as one gets without a device: candidates of every template are built, into the artifact cache, and what the compiler says is
// printed.
int BuildOnly(const CommonOptions& common, const TemplateLibrary& library, const std::vector<WeightedWorkload>& wanted,
              const SessionOptions& options) {
  std::vector<NamedWorkload> shapes;
  std::vector<const KernelTemplate*> templates;
  for (const WeightedWorkload& each : wanted) {
    const Operator* op = *library.FindOperator(each.workload.operator_name);
    if (std::none_of(shapes.begin(), shapes.end(), [&](const NamedWorkload& shape) { return shape.op == op; }))
      for (const KernelTemplate* tmpl : library.TemplatesOf(op->name()))
        if (TakesTemplate(options, op->name(), tmpl->name())) templates.push_back(tmpl);
    shapes.push_back({op, each.workload});
  }
  TemplateCheckOptions check;
  check.build_only = true;
  check.configs = options.trials;
  check.seed = options.seed;
  check.threads = options.threads;
  Result<TargetReport> report = CheckOn(options.target, library, check, templates, shapes);
  if (!report) return Fail(report.error());
  return PrintReports({std::move(*report)}, true, common.json);
}

int RunTune(const CommonOptions& common, TuneFlags& flags) {
  if (const std::string wrong = Contradiction(flags.session, flags.build_only); !wrong.empty()) return WrongCommandLine(wrong);
  if (flags.input.empty() && flags.workloads.empty()) {
    return WrongCommandLine("nothing to tune: give a model, a file of workloads, or --workload; `lathe tune --help` has examples");
  }
  Result<Objective> objective = Objective::Parse(flags.objective);
  if (!objective) return Fail(objective.error());
  flags.session.objective = *objective;
  flags.session.warm = flags.warm == "auto";
  flags.session.stop_when_gain = flags.stop_when_gain / 100;
  Result<TemplateLibrary> library = LoadTemplates(common);
  if (!library) return Fail(library.error());
  Result<std::vector<WeightedWorkload>> wanted = Wanted(*library, flags);
  if (!wanted) return Fail(wanted.error());
  if (wanted->empty())
    return Fail(
        {ErrorCode::kNotFound, fmt::format("tune '{}': it has no workload of {}", flags.input,
                                           flags.operators.empty() ? "any operator in the templates"
                                                                   : fmt::format("operator {}", fmt::join(flags.operators, ", ")))});
  for (const std::string& name : flags.session.templates)
    if (Result<const KernelTemplate*> known = library->FindTemplate(name); !known) return Fail(known.error());
  if (flags.build_only) return BuildOnly(common, *library, *wanted, flags.session);
  std::vector<std::string> skipped;
  Result<SessionResult> session = RunSession(*library, *wanted, flags.session, skipped);
  for (const std::string& reason : skipped) fmt::print(stderr, "lathe: not tuned: {}\n", reason);
  if (!session) return Fail(session.error());
  for (const std::string& note : session->report.notes) fmt::print(stderr, "lathe: {}\n", note);
  const int code = Report(common, *library, flags.session, *session);
  return code == kExitOk && !flags.input.empty() && flags.operators.empty() ? DoneWithAll(*library) : code;
}

int RunLimits(const CommonOptions& common, SessionOptions& options) {
  if (const std::string wrong = Contradiction(options, std::nullopt); !wrong.empty()) return WrongCommandLine(wrong);
  Result<TemplateLibrary> library = LoadTemplates(common);
  if (!library) return Fail(library.error());
  Result<Target> target = TargetFor(options.target, options.threads);
  if (!target) return Fail(OfMachine(target.error()));
  Result<std::vector<Workload>> workloads = LimitWorkloads(*library, *target);
  if (!workloads) return Fail(workloads.error());
  std::vector<WeightedWorkload> wanted;
  for (const Workload& workload : *workloads) wanted.push_back({workload, 1});
  options.progress = LimitsInWords(*library, *workloads);
  std::vector<std::string> skipped;
  Result<SessionResult> session = RunSession(*library, wanted, options, skipped);
  if (!session) return Fail(session.error());
  Result<MachineLimits> limits = LimitsOf(*library, options, session->target);
  if (!limits) return Fail(limits.error());
  if (common.json)
    PrintJson(nlohmann::json{
        {"target", session->target.Key()}, {"flops_per_second", limits->flops_per_second}, {"bytes_per_second", limits->bytes_per_second}});
  else
    fmt::print("{}\n  FMA   {}\n  copy  {} (read and written bytes)\n", session->target.Key(), FormatRate(limits->flops_per_second, "FLOP"),
               FormatRate(limits->bytes_per_second, "B"));
  return session->report.state == "stopped" ? kExitStopped : kExitOk;
}

void AddBoardOptions(CLI::App* command, SessionOptions& options) {
  command->add_option("--board", options.board, "Where to measure: local, or boards where lathe-agent runs: HOST:PORT[,HOST:PORT…]")
      ->capture_default_str();
  command->add_option("--certs", options.certs, "Directory with ca.pem, client.pem, client.key for boards beyond loopback");
  command->add_option("--toolchain", options.toolchain,
                      "Build candidates for boards here, with this toolchain profile ($LATHE_TOOLCHAINS or the installed ones: "
                      "jetson-orin, aarch64, …; or a "
                      "file); else boards build");
  command->add_flag("!--no-calibration", options.calibrate,
                    "Do not measure a calibration kernel between candidates to find boards that slow down");
  AddDuration(*command, "--wait", options.wait_seconds, "How long to wait for a board while none can be reached", true)
      ->capture_default_str();
  command
      ->add_option("--sysfs-root", options.sysfs_root,
                   "Where this machine's power rails, clocks and temperatures are looked for (for tests and containers)")
      ->capture_default_str();
  Parsed(
      command->add_option("--target", options.target, "What runs the kernels: cpu, opencl or cuda (the first device), opencl:1 (another)"),
      CheckTargetChoice)
      ->capture_default_str();
  Parsed(command->add_option("--lock-clocks", options.lock_clocks,
                             "With --target cuda: keep the GPU's clock at so many MHz, or at 'max', until the end; needs root. On a Jetson "
                             "run jetson_clocks instead"),
         ParseClock);
  command->add_option("--log", options.log, "Tuning log; made when there is none")->capture_default_str();
  command->add_option("--threads", options.threads, "Threads a kernel may use; each number is a target of its own")
      ->capture_default_str()
      ->check(CLI::Range(1, 1024));
}

}  // namespace

void RegisterTune(CLI::App& app, CommonOptions& common, Action& chosen) {
  CLI::App* command = app.add_subcommand("tune", "Search the fastest kernels of a model's workloads");
  auto flags = std::make_shared<TuneFlags>();
  command->add_option("model", flags->input, "ONNX file, or a JSON file of workloads as `lathe tasks --json` writes it");
  command->add_option("--workload", flags->workloads, "OPERATOR:attribute=value,…; repeatable");
  Parsed(command->add_option("--shape", flags->shapes, "As for `lathe tasks`"),
         [](const std::string& text) { return ParseShapeOverrides({text}); });
  command->add_option("--operator", flags->operators, "Only these operators of the model");
  command->add_option("--template", flags->session.templates, "Only these templates; others stay as the log knows them; repeatable");
  AddBoardOptions(command, flags->session);
  command
      ->add_option("--trials", flags->session.trials,
                   "Candidates to try for each workload, on average: they go where they promise most; those already in the log count")
      ->capture_default_str()
      ->check(WholeFromOne());
  AddDuration(*command, "--time", flags->session.seconds, "Stop after so long, the last comparisons included");
  Parsed(command->add_option("--objective", flags->objective,
                             "What to make small: time, energy (joules of a run), edp (joules times seconds), time@WATTS (time of what "
                             "draws at most so much); all but time need power rails on the target"),
         Objective::Parse)
      ->capture_default_str();
  command->add_option("--strategy", flags->session.strategy, "How configs are proposed")
      ->capture_default_str()
      ->check(CLI::IsMember(StrategyNames()));
  command->add_option("--warm", flags->warm, "auto: borrow from other workloads and devices in the log as far as it proves right; off")
      ->capture_default_str()
      ->check(CLI::IsMember({"auto", "off"}));
  command
      ->add_option("--stop-when-gain", flags->stop_when_gain,
                   "Stop when a further minute is expected to make the whole less than so many percent faster; 0: never")
      ->capture_default_str()
      ->check(NumberFromZero());
  command->add_option("--seed", flags->session.seed, "Same seed, same proposals")->capture_default_str();
  command->add_flag("--build-only", flags->build_only,
                    "Only build --trials random candidates of each template and workload, and say what the compiler made of them; with "
                    "--target cuda/sm_87 no GPU is needed");
  command->add_flag("--fresh", flags->session.fresh, "Measure again what the log knows already");
  command->add_flag("--cold-cache", flags->session.cold_cache, "Flush caches before every sample, as between stages of a pipeline");
  command->footer(
      "Stopped by Ctrl-C or by kill -9, the same command goes on where it was: nothing is measured twice.\n\n"
      "The table: 'untuned' is the template author's first config; 'gain' how many times faster than that; 'of limit' the share of what "
      "`lathe limits` measured; 'sure' the\n"
      "probability that no other finalist is more than 1 % faster ('-': no race, for nobody came near, or in an earlier\n"
      "run); 'ties' how many others were as fast but for 0.5 %.\n\n"
      "A file of workloads lists operators with their attributes; what is left out takes its default:\n"
      "  {\"tasks\": [{\"operator\": \"nms\", \"workload\": {\"n\": 8400, \"max_out\": 300}, \"count\": 1}]}\n\nExamples:\n"
      "  lathe tune detector.onnx --log tuning.db --trials 200 --time 10m\n"
      "  lathe tune --workload conv2d:h=56,w=56,c=64,k=64,r=3,s=3,pad_top=1,pad_left=1,pad_bottom=1,pad_right=1 --strategy random --seed "
      "1");
  command->callback([&common, &chosen, flags] {
    chosen = [&common, flags] {
      flags->session.command = "lathe tune" + (flags->input.empty() ? "" : ' ' + flags->input);
      for (const std::string& workload : flags->workloads) flags->session.command += " --workload " + workload;
      return RunTune(common, *flags);
    };
  });
}

void RegisterLimits(CLI::App& app, CommonOptions& common, Action& chosen) {
  CLI::App* command = app.add_subcommand("limits", "Measure the most this machine can do: fused multiply-adds and copying");
  auto options = std::make_shared<SessionOptions>();
  options->trials = 16;
  options->command = "lathe limits";
  AddBoardOptions(command, *options);
  command->footer("`lathe tune` and `lathe query` then show how near each kernel comes.\n\nExample:\n  lathe limits --log tuning.db");
  command->callback([&common, &chosen, options] { chosen = [&common, options] { return RunLimits(common, *options); }; });
}

}  // namespace lathe
