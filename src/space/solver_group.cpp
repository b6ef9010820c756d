#include "space/solver_group.h"

#include <algorithm>

#include "space/solver_order.h"

namespace lathe::solver {
namespace {

constexpr uint64_t kFirstAttempt = uint64_t{1} << 20;    // partial assignments before another order is tried; some 50 ms
constexpr uint64_t kCountedQuickly = uint64_t{1} << 18;  // some 10 ms: such a group is always sampled by count
constexpr uint64_t kCountedSlowly = uint64_t{1} << 25;   // some seconds, once; only where rejection does not work
constexpr int kTrialRejections = 1 << 12;                // one hit in so many: rejection works
constexpr int kRejections = 1 << 20;                     // a sample then practically never fails: (1 - 2^-12)^(2^20)

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
  visits_ += used;
  if (!count_) failed_limit_ = limit;
  return count_;
}

Group::Sampling Group::DecideSampling() {
  uint64_t visits = 0;
  const auto by_count = [&] { return *count_ == 0 ? Sampling::kEmpty : Sampling::kByCount; };
  if (Count(kCountedQuickly, visits) && visits_ <= kCountedQuickly) return by_count();
  std::mt19937_64 own(1);  // leaves the caller's sequence alone
  std::vector<uint16_t> ignored;
  if (SampleByRejection(own, kTrialRejections, ignored)) return Sampling::kByRejection;
  if (Count(kCountedSlowly, visits) && visits_ <= kCountedSlowly) return by_count();
  return Sampling::kByDescent;
}

bool Group::Sample(std::mt19937_64& random, std::vector<uint16_t>& choice) {
  if (sampling_ == Sampling::kUndecided) sampling_ = DecideSampling();
  switch (sampling_) {
    case Sampling::kUndecided:
    case Sampling::kEmpty:
      return false;
    case Sampling::kByCount:
      SampleByCount(random, choice);
      return true;
    case Sampling::kByRejection:
      if (SampleByRejection(random, kRejections, choice)) return true;
      break;
    case Sampling::kByDescent:
      break;
  }
  return SampleByDescent(random, choice);
}

void Group::SampleByCount(std::mt19937_64& random, std::vector<uint16_t>& choice) {
  std::vector<uint16_t> in_walk_order;
  counted_->Sample(random, in_walk_order);
  choice.resize(parameters_.size());
  for (size_t level = 0; level < in_walk_order.size(); ++level) {
    const auto place = std::lower_bound(parameters_.begin(), parameters_.end(), counted_->order()[level]) - parameters_.begin();
    choice[static_cast<size_t>(place)] = in_walk_order[level];
  }
}

bool Group::SampleByRejection(std::mt19937_64& random, int attempts, std::vector<uint16_t>& choice) {
  Walk& walk = Listed();
  choice.resize(parameters_.size());
  std::vector<double> state, next;
  Walk::Scratch scratch;
  for (int attempt = 0; attempt < attempts; ++attempt) {
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
