#include "space/solver_walk.h"

#include <algorithm>
#include <bit>
#include <set>

namespace lathe::solver {
namespace {

constexpr size_t kMemoryBytes = size_t{96} << 20;  // for the remembered states of one walk
constexpr size_t kInsertsBetweenMemoryChecks = 1024;
constexpr double kExact = 9007199254740992.0;  // 2^53

}  // namespace

uint64_t StateTable::Hash(const double* state) const {
  uint64_t hash = 0;
  for (size_t i = 0; i < width_; ++i) {
    hash += std::bit_cast<uint64_t>(state[i]);
    hash ^= hash >> 32;  // a small integer is all in a double's upper bits
    hash *= 0x9E3779B97F4A7C15u;
    hash ^= hash >> 29;
  }
  return hash;
}

const double* StateTable::Find(const double* state, uint64_t hash) const {
  if (buckets_.empty()) return nullptr;
  const size_t mask = buckets_.size() - 1;
  for (size_t at = hash & mask; buckets_[at] != 0; at = (at + 1) & mask) {
    const double* entry = &entries_[(buckets_[at] - 1) * (width_ + 1)];
    // By bits: a state that is not a number still equals itself.
    if (std::equal(state, state + width_, entry,
                   [](double a, double b) { return std::bit_cast<uint64_t>(a) == std::bit_cast<uint64_t>(b); }))
      return entry + width_;
  }
  return nullptr;
}

void StateTable::Insert(const double* state, uint64_t hash, double number) {
  if (2 * (size_ + 1) > buckets_.size()) Grow();
  entries_.insert(entries_.end(), state, state + width_);
  entries_.push_back(number);
  const size_t mask = buckets_.size() - 1;
  size_t at = hash & mask;
  while (buckets_[at] != 0) at = (at + 1) & mask;
  buckets_[at] = static_cast<uint32_t>(++size_);
}

void StateTable::Grow() {
  buckets_.assign(std::max<size_t>(64, buckets_.size() * 4), 0);
  const size_t mask = buckets_.size() - 1;
  for (size_t i = 0; i < size_; ++i) {
    size_t at = Hash(&entries_[i * (width_ + 1)]) & mask;
    while (buckets_[at] != 0) at = (at + 1) & mask;
    buckets_[at] = static_cast<uint32_t>(i + 1);
  }
}

Walk::Walk(const Graph& graph, const std::vector<NodeId>& roots, std::vector<uint16_t> order) : order_(std::move(order)) {
  std::vector<int> level_of(graph.domains().size(), -1);
  for (size_t level = 0; level < order_.size(); ++level) level_of[order_[level]] = static_cast<int>(level);
  const Program program = MakeProgram(graph, roots, level_of);
  std::vector<uint32_t> state;  // slots
  for (size_t level = 0; level < order_.size(); ++level) {
    std::vector<uint32_t> next;
    MakeLevel(graph, program, level, state, next);
    counts_.emplace_back(state.size());
    alive_.emplace_back(state.size());
    states_.emplace_back(state.size());
    state = std::move(next);
  }
  states_.emplace_back(0);
  scratch_.resize(order_.size());
}

void Walk::MakeLevel(const Graph& graph, const Program& program, size_t level, const std::vector<uint32_t>& before,
                     std::vector<uint32_t>& after) {
  const int here = static_cast<int>(level);
  const std::vector<Slot>& slots = program.slots;
  std::vector<bool> changing(slots.size()), read_later(slots.size(), false);
  std::vector<uint32_t> state_index(slots.size(), 0);
  for (uint32_t i = 0; i < before.size(); ++i) state_index[before[i]] = i;
  for (size_t i = 0; i < slots.size(); ++i) {
    changing[i] = slots[i].level == here;
    if (slots[i].level > here)
      for (size_t k = 0; k < slots[i].operand_count; ++k) read_later[slots[i].operands[k]] = true;
  }
  Level made{LaneProgram(program, graph.domains()[order_[level]], changing, state_index),
             {},
             {},
             BoundCheck(program, graph.domains(), here, before)};
  for (uint32_t root : program.roots)
    if (slots[root].level == here) made.lanes.Check(root);
  // The next state: whatever is known now and read by something that is not.
  for (uint32_t i = 0; i < slots.size(); ++i) {
    if (!read_later[i] || slots[i].level == -1 || slots[i].level > here) continue;
    after.push_back(i);
    made.next.push_back(made.lanes.SourceOf(i));
  }
  made.irrelevant = FindIrrelevance(program, here, after);
  levels_.push_back(std::move(made));
}

// Looks for the undecided constraints that read each part of the state, and which of them are a `||` of which a beginning is known.
std::vector<Walk::Irrelevance> Walk::FindIrrelevance(const Program& program, int level, const std::vector<uint32_t>& state) {
  const std::vector<Slot>& slots = program.slots;
  std::vector<std::set<size_t>> readers(slots.size());
  for (size_t root = 0; root < program.roots.size(); ++root)
    if (slots[program.roots[root]].level > level) readers[program.roots[root]].insert(root);
  for (size_t i = slots.size(); i-- > 0;)
    if (slots[i].level > level)
      for (size_t k = 0; k < slots[i].operand_count; ++k) readers[slots[i].operands[k]].insert(readers[i].begin(), readers[i].end());

  std::vector<Irrelevance> found;
  for (uint32_t i = 0; i < state.size(); ++i) {
    Irrelevance irrelevance{i, {}};
    for (size_t root : readers[state[i]]) {
      const std::vector<uint32_t>& parts = program.partial_or[root];
      const auto known = std::find_if(parts.rbegin(), parts.rend(), [&](uint32_t part) { return slots[part].level <= level; });
      const auto guard = known == parts.rend() ? state.end() : std::find(state.begin(), state.end(), *known);
      if (guard == state.end() || *guard == state[i]) {
        irrelevance.guards.clear();
        break;
      }
      irrelevance.guards.push_back(static_cast<uint32_t>(guard - state.begin()));
    }
    if (!irrelevance.guards.empty()) found.push_back(std::move(irrelevance));
  }
  return found;
}

void Walk::Next(size_t level, const double* state, const Scratch& scratch, size_t value, double* next) const {
  const Level& at = levels_[level];
  for (size_t i = 0; i < at.next.size(); ++i) next[i] = at.lanes.Read(at.next[i], state, scratch, value);
  for (const Irrelevance& irrelevance : at.irrelevant)
    if (std::all_of(irrelevance.guards.begin(), irrelevance.guards.end(), [&](uint32_t guard) { return next[guard] != 0; }))
      next[irrelevance.index] = 0;
}

bool Walk::HasRoom() {
  if (full_) return false;
  if (inserts_until_check_-- > 0) return true;
  inserts_until_check_ = kInsertsBetweenMemoryChecks;
  size_t bytes = 0;
  for (const StateTable& table : counts_) bytes += table.bytes();
  for (const StateTable& table : alive_) bytes += table.bytes();
  full_ = bytes > kMemoryBytes;
  return !full_;
}

double Walk::CountBelow(size_t level, const double* state) {
  StateTable& known = counts_[level];
  const uint64_t hash = known.Hash(state);
  if (const double* count = known.Find(state, hash)) return *count;
  Scratch& scratch = scratch_[level];
  const size_t values = domain_size(level);
  const bool possible = levels_[level].bounds.Possible(state);
  const uint64_t visits = possible ? values : 1;
  if (visits_left_ < visits) {
    gave_up_ = true;
    return 0;
  }
  visits_left_ -= visits;
  const size_t alive = possible ? Step(level, state, scratch) : 0;
  double total = 0;
  if (level + 1 == levels_.size()) {
    total = static_cast<double>(alive);
  } else if (alive > 0 && levels_[level].next.empty()) {
    total = static_cast<double>(alive) * CountBelow(level + 1, states_[level + 1].data());
  } else if (alive > 0) {
    double* next = states_[level + 1].data();
    for (size_t value = 0; value < values && !gave_up_; ++value) {
      if (!scratch.alive[value]) continue;
      Next(level, state, scratch, value, next);
      total += CountBelow(level + 1, next);
    }
  }
  if (!gave_up_ && HasRoom()) known.Insert(state, hash, total);
  return total;
}

std::optional<double> Walk::Count(uint64_t limit, uint64_t& visits) {
  visits_left_ = limit;
  gave_up_ = false;
  const double count = CountBelow(0, states_[0].data());
  visits += limit - visits_left_;
  if (gave_up_) return std::nullopt;
  return count;
}

void Walk::Sample(std::mt19937_64& random, std::vector<uint16_t>& choice) {
  choice.resize(levels());
  std::vector<double> state, next, weights;
  visits_left_ = UINT64_MAX;
  gave_up_ = false;
  for (size_t level = 0; level < levels(); ++level) {
    Scratch scratch;
    Step(level, state.data(), scratch);
    const size_t values = domain_size(level);
    next.resize(state_width(level + 1));
    weights.assign(values, 0);
    double total = 0;
    for (size_t value = 0; value < values; ++value) {
      if (!scratch.alive[value]) continue;
      weights[value] = 1;
      if (level + 1 < levels()) {
        Next(level, state.data(), scratch, value, next.data());
        weights[value] = CountBelow(level + 1, next.data());
      }
      total += weights[value];
    }
    // Exact integers as far as doubles are; beyond 2^53 the bias is below one part in 2^53.
    double left = total <= kExact
                      ? static_cast<double>(std::uniform_int_distribution<uint64_t>(0, static_cast<uint64_t>(total) - 1)(random))
                      : std::uniform_real_distribution<double>(0, total)(random);
    size_t chosen = values;
    for (size_t value = 0; value < values; ++value) {
      if (weights[value] == 0) continue;
      chosen = value;
      if (left < weights[value]) break;
      left -= weights[value];
    }
    choice[level] = static_cast<uint16_t>(chosen);
    Next(level, state.data(), scratch, chosen, next.data());
    std::swap(state, next);
  }
}

bool Walk::Alive(size_t level, const double* state) {
  if (level == levels()) return true;
  StateTable& known = alive_[level];
  const uint64_t hash = known.Hash(state);
  if (const double* alive = known.Find(state, hash)) return *alive != 0;
  if (const double* count = counts_[level].Find(state, hash)) return *count != 0;
  Scratch& scratch = scratch_[level];
  bool alive = false;
  if (levels_[level].bounds.Possible(state) && Step(level, state, scratch) > 0) {
    double* next = states_[level + 1].data();
    for (size_t value = 0; value < domain_size(level) && !alive; ++value) {
      if (!scratch.alive[value]) continue;
      Next(level, state, scratch, value, next);
      alive = Alive(level + 1, next);
    }
  }
  if (HasRoom()) known.Insert(state, hash, alive ? 1 : 0);
  return alive;
}

}  // namespace lathe::solver
