// GridStrategy: every valid point in the order of the parameters' lists, to the end of the space.
#pragma once

#include <deque>

#include "search/point_set.h"
#include "search/strategy.h"

namespace lathe {

class GridStrategy : public Strategy {
 public:
  explicit GridStrategy(const StrategyContext& context) : space_(*context.space) {}

  std::vector<Point> Propose(size_t count) override {
    std::vector<Point> points;
    while (points.size() < count) {
      if (ahead_.empty() && !LookAhead()) break;
      if (seen_.insert(ahead_.front()).second) points.push_back(std::move(ahead_.front()));
      ahead_.pop_front();
    }
    return points;
  }

  void Observe(const std::vector<Observation>& observations) override {
    for (const Observation& observation : observations) seen_.insert(observation.point);
  }

 private:
  // A space can only be walked from its start, so each walk goes twice as far as the last: two steps a proposed point on average.
  bool LookAhead() {
    if (ended_) return false;
    const size_t target = std::max<size_t>(256, 2 * walked_);
    size_t at = 0;
    ended_ = true;
    space_.ForEach([&](const Point& point) {
      if (at++ < walked_) return true;
      ahead_.push_back(point);
      if (at < target) return true;
      ended_ = false;
      return false;
    });
    walked_ = at;
    return !ahead_.empty();
  }

  const Space& space_;
  PointSet seen_;
  std::deque<Point> ahead_;
  size_t walked_ = 0;
  bool ended_ = false;
};

}  // namespace lathe
