#include "search/replay.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <numeric>

#include "search/driver.h"
#include "search/recorded_measurer.h"

namespace lathe {
namespace {

constexpr double kFractions[] = {0.9, 0.95, 0.99};

// Keeps every measurement in memory.
class Notes : public Journal {
 public:
  Status BeginRun(const RunInfo&) override { return {}; }
  Status Record(const std::string&, const std::vector<Measurement>& measurements) override {
    rows.insert(rows.end(), measurements.begin(), measurements.end());
    return {};
  }
  Result<std::vector<Measurement>> History(const Workload&, const std::string&, const std::string&, const Target&) override {
    return std::vector<Measurement>{};
  }
  Status EndRun(const std::string&, const std::string&) override { return {}; }
  std::vector<Measurement> rows;
};

// Keeps the best time after each trial, and nothing else. Asks for the end once the optimum is found: nothing after it can change a figure.
class Trace : public Journal {
 public:
  explicit Trace(double optimum) : optimum_(optimum) {}
  Status BeginRun(const RunInfo&) override { return {}; }
  Status Record(const std::string&, const std::vector<Measurement>& measurements) override {
    for (const Measurement& measurement : measurements) {
      const double before = best_.empty() ? std::numeric_limits<double>::infinity() : best_.back();
      best_.push_back(std::min(before, measurement.status == MeasureStatus::kOk ? Seconds(measurement) : before));
    }
    if (!best_.empty() && best_.back() <= optimum_) found_ = true;
    return {};
  }
  Result<std::vector<Measurement>> History(const Workload&, const std::string&, const std::string&, const Target&) override {
    return std::vector<Measurement>{};
  }
  Status EndRun(const std::string&, const std::string&) override { return {}; }

  const std::atomic<bool>* found() const { return &found_; }
  // Padded with the last when the optimum was found or the space exhausted.
  std::vector<double> Best(size_t trials) const {
    std::vector<double> best = best_;
    best.resize(trials, best.empty() ? std::numeric_limits<double>::infinity() : best.back());
    return best;
  }

 private:
  double optimum_;
  std::atomic<bool> found_ = false;
  std::vector<double> best_;
};

double Mean(const std::vector<double>& values) {
  return values.empty() ? 0 : std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

// Between the two nearest, by rank.
double Quantile(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  const double place = share * static_cast<double>(values.size() - 1);
  const auto low = static_cast<size_t>(place);
  const size_t high = std::min(low + 1, values.size() - 1);
  const double part = place - static_cast<double>(low);
  return part == 0 ? values[low] : values[low] + part * (values[high] - values[low]);  // infinity stays infinity
}

std::optional<double> FiniteMedian(const std::vector<double>& values) {
  if (values.empty()) return std::nullopt;
  const double median = Quantile(values, 0.5);
  return std::isfinite(median) ? std::optional<double>(median) : std::nullopt;
}

double Score(const std::vector<double>& mean_best, const RecordedSpace& space) {
  const std::vector<double>& sorted = space.sorted_seconds();
  const std::vector<double> random = RandomBaseline(sorted, space.size(), mean_best.size());
  const double optimum = sorted.front();
  const double cutoff = optimum + 0.05 * (sorted[sorted.size() / 2] - optimum);
  double sum = 0;
  size_t trials = 0;
  while (trials < mean_best.size()) {
    const double room = random[trials] - optimum;
    sum += room > 0 ? (random[trials] - mean_best[trials]) / room : 0;
    if (random[trials++] <= cutoff) break;
  }
  return trials > 0 ? sum / static_cast<double>(trials) : 0;
}

TuneTask TaskOf(const RecordedSpace& space, Space opened) {
  TuneTask task;
  task.workload.operator_name = "recorded";
  task.workload.attributes = {{"space", Value(space.id())}};
  task.label = space.id();
  task.templates.resize(1);
  task.templates[0].name = space.id();
  task.templates[0].space = std::make_unique<Space>(std::move(opened));
  return task;
}

// The settings that every search against a record has.
TuneOptions Settings(const ReplayOptions& options, uint64_t seed, size_t trials) {
  TuneOptions tune;
  tune.search.strategy = options.strategy;
  tune.search.strategy_options = options.strategy_options;
  tune.search.seed = seed;
  tune.search.trials = trials;
  tune.search.finalists = 0;          // recorded means carry no noise to be told apart
  tune.search.untuned_first = false;  // what is judged is the strategy
  tune.batch = options.batch;
  tune.in_flight = options.in_flight;
  return tune;
}

// A lender's whole record, or what a cold search there would have left in a log.
Result<BorrowedSource> SourceOf(const RecordedSpace& lender, const ReplayOptions& options) {
  BorrowedSource source;
  source.label = lender.id();
  if (options.lent_trials > 0) {
    Result<Space> opened = Space::Create(lender.definition());
    if (!opened) return opened.error();
    std::vector<TuneTask> tasks;
    tasks.push_back(TaskOf(lender, *std::move(opened)));
    RecordedMeasurer measurer(lender, options.in_flight);
    Notes notes;
    constexpr uint64_t kSeed = 1000;  // none of those the search itself is judged by
    Result<TuneReport> report = Tune(tasks, measurer, notes, Settings(options, kSeed, options.lent_trials));
    if (!report) return report.error();
    for (const Measurement& row : notes.rows)
      source.rows.push_back({row.candidate.config, row.status == MeasureStatus::kOk, Seconds(row), {}});
    return source;
  }
  lender.space().ForEach([&](const Point& point) {
    if (const RecordedResult* result = lender.Find(point)) {
      source.rows.push_back({lender.space().ConfigAt(point), result->status == MeasureStatus::kOk, result->seconds, {}});
    }
    return true;
  });
  return source;
}

}  // namespace

std::vector<double> RandomBaseline(const std::vector<double>& sorted, size_t total, size_t most) {
  std::vector<double> expected;
  const auto all = static_cast<double>(total);
  for (size_t draws = 1; draws <= most; ++draws) {
    if (draws >= total) {
      expected.push_back(sorted.front());
      continue;
    }
    // The k-th fastest is the best of the draws when it is drawn and none of the faster ones is.
    const auto n = static_cast<double>(draws);
    double chance = n / all, sum = 0, left = 1;
    for (size_t k = 0; k < sorted.size(); ++k) {
      sum += chance * sorted[k];
      left -= chance;
      const double rest = all - static_cast<double>(k) - 1;
      if (rest < n) break;
      chance *= (rest - n + 1) / rest;
    }
    expected.push_back(sum + std::max(0.0, left) * sorted.back());
  }
  return expected;
}

Result<ReplayFigures> Replay(const RecordedSpace& space, const ReplayOptions& options) {
  if (options.budgets.empty() || options.seeds == 0) return Error{ErrorCode::kInvalidInput, "replay: no budget or no seed given"};
  const size_t most = *std::max_element(options.budgets.begin(), options.budgets.end());
  const double optimum = space.optimum_seconds();

  // Opened once for all seeds.
  Result<Space> opened = Space::Create(space.definition());
  if (!opened) return opened.error().In("replay " + space.id());
  std::vector<TuneTask> tasks;
  tasks.push_back(TaskOf(space, *std::move(opened)));
  if (!options.lenders.empty()) {
    std::vector<BorrowedSource> sources;
    for (const RecordedSpace* lender : options.lenders) {
      Result<BorrowedSource> source = SourceOf(*lender, options);
      if (!source) return source.error();
      sources.push_back(*std::move(source));
    }
    Result<TransferPrior> prior = TransferPrior::Learn(*tasks[0].templates[0].space, nullptr, sources, 1);
    if (!prior) return prior.error();
    tasks[0].templates[0].prior = std::make_shared<const TransferPrior>(*std::move(prior));
  }
  ReplayFigures figures;
  figures.id = space.id();
  std::vector<std::vector<double>> fractions;  // [seed][trial]
  std::vector<double> mean_best(most, 0.0);
  for (size_t seed = 0; seed < options.seeds; ++seed) {
    RecordedMeasurer measurer(space, options.in_flight);
    Trace trace(optimum);
    TuneOptions tune = Settings(options, options.first_seed + seed, most);
    tune.stop = trace.found();
    Result<TuneReport> report = Tune(tasks, measurer, trace, tune);
    if (!report) return report.error();
    figures.strategy_s += (report->overhead.propose + report->overhead.observe) / static_cast<double>(options.seeds);
    const std::vector<double> best = trace.Best(most);
    std::vector<double> fraction;
    for (size_t trial = 0; trial < most; ++trial) {
      fraction.push_back(optimum / best[trial]);  // 0 while best is infinity
      mean_best[trial] += (std::isfinite(best[trial]) ? best[trial] : space.sorted_seconds().back()) / static_cast<double>(options.seeds);
    }
    fractions.push_back(std::move(fraction));
  }

  std::vector<double> of_seeds(options.seeds);
  for (size_t budget : options.budgets) {
    for (size_t seed = 0; seed < options.seeds; ++seed) of_seeds[seed] = budget > 0 ? fractions[seed][budget - 1] : 0;
    figures.at[budget] = Mean(of_seeds);
    figures.p10[budget] = Quantile(of_seeds, 0.1);
  }
  for (double wanted : kFractions) {
    for (size_t seed = 0; seed < options.seeds; ++seed) {
      const auto reached =
          std::find_if(fractions[seed].begin(), fractions[seed].end(), [&](double fraction) { return fraction >= wanted; });
      of_seeds[seed] = reached == fractions[seed].end() ? std::numeric_limits<double>::infinity()
                                                        : static_cast<double>(reached - fractions[seed].begin() + 1);
    }
    figures.trials_to[wanted] = FiniteMedian(of_seeds);
  }
  for (const std::vector<double>& fraction : fractions) figures.auc += Mean(fraction) / static_cast<double>(options.seeds);
  figures.score = Score(mean_best, space);
  return figures;
}

ReplayFigures Overall(const std::vector<ReplayFigures>& spaces) {
  ReplayFigures overall;
  overall.id = "overall";
  if (spaces.empty()) return overall;
  const auto count = static_cast<double>(spaces.size());
  for (const ReplayFigures& space : spaces) {
    for (const auto& [budget, value] : space.at) overall.at[budget] += value / count;
    for (const auto& [budget, value] : space.p10) overall.p10[budget] += value / count;
    overall.auc += space.auc / count;
    overall.score += space.score / count;
    overall.strategy_s += space.strategy_s / count;
  }
  for (double wanted : kFractions) {
    std::vector<double> trials;
    for (const ReplayFigures& space : spaces) {
      const std::optional<double> own = space.trials_to.at(wanted);
      trials.push_back(own ? *own : std::numeric_limits<double>::infinity());
    }
    overall.trials_to[wanted] = FiniteMedian(trials);
  }
  return overall;
}

namespace {

nlohmann::ordered_json FiguresJson(const ReplayFigures& figures) {
  nlohmann::ordered_json json = {
      {"at", nlohmann::ordered_json::object()}, {"p10", nlohmann::ordered_json::object()}, {"trials_to", nlohmann::ordered_json::object()}};
  for (const auto& [budget, value] : figures.at) json["at"][std::to_string(budget)] = value;
  for (const auto& [budget, value] : figures.p10) json["p10"][std::to_string(budget)] = value;
  for (const auto& [fraction, trials] : figures.trials_to) {
    json["trials_to"][ToString(Value(fraction))] = trials ? nlohmann::ordered_json(*trials) : nlohmann::ordered_json(nullptr);
  }
  json["strategy_s"] = figures.strategy_s;
  return json;
}

}  // namespace

nlohmann::ordered_json ToJson(const ReplayReport& report) {
  nlohmann::ordered_json json = {{"strategy", report.strategy}, {"seeds", report.seeds}, {"spaces", nlohmann::ordered_json::array()}};
  for (const ReplayFigures& figures : report.spaces) {
    nlohmann::ordered_json one = {{"id", figures.id}};
    one.update(FiguresJson(figures));
    json["spaces"].push_back(std::move(one));
  }
  const ReplayFigures overall = Overall(report.spaces);
  json["overall"] = FiguresJson(overall);
  json["overall"]["score"] = overall.score;
  return json;
}

}  // namespace lathe
