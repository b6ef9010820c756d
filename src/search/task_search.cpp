#include "search/task_search.h"

#include <algorithm>
#include <cmath>

#include "core/hash.h"
#include "search/simplicity.h"
#include "search/warm_strategy.h"

namespace lathe {
namespace {

constexpr size_t kInFlight = std::numeric_limits<size_t>::max();

// Each task and template searches with its own seed, the same whatever else is tuned beside it.
uint64_t SeedOf(uint64_t seed, const TuneTask& task, const TaskTemplate& kernel) {
  const std::string text = std::to_string(seed) + '|' + task.workload.Key() + '|' + kernel.name;
  return std::stoull(ShortHash(text), nullptr, 16);
}

}  // namespace

StrategyContext TaskSearch::ContextOf(size_t arm) const {
  const TaskTemplate& kernel = *arms_[arm].kernel;
  StrategyContext context;
  context.space = kernel.space.get();
  context.features = kernel.features;
  context.seed = SeedOf(options_.seed, *task_, kernel);
  context.budget = options_.trials;
  context.options = options_.strategy_options;
  return context;
}

Result<TaskSearch> TaskSearch::Start(const TuneTask& task, const SearchOptions& options) {
  TaskSearch search(task, options);
  for (const TaskTemplate& kernel : task.templates) {
    search.arms_.emplace_back();
    search.arms_.back().kernel = &kernel;
    Result<std::unique_ptr<Strategy>> strategy = MakeStrategy(options.strategy, search.ContextOf(search.arms_.size() - 1));
    if (!strategy) return strategy.error().In("tune " + task.label);
    search.arms_.back().strategy = std::move(*strategy);
    if (kernel.prior) search.Lend(search.arms_.size() - 1, *kernel.prior);
  }
  if (!task.templates.empty()) search.first_ = task.templates[0].space->First();
  return search;
}

void TaskSearch::Lend(size_t arm, TransferPrior prior) {
  if (!options_.warm || prior.empty()) return;
  Result<std::unique_ptr<WarmStrategy>> warm = WarmStrategy::Make(options_.strategy, ContextOf(arm), std::move(prior));
  if (!warm) return;  // the same strategy was made before
  arms_[arm].warm = warm->get();
  arms_[arm].strategy = *std::move(warm);
  if (!arms_[arm].observations.empty()) arms_[arm].strategy->Observe(arms_[arm].observations);
}

void TaskSearch::Tell(size_t arm, std::vector<Observation> observations) {
  arms_[arm].strategy->Observe(observations);
  std::move(observations.begin(), observations.end(), std::back_inserter(arms_[arm].observations));
}

void TaskSearch::Store(size_t arm, const Point& point, const Measurement& measurement, std::vector<double> samples) {
  Record record;
  record.arm = arm;
  record.point = point;
  record.status = measurement.status;
  record.samples = std::move(samples);
  if (!record.samples.empty()) record.objective = options_.objective.statistic(record.samples);
  record.seconds = Seconds(measurement);
  record.joules = measurement.joules;
  record.watts = Watts(measurement);
  arms_[arm].records[point] = records_.size();
  split_.Report(arm, record.objective);
  const double before = best_log_.empty() ? std::numeric_limits<double>::infinity() : best_log_.back();
  best_log_.push_back(record.objective > 0 ? std::min(before, std::log(record.objective)) : before);
  records_.push_back(std::move(record));
}

void TaskSearch::Resume(size_t arm, const std::vector<Measurement>& measurements) {
  std::vector<Observation> observations;
  const Space& space = *arms_[arm].kernel->space;
  // A finalist comes several times: its samples are one record.
  std::vector<std::pair<Measurement, std::vector<double>>> merged;
  PointMap<size_t> places;
  for (const Measurement& measurement : measurements) {
    if (measurement.status == MeasureStatus::kBoardLost || !options_.objective.Knows(measurement)) continue;
    Result<Point> point = space.PointOf(measurement.candidate.config);
    if (!point || !space.IsValid(*point)) continue;  // a hash that is the same with other parameters: not ours
    const auto [place, fresh] = places.emplace(*point, merged.size());
    std::vector<double> samples = options_.objective.Samples(measurement);
    if (fresh) {
      merged.emplace_back(measurement, std::move(samples));
      continue;
    }
    auto& [known, pooled] = merged[place->second];
    if (known.status != MeasureStatus::kOk || measurement.status != MeasureStatus::kOk) continue;  // the first answer stands
    pooled.insert(pooled.end(), samples.begin(), samples.end());
  }
  for (auto& [measurement, samples] : merged) {
    const Point point = *space.PointOf(measurement.candidate.config);
    Store(arm, point, measurement, std::move(samples));
    split_.Take(arm);
    ++given_out_;
    ++from_history_;
    const double objective = records_.back().objective;
    observations.push_back({point, std::isfinite(objective), objective});
  }
  if (!observations.empty()) Tell(arm, std::move(observations));
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
  // Each template's first config is its author's best guess: with few trials a late template might not come to it.
  while (options_.untuned_first && firsts_given_ < arms_.size() && !search_ended_ && trials.size() < count && given_out_ < limit()) {
    const size_t arm = firsts_given_++;
    const std::optional<Point> first = arms_[arm].kernel->space->First();
    if (first && !arms_[arm].records.contains(*first)) give(arm, *first);
  }
  while (!search_ended_ && trials.size() < count) {
    if (given_out_ >= limit()) {
      search_ended_ = true;
      break;
    }
    const std::optional<size_t> arm = split_.Next();
    if (!arm) {
      EndSearch("exhausted");
      break;
    }
    const std::vector<Point> points =
        arms_[*arm].strategy->Propose(std::min({count - trials.size(), limit() - given_out_, split_.Turn(*arm)}));
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
    const size_t index = arms_[trial.arm].records[trial.point];
    const auto place = static_cast<size_t>(std::find(finalists_.begin(), finalists_.end(), index) - finalists_.begin());
    Record& record = records_[index];
    const std::vector<double> samples = options_.objective.Samples(measurement);
    if (measurement.status == MeasureStatus::kOk) {
      record.seconds = Seconds(measurement);
      record.joules = measurement.joules;
      record.watts = Watts(measurement);
    }
    if (!samples.empty()) {
      record.samples.insert(record.samples.end(), samples.begin(), samples.end());
      if (std::isfinite(record.objective)) record.objective = options_.objective.statistic(record.samples);
      race_->Add(place, samples);
    } else if (options_.objective.Knows(measurement)) {  // it failed, or broke through the power cap
      race_->Fail(place);
      record.status = measurement.status;
      record.objective = std::numeric_limits<double>::infinity();
    }
  } else {
    Store(trial.arm, trial.point, measurement, options_.objective.Samples(measurement));
    const double objective = records_.back().objective;
    measured_seconds_ += measurement.build_seconds + measurement.run_seconds;
    ++trials_measured_;
    Tell(trial.arm, {{trial.point, std::isfinite(objective), objective}});
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
  if (options_.finalists == 0) return {};
  std::vector<std::vector<double>> samples(records_.size());
  for (size_t i = 0; i < records_.size(); ++i) {
    if (std::isfinite(records_[i].objective)) samples[i] = records_[i].samples;
  }
  std::vector<size_t> entries = RaceEntries(samples, options_.within_noise, options_.finalists, options_.objective.statistic);
  // The untuned config runs with them, so that what tuning gained is measured side by side.
  if (entries.size() > 1 && first_) {
    const auto found = arms_[0].records.find(*first_);
    const bool known = found != arms_[0].records.end() && found->second != kInFlight && std::isfinite(records_[found->second].objective);
    if (known && std::find(entries.begin(), entries.end(), found->second) == entries.end()) entries.push_back(found->second);
  }
  return entries;
}

size_t TaskSearch::finals_left() const {
  if (stage_ == Stage::kDone) return 0;
  if (stage_ == Stage::kFinals) return finals_.size();
  const size_t finalists = Finalists().size();
  return finalists > 1 ? finalists * std::min<size_t>(2, options_.final_rounds) : 0;
}

void TaskSearch::NextFinalRound() {
  for (const size_t place : race_->NextRound())
    finals_.push_back({records_[finalists_[place]].arm, records_[finalists_[place]].point, true});
  std::reverse(finals_.begin(), finals_.end());
}

RaceOptions TaskSearch::RaceRules() const {
  RaceOptions rules;
  rules.tie = options_.tie;
  rules.most_rounds = options_.final_rounds;
  rules.fewest_rounds = std::min(rules.fewest_rounds, rules.most_rounds);
  rules.statistic = options_.objective.statistic;
  return rules;
}

void TaskSearch::StartFinalsWhenSettled() {
  if (!search_ended_ || in_flight_ > 0 || stage_ == Stage::kDone) return;
  if (stage_ == Stage::kSearching) {
    stage_ = Stage::kFinals;
    finalists_ = Finalists();
    // Alone in front of the rest, or nothing new since the last run's finals: no one to be compared with.
    if (finalists_.size() > 1 && given_out_ > from_history_ && options_.final_rounds > 0) {
      race_.emplace(finalists_.size(), RaceRules());
    }
  }
  if (race_ && finals_.empty()) NextFinalRound();
  if (finals_.empty()) stage_ = Stage::kDone;
}

double TaskSearch::ExpectedGain() const {
  if (best_log_.empty() || !std::isfinite(best_log_.back())) return std::numeric_limits<double>::infinity();
  std::optional<double> said;
  for (const Arm& arm : arms_) {
    if (const std::optional<double> own = arm.strategy->ExpectedGain()) said = std::max(said.value_or(0), *own);
  }
  // The course: what the later half of the trials brought, a trial; improvements come ever more rarely, so the next half of as many trials
  // will bring about half of it.
  const size_t trials = best_log_.size();
  const double half_way = best_log_[trials / 2];
  const double course =
      std::isfinite(half_way) ? 0.5 * (half_way - best_log_.back()) / static_cast<double>(std::max<size_t>(1, trials / 2)) : 0;
  // Luck: the next of n exchangeable trials is the best so far with probability 1/(n + 1), and then leads by about as much as the best one
  // now leads.
  double second = std::numeric_limits<double>::infinity(), first = second;
  for (const Record& record : records_) {
    if (record.objective < first) {
      second = first;
      first = record.objective;
    } else {
      second = std::min(second, record.objective);
    }
  }
  const double lead = std::isfinite(second) ? std::min(0.1, std::log(second / first)) : 0.1;
  const double luck = lead / static_cast<double>(trials + 1);
  const double seen = std::max(course, luck);
  return said ? 0.5 * (*said + seen) : seen;
}

double TaskSearch::seconds_per_trial() const {
  return trials_measured_ > 0 && measured_seconds_ > 0 ? measured_seconds_ / static_cast<double>(trials_measured_) : 1;
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

const TaskSearch::Record* TaskSearch::Simplest(const std::vector<size_t>& tied) const {
  const auto simplicity = [&](size_t index) { return SimplicityOf(*task_, records_[index].arm, records_[index].point); };
  const auto simplest = std::min_element(tied.begin(), tied.end(), [&](size_t a, size_t b) { return simplicity(a) < simplicity(b); });
  return simplest == tied.end() ? nullptr : &records_[*simplest];
}

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
    const double seconds = options_.objective.is_time() ? record.objective : record.seconds;
    return TunedConfig{kernel.name,  kernel.hash,   kernel.space->ConfigAt(record.point), record.objective, seconds, record.joules,
                       record.watts, record.samples};
  };
  for (const Record& record : records_) {
    if (record.status != MeasureStatus::kOk) {
      ++report.failures[ToString(record.status)];
    } else if (!std::isfinite(record.objective)) {
      const bool over = options_.objective.power_cap() && record.watts;
      ++report.failures[over ? "over_power_cap" : "power_unknown"];
      if (over) report.least_watts = std::min(report.least_watts.value_or(*record.watts), *record.watts);
    }
  }
  if (std::isfinite(untuned())) report.untuned = tuned(records_[arms_[0].records.at(*first_)]);
  for (const Arm& arm : arms_) {
    if (arm.warm != nullptr) report.borrowed.push_back(arm.warm->Report());
  }
  std::vector<size_t> tied;
  const FinalRace::Verdict verdict = race_ ? race_->Result() : FinalRace::Verdict{};
  if (verdict.any) {  // after finals only a finalist may win: a lucky single measurement of another says less
    for (const size_t place : verdict.tied) tied.push_back(finalists_[place]);
  } else if (const double fastest = best(); std::isfinite(fastest)) {  // no finals were held, or every finalist failed in them
    std::vector<size_t> near;
    std::vector<std::vector<double>> samples;
    for (size_t i = 0; i < records_.size(); ++i) {
      if (!std::isfinite(records_[i].objective) || records_[i].objective > (1 + options_.tie) * fastest) continue;
      near.push_back(i);
      samples.push_back(records_[i].samples);
    }
    for (const size_t place : Judge(samples, RaceRules()).tied) tied.push_back(near[place]);
  }
  const Record* winner = Simplest(tied);
  if (winner == nullptr) return report;
  report.best = tuned(*winner);
  report.ties = tied.size() - 1;
  if (verdict.any) {
    const auto index = static_cast<size_t>(winner - records_.data());
    report.confidence = race_->Confidence(static_cast<size_t>(std::find(finalists_.begin(), finalists_.end(), index) - finalists_.begin()));
    report.margin = verdict.margin;
  }
  return report;
}

}  // namespace lathe
