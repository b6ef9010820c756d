#include "search/annealing_strategy.h"

#include <algorithm>
#include <cmath>

namespace lathe {
namespace {

constexpr size_t kChains = 3;
constexpr int kPatience = 25;
// At the start a step to twice the time is taken in one case of four, at the end one of 2 % worse in one of seven.
constexpr double kHot = 0.5, kCold = 0.01;

}  // namespace

AnnealingStrategy::AnnealingStrategy(const StrategyContext& context)
    : space_(*context.space),
      unseen_(*context.space),
      random_(context.seed),
      budget_(std::max<size_t>(1, context.budget)),
      chains_(kChains) {}

double AnnealingStrategy::Temperature() const {
  const double share = std::min(1.0, static_cast<double>(observed_) / static_cast<double>(budget_));
  return kHot * std::pow(kCold / kHot, share);
}

std::optional<Point> AnnealingStrategy::Step(size_t index) {
  Chain& chain = chains_[index];
  if (chain.idle > kPatience) chain = Chain{};
  if (!chain.at && best_ && observed_ > budget_ / 4 && random_() % 2 == 0) {
    chain.at = best_;
    chain.objective = best_objective_;
  }
  if (chain.at) {
    const std::vector<Point> neighbours = unseen_.Neighbours(*chain.at);
    if (!neighbours.empty()) {
      // First which parameter, then which value: a parameter with many values must not drown the others.
      std::vector<size_t> moved;
      for (const Point& neighbour : neighbours) {
        const size_t parameter =
            static_cast<size_t>(std::mismatch(neighbour.begin(), neighbour.end(), chain.at->begin()).first - neighbour.begin());
        moved.push_back(parameter);
      }
      std::vector<size_t> parameters = moved;
      std::sort(parameters.begin(), parameters.end());
      parameters.erase(std::unique(parameters.begin(), parameters.end()), parameters.end());
      const size_t parameter = parameters[random_() % parameters.size()];
      std::vector<size_t> of_parameter;
      for (size_t i = 0; i < neighbours.size(); ++i) {
        if (moved[i] == parameter) of_parameter.push_back(i);
      }
      return neighbours[of_parameter[random_() % of_parameter.size()]];
    }
    chain = Chain{};
  }
  return unseen_.Draw(random_);
}

std::vector<Point> AnnealingStrategy::Propose(size_t count) {
  std::vector<Point> points;
  while (points.size() < count) {
    const size_t chain = turn_++ % chains_.size();
    std::optional<Point> point = Step(chain);
    if (!point) break;
    unseen_.MarkSeen(*point);
    pending_[*point] = chain;
    points.push_back(std::move(*point));
  }
  return points;
}

void AnnealingStrategy::Observe(const std::vector<Observation>& observations) {
  std::uniform_real_distribution<double> uniform(0, 1);
  for (const Observation& observation : observations) {
    unseen_.MarkSeen(observation.point);
    ++observed_;
    if (observation.ok && observation.objective < best_objective_) {
      best_objective_ = observation.objective;
      best_ = observation.point;
    }
    const auto found = pending_.find(observation.point);
    if (found == pending_.end()) continue;
    Chain& chain = chains_[found->second];
    pending_.erase(found);
    ++chain.idle;
    if (!observation.ok) continue;
    const double worse = std::log(observation.objective / chain.objective);  // -infinity for a chain that stands nowhere
    if (!chain.at || worse < 0 || uniform(random_) < std::exp(-worse / Temperature())) {
      chain.at = observation.point;
      chain.objective = observation.objective;
      chain.idle = 0;
    }
  }
}

}  // namespace lathe
