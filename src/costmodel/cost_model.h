// CostModel: everything a strategy learns about one space: what a point will cost, how sure that is, and whether it works at all.
//
// The target is the log of throughput: a tile twice as slow is as far from the best at microseconds as at seconds. Two surrogates with
// different prejudices are averaged: boosted trees see thresholds and products, the Gaussian process sees smooth slopes and its own
// ignorance.
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
  size_t worked() const { return targets_.size(); }
  // Learns from all that was added; needs at least two that worked.
  Status Refit(uint64_t seed);
  // The target of an objective (log throughput), and of the best one added.
  static double Target(double objective);
  double best_target() const { return best_target_; }

  // `most_assumed`: how often Scores::Assume will be called at most.
  Result<Scores> Score(const std::vector<Point>& points, size_t most_assumed) const;
  const FeatureEncoder& encoder() const { return encoder_; }

 private:
  FeatureEncoder encoder_;
  CostModelOptions options_;
  Rows all_;                    // every point added
  std::vector<float> ok_;       // 1 or 0, of all_
  Rows rows_, base_rows_;       // those that worked: all features, the parameters' alone
  std::vector<float> targets_;  // of rows_
  double best_target_;
  BoostedEnsemble ensemble_;
  GaussianProcess process_;
  std::optional<Booster> validity_;
};

}  // namespace lathe
