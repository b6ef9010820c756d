// Booster: one gradient-boosted model, trained whole and then asked; XGBoost's C interface behind a value type.
//
// One thread, a fixed seed: the same rows give the same model. XGBoost's failures come back as errors, never as exceptions.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/result.h"
#include "costmodel/rows.h"
#include "costmodel/tree_ensemble.h"

namespace lathe {

struct BoosterOptions {
  std::string objective = "reg:squarederror";  // "rank:pairwise", "binary:logistic"
  int rounds = 60;
  int depth = 6;
  double learning_rate = 0.2;
  double subsample = 1;
  double columns_by_tree = 1;
  double min_child_weight = 1;
  double lambda = 1;
  uint64_t seed = 0;
};

class Booster {
 public:
  // `weights` may be empty (all 1). With "rank:pairwise" all rows are one group, so weights are ignored.
  static Result<Booster> Train(const Rows& rows, const std::vector<float>& targets, const std::vector<float>& weights,
                               const BoosterOptions& options);
  Booster(Booster&&) noexcept;
  Booster& operator=(Booster&&) noexcept;
  ~Booster();

  // One prediction a row; a probability for "binary:logistic".
  Result<std::vector<float>> Predict(const Rows& rows) const;
  // The same predictions row by row; for a squared-error objective.
  Result<TreeEnsemble> Trees() const;

 private:
  struct Handle;
  explicit Booster(std::unique_ptr<Handle> handle);
  std::unique_ptr<Handle> handle_;
};

}  // namespace lathe
