// CostModel: everything a strategy learns about one space: what a point will cost, how sure that is, and whether it works at all.
//
// The target is the log of throughput: a tile twice as slow is as far from the best at microseconds as at seconds. Below the median that
// distance counts half: many spaces have a long slow tail, and telling its members apart must not shape the model at the top.
// Two surrogates with different prejudices can be averaged: boosted trees see thresholds and products, the Gaussian process sees smooth
// slopes and its own ignorance.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "core/result.h"
#include "costmodel/boosted_ensemble.h"
#include "costmodel/feature_encoder.h"
#include "costmodel/gaussian_process.h"

namespace lathe {

struct CostModelOptions {
  EncoderOptions encoder;
  bool boosted = true;
  bool gaussian = true;  // at least one of the two
  EnsembleOptions ensemble;
  GaussianProcessOptions process;
  bool validity = true;
  double slow_weight = 0.5;        // how much of their distance from the median those slower than it keep; 1: all of it
  size_t most_boosted_rows = 400;  // more observations than this are thinned; see row_choice.h
};

// What the model thinks of a list of points.
class Scores {
 public:
  std::vector<float> mean, deviation;  // of the target
  std::vector<float> valid;            // probability that the point works
  // "Say this row is being measured": doubt around it shrinks, so that the next pick looks elsewhere.
  void Assume(size_t row);

 private:
  friend class CostModel;
  std::optional<PoolPosterior> pool_;
  Rows base_;
  std::vector<float> boosted_mean_, boosted_deviation_;
  void Combine();
};

class CostModel {
 public:
  // `space` and what `features` refers to outlive the model.
  CostModel(const Space& space, FeatureFunction features, CostModelOptions options);

  void Add(const Point& point, bool ok, double objective);
  size_t added() const { return ok_.size(); }
  size_t worked() const { return logs_.size(); }
  // Learns from all that was added; needs at least two that worked.
  Status Refit(uint64_t seed);
  // The target of an objective (log throughput), and of the best one added.
  static double Target(double objective);
  double best_target() const { return best_target_; }

  // `most_assumed`: how often Scores::Assume will be called at most.
  Result<Scores> Score(const std::vector<Point>& points, size_t most_assumed) const;
  const FeatureEncoder& encoder() const { return encoder_; }

 private:
  void CompressSlow();

  FeatureEncoder encoder_;
  CostModelOptions options_;
  Rows all_;                    // every point added
  std::vector<float> ok_;       // 1 or 0, of all_
  Rows rows_, base_rows_;       // those that worked: all features, the parameters' alone
  std::vector<float> logs_;     // log throughput, of rows_
  std::vector<float> targets_;  // what is learnt: logs_ with the slower half compressed; of the last refit
  double best_target_;
  BoostedEnsemble ensemble_;
  GaussianProcess process_;
  std::optional<Booster> validity_;
};

}  // namespace lathe
