#include "search/model_strategy.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "search/acquisition.h"
#include "search/candidate_pool.h"

namespace lathe {
namespace {

constexpr size_t kBreeders = 20;  // best points whose offspring are candidates
constexpr size_t kLocal = 5;      // best points whose neighbours are all candidates
constexpr size_t kClimbers = 6;   // candidates from which the climb starts
constexpr int kClimbs = 3;        // steps of it
constexpr size_t kClose = 2;      // parameters in which a local pick may differ from the best point
constexpr size_t kFewestWorking = 4;

CostModelOptions ModelOf(const ModelOptions& options) {
  CostModelOptions model;
  model.encoder = {.logs = options.logs,
                   .alignment = options.alignment,
                   .codes = options.codes,
                   .pairs = options.pairs,
                   .manifest = options.manifest,
                   .constraints = options.constraints};
  model.boosted = options.surrogate != "gp";
  model.gaussian = options.surrogate != "boosted";
  model.validity = options.validity;
  model.slow_weight = options.slow_weight;
  model.process.additive = options.additive;
  model.ensemble.members = static_cast<size_t>(options.members);
  BoosterOptions& booster = model.ensemble.booster;
  booster.objective = options.objective == "rank" ? "rank:pairwise" : "reg:squarederror";
  booster.rounds = options.rounds;
  booster.depth = options.depth;
  booster.learning_rate = options.learning_rate;
  booster.columns_by_tree = options.columns;
  return model;
}

// Small: what a model learns from six points, and then chooses to ask, is worth more than further points without it.
size_t StartSize(const ModelOptions& options, size_t budget) {
  if (options.start > 0) return static_cast<size_t>(options.start);
  return std::clamp<size_t>(budget / 5, 4, 6);
}

}  // namespace

ModelStrategy::ModelStrategy(const StrategyContext& context, const ModelOptions& options)
    : space_(*context.space),
      options_(options),
      unseen_(*context.space),
      random_(context.seed),
      model_(*context.space, context.features, ModelOf(options)),
      start_size_(StartSize(options, context.budget)) {
  met_.columns = model_.encoder().base_columns();
}

void ModelStrategy::Take(const Point& point) {
  if (!unseen_.MarkSeen(point)) return;
  std::vector<float> row(met_.columns);
  model_.encoder().EncodeBase(point, row.data());
  met_.Append(row);
}

std::optional<Point> ModelStrategy::Spread() {
  std::optional<Point> farthest;
  float distance = -1;
  std::vector<float> row(met_.columns);
  for (int i = 0; i < options_.spread; ++i) {
    std::optional<Point> point = unseen_.Draw(random_);
    if (!point) break;
    model_.encoder().EncodeBase(*point, row.data());
    float nearest = std::numeric_limits<float>::max();
    for (size_t other = 0; other < met_.count(); ++other) {
      float squared = 0;
      for (size_t c = 0; c < met_.columns; ++c) squared += (row[c] - met_.row(other)[c]) * (row[c] - met_.row(other)[c]);
      nearest = std::min(nearest, squared);
    }
    if (nearest > distance) {
      distance = nearest;
      farthest = std::move(point);
    }
  }
  return farthest;
}

void ModelStrategy::Fill(CandidatePool& pool) {
  pool.AddRandom(static_cast<size_t>(options_.pool), random_);
  if (!options_.neighbours) return;
  std::vector<Point> parents;
  for (const Known& known : best_) parents.push_back(known.point);
  for (size_t i = 0; i < std::min(kLocal, parents.size()); ++i) pool.AddNeighbours(parents[i]);
  pool.AddOffspring(parents, static_cast<size_t>(options_.pool) / 2, random_);
}

// A model whose promises do not come true is surer than it should be: its doubt grows with the observations since the best improved, so
// that the search leaves a plateau.
double ModelStrategy::Widening() const {
  constexpr double kPatience = 10, kPace = 20, kMost = 3;  // observations without effect, and for each further unit; the most
  const double idle = static_cast<double>(idle_) - kPatience;
  return idle <= 0 ? 1 : std::min(kMost, 1 + options_.widen * idle / kPace);
}

double ModelStrategy::Promise(const Scores& scores, size_t row) const {
  const double mean = scores.mean[row], deviation = scores.deviation[row] * Widening();
  if (options_.acquisition == "ei") return ExpectedImprovement(mean, deviation, model_.best_target()) * scores.valid[row];
  const double promise = mean + (options_.acquisition == "ucb" ? options_.kappa * deviation : 0.0);
  return promise + std::log(std::max(1e-6F, scores.valid[row]));
}

double ModelStrategy::Expected(const Scores& scores, size_t row) const {
  return ExpectedImprovement(scores.mean[row], scores.deviation[row], model_.best_target()) * scores.valid[row];
}

std::vector<Point> ModelStrategy::ByModel(size_t count) {
  if (stale_) {
    if (Status status = model_.Refit(random_()); !status) return {};
    stale_ = false;
  }
  CandidatePool pool(space_, unseen_);
  Fill(pool);
  const std::vector<Point> flying(in_flight_.begin(), in_flight_.end());
  // The climb: neighbours of the most promising join the pool, a few times over.
  size_t scored = 0;
  std::vector<std::pair<double, size_t>> ranking;  // promise, place in the pool
  for (int climb = 0; options_.neighbours && climb < kClimbs && scored < pool.points().size(); ++climb) {
    const std::vector<Point> fresh(pool.points().begin() + static_cast<std::ptrdiff_t>(scored), pool.points().end());
    Result<Scores> scores = model_.Score(fresh, 0);
    if (!scores) return {};
    for (size_t i = 0; i < fresh.size(); ++i) ranking.emplace_back(Promise(*scores, i), scored + i);
    scored = pool.points().size();
    const size_t top = std::min(kClimbers, ranking.size());
    std::partial_sort(ranking.begin(), ranking.begin() + static_cast<std::ptrdiff_t>(top), ranking.end(), std::greater<>());
    for (size_t i = 0; i < top; ++i) pool.AddNeighbours(Point(pool.points()[ranking[i].second]));
  }

  // The final round knows what is in flight, and spreads the batch.
  constexpr size_t kFinal = 400;
  std::vector<Point> points = flying;
  if (scored < pool.points().size()) {
    const std::vector<Point> fresh(pool.points().begin() + static_cast<std::ptrdiff_t>(scored), pool.points().end());
    Result<Scores> scores = model_.Score(fresh, 0);
    if (!scores) return {};
    for (size_t i = 0; i < fresh.size(); ++i) ranking.emplace_back(Promise(*scores, i), scored + i);
  }
  const size_t kept = std::min(kFinal, ranking.size());
  std::partial_sort(ranking.begin(), ranking.begin() + static_cast<std::ptrdiff_t>(kept), ranking.end(), std::greater<>());
  for (size_t i = 0; i < kept; ++i) points.push_back(pool.points()[ranking[i].second]);
  if (kept == 0) return {};
  const size_t assumed = options_.diversity ? flying.size() + count : 0;
  Result<Scores> scores = model_.Score(points, assumed);
  if (!scores) return {};
  if (options_.diversity) {
    for (size_t i = 0; i < flying.size(); ++i) scores->Assume(i);
  }
  if (options_.acquisition == "ei") {
    expected_gain_ = 0;
    for (size_t i = flying.size(); i < points.size(); ++i) expected_gain_ = std::max(*expected_gain_, Expected(*scores, i));
  }
  // Some picks stay close to the best point: where the model is wrong about the rest of the space, the climb still goes on.
  const auto close = [&](const Point& point) {
    size_t apart = 0;
    for (size_t p = 0; p < point.size(); ++p) apart += point[p] != best_.front().point[p] ? 1 : 0;
    return apart <= kClose;
  };
  std::uniform_real_distribution<double> uniform(0, 1);
  std::vector<Point> picked;
  std::vector<bool> taken(points.size(), false);
  const auto most_promising = [&](bool only_close) {
    size_t best = points.size();
    double promise = 0;
    for (size_t i = flying.size(); i < points.size(); ++i) {
      if (taken[i] || (only_close && !close(points[i]))) continue;
      const double own = Promise(*scores, i);
      if (best == points.size() || own > promise) {
        promise = own;
        best = i;
      }
    }
    return best;
  };
  while (picked.size() < count) {
    size_t best = points.size();
    if (options_.local > 0 && !best_.empty() && uniform(random_) < options_.local) best = most_promising(true);
    if (best == points.size()) best = most_promising(false);
    if (best == points.size()) break;
    taken[best] = true;
    if (options_.acquisition == "ei") promises_[points[best]] = Expected(*scores, best);
    picked.push_back(points[best]);
    if (options_.diversity && picked.size() < count) scores->Assume(best);
  }
  return picked;
}

// The largest of many expectations is too hopeful, so it counts only as far as such promises were kept lately.
std::optional<double> ModelStrategy::ExpectedGain() const {
  if (!expected_gain_) return std::nullopt;
  constexpr double kTrust = 0.02;  // improvement promised and kept before the first pick
  return *expected_gain_ * std::min(1.0, (kept_ + kTrust) / (promised_ + kTrust));
}

std::vector<Point> ModelStrategy::Propose(size_t count) {
  std::vector<Point> points;
  const auto propose = [&](const Point& point) {
    Take(point);
    in_flight_.insert(point);
    points.push_back(point);
  };
  std::uniform_real_distribution<double> uniform(0, 1);
  size_t by_model = 0;
  while (points.size() + by_model < count) {
    const bool starting = unseen_.seen() + by_model < start_size_ || model_.worked() < kFewestWorking;
    if (!starting && uniform(random_) >= options_.epsilon) {
      ++by_model;
      continue;
    }
    const std::optional<Point> point = starting ? Spread() : unseen_.Draw(random_);
    if (!point) break;
    propose(*point);
  }
  if (by_model > 0) {
    for (const Point& point : ByModel(by_model)) propose(point);
    while (points.size() < count) {  // the pool ran dry: near the end of the space
      const std::optional<Point> point = unseen_.Draw(random_);
      if (!point) break;
      propose(*point);
    }
  }
  return points;
}

void ModelStrategy::Observe(const std::vector<Observation>& observations) {
  for (const Observation& observation : observations) {
    Take(observation.point);
    in_flight_.erase(observation.point);
    if (const auto promise = promises_.find(observation.point); promise != promises_.end()) {
      constexpr double kMemory = 0.95;
      const double gain = observation.ok && !best_.empty() ? std::log(best_.front().objective / observation.objective) : 0;
      promised_ = kMemory * promised_ + promise->second;
      kept_ = kMemory * kept_ + std::max(0.0, gain);
      promises_.erase(promise);
    }
    model_.Add(observation.point, observation.ok, observation.objective);
    stale_ = true;
    ++idle_;
    if (!observation.ok || !std::isfinite(observation.objective)) continue;
    const auto at = std::upper_bound(best_.begin(), best_.end(), observation.objective,
                                     [](double objective, const Known& known) { return objective < known.objective; });
    if (at == best_.begin()) idle_ = 0;
    best_.insert(at, {observation.point, observation.objective});
    if (best_.size() > kBreeders) best_.pop_back();
  }
}

}  // namespace lathe
