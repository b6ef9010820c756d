// CandidatePool: the unseen points that a model is asked about. Their number does not grow with the space.
#pragma once

#include <random>
#include <vector>

#include "search/point_set.h"
#include "search/unseen_points.h"

namespace lathe {

class CandidatePool {
 public:
  CandidatePool(const Space& space, const UnseenPoints& unseen) : space_(space), unseen_(unseen) {}

  const std::vector<Point>& points() const { return points_; }
  // False when it is in the pool or seen already. The point must be valid.
  bool Add(const Point& point);
  // Uniform over the valid points; may add fewer than `count` when most were seen.
  void AddRandom(size_t count, std::mt19937_64& random);
  void AddNeighbours(const Point& point);
  // Children of the parents (best first): crossed, and changed in one parameter or two.
  void AddOffspring(const std::vector<Point>& parents, size_t count, std::mt19937_64& random);

 private:
  const Space& space_;
  const UnseenPoints& unseen_;
  PointSet inside_;
  std::vector<Point> points_;
};

}  // namespace lathe
