#include "tools/lathe/winners.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>

#include "search/tune_task.h"

namespace lathe {

std::vector<TemplateVersion> CurrentVersions(const TemplateLibrary& library) {
  std::vector<TemplateVersion> versions;
  for (const Operator* op : library.operators())
    for (const KernelTemplate* tmpl : library.TemplatesOf(op->name())) versions.push_back({op->name(), tmpl->name(), tmpl->hash()});
  return versions;
}

Result<double> UntunedSeconds(const TemplateLibrary& library, TuningLog& log, const Workload& workload, const Target& target) {
  Result<TuneTask> task = MakeTuneTask(library, workload, target);
  if (!task) return 0.0;  // no template computes it any more; then nothing was ever tuned either
  const TaskTemplate& first = task->templates.front();
  const std::optional<Point> point = first.space->First();
  if (!point) return 0.0;
  const std::string config = ToString(first.space->ConfigAt(*point));
  LogFilter filter;
  filter.workload_key = workload.Key();
  filter.target = target.Key();
  filter.template_name = first.name;
  filter.template_hash = first.hash;
  double seconds = 0;
  Status visited = log.ForEach(filter, [&](const LoggedMeasurement& row) {
    if (row.measurement.status == MeasureStatus::kOk && ToString(row.measurement.candidate.config) == config) seconds = row.seconds;
    return seconds == 0;
  });
  if (!visited) return visited.error();
  return seconds;
}

Result<std::vector<Winner>> WinnersOf(const TemplateLibrary& library, TuningLog& log, const Target& target) {
  LogFilter filter;
  filter.target = target.Key();
  filter.current = CurrentVersions(library);
  Result<std::vector<LoggedMeasurement>> rows = log.BestPerWorkload(filter);
  if (!rows) return rows.error();
  std::vector<Winner> winners;
  for (const LoggedMeasurement& row : *rows) {
    Result<double> untuned = UntunedSeconds(library, log, row.measurement.candidate.workload, target);
    if (!untuned) return untuned.error();
    winners.push_back({row.measurement.candidate, row.seconds, *untuned, target, row.run_id, row.measurement.finished_unix_ms});
  }
  return winners;
}

Result<Target> ChooseTarget(TuningLog& log, const std::string& name) {
  Result<std::vector<Target>> targets = log.Targets();
  if (!targets) return targets.error();
  std::map<std::string, Target> by_key;  // fingerprints of one device are one choice
  for (const Target& target : *targets)
    if (target.Key().compare(0, name.size(), name) == 0) by_key.insert_or_assign(target.Key(), target);
  if (by_key.size() == 1) return by_key.begin()->second;
  if (const auto exact = by_key.find(name); exact != by_key.end()) return exact->second;
  std::vector<std::string> keys;
  for (const Target& target : *targets)
    if (std::find(keys.begin(), keys.end(), target.Key()) == keys.end()) keys.push_back(target.Key());
  return Error{ErrorCode::kNotFound,
               fmt::format("{} target{} in '{}'; choose with --target out of: {}", by_key.empty() ? "no" : "more than one",
                           name.empty() ? "" : fmt::format(" '{}'", name), log.path().string(), fmt::join(keys, ", "))};
}

}  // namespace lathe
