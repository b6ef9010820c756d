// RandomStrategy: uniform over the valid points, without repeats. The baseline that every other strategy must beat.
#pragma once

#include "search/strategy.h"
#include "search/unseen_points.h"

namespace lathe {

class RandomStrategy : public Strategy {
 public:
  explicit RandomStrategy(const StrategyContext& context) : unseen_(*context.space), random_(context.seed) {}

  std::vector<Point> Propose(size_t count) override {
    std::vector<Point> points;
    while (points.size() < count) {
      const std::optional<Point> point = unseen_.Draw(random_);
      if (!point) break;
      unseen_.MarkSeen(*point);
      points.push_back(*point);
    }
    return points;
  }

  void Observe(const std::vector<Observation>& observations) override {
    for (const Observation& observation : observations) unseen_.MarkSeen(observation.point);
  }

 private:
  UnseenPoints unseen_;
  std::mt19937_64 random_;
};

}  // namespace lathe
