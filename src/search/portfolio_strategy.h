// PortfolioStrategy: several strategies on one search; trials shift to the one whose trials have helped lately.
//
// A multi-armed bandit as in OpenTuner (Ansel et al., 2014): an arm's credit is the area under the curve of its improvements of the best
// over a sliding window, plus a bonus for arms rarely used. Every arm observes every result, so the local search climbs from what the
// model found, and the model learns from the climb.
#pragma once

#include <deque>
#include <random>

#include "search/strategy.h"
#include "search/unseen_points.h"

namespace lathe {

class PortfolioStrategy : public Strategy {
 public:
  // `arms` have their first turns in this order; at least one.
  PortfolioStrategy(const StrategyContext& context, std::vector<std::unique_ptr<Strategy>> arms)
      : unseen_(*context.space), random_(context.seed), arms_(std::move(arms)), used_(arms_.size(), 0) {}

  std::vector<Point> Propose(size_t count) override;
  void Observe(const std::vector<Observation>& observations) override;

 private:
  struct Outcome {
    size_t arm = 0;
    bool improved = false;
  };
  size_t Choose() const;
  double Credit(size_t arm) const;

  UnseenPoints unseen_;  // seen: proposed by any arm, or observed
  std::mt19937_64 random_;
  std::vector<std::unique_ptr<Strategy>> arms_;
  std::vector<size_t> used_;      // proposals of each arm within the window and in flight
  std::deque<Outcome> outcomes_;  // the window, oldest first
  PointMap<size_t> pending_;      // point -> arm
  double best_ = std::numeric_limits<double>::infinity();
};

}  // namespace lathe
