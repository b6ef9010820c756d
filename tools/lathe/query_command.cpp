// lathe query: what the tuning log knows.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tools/lathe/command.h"
#include "tools/lathe/importance_query.h"
#include "tools/lathe/log_names.h"
#include "tools/lathe/machine_limits.h"
#include "tools/lathe/table.h"
#include "tools/lathe/winners.h"
#include "tools/number_check.h"

namespace lathe {
namespace {

struct QueryFlags {
  std::string log = "tuning.db", operator_name, workload, target, template_name, run;
  bool best = false, failures = false, trace = false, importance = false, all_versions = false;
  std::optional<size_t> top;
  std::string objective = "time";
};

// A question about a workload is about all of its attributes, those that were not given too.
void SayWhatWasFilledIn(const std::string& text, const Workload& workload) {
  const Result<Workload> given = ParseWorkload(text);
  std::string filled;
  for (const auto& [name, value] : workload.attributes)
    if (given && Find(given->attributes, name) == nullptr)
      filled += fmt::format("{}{}={}", filled.empty() ? "" : ",", name, ToString(value));
  if (!filled.empty()) fmt::print(stderr, "lathe: not given with --workload, so taken by default: {}\n", filled);
}

Result<LogFilter> FilterOf(const TemplateLibrary& library, const QueryFlags& flags) {
  LogFilter filter;
  filter.operator_name = flags.operator_name;
  filter.target = flags.target;
  filter.template_name = flags.template_name;
  filter.run_id = flags.run;
  SplitTemplateName(filter);
  if (!flags.workload.empty()) {
    Result<NamedWorkload> named = ReadWorkload(library, flags.workload);
    if (!named) return named.error();
    filter.workload_key = named->workload.Key();
    SayWhatWasFilledIn(flags.workload, named->workload);
  }
  if (!flags.all_versions) filter.current = CurrentVersions(library);
  return filter;
}

int PrintRows(const CommonOptions& common, const TemplateLibrary& library, TuningLog& log, const Objective& objective,
              const std::vector<LoggedMeasurement>& rows) {
  if (common.json) {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const LoggedMeasurement& row : rows) list.push_back(ToJson(row));
    PrintJson(nlohmann::ordered_json{{"measurements", list}});
    return rows.empty() ? kExitNotFound : kExitOk;
  }
  const bool power = std::any_of(rows.begin(), rows.end(), [](const auto& row) { return Watts(row.measurement).has_value(); });
  std::vector<std::string> header = {"time"};
  if (power) header.insert(header.end(), {"energy", "power"});
  header.insert(header.end(), {"rate", "of limit", "samples", "template", "config", "workload", "target", "measured"});
  Table table(header);
  std::map<std::string, MachineLimits> limits;
  for (const LoggedMeasurement& row : rows) {
    const Candidate& candidate = row.measurement.candidate;
    std::string rate = "-", of_limit = "-", label = candidate.workload.Key();
    if (Result<const Operator*> op = library.FindOperator(candidate.workload.operator_name)) {
      label = (*op)->Label(candidate.workload);
      if (limits.count(row.target_key) == 0) {
        Result<MachineLimits> known = LimitsFromLog(library, log, row.target_key);
        if (!known) return Fail(known.error());
        limits[row.target_key] = *known;
      }
      Result<double> flops = (*op)->Flops(candidate.workload), bytes = (*op)->Bytes(candidate.workload);
      if (flops && *flops > 0)
        rate = FormatRate(*flops / row.seconds, "FLOP");
      else if (bytes)
        rate = FormatRate(*bytes / row.seconds, "B");
      if (const auto share = ShareOf(limits[row.target_key], **op, candidate.workload, row.seconds))
        of_limit = fmt::format("{:.0f}% {}", 100 * share->share, share->limit);
    }
    std::vector<std::string> cells = {FormatSeconds(row.seconds)};
    const std::optional<double> watts = Watts(row.measurement);
    if (power)
      cells.insert(cells.end(), {row.measurement.joules ? FormatQuantity(*row.measurement.joules, "J") : "-",
                                 watts ? fmt::format("{:.2f} W", *watts) : "-"});
    cells.insert(cells.end(), {rate, of_limit, std::to_string(row.measurement.seconds.size()), candidate.template_name,
                               ToString(candidate.config), label, row.target_key, FormatTime(row.measurement.finished_unix_ms)});
    table.Add(std::move(cells));
  }
  if (!rows.empty()) fmt::print("{}", table.Text());
  if (rows.empty())
    fmt::print(
        stderr, "lathe: '{}' holds nothing that fits{}\n", log.path().string(),
        objective.needs_power() ? fmt::format(" and was measured for power; `lathe tune --objective {}` does that", objective.Text()) : "");
  return rows.empty() ? kExitNotFound : kExitOk;
}

int PrintFailures(const CommonOptions& common, const std::vector<FailureCount>& failures) {
  if (common.json) {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const FailureCount& failure : failures) list.push_back(ToJson(failure));
    PrintJson(nlohmann::ordered_json{{"failures", list}});
    return kExitOk;
  }
  Table table({"count", "status", "latest message"});
  for (const FailureCount& failure : failures)
    table.Add(
        {std::to_string(failure.count), ToString(failure.status), failure.latest_message.substr(0, failure.latest_message.find('\n'))});
  fmt::print("{}", table.Text());
  return kExitOk;
}

int PrintTrace(const CommonOptions& common, const TemplateLibrary& library, const std::vector<TraceStep>& trace) {
  if (common.json) {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const TraceStep& step : trace) list.push_back(ToJson(step));
    PrintJson(nlohmann::ordered_json{{"trace", list}});
    return kExitOk;
  }
  for (size_t at = 0; at < trace.size();) {
    const TraceStep& first = trace[at];
    const Result<const Operator*> op = library.FindOperator(first.workload.operator_name);
    fmt::print("{}{} on {}\n", at == 0 ? "" : "\n", op ? (*op)->Label(first.workload) : first.workload.Key(), first.target_key);
    Table table({"trial", "time", "best", "status", "template", "config"});
    do {
      const TraceStep& step = trace[at];
      table.Add({std::to_string(step.trial), FormatSeconds(step.seconds), FormatSeconds(step.best_seconds), ToString(step.status),
                 step.template_name, ToString(step.config)});
    } while (++at < trace.size() && trace[at].trial > 1);
    fmt::print("{}", table.Text());
  }
  return kExitOk;
}

// Says where all that would fit was measured with template versions that are history.
Status NoteOtherVersions(const TemplateLibrary& library, TuningLog& log, const LogFilter& filter) {
  Result<int64_t> fits = log.Count(filter);
  if (!fits) return fits.error();
  if (*fits > 0) return {};
  LogFilter every_version = filter;
  every_version.current.reset();
  Result<int64_t> outdated = log.Count(every_version);
  if (!outdated) return outdated.error();
  if (*outdated > 0)
    fmt::print(stderr,
               "lathe: all {} measurements in '{}' that fit are of template versions other than those in '{}'; --all-versions shows them\n",
               *outdated, log.path().string(), library.dir().string());
  return {};
}

// Nothing fits a name that is spelt wrong; the log may also know operators that no template here has any more.
std::optional<Error> UnknownOperator(const TemplateLibrary& library, const QueryFlags& flags) {
  if (flags.operator_name.empty() || flags.all_versions) return std::nullopt;
  Result<const Operator*> op = library.FindOperator(flags.operator_name);
  if (op) return std::nullopt;
  return op.error();
}

int RunQuery(const CommonOptions& common, const QueryFlags& flags) {
  Result<TemplateLibrary> library = LoadTemplates(common);
  if (!library) return Fail(library.error());
  if (const std::optional<Error> unknown = UnknownOperator(*library, flags)) return Fail(*unknown);
  Result<std::unique_ptr<TuningLog>> log = TuningLog::Open(flags.log, {.mode = TuningLogOptions::Mode::kReadOnly});
  if (!log) return Fail(OfInput(log.error()));
  Result<LogFilter> filter = FilterOf(*library, flags);
  if (!filter) return Fail(filter.error());
  if (Status known = CheckNamesInLog(**log, *filter); !known) return Fail(known.error());
  if (filter->current)
    if (Status noted = NoteOtherVersions(*library, **log, *filter); !noted) return Fail(noted.error());
  if (flags.importance) return PrintImportance(common, *library, **log, *filter);
  if (flags.failures) {
    Result<std::vector<FailureCount>> failures = (*log)->Failures(*filter);
    if (!failures) return Fail(failures.error());
    return PrintFailures(common, *failures);
  }
  if (flags.trace) {
    Result<std::vector<TraceStep>> trace = (*log)->Trace(*filter);
    return trace ? PrintTrace(common, *library, *trace) : Fail(trace.error());
  }
  Result<Objective> objective = Objective::Parse(flags.objective);
  if (!objective) return Fail(objective.error());
  Result<std::vector<LoggedMeasurement>> rows =
      flags.top ? TopBy(**log, *filter, *objective, *flags.top) : BestOfEach(*library, **log, *filter, *objective);
  return rows ? PrintRows(common, *library, **log, *objective, *rows) : Fail(rows.error());
}

}  // namespace

void RegisterQuery(CLI::App& app, CommonOptions& common, Action& chosen) {
  CLI::App* command = app.add_subcommand("query", "Ask the tuning log");
  auto flags = std::make_shared<QueryFlags>();
  command->add_option("--log", flags->log, "Tuning log")->capture_default_str();
  auto* what = command->add_option_group("What to show", "one of these; --best unless given");
  what->add_flag("--best", flags->best, "The best config of each workload on each target");
  what->add_option("--top", flags->top, "The fastest N of what fits")->check(WholeFromOne());
  what->add_flag("--failures", flags->failures, "Failures by status, with the latest message of each");
  what->add_flag("--trace", flags->trace, "Trial by trial, with the best so far");
  what->add_flag("--importance", flags->importance,
                 "Which parameters decide about the time, alone and in pairs; winners at the edge of their space");
  what->require_option(0, 1);
  Parsed(command->add_option("--objective", flags->objective, "What --best and --top go by: time, energy, edp, time@WATTS"),
         Objective::Parse)
      ->capture_default_str();
  command->add_option("--operator", flags->operator_name, "Only this operator");
  command->add_option("--workload", flags->workload, "Only this workload: OPERATOR:attribute=value,…");
  command->add_option("--target", flags->target, "Only this target: its key or a beginning of it up to a slash");
  command->add_option("--template", flags->template_name, "Only this template: direct_cpu, or conv2d/direct_cpu");
  command->add_option("--run", flags->run, "Only this run");
  command->add_flag("--all-versions", flags->all_versions, "Count measurements of template versions that have changed since");
  command->footer(
      "Examples:\n  lathe query --log tuning.db --operator conv2d --best --json\n  lathe query --log tuning.db --failures\n  lathe query "
      "--log tuning.db --operator "
      "conv2d --importance");
  command->callback([&common, &chosen, flags] { chosen = [&common, flags] { return RunQuery(common, *flags); }; });
}

}  // namespace lathe
