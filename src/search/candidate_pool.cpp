#include "search/candidate_pool.h"

namespace lathe {

bool CandidatePool::Add(const Point& point) {
  if (unseen_.IsSeen(point) || !inside_.insert(point).second) return false;
  points_.push_back(point);
  return true;
}

void CandidatePool::AddRandom(size_t count, std::mt19937_64& random) {
  for (size_t i = 0; i < count; ++i) {
    const std::optional<Point> point = space_.Sample(random);
    if (!point) return;
    Add(*point);
  }
}

void CandidatePool::AddNeighbours(const Point& point) {
  for (const Point& neighbour : space_.Neighbours(point)) Add(neighbour);
}

void CandidatePool::AddOffspring(const std::vector<Point>& parents, size_t count, std::mt19937_64& random) {
  if (parents.empty()) return;
  const std::vector<Parameter>& parameters = space_.parameters();
  // The lower of two draws: better parents more often.
  const auto parent = [&]() -> const Point& { return parents[std::min(random() % parents.size(), random() % parents.size())]; };
  for (size_t i = 0; i < count; ++i) {
    Point child = parent();
    const Point& other = parent();
    if (random() % 2 == 0) {
      for (size_t p = 0; p < child.size(); ++p) {
        if (random() % 2 == 0) child[p] = other[p];
      }
    }
    for (size_t changes = random() % 3; changes > 0 && !child.empty(); --changes) {
      const size_t p = random() % child.size();
      child[p] = static_cast<uint16_t>(random() % parameters[p].values.size());
    }
    if (!unseen_.IsSeen(child) && !inside_.contains(child) && space_.IsValid(child)) Add(child);
  }
}

}  // namespace lathe
