#include "costmodel/booster.h"

#include <fmt/format.h>
#include <xgboost/c_api.h>

#include <cmath>
#include <limits>

namespace lathe {

struct Booster::Handle {
  BoosterHandle booster = nullptr;
  size_t columns = 0;
  ~Handle() {
    if (booster != nullptr) XGBoosterFree(booster);
  }
};

namespace {

struct Matrix {
  DMatrixHandle handle = nullptr;
  Matrix() = default;
  Matrix(const Matrix&) = delete;
  Matrix& operator=(const Matrix&) = delete;
  ~Matrix() {
    if (handle != nullptr) XGDMatrixFree(handle);
  }
};

Status Check(int code, const char* doing) {
  if (code == 0) return {};
  return Error{ErrorCode::kInternal, fmt::format("{}: XGBoost says: {}", doing, XGBGetLastError())};
}

Status Silence() {
  // Warnings on standard error are not ours to print; set once for the process.
  static const int code = XGBSetGlobalConfig(R"({"verbosity": 0})");
  return Check(code, "configure XGBoost");
}

}  // namespace

Booster::Booster(std::unique_ptr<Handle> handle) : handle_(std::move(handle)) {}
Booster::Booster(Booster&&) noexcept = default;
Booster& Booster::operator=(Booster&&) noexcept = default;
Booster::~Booster() = default;

Result<Booster> Booster::Train(const Rows& rows, const std::vector<float>& targets, const std::vector<float>& weights,
                               const BoosterOptions& options) {
  if (rows.count() == 0 || rows.count() != targets.size() || (!weights.empty() && weights.size() != targets.size())) {
    return Error{ErrorCode::kInternal,
                 fmt::format("train a booster: {} rows, {} targets, {} weights", rows.count(), targets.size(), weights.size())};
  }
  if (Status status = Silence(); !status) return status.error();
  Matrix matrix;
  const float missing = std::numeric_limits<float>::quiet_NaN();
  const bool ranks = options.objective.starts_with("rank:");
  Status status =
      Check(XGDMatrixCreateFromMat(rows.values.data(), rows.count(), rows.columns, missing, &matrix.handle), "hand rows to XGBoost");
  if (status) status = Check(XGDMatrixSetFloatInfo(matrix.handle, "label", targets.data(), targets.size()), "hand targets to XGBoost");
  if (status && !weights.empty() && !ranks) {
    status = Check(XGDMatrixSetFloatInfo(matrix.handle, "weight", weights.data(), weights.size()), "hand weights to XGBoost");
  }
  if (status && ranks) {
    const unsigned group = static_cast<unsigned>(rows.count());
    status = Check(XGDMatrixSetUIntInfo(matrix.handle, "group", &group, 1), "hand the ranking group to XGBoost");
  }
  if (!status) return status.error();

  auto handle = std::make_unique<Handle>();
  handle->columns = rows.columns;
  status = Check(XGBoosterCreate(&matrix.handle, 1, &handle->booster), "create a booster");
  const std::vector<std::pair<const char*, std::string>> settings = {
      {"objective", options.objective},
      {"nthread", "1"},
      {"tree_method", "exact"},  // tens to hundreds of rows: exact splits cost less than building histograms
      {"seed", std::to_string(options.seed % 2147483647)},
      {"max_depth", std::to_string(options.depth)},
      {"eta", std::to_string(options.learning_rate)},
      {"subsample", std::to_string(options.subsample)},
      {"colsample_bytree", std::to_string(options.columns_by_tree)},
      {"min_child_weight", std::to_string(options.min_child_weight)},
      {"lambda", std::to_string(options.lambda)},
      {"base_score", "0.5"},  // what Trees() adds; other versions would estimate it
      {"disable_default_eval_metric", "1"},
  };
  for (const auto& [name, value] : settings) {
    if (status) status = Check(XGBoosterSetParam(handle->booster, name, value.c_str()), "set a booster's parameter");
  }
  for (int round = 0; round < options.rounds && status; ++round) {
    status = Check(XGBoosterUpdateOneIter(handle->booster, round, matrix.handle), "train a booster");
  }
  if (!status) return status.error();
  return Booster(std::move(handle));
}

Result<std::vector<float>> Booster::Predict(const Rows& rows) const {
  if (rows.count() == 0) return std::vector<float>{};
  if (rows.columns != handle_->columns) {
    return Error{ErrorCode::kInternal, fmt::format("ask a booster: trained on {} columns, asked with {}", handle_->columns, rows.columns)};
  }
  Matrix matrix;
  Status status =
      Check(XGDMatrixCreateFromMat(rows.values.data(), rows.count(), rows.columns, std::numeric_limits<float>::quiet_NaN(), &matrix.handle),
            "hand rows to XGBoost");
  if (!status) return status.error();
  bst_ulong length = 0;
  const float* predictions = nullptr;
  status = Check(XGBoosterPredict(handle_->booster, matrix.handle, 0, 0, 0, &length, &predictions), "ask a booster");
  if (!status) return status.error();
  return std::vector<float>(predictions, predictions + length);
}

Result<TreeEnsemble> Booster::Trees() const {
  bst_ulong count = 0;
  const char** dumps = nullptr;
  Status status = Check(XGBoosterDumpModelEx(handle_->booster, "", 0, "json", &count, &dumps), "take a booster's trees");
  if (!status) return status.error();
  constexpr double kBaseScore = 0.5;  // as Train sets it
  return TreeEnsemble::FromDumps(std::vector<std::string>(dumps, dumps + count), kBaseScore);
}

}  // namespace lathe
