// TreeEnsemble: a trained booster's trees as plain arrays, to ask about one row at a time.
//
// Asking XGBoost itself has a price a call (tens of microseconds) that only a batch earns back; a feature function is asked point by point.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/result.h"

namespace lathe {

class TreeEnsemble {
 public:
  // `dumps`: a tree each, as XGBoost dumps them in JSON. Fails on what is no such tree.
  static Result<TreeEnsemble> FromDumps(const std::vector<std::string>& dumps, double base_score);

  // `row` has as many columns as the booster was trained on; NaN goes where the trainer decided missing values go.
  float Predict(const float* row) const;
  size_t trees() const { return roots_.size(); }

 private:
  struct Node {
    int32_t column = -1;  // -1: a leaf
    float value = 0;      // split: below it goes to `yes`; leaf: its weight
    uint32_t yes = 0, no = 0, missing = 0;
  };
  std::vector<Node> nodes_;
  std::vector<uint32_t> roots_;
  float base_ = 0;
};

}  // namespace lathe
