// BoostedEnsemble: several boosters, each on its own bootstrap of the rows; where they disagree, nothing is known yet.
//
// The spread of such an ensemble as uncertainty: Lakshminarayanan et al., "Simple and scalable predictive uncertainty estimation" (2017),
// with boosted trees in place of networks, as SMAC does with random forests.
#pragma once

#include <optional>
#include <vector>

#include "core/result.h"
#include "costmodel/booster.h"
#include "costmodel/surrogate.h"

namespace lathe {

struct EnsembleOptions {
  BoosterOptions booster;
  size_t members = 4;
  bool bootstrap = true;
};

class BoostedEnsemble : public Surrogate {
 public:
  explicit BoostedEnsemble(EnsembleOptions options) : options_(std::move(options)) {}

  Status Fit(const Rows& rows, const std::vector<float>& targets, uint64_t seed) override;
  Result<Prediction> Predict(const Rows& rows) const override;

 private:
  EnsembleOptions options_;
  std::vector<Booster> members_;
  std::vector<float> scale_, shift_;  // of each member: a ranking's scores have no unit, so they are mapped to the targets' spread
};

}  // namespace lathe
