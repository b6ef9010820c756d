#include "costmodel/gaussian_process.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_map>

#include "costmodel/row_choice.h"

namespace lathe {
namespace {

constexpr double kSqrt5 = 2.23606797749979;
// Priors of the logarithms: a length scale of about half the range of a column that matters, up to several ranges for one that does not; a
// standardised signal of about 1, joint and additive alike; a noise of about 3 % of it.
constexpr double kScaleDeviation = 1.0;
constexpr double kSignalMean = 0.0, kSignalDeviation = 0.7;
constexpr double kNoiseMean = -3.5, kNoiseDeviation = 1.0;
constexpr double kAdditiveMean = 0.0, kAdditiveDeviation = 0.7;

template <typename Array>
auto Matern(const Array& squared, typename Array::Scalar signal) {
  using Plain = typename Array::PlainObject;
  using Scalar = typename Array::Scalar;
  const Plain r = squared.max(Scalar{0}).sqrt() * static_cast<Scalar>(kSqrt5);
  return Plain(signal * (1 + r + r.square() / 3) * (-r).exp());
}

// Covariance of columns of `a` with columns of `b`, both [columns, count] and divided by the length scales: a joint part that knows
// every interaction, and an additive part, the mean over columns, that learns what one parameter does from all rows at once.
template <typename Scalar>
Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic> Covariance(const Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic>& a,
                                                                 const Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic>& b,
                                                                 Scalar signal, Scalar additive) {
  using Array = Eigen::Array<Scalar, Eigen::Dynamic, Eigen::Dynamic>;
  Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic> squared = -2 * a.transpose() * b;
  squared.colwise() += a.colwise().squaredNorm().transpose();
  squared.rowwise() += b.colwise().squaredNorm();
  Array covariance = Matern(squared.array(), signal);
  if (additive > 0) {
    const Scalar each = additive / static_cast<Scalar>(a.rows());
    // A column of parameters has few distinct values, so most of it is looked up.
    using Values = Eigen::Array<Scalar, Eigen::Dynamic, 1>;
    for (Eigen::Index c = 0; c < a.rows(); ++c) {
      std::unordered_map<Scalar, Values> of_value;
      const Values own = a.row(c).transpose();
      const Values* last = nullptr;  // neighbours follow one another, and differ in one parameter
      for (Eigen::Index j = 0; j < b.cols(); ++j) {
        if (last == nullptr || b(c, j) != b(c, j - 1)) {
          const auto [found, fresh] = of_value.try_emplace(b(c, j));
          if (fresh) found->second = Matern((own - b(c, j)).square().eval(), each);
          last = &found->second;
        }
        covariance.col(j) += *last;
      }
    }
  }
  return covariance.matrix();
}

}  // namespace

GaussianProcess::Matrix GaussianProcess::Kernel(const Matrix& a, const Matrix& b) const {
  const Eigen::Index columns = a.cols();
  const Eigen::ArrayXd inverse = (-theta_.head(columns).array()).exp();
  const Matrix sa = inverse.matrix().asDiagonal() * a.transpose();
  const Matrix sb = inverse.matrix().asDiagonal() * b.transpose();
  return Covariance<double>(sa, sb, std::exp(2 * theta_(columns)), AdditiveVariance(theta_));
}

double GaussianProcess::NegativeLogPosterior(const Matrix& x, const std::vector<Levels>& levels, const Eigen::VectorXd& y,
                                             const Eigen::VectorXd& theta, Eigen::VectorXd* gradient) const {
  const Eigen::Index n = x.rows(), columns = x.cols();
  const Eigen::ArrayXd inverse_scales = (-theta.head(columns).array()).exp();
  const double signal = std::exp(2 * theta(columns)), noise = std::exp(2 * theta(columns + 1));
  const Matrix scaled = x * inverse_scales.matrix().asDiagonal();
  Matrix squared = -2 * scaled * scaled.transpose();
  squared.colwise() += scaled.rowwise().squaredNorm();
  squared.rowwise() += scaled.rowwise().squaredNorm().transpose();
  const Eigen::ArrayXXd r = squared.array().max(0.0).sqrt() * kSqrt5;
  const Eigen::ArrayXXd decay = (-r).exp();
  const Eigen::ArrayXXd smooth = signal * (1 + r + r.square() / 3) * decay;
  const double additive = AdditiveVariance(theta);
  const double each = additive / static_cast<double>(columns);
  std::vector<Eigen::ArrayXXd> steepness;                        // d level / d log l_c, by pair of levels
  Eigen::ArrayXXd sum_of_columns = Eigen::ArrayXXd::Zero(n, n);  // its lower half
  for (Eigen::Index c = 0; c < columns && options_.additive; ++c) {
    const Levels& own = levels[static_cast<size_t>(c)];
    const Eigen::Index distinct = own.values.size();
    Eigen::ArrayXXd rc(distinct, distinct);
    for (Eigen::Index v = 0; v < distinct; ++v) rc.col(v) = (own.values - own.values(v)).abs() * (kSqrt5 * inverse_scales(c));
    const Eigen::ArrayXXd fade = each * (-rc).exp();
    const Eigen::ArrayXXd level = (1 + rc + rc.square() / 3) * fade;
    steepness.push_back((1 + rc) * fade * rc.square() / 3);
    for (Eigen::Index j = 0; j < n; ++j) {
      const double* of_level = &level(0, own.place[static_cast<size_t>(j)]);
      double* sums = &sum_of_columns(0, j);
      for (Eigen::Index i = j; i < n; ++i) sums[i] += of_level[own.place[static_cast<size_t>(i)]];
    }
  }
  Matrix covariance = (smooth + sum_of_columns).matrix();  // its lower half, which is all that the factorisation reads
  covariance.diagonal().array() += noise + 1e-8;
  const Eigen::LLT<Matrix> cholesky(covariance);
  if (cholesky.info() != Eigen::Success) return std::numeric_limits<double>::infinity();
  const Eigen::VectorXd alpha = cholesky.solve(y);
  double value = 0.5 * y.dot(alpha) + cholesky.matrixLLT().diagonal().array().log().sum();

  // d value / d K = (K^-1 - alpha alpha^T) / 2
  Matrix inverse_lower = Matrix::Identity(n, n);
  cholesky.matrixL().solveInPlace(inverse_lower);
  Matrix outer = Matrix::Zero(n, n);
  outer.selfadjointView<Eigen::Lower>().rankUpdate(inverse_lower.transpose(), 0.5);
  outer.selfadjointView<Eigen::Lower>().rankUpdate(alpha, -0.5);
  double additive_slope = 0;
  Eigen::ArrayXd additive_slopes = Eigen::ArrayXd::Zero(columns);
  for (Eigen::Index j = 0; j < n && options_.additive; ++j) {
    additive_slope += outer(j, j) * sum_of_columns(j, j);
    for (Eigen::Index i = j + 1; i < n; ++i) additive_slope += 2 * outer(i, j) * sum_of_columns(i, j);
    for (Eigen::Index c = 0; c < columns; ++c) {
      const std::vector<Eigen::Index>& place = levels[static_cast<size_t>(c)].place;
      const double* of_level = &steepness[static_cast<size_t>(c)](0, place[static_cast<size_t>(j)]);
      double slope = 0;
      for (Eigen::Index i = j + 1; i < n; ++i) slope += outer(i, j) * of_level[place[static_cast<size_t>(i)]];
      additive_slopes(c) += 2 * slope;
    }
  }
  outer.triangularView<Eigen::StrictlyUpper>() = outer.transpose();
  // d k / d log l_c = signal * (5/3) (1 + r) exp(-r) * (difference_c / l_c)^2
  const Matrix weight = (outer.array() * (signal * (5.0 / 3.0)) * (1 + r) * decay).matrix();
  const Eigen::VectorXd row_sums = weight.rowwise().sum();
  const Matrix weighted = weight * scaled;
  gradient->resize(theta.size());
  for (Eigen::Index c = 0; c < columns; ++c) {
    const double sum = 2 * row_sums.dot(scaled.col(c).cwiseAbs2()) - 2 * scaled.col(c).dot(weighted.col(c));
    (*gradient)(c) = sum + additive_slopes(c);
  }
  (*gradient)(columns) = 2 * (outer.array() * smooth).sum();
  (*gradient)(columns + 1) = 2 * noise * outer.trace();
  (*gradient)(columns + 2) = 2 * additive_slope;

  const auto prior = [&](Eigen::Index index, double mean, double deviation) {
    const double z = (theta(index) - mean) / deviation;
    value += 0.5 * z * z;
    (*gradient)(index) += z / deviation;
  };
  for (Eigen::Index c = 0; c < columns; ++c) prior(c, ScaleMean(c), kScaleDeviation);
  prior(columns, kSignalMean, kSignalDeviation);
  prior(columns + 1, kNoiseMean, kNoiseDeviation);
  prior(columns + 2, kAdditiveMean, kAdditiveDeviation);
  return value;
}

std::vector<GaussianProcess::Levels> GaussianProcess::LevelsOf(const Matrix& x) {
  std::vector<Levels> levels(static_cast<size_t>(x.cols()));
  for (Eigen::Index c = 0; c < x.cols(); ++c) {
    std::vector<double> values(x.col(c).begin(), x.col(c).end());
    std::sort(values.begin(), values.end());
    values.erase(std::unique(values.begin(), values.end()), values.end());
    Levels& own = levels[static_cast<size_t>(c)];
    own.values = Eigen::Map<const Eigen::ArrayXd>(values.data(), static_cast<Eigen::Index>(values.size()));
    for (const double value : x.col(c)) own.place.push_back(std::lower_bound(values.begin(), values.end(), value) - values.begin());
  }
  return levels;
}

double GaussianProcess::AdditiveVariance(const Eigen::VectorXd& theta) const {
  return options_.additive ? std::exp(2 * theta(theta.size() - 1)) : 0;
}

double GaussianProcess::ScaleMean(Eigen::Index column) const {
  const auto index = static_cast<size_t>(column);
  return index < options_.scales.size() ? options_.scales[index] : 0;
}

// Rprop (Riedmiller & Braun 1993, the variant that keeps the step when the sign turns): needs only the gradient's signs, no line search,
// and never diverges far in the few steps it is given. Leaves the best found in `theta` and returns its value.
double GaussianProcess::Descend(const Matrix& x, const std::vector<Levels>& levels, const Eigen::VectorXd& y, double first_step, int steps,
                                Eigen::VectorXd* theta) const {
  Eigen::VectorXd step = Eigen::VectorXd::Constant(theta->size(), first_step), last = Eigen::VectorXd::Zero(theta->size()), gradient;
  Eigen::VectorXd at = *theta;
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < steps; ++i) {
    const double value = NegativeLogPosterior(x, levels, y, at, &gradient);
    if (!std::isfinite(value)) break;
    if (value < best) {
      best = value;
      *theta = at;
    }
    for (Eigen::Index p = 0; p < at.size(); ++p) {
      const double turn = gradient(p) * last(p);
      if (turn > 0) step(p) = std::min(0.5, step(p) * 1.2);
      if (turn < 0) step(p) *= 0.5;
      at(p) = std::clamp(at(p) - std::copysign(step(p), gradient(p)), -5.0, 4.0);
    }
    last = gradient;
  }
  return best;
}

// What a handful of rows suggested may be a mode that more rows no longer support but that small steps do not leave: so each time the rows
// have grown by half, a search from the priors competes with the one from where the last fit ended.
void GaussianProcess::FitScales(const Matrix& x, const Eigen::VectorXd& y, size_t total) {
  const Eigen::Index size = x.cols() + 3;
  const bool known = theta_.size() == size;
  if (known && static_cast<double>(total) < static_cast<double>(rows_at_fit_) * (1 + options_.growth_between_fits)) return;
  rows_at_fit_ = total;
  const std::vector<Levels> levels = LevelsOf(x);
  double warm = std::numeric_limits<double>::infinity();
  if (known) warm = Descend(x, levels, y, 0.08, options_.steps_warm, &theta_);
  if (known && x.rows() < rows_at_cold_fit_ + rows_at_cold_fit_ / 2 && std::isfinite(warm)) return;
  rows_at_cold_fit_ = x.rows();
  Eigen::VectorXd fresh(size);
  for (Eigen::Index c = 0; c < x.cols(); ++c) fresh(c) = ScaleMean(c);
  fresh(size - 3) = kSignalMean;
  fresh(size - 2) = kNoiseMean;
  fresh(size - 1) = kAdditiveMean;
  if (Descend(x, levels, y, 0.2, options_.steps_cold, &fresh) < warm || !known) theta_ = fresh;
}

Status GaussianProcess::Fit(const Rows& rows, const std::vector<float>& targets, uint64_t seed) {
  const size_t count = rows.count();
  if (count == 0 || count != targets.size()) return Error{ErrorCode::kInternal, "fit a Gaussian process: no rows, or not one target a row"};
  const auto gather = [&](const std::vector<size_t>& order, Matrix* x, Eigen::VectorXd* y) {
    x->resize(static_cast<Eigen::Index>(order.size()), static_cast<Eigen::Index>(rows.columns));
    y->resize(static_cast<Eigen::Index>(order.size()));
    for (size_t i = 0; i < order.size(); ++i) {
      for (size_t c = 0; c < rows.columns; ++c) (*x)(static_cast<Eigen::Index>(i), static_cast<Eigen::Index>(c)) = rows.row(order[i])[c];
      (*y)(static_cast<Eigen::Index>(i)) = (targets[order[i]] - mean_) / scale_;
    }
  };
  double sum = 0, squares = 0;
  for (float target : targets) sum += target;
  mean_ = sum / static_cast<double>(count);
  for (float target : targets) squares += (target - mean_) * (target - mean_);
  scale_ = std::max(1e-9, std::sqrt(squares / static_cast<double>(count)));

  Matrix x;
  Eigen::VectorXd y;
  gather(ChooseRows(targets, options_.most_rows_for_scales, seed), &x, &y);
  FitScales(x, y, count);
  gather(ChooseRows(targets, options_.most_rows, seed), &x_, &y);
  const Matrix covariance = Kernel(x_, x_);
  double noise = std::exp(2 * theta_(x_.cols() + 1)) + 1e-8;
  Eigen::LLT<Matrix> cholesky;
  for (int attempt = 0; attempt < 6; ++attempt, noise *= 10) {  // near-equal rows can cost positive definiteness
    Matrix noisy = covariance;
    noisy.diagonal().array() += noise;
    cholesky.compute(noisy);
    if (cholesky.info() == Eigen::Success) break;
  }
  if (cholesky.info() != Eigen::Success)
    return Error{ErrorCode::kInternal, "fit a Gaussian process: the covariance is not positive definite"};
  alpha_ = cholesky.solve(y);
  lower_ = Matrix(cholesky.matrixL()).cast<float>();
  return {};
}

Result<PoolPosterior> GaussianProcess::Pool(const Rows& rows, size_t most_assumed) const {
  if (x_.rows() == 0) return Error{ErrorCode::kInternal, "ask a Gaussian process before it was fitted"};
  if (static_cast<Eigen::Index>(rows.columns) != x_.cols()) {
    return Error{ErrorCode::kInternal, "ask a Gaussian process with other columns than it was fitted on"};
  }
  const auto count = static_cast<Eigen::Index>(rows.count());
  const Eigen::Index columns = x_.cols(), n = x_.rows();
  const Eigen::VectorXf inverse = (-theta_.head(columns).array()).exp().matrix().cast<float>();
  PoolPosterior pool;
  pool.signal_ = static_cast<float>(std::exp(2 * theta_(columns)));
  pool.additive_ = static_cast<float>(AdditiveVariance(theta_));
  pool.noise_ = static_cast<float>(std::exp(2 * theta_(columns + 1))) + 1e-6F;
  pool.scale_ = static_cast<float>(scale_);
  pool.scaled_ = inverse.asDiagonal() * Eigen::Map<const Eigen::MatrixXf>(rows.values.data(), columns, count);
  const Eigen::MatrixXf known = inverse.asDiagonal() * x_.transpose().cast<float>();  // [columns, n]
  pool.known_ = n;
  pool.whitened_.resize(n + static_cast<Eigen::Index>(most_assumed), count);
  Eigen::MatrixXf cross = Covariance<float>(known, pool.scaled_, pool.signal_, pool.additive_);
  const Eigen::VectorXf mean = cross.transpose() * alpha_.cast<float>();
  lower_.triangularView<Eigen::Lower>().solveInPlace(cross);
  pool.whitened_.topRows(n) = cross;
  pool.variance_ = (pool.signal_ + pool.additive_ - cross.colwise().squaredNorm().array()).max(1e-7F).matrix();
  for (Eigen::Index i = 0; i < count; ++i) {
    pool.prediction_.mean.push_back(static_cast<float>(mean(i) * scale_ + mean_));
    pool.prediction_.deviation.push_back(std::sqrt(pool.variance_(i)) * pool.scale_);
  }
  return pool;
}

void PoolPosterior::Assume(size_t row) {
  if (known_ >= whitened_.rows()) return;  // more than was announced: the rest of the batch is a little less spread
  const auto at = static_cast<Eigen::Index>(row);
  const Eigen::MatrixXf point = scaled_.col(at);
  const Eigen::VectorXf prior = Covariance<float>(scaled_, point, signal_, additive_);
  const Eigen::VectorXf covariance = prior - whitened_.topRows(known_).transpose() * whitened_.topRows(known_).col(at);
  const Eigen::VectorXf added = covariance / std::sqrt(variance_(at) + noise_);
  whitened_.row(known_++) = added.transpose();
  variance_ = (variance_.array() - added.array().square()).max(1e-7F).matrix();
  for (Eigen::Index i = 0; i < variance_.size(); ++i) prediction_.deviation[static_cast<size_t>(i)] = std::sqrt(variance_(i)) * scale_;
}

Result<Prediction> GaussianProcess::Predict(const Rows& rows) const {
  Result<PoolPosterior> pool = Pool(rows, 0);
  if (!pool) return pool.error();
  return pool->prediction();
}

}  // namespace lathe
