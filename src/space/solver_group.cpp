#include "space/solver_group.h"

#include <algorithm>

#include "space/solver_order.h"

namespace lathe::solver {
namespace {

constexpr uint64_t kFirstAttempt = uint64_t{1} << 20;   // partial assignments before another order is tried; some 20 ms
constexpr uint64_t kSampleQuickly = uint64_t{1} << 22;  // before rejection is tried
constexpr uint64_t kSampleSlowly = uint64_t{1} << 28;   // after rejection found nothing
constexpr int kRejections = 1 << 16;

}  // namespace

Walk& Group::Counted() {
  if (!counted_) {
    std::vector<uint16_t> order = ChooseOrder(graph_, roots_, parameters_);
    if (listed_ && order == parameters_) {
      counted_ = listed_;
    } else {
      counted_ = std::make_shared<Walk>(graph_, roots_, std::move(order));
    }
  }
  return *counted_;
}

Walk& Group::Listed() {
  if (!listed_) listed_ = counted_ && counted_->order() == parameters_ ? counted_ : std::make_shared<Walk>(graph_, roots_, parameters_);
  return *listed_;
}

std::optional<double> Group::Count(uint64_t limit, uint64_t& visits) {
  if (count_) return count_;
  if (limit <= failed_limit_) return std::nullopt;
  uint64_t used = 0;
  count_ = Counted().Count(std::min(limit, kFirstAttempt), used);
  if (!count_ && used < limit && counted_->order() != parameters_) {
    // The chosen order rests on an estimate; the manifest's own may be better.
    count_ = Listed().Count(std::min(limit - used, kFirstAttempt), used);
    if (count_) counted_ = listed_;
  }
  if (!count_ && used < limit) count_ = counted_->Count(limit - used, used);
  visits += used;
  if (!count_) failed_limit_ = limit;
  return count_;
}

bool Group::Sample(std::mt19937_64& random, std::vector<uint16_t>& choice) {
  uint64_t visits = 0;
  if (!Count(kSampleQuickly, visits)) {
    if (SampleByRejection(random, choice)) return true;
    if (!Count(kSampleSlowly, visits)) return SampleByDescent(random, choice);
  }
  if (*count_ == 0) return false;
  std::vector<uint16_t> in_walk_order;
  counted_->Sample(random, in_walk_order);
  choice.resize(parameters_.size());
  for (size_t level = 0; level < in_walk_order.size(); ++level) {
    const auto place = std::lower_bound(parameters_.begin(), parameters_.end(), counted_->order()[level]) - parameters_.begin();
    choice[static_cast<size_t>(place)] = in_walk_order[level];
  }
  return true;
}

bool Group::SampleByRejection(std::mt19937_64& random, std::vector<uint16_t>& choice) {
  Walk& walk = Listed();
  choice.resize(parameters_.size());
  std::vector<double> state, next;
  Walk::Scratch scratch;
  for (int attempt = 0; attempt < kRejections; ++attempt) {
    state.clear();
    size_t level = 0;
    for (; level < walk.levels(); ++level) {
      walk.Step(level, state.data(), scratch);
      const size_t value = std::uniform_int_distribution<size_t>(0, walk.domain_size(level) - 1)(random);
      if (!scratch.alive[value]) break;  // every raw point has the same chance, so every valid one has
      choice[level] = static_cast<uint16_t>(value);
      next.resize(walk.state_width(level + 1));
      walk.Next(level, state.data(), scratch, value, next.data());
      std::swap(state, next);
    }
    if (level == walk.levels()) return true;
  }
  return false;
}

bool Group::SampleByDescent(std::mt19937_64& random, std::vector<uint16_t>& choice) {
  Walk& walk = Listed();
  choice.resize(parameters_.size());
  std::vector<double> state, next;
  Walk::Scratch scratch;
  for (size_t level = 0; level < walk.levels(); ++level) {
    size_t left = walk.Step(level, state.data(), scratch);
    next.resize(walk.state_width(level + 1));
    bool chosen = false;
    while (left > 0 && !chosen) {
      size_t skip = std::uniform_int_distribution<size_t>(0, --left)(random);
      size_t value = 0;
      while (!scratch.alive[value] || skip-- > 0) ++value;
      scratch.alive[value] = 0;  // not a second time
      walk.Next(level, state.data(), scratch, value, next.data());
      if (!walk.Alive(level + 1, next.data())) continue;
      choice[level] = static_cast<uint16_t>(value);
      chosen = true;
    }
    if (!chosen) return false;
    std::swap(state, next);
  }
  return true;
}

}  // namespace lathe::solver
