#include "costmodel/cost_model.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "costmodel/row_choice.h"

namespace lathe {

CostModel::CostModel(const Space& space, FeatureFunction features, CostModelOptions options)
    : encoder_(space, std::move(features), options.encoder),
      options_(options),
      best_target_(-std::numeric_limits<double>::infinity()),
      ensemble_(options.ensemble),
      process_([&] {
        GaussianProcessOptions process = options.process;
        process.scales = encoder_.base_scales();
        return process;
      }()) {
  all_.columns = rows_.columns = encoder_.columns();
  base_rows_.columns = encoder_.base_columns();
}

double CostModel::Target(double objective) { return -std::log(std::max(objective, 1e-300)); }

void CostModel::Add(const Point& point, bool ok, double objective) {
  const std::vector<float> row = encoder_.Encode(point);
  const bool works = ok && std::isfinite(objective);
  all_.Append(row);
  ok_.push_back(works ? 1.0F : 0.0F);
  if (!works) return;
  rows_.Append(row);
  base_rows_.values.insert(base_rows_.values.end(), row.begin(), row.begin() + static_cast<std::ptrdiff_t>(base_rows_.columns));
  logs_.push_back(static_cast<float>(Target(objective)));
  best_target_ = std::max(best_target_, Target(objective));
}

void CostModel::CompressSlow() {
  targets_ = logs_;
  if (options_.slow_weight >= 1) return;
  std::vector<float> sorted = logs_;
  const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2);
  std::nth_element(sorted.begin(), middle, sorted.end());
  for (float& target : targets_) {
    if (target < *middle) target = *middle + static_cast<float>(options_.slow_weight) * (target - *middle);
  }
}

Status CostModel::Refit(uint64_t seed) {
  if (logs_.size() < 2) return Error{ErrorCode::kInternal, "refit a cost model with fewer than two working observations"};
  CompressSlow();
  if (options_.gaussian) {
    if (Status status = process_.Fit(base_rows_, targets_, seed); !status) return status.error();
  }
  if (options_.boosted) {
    const std::vector<size_t> chosen = ChooseRows(targets_, options_.most_boosted_rows, seed);
    Rows rows;
    rows.columns = rows_.columns;
    std::vector<float> targets;
    for (size_t index : chosen) {
      rows.values.insert(rows.values.end(), rows_.row(index), rows_.row(index) + rows_.columns);
      targets.push_back(targets_[index]);
    }
    if (Status status = ensemble_.Fit(rows, targets, seed); !status) return status.error();
  }
  validity_.reset();
  const size_t failed = ok_.size() - targets_.size();
  if (options_.validity && failed > 0) {
    BoosterOptions options;
    options.objective = "binary:logistic";
    options.rounds = 20;
    options.depth = 4;
    options.learning_rate = 0.3;
    options.min_child_weight = 0.2;
    options.seed = seed;
    Result<Booster> booster = Booster::Train(all_, ok_, {}, options);
    if (!booster) return booster.error();
    validity_.emplace(std::move(*booster));
  }
  return {};
}

Result<Scores> CostModel::Score(const std::vector<Point>& points, size_t most_assumed) const {
  Scores scores;
  Rows rows;
  rows.columns = encoder_.columns();
  scores.base_.columns = encoder_.base_columns();
  for (const Point& point : points) {
    const std::vector<float> row = encoder_.Encode(point);
    rows.Append(row);
    scores.base_.values.insert(scores.base_.values.end(), row.begin(), row.begin() + static_cast<std::ptrdiff_t>(scores.base_.columns));
  }
  if (options_.gaussian) {
    Result<PoolPosterior> pool = process_.Pool(scores.base_, most_assumed);
    if (!pool) return pool.error();
    scores.pool_.emplace(std::move(*pool));
  }
  if (options_.boosted) {
    Result<Prediction> boosted = ensemble_.Predict(rows);
    if (!boosted) return boosted.error();
    scores.boosted_mean_ = std::move(boosted->mean);
    scores.boosted_deviation_ = std::move(boosted->deviation);
  }
  scores.valid.assign(points.size(), 1.0F);
  if (validity_) {
    Result<std::vector<float>> valid = validity_->Predict(rows);
    if (!valid) return valid.error();
    scores.valid = std::move(*valid);
  }
  scores.Combine();
  return scores;
}

void Scores::Combine() {
  if (!pool_) {
    mean = boosted_mean_;
    deviation = boosted_deviation_;
    return;
  }
  mean = pool_->prediction().mean;
  deviation = pool_->prediction().deviation;
  if (boosted_mean_.empty()) return;
  // An equal mixture of two opinions: where they differ, that is doubt too.
  for (size_t i = 0; i < mean.size(); ++i) {
    const float apart = 0.5F * (mean[i] - boosted_mean_[i]);
    const float spread = 0.5F * (deviation[i] * deviation[i] + boosted_deviation_[i] * boosted_deviation_[i]);
    mean[i] = 0.5F * (mean[i] + boosted_mean_[i]);
    deviation[i] = std::sqrt(spread + apart * apart);
  }
}

void Scores::Assume(size_t row) {
  if (pool_) pool_->Assume(row);
  // Trees know no distance, so theirs is that of the encoded parameters: doubt returns over a fifth of a parameter's range.
  constexpr float kReach = 0.2F;
  const float* chosen = base_.row(row);
  for (size_t i = 0; i < boosted_deviation_.size(); ++i) {
    float squared = 0;
    for (size_t c = 0; c < base_.columns; ++c) squared += (base_.row(i)[c] - chosen[c]) * (base_.row(i)[c] - chosen[c]);
    boosted_deviation_[i] *= 1.0F - std::exp(-squared / (kReach * kReach));
  }
  Combine();
}

}  // namespace lathe
