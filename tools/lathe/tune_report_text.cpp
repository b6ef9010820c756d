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
      text += fmt::format("borrowed for {}: {} measurements of {} other {}",
                          (*library.FindOperator(task.workload.operator_name))->Label(task.workload), borrowing.measurements,
                          borrowing.sources.size(), borrowing.sources.size() == 1 ? "task" : "tasks");
      if (borrowing.verdict == "trusted")
        text += fmt::format("; they foretold the order well (tau {:.2f} over {} trials), {} trials were their proposals\n",
                            borrowing.agreement, borrowing.compared, borrowing.proposed);
      else if (borrowing.verdict == "dropped")
        text +=
            fmt::format("; dropped, they foretold the order badly (tau {:.2f} over {} trials)\n", borrowing.agreement, borrowing.compared);
      else
        text += fmt::format("; {} trials were their proposals, too few to judge them by\n", borrowing.proposed);
    }
  }
  return text;
}

// Where the driver's own time went.
std::string OverheadText(const TuneReport& report) {
  const TuneOverhead& overhead = report.overhead;
  const double percent = 100 / std::max(report.seconds, 1e-9);
  return fmt::format(
      "driver's own work {:.2f}%: proposing {:.2f}, learning {:.2f}, borrowing {:.2f}, log {:.2f}, submitting {:.2f}, display {:.2f}\n",
      percent * overhead.Own(), percent * overhead.propose, percent * overhead.observe, percent * overhead.borrow,
      percent * overhead.journal, percent * overhead.submit, percent * overhead.progress);
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
    text += fmt::format("{} tasks, weighted by count: untuned {}, tuned {}, gain {:.2f}x\n",
                        won == session.report.tasks.size() ? "all" : fmt::format("{} of {}", won, session.report.tasks.size()),
                        FormatQuantity(untuned, objective.unit()), FormatQuantity(tuned, objective.unit()), untuned / tuned);
  const double wall = std::max(report.seconds, 1e-9);
  text += fmt::format("{} measurements in {} on {}", report.measurements, FormatSpan(report.seconds), session.target.Key());
  if (const auto& pipeline = session.pipeline)
    text += fmt::format("; device busy {:.0f}%, compilers {:.0f}% of {} builder(s)", 100 * pipeline->measuring / wall,
                        100 * pipeline->building / wall / std::max(1, pipeline->builders), std::max(1, pipeline->builders));
  text += '\n';
  if (report.measurements > 0) text += OverheadText(report);  // else a share of nearly nothing
  if (report.gain_per_minute)
    text += fmt::format("a further minute was expected to shorten the whole by {:.2g}%\n", 100 * *report.gain_per_minute);
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
