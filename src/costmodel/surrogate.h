// Surrogate: a model of the objective that is cheap to ask and says how sure it is. Higher is better.
#pragma once

#include <cstdint>
#include <vector>

#include "core/result.h"
#include "costmodel/rows.h"

namespace lathe {

struct Prediction {
  std::vector<float> mean;
  std::vector<float> deviation;  // >= 0
};

class Surrogate {
 public:
  virtual ~Surrogate() = default;
  // Replaces what was learnt before. Deterministic for a seed.
  virtual Status Fit(const Rows& rows, const std::vector<float>& targets, uint64_t seed) = 0;
  virtual Result<Prediction> Predict(const Rows& rows) const = 0;
};

}  // namespace lathe
