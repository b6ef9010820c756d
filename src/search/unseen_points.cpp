#include "search/unseen_points.h"

namespace lathe {

std::optional<Point> UnseenPoints::Draw(std::mt19937_64& random) {
  constexpr int kDraws = 48;
  for (int draw = 0; draw < kDraws && !listed_; ++draw) {
    std::optional<Point> point = space_.Sample(random);
    if (!point) return std::nullopt;
    if (!IsSeen(*point)) return point;
  }
  if (!listed_) {
    // 48 seen in a row: with more than 16 unseen a seen point that would be a chance of 1e-59. So this list is short, unless Sample is
    // broken.
    const size_t most = 64 + 16 * seen_.size();
    space_.ForEach([&](const Point& point) {
      if (!IsSeen(point)) rest_.push_back(point);
      return rest_.size() < most;
    });
    listed_ = rest_.size() < most;
  }
  while (!rest_.empty()) {
    std::uniform_int_distribution<size_t> any(0, rest_.size() - 1);
    std::swap(rest_[any(random)], rest_.back());
    if (!IsSeen(rest_.back())) return rest_.back();
    rest_.pop_back();
  }
  return std::nullopt;
}

std::vector<Point> UnseenPoints::Neighbours(const Point& point) const {
  std::vector<Point> neighbours = space_.Neighbours(point);
  std::erase_if(neighbours, [&](const Point& neighbour) { return IsSeen(neighbour); });
  return neighbours;
}

}  // namespace lathe
