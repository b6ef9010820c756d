#include "search/task_search.h"

#include <algorithm>
#include <cmath>

#include "core/hash.h"

namespace lathe {
namespace {

constexpr size_t kInFlight = std::numeric_limits<size_t>::max();

// Each task and template searches with its own seed, the same whatever else is tuned beside it.
uint64_t SeedOf(uint64_t seed, const TuneTask& task, const TaskTemplate& kernel) {
  const std::string text = std::to_string(seed) + '|' + task.workload.Key() + '|' + kernel.name;
  return std::stoull(ShortHash(text), nullptr, 16);
}

}  // namespace

Result<TaskSearch> TaskSearch::Start(const TuneTask& task, const SearchOptions& options) {
  TaskSearch search(task, options);
  for (const TaskTemplate& kernel : task.templates) {
    StrategyContext context;
    context.space = kernel.space.get();
    context.features = kernel.features;
    context.seed = SeedOf(options.seed, task, kernel);
    context.budget = options.trials;
    context.options = options.strategy_options;
    Result<std::unique_ptr<Strategy>> strategy = MakeStrategy(options.strategy, context);
    if (!strategy) return strategy.error().In("tune " + task.label);
    Arm arm;
    arm.kernel = &kernel;
    arm.strategy = std::move(*strategy);
    search.arms_.push_back(std::move(arm));
  }
  if (!task.templates.empty()) search.first_ = task.templates[0].space->First();
  return search;
}

void TaskSearch::Store(size_t arm, const Point& point, const Measurement& measurement) {
  Record record{arm, point, measurement.status, measurement.seconds, std::numeric_limits<double>::infinity()};
  if (measurement.status == MeasureStatus::kOk) record.objective = options_.objective(measurement);
  arms_[arm].records[point] = records_.size();
  split_.Report(arm, record.objective);
  records_.push_back(std::move(record));
}

void TaskSearch::Resume(size_t arm, const std::vector<Measurement>& measurements) {
  std::vector<Observation> observations;
  const Space& space = *arms_[arm].kernel->space;
  // A finalist comes several times: its samples are one record.
  std::vector<Measurement> merged;
  PointMap<size_t> places;
  for (const Measurement& measurement : measurements) {
    if (measurement.status == MeasureStatus::kBoardLost) continue;
    Result<Point> point = space.PointOf(measurement.candidate.config);
    if (!point || !space.IsValid(*point)) continue;  // a hash that is the same with other parameters: not ours
    const auto [place, fresh] = places.emplace(*point, merged.size());
    if (fresh) {
      merged.push_back(measurement);
      continue;
    }
    Measurement& known = merged[place->second];
    if (known.status != MeasureStatus::kOk || measurement.status != MeasureStatus::kOk) continue;  // the first answer stands
    known.seconds.insert(known.seconds.end(), measurement.seconds.begin(), measurement.seconds.end());
  }
  for (const Measurement& measurement : merged) {
    const Point point = *space.PointOf(measurement.candidate.config);
    Store(arm, point, measurement);
    split_.Take(arm);
    ++given_out_;
    ++from_history_;
    const double objective = records_.back().objective;
    observations.push_back({point, std::isfinite(objective), objective, measurement.build_facts});
  }
  if (!observations.empty()) arms_[arm].strategy->Observe(observations);
}

std::vector<Trial> TaskSearch::Next(size_t count) {
  std::vector<Trial> trials;
  const auto give = [&](size_t arm, const Point& point) {
    arms_[arm].records[point] = kInFlight;
    split_.Take(arm);
    ++given_out_;
    ++in_flight_;
    trials.push_back({arm, point, false});
  };
  if (options_.untuned_first && !first_given_ && !search_ended_ && count > 0 && given_out_ < options_.trials) {
    first_given_ = true;
    if (first_ && !arms_[0].records.contains(*first_)) give(0, *first_);
  }
  while (!search_ended_ && trials.size() < count) {
    if (given_out_ >= options_.trials) {
      search_ended_ = true;
      break;
    }
    const std::optional<size_t> arm = split_.Next();
    if (!arm) {
      EndSearch("exhausted");
      break;
    }
    const std::vector<Point> points = arms_[*arm].strategy->Propose(std::min(count - trials.size(), options_.trials - given_out_));
    if (points.empty()) split_.Exhaust(*arm);
    for (const Point& point : points) {
      if (!arms_[*arm].records.contains(point)) give(*arm, point);  // the first config is ours, not the strategy's
    }
  }
  StartFinalsWhenSettled();
  while (stage_ == Stage::kFinals && trials.size() < count && !finals_.empty()) {
    trials.push_back(finals_.back());
    finals_.pop_back();
    ++in_flight_;
  }
  return trials;
}

void TaskSearch::Take(const Trial& trial, const Measurement& measurement) {
  --in_flight_;
  if (trial.finalist) {
    // A failure now says that the candidate is not reliable: it cannot win.
    Record& record = records_[arms_[trial.arm].records[trial.point]];
    if (measurement.status == MeasureStatus::kOk) {
      record.samples.insert(record.samples.end(), measurement.seconds.begin(), measurement.seconds.end());
      Measurement pooled = measurement;
      pooled.seconds = record.samples;
      if (std::isfinite(record.objective)) record.objective = options_.objective(pooled);
    } else {
      record.status = measurement.status;
      record.objective = std::numeric_limits<double>::infinity();
    }
  } else {
    Store(trial.arm, trial.point, measurement);
    const double objective = records_.back().objective;
    arms_[trial.arm].strategy->Observe({{trial.point, std::isfinite(objective), objective, measurement.build_facts}});
  }
  StartFinalsWhenSettled();
}

void TaskSearch::Drop() {
  --in_flight_;
  StartFinalsWhenSettled();
}

void TaskSearch::EndSearch(const std::string& why) {
  if (search_ended_) return;
  search_ended_ = true;
  ended_ = why;
  StartFinalsWhenSettled();
}

std::vector<size_t> TaskSearch::Finalists() const {
  std::vector<size_t> order;
  for (size_t i = 0; i < records_.size(); ++i) {
    if (std::isfinite(records_[i].objective)) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return records_[a].objective < records_[b].objective; });
  size_t kept = 0;
  while (kept < order.size() && kept < options_.finalists &&
         records_[order[kept]].objective <= records_[order[0]].objective * (1 + options_.within_noise)) {
    ++kept;
  }
  order.resize(kept);
  // The untuned config runs with them, so that what tuning gained is measured side by side.
  if (kept > 1 && first_) {
    const auto found = arms_[0].records.find(*first_);
    const bool known = found != arms_[0].records.end() && found->second != kInFlight && std::isfinite(records_[found->second].objective);
    if (known && std::find(order.begin(), order.end(), found->second) == order.end()) order.push_back(found->second);
  }
  return order;
}

size_t TaskSearch::finals_left() const {
  if (stage_ == Stage::kDone) return 0;
  if (stage_ == Stage::kFinals) return finals_.size();
  const size_t finalists = Finalists().size();
  return finalists > 1 ? finalists * options_.final_rounds : 0;
}

void TaskSearch::StartFinalsWhenSettled() {
  if (!search_ended_ || in_flight_ > 0) return;
  if (stage_ == Stage::kFinals && finals_.empty()) stage_ = Stage::kDone;
  if (stage_ != Stage::kSearching) return;
  stage_ = Stage::kFinals;
  finalists_ = Finalists();
  // Alone in front of the rest, or nothing new since the last run's finals: no one to be compared with.
  if (finalists_.size() > 1 && given_out_ > from_history_) {
    for (size_t round = 0; round < options_.final_rounds; ++round) {
      for (size_t index : finalists_) finals_.push_back({records_[index].arm, records_[index].point, true});
    }
    std::reverse(finals_.begin(), finals_.end());
  }
  if (finals_.empty()) stage_ = Stage::kDone;
}

double TaskSearch::best() const {
  double best = std::numeric_limits<double>::infinity();
  for (const Record& record : records_) best = std::min(best, record.objective);
  return best;
}

double TaskSearch::untuned() const {
  const auto found = first_ ? arms_[0].records.find(*first_) : arms_[0].records.end();
  if (found == arms_[0].records.end() || found->second == kInFlight) return std::numeric_limits<double>::infinity();
  return records_[found->second].objective;
}

Candidate TaskSearch::CandidateOf(const Trial& trial) const {
  const TaskTemplate& kernel = *arms_[trial.arm].kernel;
  return {task_->workload, kernel.name, kernel.hash, kernel.space->ConfigAt(trial.point)};
}

bool TaskSearch::Precedes(const Record& a, const Record& b) const { return a.arm != b.arm ? a.arm < b.arm : a.point < b.point; }

TaskReport TaskSearch::Report() const {
  TaskReport report;
  report.workload = task_->workload;
  report.label = task_->label;
  report.weight = task_->weight;
  report.trials = records_.size();
  report.from_history = from_history_;
  report.ended = ended_;
  const auto tuned = [&](const Record& record) {
    const TaskTemplate& kernel = *arms_[record.arm].kernel;
    return TunedConfig{kernel.name, kernel.hash, kernel.space->ConfigAt(record.point), record.objective, record.samples};
  };
  for (const Record& record : records_) {
    if (record.status != MeasureStatus::kOk) ++report.failures[ToString(record.status)];
  }
  if (std::isfinite(untuned())) report.untuned = tuned(records_[arms_[0].records.at(*first_)]);
  // After finals only a finalist may win: a lucky single measurement of another says less.
  const Record* fastest = nullptr;
  for (size_t index : finalists_) {
    const Record& record = records_[index];
    if (std::isfinite(record.objective) && (fastest == nullptr || record.objective < fastest->objective)) fastest = &record;
  }
  if (fastest == nullptr) {  // no finals were held, or every finalist failed in them
    for (const Record& record : records_) {
      if (std::isfinite(record.objective) && (fastest == nullptr || record.objective < fastest->objective)) fastest = &record;
    }
  }
  if (fastest == nullptr) return report;
  const Record* winner = fastest;
  size_t equals = 0;
  for (size_t index : finalists_) {
    const Record& record = records_[index];
    if (record.objective > fastest->objective * (1 + options_.tie)) continue;
    ++equals;
    if (Precedes(record, *winner)) winner = &record;
  }
  report.ties = equals > 0 ? equals - 1 : 0;
  report.best = tuned(*winner);
  return report;
}

}  // namespace lathe
