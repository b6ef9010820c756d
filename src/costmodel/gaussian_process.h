// GaussianProcess: a smooth surrogate over the parameters alone; knows well how unsure it is when trials are few.
//
// The covariance is the sum of two parts with the same length scales, one a column. The joint part, Matern 5/2 of the distance over all
// columns, knows every interaction but needs neighbours in all columns at once. The additive part, the mean over columns of Matern 5/2 in
// that column alone (Duvenaud, Nickisch & Rasmussen, "Additive Gaussian processes", 2011), learns what one parameter does from all rows,
// which is what a few dozen trials can teach. Fitted by maximum posterior with weak log-normal priors (Snoek et al., "Practical Bayesian
// optimization of machine learning algorithms", 2012; priors as in BaCO, 2022). Linear algebra is Eigen's.
// Cost: fitting length scales on at most `most_rows_for_scales` rows, the posterior on at most `most_rows` (the best, then the newest):
// a thousand observations must not cost more than a measurement.
#pragma once

#include <Eigen/Dense>

#include "core/result.h"
#include "costmodel/surrogate.h"

namespace lathe {

struct GaussianProcessOptions {
  std::vector<double> scales = {};  // of each column: prior mean of its log length scale; empty: 0 for all
  bool additive = true;
  size_t most_rows = 300;
  size_t most_rows_for_scales = 120;
  int steps_cold = 40;               // of the hyper-parameter search, first fit
  int steps_warm = 8;                // later fits start where the last one ended
  double growth_between_fits = 0.1;  // hyper-parameters are fitted again when the rows have grown by this share
};

// The posterior over a fixed pool of rows, which can be asked "and if this row were measured too?": the mean stays (it is what we
// expect to see), the doubt around the row shrinks. How a batch spreads itself: Desautels, Krause & Burdick, "GP-BUCB" (2014).
class PoolPosterior {
 public:
  const Prediction& prediction() const { return prediction_; }
  void Assume(size_t row);

 private:
  friend class GaussianProcess;
  Eigen::MatrixXf scaled_;    // [columns, pool]: rows over length scales
  Eigen::MatrixXf whitened_;  // [observations + assumed, pool]: covariance with what is known, whitened
  Eigen::Index known_ = 0;    // rows of whitened_ in use
  Eigen::VectorXf variance_;
  float signal_ = 1, additive_ = 0, noise_ = 0, scale_ = 1;
  Prediction prediction_;
};

class GaussianProcess : public Surrogate {
 public:
  explicit GaussianProcess(GaussianProcessOptions options) : options_(std::move(options)) {}

  // Rows scaled to about [0, 1] a column.
  Status Fit(const Rows& rows, const std::vector<float>& targets, uint64_t seed) override;
  Result<Prediction> Predict(const Rows& rows) const override;
  // `most_assumed`: how often Assume() will be called at most.
  Result<PoolPosterior> Pool(const Rows& rows, size_t most_assumed) const;

 private:
  using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic>;
  // A column's distinct values, and which of them each row has. A parameter has few, so what depends on a pair of values is computed once
  // for each pair and looked up.
  struct Levels {
    Eigen::ArrayXd values;
    std::vector<Eigen::Index> place;
  };
  static std::vector<Levels> LevelsOf(const Matrix& x);
  Matrix Kernel(const Matrix& a, const Matrix& b) const;
  double NegativeLogPosterior(const Matrix& x, const std::vector<Levels>& levels, const Eigen::VectorXd& y, const Eigen::VectorXd& theta,
                              Eigen::VectorXd* gradient) const;
  double AdditiveVariance(const Eigen::VectorXd& theta) const;
  double ScaleMean(Eigen::Index column) const;
  double Descend(const Matrix& x, const std::vector<Levels>& levels, const Eigen::VectorXd& y, double first_step, int steps,
                 Eigen::VectorXd* theta) const;
  void FitScales(const Matrix& x, const Eigen::VectorXd& y, size_t total);

  GaussianProcessOptions options_;
  size_t rows_at_fit_ = 0;
  Eigen::Index rows_at_cold_fit_ = 0;
  Eigen::VectorXd theta_;  // log length scales, log deviation of the joint part, of the noise, of the additive part
  Matrix x_;
  Eigen::VectorXd alpha_;
  Eigen::MatrixXf lower_;        // Cholesky factor; single precision halves the cost of the doubt, which needs no more
  double mean_ = 0, scale_ = 1;  // of the targets
};

}  // namespace lathe
