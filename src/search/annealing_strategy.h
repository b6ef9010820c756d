// AnnealingStrategy: a few chains of simulated annealing (Kirkpatrick et al., 1983) side by side, so that measurements can be in flight.
//
// A chain steps to an unseen neighbour when it is better, or when it is worse by a ratio that the temperature still allows; the objective
// is compared by ratio, so seconds and joules need no scale. A chain that cannot move, or has not moved for long, starts again: from the
// best point known as often as from a fresh one.
#pragma once

#include <random>

#include "search/strategy.h"
#include "search/unseen_points.h"

namespace lathe {

class AnnealingStrategy : public Strategy {
 public:
  explicit AnnealingStrategy(const StrategyContext& context);

  std::vector<Point> Propose(size_t count) override;
  void Observe(const std::vector<Observation>& observations) override;

 private:
  struct Chain {
    std::optional<Point> at;
    double objective = std::numeric_limits<double>::infinity();
    int idle = 0;  // observations since it last moved
  };
  std::optional<Point> Step(size_t chain);
  double Temperature() const;

  const Space& space_;
  UnseenPoints unseen_;
  std::mt19937_64 random_;
  size_t budget_, observed_ = 0, turn_ = 0;
  std::vector<Chain> chains_;
  PointMap<size_t> pending_;  // point -> chain that proposed it
  std::optional<Point> best_;
  double best_objective_ = std::numeric_limits<double>::infinity();
};

}  // namespace lathe
