// Importance: which parameters decide about a kernel's time, alone and in pairs.
//
// Functional analysis of variance (Hutter, Hoos & Leyton-Brown, "An efficient approach for assessing hyperparameter importance", 2014) of a
// boosted-tree model of log time: the share of the variance over configurations that the mean over all else explains when one parameter is
// known, and what two known together explain beyond the two alone. Theirs averages over the full product of values; here it is over the
// valid configurations, uniformly, because the others do not exist. Sampled, with the sampling's own variance taken out.
#pragma once

#include <cstdint>
#include <vector>

#include "core/result.h"
#include "costmodel/tree_ensemble.h"
#include "space/space.h"

namespace lathe {

// A model of log time over a space, and how good it is.
class TimeModel {
 public:
  static constexpr size_t kFewest = 20;  // configurations: no model of fewer would say anything
  // Working configurations and their seconds. Fails with fewer than kFewest.
  static Result<TimeModel> Learn(const Space& space, const std::vector<Point>& points, const std::vector<double>& seconds, uint64_t seed);

  double LogSeconds(const Point& point) const;  // the point need not be valid
  // Share of the variance of log time explained on rows that were held out, at most 1; below about 0.3 nothing should be concluded.
  double held_out() const { return held_out_; }

 private:
  explicit TimeModel(const Space& space);
  std::vector<std::vector<std::vector<float>>> encoded_;  // [parameter][value]: columns
  TreeEnsemble trees_;
  double held_out_ = 0;
};

struct ImportancePart {
  std::vector<size_t> parameters;  // one or two, as places in Space::parameters()
  double share = 0;                // of the variance of log time, 0 to 1
};

struct Importance {
  std::vector<ImportancePart> parts;  // largest first: every parameter, and every pair that adds at least 0.5 %
  double explained = 0;               // all singles and pairs; the rest is in interactions of three and more
};

Importance ImportanceOf(const Space& space, const TimeModel& model, uint64_t seed);

}  // namespace lathe
