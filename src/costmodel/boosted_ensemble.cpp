#include "costmodel/boosted_ensemble.h"

#include <algorithm>
#include <cmath>
#include <random>

namespace lathe {
namespace {

struct Moments {
  float mean = 0, deviation = 0;
};

Moments MomentsOf(const std::vector<float>& values) {
  double sum = 0, squares = 0;
  for (float value : values) sum += value;
  const double mean = sum / static_cast<double>(values.size());
  for (float value : values) squares += (value - mean) * (value - mean);
  return {static_cast<float>(mean), static_cast<float>(std::sqrt(squares / static_cast<double>(values.size())))};
}

}  // namespace

Status BoostedEnsemble::Fit(const Rows& rows, const std::vector<float>& targets, uint64_t seed) {
  members_.clear();
  scale_.clear();
  shift_.clear();
  const bool ranks = options_.booster.objective.starts_with("rank:");
  const Moments wanted = MomentsOf(targets);
  std::mt19937_64 random(seed);
  for (size_t member = 0; member < options_.members; ++member) {
    BoosterOptions options = options_.booster;
    options.seed = random();
    Result<Booster> booster = Error{};
    if (options_.bootstrap && options_.members > 1) {
      Rows drawn;
      drawn.columns = rows.columns;
      std::vector<float> drawn_targets;
      std::uniform_int_distribution<size_t> any(0, rows.count() - 1);
      for (size_t i = 0; i < rows.count(); ++i) {
        const size_t pick = any(random);
        drawn.values.insert(drawn.values.end(), rows.row(pick), rows.row(pick) + rows.columns);
        drawn_targets.push_back(targets[pick]);
      }
      booster = Booster::Train(drawn, drawn_targets, {}, options);
    } else {
      booster = Booster::Train(rows, targets, {}, options);
    }
    if (!booster) return booster.error();
    float scale = 1, shift = 0;
    if (ranks) {
      Result<std::vector<float>> own = booster->Predict(rows);
      if (!own) return own.error();
      const Moments got = MomentsOf(*own);
      scale = got.deviation > 1e-6F ? wanted.deviation / got.deviation : 0.0F;
      shift = wanted.mean - scale * got.mean;
    }
    scale_.push_back(scale);
    shift_.push_back(shift);
    members_.push_back(std::move(*booster));
  }
  return {};
}

Result<Prediction> BoostedEnsemble::Predict(const Rows& rows) const {
  if (members_.empty()) return Error{ErrorCode::kInternal, "ask a boosted ensemble before it was fitted"};
  const size_t count = rows.count();
  std::vector<double> sum(count), squares(count);
  for (size_t member = 0; member < members_.size(); ++member) {
    Result<std::vector<float>> predicted = members_[member].Predict(rows);
    if (!predicted) return predicted.error();
    for (size_t i = 0; i < count; ++i) {
      const double value = scale_[member] * (*predicted)[i] + shift_[member];
      sum[i] += value;
      squares[i] += value * value;
    }
  }
  Prediction prediction;
  const double members = static_cast<double>(members_.size());
  for (size_t i = 0; i < count; ++i) {
    const double mean = sum[i] / members;
    prediction.mean.push_back(static_cast<float>(mean));
    prediction.deviation.push_back(static_cast<float>(std::sqrt(std::max(0.0, squares[i] / members - mean * mean))));
  }
  return prediction;
}

}  // namespace lathe
