#include "search/genetic_strategy.h"

#include <algorithm>

namespace lathe {
namespace {

constexpr int kAttempts = 20;
constexpr size_t kTournament = 3;

}  // namespace

GeneticStrategy::GeneticStrategy(const StrategyContext& context)
    : space_(*context.space),
      unseen_(*context.space),
      random_(context.seed),
      population_size_(std::clamp<size_t>(context.budget / 10, 8, 20)) {}

const GeneticStrategy::Member& GeneticStrategy::Tournament() {
  size_t best = population_.size();
  for (size_t i = 0; i < kTournament; ++i) best = std::min(best, static_cast<size_t>(random_() % population_.size()));
  return population_[best];
}

std::optional<Point> GeneticStrategy::Child() {
  const std::vector<Parameter>& parameters = space_.parameters();
  std::uniform_real_distribution<double> uniform(0, 1);
  const double mutation = 1.0 / static_cast<double>(std::max<size_t>(1, parameters.size()));
  const Member* parent = nullptr;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    parent = &Tournament();
    const Member& other = Tournament();
    Point child = parent->point;
    for (size_t p = 0; p < child.size(); ++p) {
      if (random_() % 2 == 0) child[p] = other.point[p];
      if (uniform(random_) < mutation) child[p] = static_cast<uint16_t>(random_() % parameters[p].values.size());
    }
    if (!unseen_.IsSeen(child) && space_.IsValid(child)) return child;
  }
  const std::vector<Point> neighbours = unseen_.Neighbours(parent->point);
  if (!neighbours.empty()) return neighbours[random_() % neighbours.size()];
  return std::nullopt;
}

std::vector<Point> GeneticStrategy::Propose(size_t count) {
  std::vector<Point> points;
  while (points.size() < count) {
    std::optional<Point> point;
    if (drawn_ >= population_size_ && population_.size() >= 2) point = Child();
    if (!point) {
      point = unseen_.Draw(random_);
      ++drawn_;
    }
    if (!point) break;
    unseen_.MarkSeen(*point);
    points.push_back(std::move(*point));
  }
  return points;
}

void GeneticStrategy::Observe(const std::vector<Observation>& observations) {
  for (const Observation& observation : observations) {
    unseen_.MarkSeen(observation.point);
    if (!observation.ok) continue;
    const auto at = std::upper_bound(population_.begin(), population_.end(), observation.objective,
                                     [](double objective, const Member& member) { return objective < member.objective; });
    population_.insert(at, {observation.point, observation.objective});
    if (population_.size() > population_size_) population_.pop_back();
  }
}

}  // namespace lathe
