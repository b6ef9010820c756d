#include "search/trial_split.h"

#include <algorithm>
#include <numeric>

namespace lathe {

TrialSplit::TrialSplit(size_t arms, size_t budget) : arms_(arms), budget_(budget), quota_(arms, 0) {
  for (size_t left = arms; left > 1; left = (left + 1) / 2) ++rounds_;
  for (size_t& quota : quota_) quota = std::max<size_t>(1, budget_ / rounds_ / std::max<size_t>(1, arms));
}

void TrialSplit::Report(size_t arm, double objective) { arms_[arm].best = std::min(arms_[arm].best, objective); }

size_t TrialSplit::Turn(size_t arm) const {
  const bool last = round_ + 1 >= rounds_;
  if (last) return std::numeric_limits<size_t>::max();
  return quota_[arm] > arms_[arm].taken ? quota_[arm] - arms_[arm].taken : 1;
}

void TrialSplit::NextRound() {
  ++round_;
  std::vector<size_t> order;
  for (size_t arm = 0; arm < arms_.size(); ++arm) {
    if (arms_[arm].alive) order.push_back(arm);
  }
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return arms_[a].best < arms_[b].best; });
  const size_t kept = (order.size() + 1) / 2;
  for (size_t i = kept; i < order.size(); ++i) arms_[order[i]].alive = false;
  for (size_t i = 0; i < kept; ++i) quota_[order[i]] = arms_[order[i]].taken + std::max<size_t>(1, budget_ / rounds_ / kept);
}

std::optional<size_t> TrialSplit::Next() {
  for (;;) {
    std::optional<size_t> next;
    for (size_t arm = 0; arm < arms_.size(); ++arm) {
      if (!arms_[arm].alive || arms_[arm].exhausted) continue;
      const bool last = round_ + 1 >= rounds_;
      if (!last && arms_[arm].taken >= quota_[arm]) continue;
      if (!next || arms_[arm].taken < arms_[*next].taken) next = arm;
    }
    if (next) return next;
    if (round_ + 1 < rounds_) {
      NextRound();
      continue;
    }
    // What was left behind is better than nothing once the favourites are exhausted.
    bool revived = false;
    for (Arm& arm : arms_) {
      if (arm.alive || arm.exhausted) continue;
      arm.alive = revived = true;
    }
    if (!revived) return std::nullopt;
  }
}

}  // namespace lathe
