// ModelStrategy: asks a cost model which unseen points promise most, measures those, learns, and asks again.
//
// 1. A small start that covers the space: each point the most distant of a few random ones (Mitchell's best candidate, 1991), because a
//    plain maximin design sits in the corners, where kernels are worst.
// 2. Then, for each batch: refit (only when something new was observed); candidates from random points, neighbours and offspring of the
//    best, and a climb on the acquisition through valid neighbours; picks by acquisition, each shrinking the doubt around it, points in
//    flight first.
// A share `local` of the picks stays within two parameters of the best point, and a share `epsilon` is drawn at random: both bound the
// damage of a model that is sure and wrong, the one by climbing on, the other by looking elsewhere.
// While nothing better is found, the model's doubt is widened: it was surer than it should be.
// Until enough has worked to fit a model, points are drawn as in the start. docs/search.md says what each ingredient brings.
#pragma once

#include <random>

#include "costmodel/cost_model.h"
#include "search/model_options.h"
#include "search/strategy.h"
#include "search/unseen_points.h"

namespace lathe {

class CandidatePool;

class ModelStrategy : public Strategy {
 public:
  ModelStrategy(const StrategyContext& context, const ModelOptions& options);

  std::vector<Point> Propose(size_t count) override;
  void Observe(const std::vector<Observation>& observations) override;
  std::optional<double> ExpectedGain() const override;

 private:
  struct Known {
    Point point;
    double objective = 0;
  };
  std::optional<Point> Spread();                            // the next point of the start
  std::vector<Point> ByModel(size_t count);                 // empty when the model could not be asked
  void Fill(CandidatePool& pool);                           // candidates before the climb
  double Promise(const Scores& scores, size_t row) const;   // what picks go by
  double Expected(const Scores& scores, size_t row) const;  // improvement, without widening
  double Widening() const;                                  // factor on the model's doubt
  void Take(const Point& point);                            // marks it proposed

  const Space& space_;
  ModelOptions options_;
  UnseenPoints unseen_;
  std::mt19937_64 random_;
  CostModel model_;
  size_t start_size_;
  size_t idle_ = 0;          // observations since the best improved
  bool stale_ = true;        // observed something since the last refit
  std::vector<Known> best_;  // best first, as many as breed
  PointSet in_flight_;
  std::optional<double> expected_gain_;  // expected improvement of the last first pick; targets are logs, so it is a fraction
  PointMap<double> promises_;            // of picks in flight
  double promised_ = 0, kept_ = 0;       // improvements expected of picks and found, the latest counting most
  Rows met_;                             // base features of all proposed or observed: distances of the start
};

}  // namespace lathe
