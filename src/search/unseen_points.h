// UnseenPoints: remembers what a strategy proposed or observed, and finds valid points that it has not.
//
// Drawing and rejecting is all it takes while the seen are few. Only when many draws in a row were seen, so that the space can be hardly
// larger than what was seen, are the rest listed: the cost follows the number of trials, never the size of the space.
#pragma once

#include <optional>
#include <random>
#include <vector>

#include "search/point_set.h"
#include "space/space.h"

namespace lathe {

class UnseenPoints {
 public:
  explicit UnseenPoints(const Space& space) : space_(space) {}

  bool IsSeen(const Point& point) const { return seen_.contains(point); }
  // False when it was seen already.
  bool MarkSeen(const Point& point) { return seen_.insert(point).second; }
  size_t seen() const { return seen_.size(); }

  // Uniform over the valid unseen points; does not mark it. Nullopt when none is left.
  std::optional<Point> Draw(std::mt19937_64& random);
  // Unseen neighbours of a valid point.
  std::vector<Point> Neighbours(const Point& point) const;

 private:
  const Space& space_;
  PointSet seen_;
  bool listed_ = false;
  std::vector<Point> rest_;  // superset of the unseen, once listed
};

}  // namespace lathe
