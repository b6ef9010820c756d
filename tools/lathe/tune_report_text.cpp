#include "tools/lathe/tune_report_text.h"

#include <fmt/format.h>

#include <algorithm>

#include "tools/lathe/table.h"

namespace lathe {
namespace {

// One row a task: untuned, tuned, how much faster, how near to what the machine can do.
std::string ResultTable(const TemplateLibrary& library, const TuneReport& report, const MachineLimits& limits, const Objective& objective) {
  std::vector<std::string> header = {"count", "untuned", "tuned", "gain"};
  if (objective.needs_power()) header.insert(header.end(), {"time", "energy", "power"});
  header.insert(header.end(), {"of limit", "trials", "failed", "sure", "ties", "template", "workload"});
  Table table(header);
  for (const TaskReport& task : report.tasks) {
    const Operator& op = **library.FindOperator(task.workload.operator_name);
    const std::optional<ShareOfLimit> share = task.best ? ShareOf(limits, op, task.workload, task.best->seconds) : std::nullopt;
    size_t failed = 0;
    for (const auto& [status, count] : task.failures) failed += count;
    const auto value = [&](const std::optional<TunedConfig>& tuned) {
      return tuned ? FormatQuantity(tuned->objective, objective.unit()) : std::string("-");
    };
    std::vector<std::string> row = {fmt::format("{:.0f}", task.weight), value(task.untuned), value(task.best),
                                    task.SpeedUp() ? fmt::format("{:.2f}x", *task.SpeedUp()) : "-"};
    if (objective.needs_power())
      row.insert(row.end(), {task.best ? FormatSeconds(task.best->seconds) : "-",
                             task.best && task.best->joules ? FormatQuantity(*task.best->joules, "J") : "-",
                             task.best && task.best->watts ? fmt::format("{:.2f} W", *task.best->watts) : "-"});
    row.insert(row.end(), {share ? fmt::format("{:.0f}% {}", 100 * share->share, share->limit) : "-", std::to_string(task.trials),
                           std::to_string(failed), task.confidence ? fmt::format("{:.0f}%", 100 * *task.confidence) : "-",
                           std::to_string(task.ties), task.best ? task.best->template_name : "-", op.Label(task.workload)});
    table.Add(std::move(row));
  }
  return table.Text();
}

// Why a task has no winner, where its candidates worked and only the objective was not met.
std::string Unmet(const TemplateLibrary& library, const TuneReport& report, const Objective& objective) {
  std::string text;
  for (const TaskReport& task : report.tasks) {
    if (task.best) continue;
    const std::string label = (*library.FindOperator(task.workload.operator_name))->Label(task.workload);
    if (task.least_watts)
      text +=
          fmt::format("no candidate of {} stayed under {} W; the lowest drew {:.2f} W\n", label, *objective.power_cap(), *task.least_watts);
    else if (task.failures.count("power_unknown") != 0)
      text += fmt::format("the power rails said too little about every candidate of {} that worked\n", label);
  }
  return text;
}

// What was borrowed, a line for each search that borrowed anything.
std::string Borrowed(const TemplateLibrary& library, const TuneReport& report) {
  std::string text;
  for (const TaskReport& task : report.tasks) {
    for (const Borrowing& borrowing : task.borrowed) {
      text += fmt::format("borrowed for {}: {} measurements of {} other {} in the log proposed {} trials",
                          (*library.FindOperator(task.workload.operator_name))->Label(task.workload), borrowing.measurements,
                          borrowing.sources.size(), borrowing.sources.size() == 1 ? "task" : "tasks", borrowing.proposed);
      if (borrowing.verdict == "trusted")
        text += fmt::format("; they proved right about what is fast (rank correlation {:.2f} over {} trials, 1: perfect)\n",
                            borrowing.agreement, borrowing.compared);
      else if (borrowing.verdict == "dropped")
        text += fmt::format("; then they were dropped, wrong about what is fast (rank correlation {:.2f} over {} trials, 1: perfect)\n",
                            borrowing.agreement, borrowing.compared);
      else
        text += ", too few to judge them by\n";
    }
  }
  return text;
}

// Where the time went; --json has the parts of what is lathe's own.
std::string TimeText(const SessionResult& session) {
  const double percent = 100 / std::max(session.report.seconds, 1e-9);
  std::string text = "of that time, ";
  if (const auto& pipeline = session.pipeline) {
    const int builders = std::max(1, pipeline->builders);
    text += fmt::format("kernels were measured and checked {:.0f}%, {} {:.0f}%, ", percent * pipeline->measuring,
                        builders == 1 ? "a compiler ran" : fmt::format("each of {} compilers ran", builders),
                        percent * pipeline->building / builders);
  }
  return text + fmt::format("lathe chose candidates and wrote the log {:.1f}%\n", percent * session.report.overhead.Own());
}

std::string Totals(const SessionResult& session, const Objective& objective) {
  double untuned = 0, tuned = 0;
  size_t won = 0;
  for (const TaskReport& task : session.report.tasks) {
    if (!task.best) continue;
    ++won;
    tuned += task.weight * task.best->objective;
    untuned += task.weight * (task.untuned ? task.untuned->objective : task.best->objective);
  }
  const TuneReport& report = session.report;
  std::string text;
  if (tuned > 0 && AddsUp(objective.unit()))
    text += fmt::format("{} tasks, each as often as its count: untuned {}, tuned {}, gain {:.2f}x\n",
                        won == session.report.tasks.size() ? "all" : fmt::format("{} of {}", won, session.report.tasks.size()),
                        FormatQuantity(untuned, objective.unit()), FormatQuantity(tuned, objective.unit()), untuned / tuned);
  size_t tried = 0;
  for (const TaskReport& task : report.tasks) tried += task.trials - task.from_history;
  text += fmt::format("{} candidates tried in {} on {}", tried, FormatSpan(report.seconds), session.target.Key());
  if (report.measurements > tried) text += fmt::format("; the fastest were measured again, {} measurements in all", report.measurements);
  text += '\n';
  if (report.measurements > 0) text += TimeText(session);  // else a share of nearly nothing
  if (report.gain_per_minute)
    text += fmt::format("tuning for another minute was expected to make all tasks together {:.2g}% {}\n", 100 * *report.gain_per_minute,
                        objective.needs_power() && !objective.power_cap() ? "better" : "faster");
  for (const BoardState& board : session.boards)
    text += fmt::format("board {} ({}): {} measurements, {} taken again after it slowed down, {}{}{}\n", board.board, board.endpoint,
                        board.finished, board.tainted, board.state, board.problem.empty() ? "" : ": ", board.problem);
  return text;
}

}  // namespace

std::string TuneReportText(const TemplateLibrary& library, const SessionResult& session, const MachineLimits& limits,
                           const Objective& objective) {
  return ResultTable(library, session.report, limits, objective) + Unmet(library, session.report, objective) + Totals(session, objective) +
         Borrowed(library, session.report);
}

}  // namespace lathe
