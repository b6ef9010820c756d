#include "tools/lathe/winners.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>

#include "search/final_race.h"
#include "search/simplicity.h"
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
  std::vector<double> samples;  // all of it, as winners are judged by all of theirs
  Status visited = log.ForEach(filter, [&](const LoggedMeasurement& row) {
    const Measurement& measurement = row.measurement;
    if (measurement.status == MeasureStatus::kOk && ToString(measurement.candidate.config) == config)
      samples.insert(samples.end(), measurement.seconds.begin(), measurement.seconds.end());
    return true;
  });
  if (!visited) return visited.error();
  return samples.empty() ? 0 : LowQuantile(std::move(samples));
}

namespace {

// One candidate on one target.
struct Pooled {
  LoggedMeasurement newest;
  std::vector<double> samples, seconds;
  bool failed = false;
};

struct Ranked {
  double value = 0;  // what is made small
  std::vector<double> samples;
  LoggedMeasurement row;
};
using Ranking = std::vector<Ranked>;  // best first

Result<Ranking> RankBy(TuningLog& log, const LogFilter& filter, const Objective& objective) {
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
  Ranking ranking;
  for (auto& [key, pooled] : candidates) {
    if (pooled.failed || pooled.samples.empty()) continue;
    const double value = objective.statistic(pooled.samples);
    ranking.push_back({value, std::move(pooled.samples), std::move(pooled.newest)});
    ranking.back().row.seconds = LowQuantile(pooled.seconds);
    ranking.back().row.measurement.seconds = std::move(pooled.seconds);
  }
  std::stable_sort(ranking.begin(), ranking.end(), [](const Ranked& a, const Ranked& b) { return a.value < b.value; });
  return ranking;
}

// The rankings of each workload on each target by itself.
Result<std::vector<Ranking>> RankEachBy(TuningLog& log, const LogFilter& filter, const Objective& objective) {
  Result<Ranking> all = RankBy(log, filter, objective);
  if (!all) return all.error();
  std::map<std::string, Ranking> each;
  for (Ranked& ranked : *all)
    each[ranked.row.target_key + '|' + ranked.row.measurement.candidate.workload.Key()].push_back(std::move(ranked));
  std::vector<Ranking> rankings;
  for (auto& [question, ranking] : each) rankings.push_back(std::move(ranking));
  return rankings;
}

// The same by time, of which the log has an index.
Result<std::vector<Ranking>> RankEachByTime(TuningLog& log, const LogFilter& filter) {
  constexpr size_t kMostTied = 32;
  Result<std::vector<LoggedMeasurement>> fastest = log.BestPerWorkload(filter);
  if (!fastest) return fastest.error();
  std::vector<Ranking> rankings;
  for (const LoggedMeasurement& row : *fastest) {
    const BestQuery query{.workload = row.measurement.candidate.workload,
                          .target_key = row.target_key,
                          .target_hash = row.target_hash,
                          .allow_other_fingerprint = false,
                          .template_name = filter.template_name,
                          .run_id = filter.run_id,
                          .current = filter.current};
    Result<BestAnswer> answer = log.Best(query, kMostTied);
    if (!answer) return answer.error();
    rankings.emplace_back();
    for (BestConfig& each : answer->best) rankings.back().push_back({each.row.seconds, each.row.measurement.seconds, std::move(each.row)});
  }
  return rankings;
}

// The simplest of those that tie with the first, as far as today's templates know them.
LoggedMeasurement WinnerOf(const TemplateLibrary& library, TuningLog& log, const Objective& objective, Ranking& ranking) {
  LoggedMeasurement& first = ranking.front().row;
  Result<Target> target = log.FindTarget(first.target_hash);
  Result<TuneTask> task = target ? MakeTuneTask(library, first.measurement.candidate.workload, *target) : target.error();
  if (!task) return first;  // of templates that are gone
  std::vector<std::vector<double>> samples;
  for (const Ranked& ranked : ranking) {
    if (ranked.value > (1 + kTie) * ranking.front().value) break;
    samples.push_back(ranked.samples);
  }
  RaceOptions rules;
  rules.statistic = objective.statistic;
  LoggedMeasurement* winner = &first;
  std::optional<Simplicity> least = SimplicityOf(*task, first.measurement.candidate);
  for (const size_t place : Judge(samples, rules).tied) {
    const std::optional<Simplicity> own = SimplicityOf(*task, ranking[place].row.measurement.candidate);
    if (!least || !own || !(*own < *least)) continue;
    least = own;
    winner = &ranking[place].row;
  }
  return *winner;
}

}  // namespace

Result<std::vector<LoggedMeasurement>> TopBy(TuningLog& log, const LogFilter& filter, const Objective& objective, size_t count) {
  if (objective.is_time()) return log.Top(filter, count);
  Result<Ranking> ranking = RankBy(log, filter, objective);
  if (!ranking) return ranking.error();
  std::vector<LoggedMeasurement> top;
  for (size_t i = 0; i < std::min(count, ranking->size()); ++i) top.push_back(std::move((*ranking)[i].row));
  return top;
}

Result<std::vector<LoggedMeasurement>> BestOfEach(const TemplateLibrary& library, TuningLog& log, const LogFilter& filter,
                                                  const Objective& objective) {
  Result<std::vector<Ranking>> rankings = objective.is_time() ? RankEachByTime(log, filter) : RankEachBy(log, filter, objective);
  if (!rankings) return rankings.error();
  std::vector<LoggedMeasurement> best;
  for (Ranking& ranking : *rankings) best.push_back(WinnerOf(library, log, objective, ranking));
  return best;
}

Result<std::vector<Winner>> WinnersOf(const TemplateLibrary& library, TuningLog& log, const Target& target, const Objective& objective) {
  LogFilter filter;
  filter.target = target.Key();
  filter.current = CurrentVersions(library);
  Result<std::vector<LoggedMeasurement>> rows = BestOfEach(library, log, filter, objective);
  if (!rows) return rows.error();
  std::vector<Winner> winners;
  for (const LoggedMeasurement& row : *rows) {
    Result<double> untuned = UntunedSeconds(library, log, row.measurement.candidate.workload, target);
    if (!untuned) return untuned.error();
    winners.push_back({row.measurement.candidate, row.seconds, *untuned, target, row.run_id, row.measurement.finished_unix_ms});
  }
  return winners;
}

Result<std::set<std::string>> FailedOf(const TemplateLibrary& library, TuningLog& log, const Workload& workload, const Target& target) {
  LogFilter filter;
  filter.workload_key = workload.Key();
  filter.target = target.Key();
  filter.current = CurrentVersions(library);
  std::set<std::string> failed;
  const Status read = log.ForEach(filter, [&](const LoggedMeasurement& row) {
    switch (row.measurement.status) {
      case MeasureStatus::kOk:
      case MeasureStatus::kBuildTimeout:  // these two say nothing of the candidate
      case MeasureStatus::kBoardLost:
        break;
      default:
        failed.insert(row.measurement.candidate.Key());
    }
    return true;
  });
  if (!read) return read.error();
  return failed;
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
