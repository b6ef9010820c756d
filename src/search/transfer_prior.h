// TransferPrior: what borrowed measurements foretell about one space, and how far that can be believed.
//
// Each source speaks of efficiency: its own best time over the time, 0 for what failed; so microseconds of one board and milliseconds of
// another are one scale. A configuration measured there counts as measured; between them, boosted trees over the parameters' values and the
// manifest's features fill in. Sources are weighted by how well they order what has been measured here (pairs in the right order), starting
// from how near they are: the idea of ranking-weighted ensembles (Feurer, Letham & Bakshy, "Scalable meta-learning for Bayesian
// optimization using ranking-weighted Gaussian process ensembles", 2018), with trees in place of processes and pairs counted instead of
// sampled.
#pragma once

#include <optional>
#include <random>
#include <vector>

#include "core/result.h"
#include "costmodel/feature_function.h"
#include "costmodel/tree_ensemble.h"
#include "search/borrowed_source.h"
#include "search/point_set.h"
#include "space/space.h"

namespace lathe {

class TransferPrior {
 public:
  // `space` and what `features` refers to outlive the prior. Sources with fewer than eight working rows say too little and are left out; an
  // empty prior is what remains when all are.
  static Result<TransferPrior> Learn(const Space& space, FeatureFunction features, const std::vector<BorrowedSource>& sources,
                                     uint64_t seed);

  bool empty() const { return sources_.empty(); }
  // 0 to 1, the weighted mean over sources.
  double Efficiency(const Point& point) const;
  // What was measured here; objective counts only where ok.
  void Observe(const Point& point, bool ok, double objective);
  // Said to be measured, not answered yet: part of the portfolio.
  void Assume(const Point& point);
  // The unseen point that adds most to a portfolio: with every source in mind, how much nearer to that source's best the portfolio comes by
  // it; where nothing is to be gained any more, the best expected one. Nullopt when there are no candidates left.
  std::optional<Point> Next(const PointSet& seen) const;
  // Kendall's tau of what was foretold against what was measured here, over pairs that were foretold to differ; 0 while there are none.
  double Agreement() const;
  size_t observed() const { return observed_.size(); }
  Borrowing Report() const;

 private:
  struct Source {
    std::string label;
    size_t measurements = 0;
    double nearness = 1, weight = 1;
    PointMap<float> measured;  // efficiency of points that are points of this space too
    TreeEnsemble trees;
    double right = 0, wrong = 0;  // pairs
  };
  struct Observed {
    Point point;
    double efficiency = 0;  // relative, log throughput; failures below everything
    std::vector<float> foretold;
    float expected = 0;
  };
  TransferPrior(const Space& space, FeatureFunction features) : space_(&space), features_(std::move(features)) {}
  void EncodeValue(const Parameter& parameter, const Value* value, std::vector<float>& row) const;
  std::vector<float> RowOf(const Config& config, const std::vector<double>& features) const;
  std::vector<float> RowOf(const Point& point) const;
  float OfSource(const Source& source, const Point& point, const std::vector<float>& row) const;
  Status AddSource(const BorrowedSource& borrowed, uint64_t seed);
  std::optional<Point> Mapped(const Config& config) const;  // nearest values; nullopt when that is not valid
  void GatherCandidates(const std::vector<BorrowedSource>& sources, uint64_t seed);

  const Space* space_;
  FeatureFunction features_;
  std::vector<Source> sources_;
  std::vector<Point> candidates_;
  std::vector<std::vector<float>> foretold_;  // [candidate][source]
  std::vector<float> covered_;                // the best efficiency the portfolio has in each source's eyes
  std::vector<Observed> observed_;
  std::vector<std::vector<std::vector<float>>> encoded_;  // [parameter][value]: columns of a row
};

}  // namespace lathe
