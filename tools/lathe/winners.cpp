#include "tools/lathe/winners.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>

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

namespace {

// One candidate on one target.
struct Pooled {
  LoggedMeasurement newest;
  std::vector<double> samples, seconds;
  bool failed = false;
};

}  // namespace

Result<std::vector<LoggedMeasurement>> BestBy(TuningLog& log, const LogFilter& filter, const Objective& objective,
                                              std::optional<size_t> top) {
  std::map<std::string, Pooled> candidates;
  const Status read = log.ForEach(filter, [&](const LoggedMeasurement& row) {
    const Measurement& measurement = row.measurement;
    Pooled& pooled = candidates[row.target_hash + '|' + measurement.candidate.Key()];
    if (measurement.status == MeasureStatus::kOk && !measurement.cut_early && objective.Knows(measurement)) {
      const std::vector<double> samples = objective.Samples(measurement);
      if (samples.empty()) pooled.failed = true;  // over the power cap, if only once
      pooled.samples.insert(pooled.samples.end(), samples.begin(), samples.end());
      pooled.seconds.insert(pooled.seconds.end(), measurement.seconds.begin(), measurement.seconds.end());
      pooled.newest = row;
    } else if (measurement.status == MeasureStatus::kWrongResult || measurement.status == MeasureStatus::kCrashed) {
      pooled.failed = true;
    }
    return true;
  });
  if (!read) return read.error();
  std::vector<std::pair<double, const Pooled*>> order;
  for (const auto& [key, pooled] : candidates)
    if (!pooled.failed && !pooled.samples.empty()) order.emplace_back(objective.statistic(pooled.samples), &pooled);
  std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<LoggedMeasurement> best;
  std::set<std::string> answered;
  for (const auto& [value, pooled] : order) {
    const std::string question = pooled->newest.target_key + '|' + pooled->newest.measurement.candidate.workload.Key();
    if (top ? best.size() >= *top : !answered.insert(question).second) continue;
    best.push_back(pooled->newest);
    best.back().measurement.seconds = pooled->seconds;
    best.back().seconds = LowQuantile(pooled->seconds);
  }
  return best;
}

Result<std::vector<Winner>> WinnersOf(const TemplateLibrary& library, TuningLog& log, const Target& target, const Objective& objective) {
  LogFilter filter;
  filter.target = target.Key();
  filter.current = CurrentVersions(library);
  Result<std::vector<LoggedMeasurement>> rows = objective.is_time() ? log.BestPerWorkload(filter) : BestBy(log, filter, objective);
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
