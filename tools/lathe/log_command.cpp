// lathe log: look after tuning logs: what is in them, merging, formats of others.
#include <fmt/format.h>

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "db/exchange.h"
#include "db/tuning_log.h"
#include "tools/lathe/command.h"
#include "tools/lathe/log_names.h"
#include "tools/lathe/table.h"

namespace lathe {
namespace {

struct LogFlags {
  std::string log, format;
  std::vector<std::string> files;   // as given: the log first, unless --log names it
  std::vector<std::string> others;  // what is left of them
  LogFilter filter;
  bool skip = false;
};

// The log is the first file or --log's, never both; what reads one log only takes tuning.db where none is named. Empty where they fit.
std::string ContradictionIn(LogFlags& flags, const std::string& command, size_t fewest, size_t most) {
  flags.others = flags.files;
  if (flags.log.empty() && !flags.others.empty()) {
    flags.log = flags.others.front();
    flags.others.erase(flags.others.begin());
  }
  if (flags.log.empty() && fewest == 0) flags.log = "tuning.db";
  if (!flags.log.empty() && flags.others.size() >= fewest && flags.others.size() <= most) return "";
  const std::string files = most == 0 ? "" : most == 1 ? " FILE" : " FILE...";
  return fmt::format("log {0}: write `lathe log {0} LOG{1}`, or `lathe log {0} --log LOG{1}`", command, files);
}

int RunSummary(const CommonOptions& common, const std::string& file) {
  Result<std::unique_ptr<TuningLog>> log = TuningLog::Open(file, {.mode = TuningLogOptions::Mode::kReadOnly});
  if (!log) return Fail(OfInput(log.error()));
  Result<LogSummary> summary = (*log)->Summary();
  if (!summary) return Fail(summary.error());
  if (common.json) {
    PrintJson(ToJson(*summary));
    return kExitOk;
  }
  fmt::print(
      "{}: schema {}, {:.1f} MB\n  {} measurements of {} workloads on {} targets, {} templates, {} configs\n  {} runs, {} unfinished\n",
      summary->path, summary->schema, static_cast<double>(summary->bytes) / 1e6, summary->measurements, summary->workloads,
      summary->targets, summary->templates, summary->configs, summary->runs, summary->unfinished_runs);
  for (const auto& [status, count] : summary->by_status) fmt::print("  {:>8} {}\n", count, status);
  if (summary->first_unix_ms && summary->last_unix_ms)
    fmt::print("  from {} to {}\n", FormatTime(*summary->first_unix_ms), FormatTime(*summary->last_unix_ms));
  return kExitOk;
}

int RunRuns(const CommonOptions& common, const std::string& file) {
  Result<std::unique_ptr<TuningLog>> log = TuningLog::Open(file, {.mode = TuningLogOptions::Mode::kReadOnly});
  if (!log) return Fail(OfInput(log.error()));
  Result<std::vector<RunRecord>> runs = (*log)->Runs();
  if (!runs) return Fail(runs.error());
  if (common.json) {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const RunRecord& run : *runs) list.push_back(ToJson(run));
    PrintJson(nlohmann::ordered_json{{"runs", list}});
    return kExitOk;
  }
  Table table({"run", "started", "state", "measured", "target", "command"});
  for (const RunRecord& run : *runs)
    table.Add({run.id, FormatTime(run.started_unix_ms), run.state, std::to_string(run.measurements), run.target_key, run.command});
  fmt::print("{}", table.Text());
  return kExitOk;
}

int RunMerge(const CommonOptions& common, const std::string& file, const std::vector<std::string>& others) {
  for (const std::string& other : others)
    if (Status there = InputIsThere("merge tuning log", other); !there) return Fail(there.error());
  if (Status there = TuningLog::FolderIsThere(file); !there) return Fail(OfMachine(there.error()));
  for (const std::string& other : others)  // before a new log is made: none is left behind for one that cannot be read
    if (Result<std::unique_ptr<TuningLog>> readable = TuningLog::Open(other, {.mode = TuningLogOptions::Mode::kReadOnly}); !readable)
      return Fail(OfInput(readable.error()));
  Result<std::unique_ptr<TuningLog>> log = TuningLog::Open(file);
  if (!log) return Fail(OfMachine(log.error()));
  for (const std::string& other : others) {
    Result<MergeReport> report = (*log)->Merge(other);
    if (!report) return Fail(report.error());
    if (common.json)
      PrintJson(ToJson(*report));
    else
      fmt::print("{}: {} measurements added, {} known already, {} runs added\n", other, report->added, report->duplicates,
                 report->runs_added);
  }
  return kExitOk;
}

int RunExport(const CommonOptions& common, const LogFlags& flags) {
  Result<std::unique_ptr<TuningLog>> log = TuningLog::Open(flags.log, {.mode = TuningLogOptions::Mode::kReadOnly});
  if (!log) return Fail(OfInput(log.error()));
  LogFilter filter = flags.filter;
  SplitTemplateName(filter);
  if (Status known = CheckNamesInLog(**log, filter); !known) return Fail(known.error());
  Result<int64_t> written = ExportFile(**log, filter, *ParseLogFormat(flags.format), flags.others.front());
  if (!written) return Fail(written.error());
  if (common.json)
    PrintJson(nlohmann::json{{"written", *written}});
  else
    fmt::print("{} measurements in {}\n", *written, flags.others.front());
  return kExitOk;
}

int RunImport(const CommonOptions& common, const LogFlags& flags) {
  for (const std::string& file : flags.others)
    if (Status there = InputIsThere("import", file); !there) return Fail(there.error());
  if (Status there = TuningLog::FolderIsThere(flags.log); !there) return Fail(OfMachine(there.error()));
  std::error_code failure;
  if (!std::filesystem::exists(flags.log, failure)) {  // no new log is left behind for a file that cannot be read: tried in memory first
    Result<std::unique_ptr<TuningLog>> trial = TuningLog::OpenInMemory();
    if (!trial) return Fail(trial.error());
    Result<ImportReport> readable = ImportFile(**trial, flags.others.front(), ParseLogFormat(flags.format), {flags.skip});
    if (!readable) return Fail(readable.error());
  }
  Result<std::unique_ptr<TuningLog>> log = TuningLog::Open(flags.log);
  if (!log) return Fail(OfMachine(log.error()));
  for (const std::string& file : flags.others) {
    Result<ImportReport> report = ImportFile(**log, file, ParseLogFormat(flags.format), {flags.skip});
    if (!report) return Fail(report.error());
    if (common.json) {
      PrintJson(ToJson(*report));
      continue;
    }
    fmt::print("{}: {} measurements added, {} known already, {} lines skipped\n", file, report->added, report->duplicates, report->skipped);
    for (const SkippedLine& line : report->first_skipped) fmt::print("  line {}: {}\n", line.line, line.reason);
  }
  return kExitOk;
}

}  // namespace

void RegisterLog(CLI::App& app, CommonOptions& common, Action& chosen) {
  CLI::App* command = app.add_subcommand("log", "Look after tuning logs");
  auto flags = std::make_shared<LogFlags>();
  command->require_subcommand(1);
  const auto add = [command, flags](const char* name, const char* what, const char* files, const char* examples) {
    CLI::App* sub = command->add_subcommand(name, what);
    sub->add_option("files", flags->files, files);
    sub->add_option("--log", flags->log, "The log, instead of the first file");
    sub->footer(std::string("Examples:\n  lathe log ") + examples);
    return sub;
  };
  const auto run = [&chosen, flags](CLI::App* sub, size_t fewest, size_t most, const std::function<int()>& action) {
    sub->callback([&chosen, flags, sub, fewest, most, action] {
      chosen = [flags, name = sub->get_name(), fewest, most, action] {
        const std::string wrong = ContradictionIn(*flags, name, fewest, most);
        return wrong.empty() ? action() : WrongCommandLine(wrong);
      };
    });
  };
  command->footer("Examples:\n  lathe log summary tuning.db\n  lathe log merge all.db board1.db board2.db");

  CLI::App* summary = add("summary", "What is in it", "LOG: the tuning log (default: tuning.db)", "summary tuning.db");
  run(summary, 0, 0, [&common, flags] { return RunSummary(common, flags->log); });
  CLI::App* runs = add("runs", "Every run, newest first", "LOG: the tuning log (default: tuning.db)", "runs tuning.db --json");
  run(runs, 0, 0, [&common, flags] { return RunRuns(common, flags->log); });
  CLI::App* merge = add("merge", "Take over what other logs have and this one lacks",
                        "LOG OTHER...: the log that takes, made when there is none; then those that give and are only read",
                        "merge all.db board1.db board2.db\n  lathe log merge --log all.db board1.db board2.db");
  run(merge, 1, SIZE_MAX, [&common, flags] { return RunMerge(common, flags->log, flags->others); });
  const std::vector<std::string> formats = {"native", "autotvm", "kernel_tuner"};
  CLI::App* exporting = add("export", "Write measurements to a file", "LOG FILE: the tuning log, then the file to write",
                            "export tuning.db conv2d.jsonl --operator conv2d");
  exporting->add_option("--format", flags->format, "native loses nothing")->default_str("native")->check(CLI::IsMember(formats));
  exporting->add_option("--operator", flags->filter.operator_name, "Only this operator");
  exporting->add_option("--workload", flags->filter.workload_key, "Only this workload's key");
  exporting->add_option("--target", flags->filter.target, "Only this target: its key or a beginning of it up to a slash");
  exporting->add_option("--template", flags->filter.template_name, "Only this template");
  run(exporting, 1, 1, [&common, flags] {
    if (flags->format.empty()) flags->format = "native";
    return RunExport(common, *flags);
  });
  CLI::App* importing = add("import", "Take in files of ours, of AutoTVM or of Kernel Tuner",
                            "LOG FILE...: the tuning log, made when there is none; then the files to read",
                            "import tuning.db autotvm.log\n  lathe log import --log tuning.db autotvm.log");
  importing->add_option("--format", flags->format, "Recognised by the file's beginning unless given")->check(CLI::IsMember(formats));
  importing->add_flag("--skip-malformed", flags->skip, "Leave out lines that cannot be read instead of importing nothing");
  run(importing, 1, SIZE_MAX, [&common, flags] { return RunImport(common, *flags); });
}

}  // namespace lathe
