// GeneticStrategy: a steady-state genetic algorithm: every observation may enter the population at once, so nothing waits for a generation.
//
// Parents by tournament, uniform crossover, mutation of one parameter on average to any of its values; a child that breaks a constraint or
// was met before is tried again, then replaced by an unseen neighbour of its parent, then by a fresh point.
#pragma once

#include <random>

#include "search/strategy.h"
#include "search/unseen_points.h"

namespace lathe {

class GeneticStrategy : public Strategy {
 public:
  explicit GeneticStrategy(const StrategyContext& context);

  std::vector<Point> Propose(size_t count) override;
  void Observe(const std::vector<Observation>& observations) override;

 private:
  struct Member {
    Point point;
    double objective = 0;
  };
  const Member& Tournament();
  std::optional<Point> Child();

  const Space& space_;
  UnseenPoints unseen_;
  std::mt19937_64 random_;
  size_t population_size_, drawn_ = 0;
  std::vector<Member> population_;  // best first
};

}  // namespace lathe
