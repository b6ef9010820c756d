#include "search/final_race.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "core/measurement.h"

namespace lathe {
namespace {

double BelowNormal(double z) { return 0.5 * std::erfc(-z / std::sqrt(2.0)); }

double Median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace

double BootstrapError(const std::vector<double>& samples, const std::function<double(const std::vector<double>&)>& statistic) {
  if (samples.size() < 2) return 0;
  constexpr int kDraws = 40;
  std::mt19937_64 random(samples.size());
  std::uniform_int_distribution<size_t> any(0, samples.size() - 1);
  std::vector<double> drawn(samples.size());
  double sum = 0, squares = 0;
  for (int draw = 0; draw < kDraws; ++draw) {
    for (double& sample : drawn) sample = samples[any(random)];
    const double value = std::log(statistic(drawn));
    sum += value;
    squares += value * value;
  }
  const double mean = sum / kDraws;
  return std::sqrt(std::max(0.0, squares / kDraws - mean * mean) * kDraws / (kDraws - 1));
}

FinalRace::FinalRace(size_t candidates, RaceOptions options) : options_(std::move(options)), candidates_(candidates) {
  if (!options_.statistic) options_.statistic = LowQuantile;
}

void FinalRace::Add(size_t candidate, const std::vector<double>& samples) {
  if (samples.empty()) return;
  candidates_[candidate].measurements.push_back(samples);
  Estimate();
}

void FinalRace::Fail(size_t candidate) {
  candidates_[candidate].failed = true;
  Estimate();
}

// Variance of whole measurements around their candidate, the samples' part included; what a whole round had in common (a busy minute, a
// clock) is taken out first, because it hits all alike: least squares of log = candidate + round.
double FinalRace::Between() const {
  std::vector<double> of_candidate(candidates_.size(), 0.0), of_round;
  std::vector<std::vector<double>> logs;
  size_t count = 0, measured = 0;
  for (const Candidate& candidate : candidates_) {
    logs.emplace_back();
    for (const std::vector<double>& samples : candidate.measurements) logs.back().push_back(std::log(options_.statistic(samples)));
    of_round.resize(std::max(of_round.size(), logs.back().size()), 0.0);
    count += logs.back().size();
    measured += logs.back().empty() ? 0 : 1;
  }
  if (of_round.size() < 2 || count + 1 <= measured + of_round.size()) return 0;
  constexpr int kSweeps = 20;
  for (int sweep = 0; sweep < kSweeps; ++sweep) {
    for (size_t i = 0; i < logs.size(); ++i) {
      double sum = 0;
      for (size_t r = 0; r < logs[i].size(); ++r) sum += logs[i][r] - of_round[r];
      if (!logs[i].empty()) of_candidate[i] = sum / static_cast<double>(logs[i].size());
    }
    for (size_t r = 0; r < of_round.size(); ++r) {
      double sum = 0, rows = 0;
      for (size_t i = 0; i < logs.size(); ++i) {
        if (r < logs[i].size()) sum += logs[i][r] - of_candidate[i], rows += 1;
      }
      of_round[r] = sum / rows;
    }
  }
  double squares = 0;
  for (size_t i = 0; i < logs.size(); ++i) {
    for (size_t r = 0; r < logs[i].size(); ++r) squares += std::pow(logs[i][r] - of_candidate[i] - of_round[r], 2);
  }
  return squares / static_cast<double>(count + 1 - measured - of_round.size());
}

void FinalRace::Estimate() {
  std::vector<double> own;  // noise of one sample
  for (Candidate& candidate : candidates_) {
    if (candidate.measurements.empty()) continue;
    std::vector<double> all;
    for (const std::vector<double>& samples : candidate.measurements) all.insert(all.end(), samples.begin(), samples.end());
    candidate.samples = all.size();
    candidate.estimate = std::log(options_.statistic(all));
    candidate.error = BootstrapError(all, options_.statistic) * std::sqrt(static_cast<double>(all.size()));
    own.push_back(candidate.error);
  }
  const double common = Median(own), between = Between();
  for (Candidate& candidate : candidates_) {
    if (candidate.measurements.empty()) continue;
    constexpr double kAsIf = 10;  // samples that vote for the common noise
    const auto count = static_cast<double>(candidate.samples), rounds = static_cast<double>(candidate.measurements.size());
    const double noise = (count * candidate.error * candidate.error + kAsIf * common * common) / (count + kAsIf);
    candidate.error = std::sqrt(std::max(noise / count, between / rounds));
  }
}

size_t FinalRace::Fastest() const {
  size_t fastest = candidates_.size();
  for (size_t i = 0; i < candidates_.size(); ++i) {
    if (candidates_[i].failed || candidates_[i].measurements.empty()) continue;
    if (fastest == candidates_.size() || candidates_[i].estimate < candidates_[fastest].estimate) fastest = i;
  }
  return fastest;
}

double FinalRace::ChanceToBeat(size_t candidate, size_t other, double by) const {
  const Candidate &a = candidates_[candidate], &b = candidates_[other];
  const double error = std::sqrt(a.error * a.error + b.error * b.error);
  const double lead = b.estimate - a.estimate - by;
  if (error <= 0) return lead > 0 ? 1 : 0;
  return BelowNormal(lead / error);
}

double FinalRace::Confidence(size_t candidate) const {
  constexpr int kDraws = 4000;
  std::mt19937_64 random(1);
  std::normal_distribution<double> normal;
  int within = 0;
  for (int draw = 0; draw < kDraws; ++draw) {
    double best = std::numeric_limits<double>::infinity(), own = best;
    for (size_t i = 0; i < candidates_.size(); ++i) {
      if (candidates_[i].failed || candidates_[i].measurements.empty()) continue;
      const double drawn = candidates_[i].estimate + candidates_[i].error * normal(random);
      best = std::min(best, drawn);
      if (i == candidate) own = drawn;
    }
    within += own <= best + std::log1p(options_.within) ? 1 : 0;
  }
  return static_cast<double>(within) / kDraws;
}

std::vector<size_t> FinalRace::NextRound() {
  std::vector<size_t> next;
  const size_t fastest = Fastest();
  if (round_ > 0 && fastest == candidates_.size()) return next;
  if (round_ >= options_.fewest_rounds) {
    const double risk = (1 - options_.confidence) / static_cast<double>(candidates_.size());
    for (size_t i = 0; i < candidates_.size(); ++i) {
      if (i != fastest && ChanceToBeat(i, fastest, 0) < risk) candidates_[i].out = true;
    }
    if (round_ >= options_.most_rounds || Confidence(fastest) >= options_.confidence) return next;
  }
  for (size_t i = 0; i < candidates_.size(); ++i) {
    if (!candidates_[i].failed && !candidates_[i].out) next.push_back(i);
  }
  if (round_ > 0 && next.size() < 2) return {};
  ++round_;
  return next;
}

FinalRace::Verdict FinalRace::Result() const {
  Verdict verdict;
  verdict.fastest = Fastest();
  if (verdict.fastest == candidates_.size()) return verdict;
  verdict.any = true;
  verdict.margin = 1.96 * candidates_[verdict.fastest].error;
  // A tie must not cost confidence: while the errors are larger than what counts as a tie, the fastest is the better guess.
  const double sure = std::min(options_.confidence, Confidence(verdict.fastest));
  for (size_t i = 0; i < candidates_.size(); ++i) {
    const Candidate& candidate = candidates_[i];
    if (candidate.failed || candidate.measurements.empty()) continue;
    if (candidate.estimate > candidates_[verdict.fastest].estimate + std::log1p(options_.tie)) continue;
    if (i == verdict.fastest || Confidence(i) >= sure) verdict.tied.push_back(i);
  }
  return verdict;
}

FinalRace::Verdict Judge(const std::vector<std::vector<double>>& samples, RaceOptions options) {
  FinalRace race(samples.size(), std::move(options));
  for (size_t i = 0; i < samples.size(); ++i) race.Add(i, samples[i]);
  return race.Result();
}

std::vector<size_t> RaceEntries(const std::vector<std::vector<double>>& samples, double near, size_t most,
                                const std::function<double(const std::vector<double>&)>& statistic) {
  const auto value = statistic ? statistic : LowQuantile;
  std::vector<double> estimates(samples.size(), std::numeric_limits<double>::infinity()), noise(samples.size(), 0.0), known;
  std::vector<size_t> order;
  for (size_t i = 0; i < samples.size(); ++i) {
    if (samples[i].empty()) continue;
    estimates[i] = std::log(value(samples[i]));
    order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return estimates[a] < estimates[b]; });
  // Only the front has a chance, and only its noise is asked for.
  if (order.size() > 4 * most) order.resize(4 * most);
  for (const size_t i : order) {
    noise[i] = BootstrapError(samples[i], value) * std::sqrt(static_cast<double>(samples[i].size()));
    if (samples[i].size() > 1) known.push_back(noise[i]);
  }
  const double common = Median(known);
  const auto error = [&](size_t i) { return std::max(noise[i], common / 2) / std::sqrt(static_cast<double>(samples[i].size())); };
  std::vector<size_t> entries;
  for (const size_t i : order) {
    if (entries.size() >= most) break;
    const double behind = estimates[i] - estimates[order[0]];
    if (behind <= std::log1p(near) || behind <= 2.5 * std::hypot(error(i), error(order[0]))) entries.push_back(i);
  }
  return entries;
}

}  // namespace lathe
