#include "search/portfolio_strategy.h"

#include <cmath>

namespace lathe {
namespace {

constexpr size_t kWindow = 60;        // outcomes that count
constexpr double kExploration = 0.1;  // weight of the bonus for arms rarely used
constexpr int kPatience = 4;          // how often an arm may propose what another has proposed already

}  // namespace

double PortfolioStrategy::Credit(size_t arm) const {
  // Area under the curve: an improvement counts by its place among the arm's own outcomes, the latest most.
  double area = 0, place = 0;
  for (const Outcome& outcome : outcomes_) {
    if (outcome.arm != arm) continue;
    place += 1;
    if (outcome.improved) area += place;
  }
  return place > 0 ? 2 * area / (place * (place + 1)) : 0;
}

size_t PortfolioStrategy::Choose() const {
  size_t total = 1, chosen = 0;
  for (const size_t used : used_) total += used;
  double most = -1;
  for (size_t arm = 0; arm < arms_.size(); ++arm) {
    if (used_[arm] == 0) return arm;
    const double bonus = std::sqrt(2 * std::log(static_cast<double>(total)) / static_cast<double>(used_[arm]));
    const double promise = Credit(arm) + kExploration * bonus;
    if (promise > most) {
      most = promise;
      chosen = arm;
    }
  }
  return chosen;
}

std::vector<Point> PortfolioStrategy::Propose(size_t count) {
  std::vector<Point> points;
  while (points.size() < count) {
    const size_t first = Choose();
    bool found = false;
    for (size_t turn = 0; turn < arms_.size() && !found; ++turn) {
      const size_t arm = (first + turn) % arms_.size();
      for (int attempt = 0; attempt < kPatience && !found; ++attempt) {
        std::vector<Point> proposed = arms_[arm]->Propose(1);
        if (proposed.empty()) break;  // it knows of nothing more
        if (!unseen_.MarkSeen(proposed[0])) continue;
        pending_[proposed[0]] = arm;
        ++used_[arm];
        points.push_back(std::move(proposed[0]));
        found = true;
      }
    }
    if (found) continue;
    std::optional<Point> rest = unseen_.Draw(random_);
    if (!rest) break;
    unseen_.MarkSeen(*rest);
    points.push_back(std::move(*rest));
  }
  return points;
}

void PortfolioStrategy::Observe(const std::vector<Observation>& observations) {
  for (const Observation& observation : observations) {
    unseen_.MarkSeen(observation.point);
    const bool improved = observation.ok && observation.objective < best_;
    if (improved) best_ = observation.objective;
    const auto found = pending_.find(observation.point);
    if (found == pending_.end()) continue;
    outcomes_.push_back({found->second, improved});
    pending_.erase(found);
    if (outcomes_.size() <= kWindow) continue;
    --used_[outcomes_.front().arm];
    outcomes_.pop_front();
  }
  for (const std::unique_ptr<Strategy>& arm : arms_) arm->Observe(observations);
}

}  // namespace lathe
