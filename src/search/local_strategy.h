// LocalStrategy: iterated local search (Lourenço, Martin & Stützle, 2003) by a few climbers side by side, so that measurements can be in
// flight.
//
// A climber stands on the best point it met and tries unseen neighbours one after another, moving as soon as one is better. Which
// parameter it changes is learnt: one whose changes gained more is tried more often, whichever climber gained it; its nearer values come
// first as often as any of them. A climber without unseen neighbours, or without luck for long, is kicked: it restarts from the best point
// with a few parameters changed, or from a fresh point.
#pragma once

#include <random>

#include "search/strategy.h"
#include "search/unseen_points.h"

namespace lathe {

class LocalStrategy : public Strategy {
 public:
  explicit LocalStrategy(const StrategyContext& context);

  std::vector<Point> Propose(size_t count) override;
  void Observe(const std::vector<Observation>& observations) override;

 private:
  struct Climber {
    std::optional<Point> at;
    double objective = std::numeric_limits<double>::infinity();
    size_t idle = 0;  // observations since it last moved
  };
  struct Credit {
    double gain = 0, tries = 0;  // gain: sum of log ratios, of improvements only
  };
  struct Pending {
    size_t climber = 0;
    std::optional<size_t> parameter;  // the one that was changed; none for a fresh point
  };

  std::optional<Point> Step(size_t climber, Pending* pending);
  std::optional<Point> Kicked();
  std::optional<Point> Neighbour(const Point& from, size_t* parameter);

  const Space& space_;
  UnseenPoints unseen_;
  std::mt19937_64 random_;
  size_t start_size_, patience_, drawn_ = 0, turn_ = 0;
  std::vector<Climber> climbers_;
  std::vector<Credit> credit_;  // by parameter
  PointMap<Pending> pending_;
  std::optional<Point> best_;
  double best_objective_ = std::numeric_limits<double>::infinity();
};

}  // namespace lathe
