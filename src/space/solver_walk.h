// Walk: one group of parameters that constraints tie together, counted, sampled and looked ahead in, for one order of its parameters.
//
// What a partial assignment still can become depends only on the values of those sub-expressions that undecided constraints will read: its
// *state*. bx=2,tx=8 and bx=4,tx=4 are one state to a constraint that reads bx*tx. Each state is solved once and remembered with the number
// of its completions, so work grows with the number of states, not of assignments (Hotspot: 22 M raw points, 350 k valid, 0.13 M visited).
// A state in which a constraint can no longer hold, by its bounds, is not entered. All values of the next parameter are tried together, one
// operation at a time over all of them.
//
// The memory for states is bounded; beyond it a walk stays right and gets slower. Not thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <random>
#include <vector>

#include "space/solver_bounds.h"
#include "space/solver_program.h"

namespace lathe::solver {

// States of one level, and a number for each.
class StateTable {
 public:
  explicit StateTable(size_t width) : width_(width) {}
  // Null when unknown.
  const double* Find(const double* state, uint64_t hash) const;
  void Insert(const double* state, uint64_t hash, double number);
  uint64_t Hash(const double* state) const;
  size_t bytes() const { return entries_.capacity() * sizeof(double) + buckets_.capacity() * sizeof(uint32_t); }

 private:
  void Grow();

  size_t width_;
  size_t size_ = 0;
  std::vector<double> entries_;    // [size_][width_ + 1]: the state, its number
  std::vector<uint32_t> buckets_;  // index into entries_ + 1; open addressing, at most half full
};

class Walk {
 public:
  // `order`: parameters of the group, first to be assigned first. `roots`: the constraints that tie them.
  Walk(const Graph& graph, const std::vector<NodeId>& roots, std::vector<uint16_t> order);

  const std::vector<uint16_t>& order() const { return order_; }
  size_t levels() const { return levels_.size(); }
  size_t domain_size(size_t level) const { return levels_[level].lanes.size(); }
  size_t state_width(size_t level) const { return level == 0 ? 0 : levels_[level - 1].next.size(); }

  // Assignments of the whole group that hold; exact up to 2^53, rounded above. Nullopt when more than `limit` partial assignments would be
  // visited; what was learned stays, so a later call with a larger limit goes on from there. `visits` grows by what was visited.
  std::optional<double> Count(uint64_t limit, uint64_t& visits);

  // Uniform over the valid assignments: choice[level] is an index into the domain of order()[level]. Only after Count() succeeded with at
  // least one.
  void Sample(std::mt19937_64& random, std::vector<uint16_t>& choice);

  using Scratch = LaneProgram::Scratch;
  // Tries every value of level's parameter in `state`; returns how many are alive: no constraint decided here fails.
  size_t Step(size_t level, const double* state, Scratch& scratch) const { return levels_[level].lanes.Run(state, scratch); }
  // The state after choosing `value` in a Step.
  void Next(size_t level, const double* state, const Scratch& scratch, size_t value, double* next) const;
  // Whether a state can be completed.
  bool Alive(size_t level, const double* state);

 private:
  // Once every guard (a partial `||`) is true, nobody will look at this part of the state: it is cleared, so that states become equal.
  struct Irrelevance {
    uint32_t index = 0;
    std::vector<uint32_t> guards;
  };
  struct Level {
    LaneProgram lanes;
    std::vector<LaneProgram::Source> next;  // the next level's state
    std::vector<Irrelevance> irrelevant;
    BoundCheck bounds;  // asked before a new state is solved
  };

  void MakeLevel(const Graph& graph, const Program& program, size_t level, const std::vector<uint32_t>& before,
                 std::vector<uint32_t>& after);
  static std::vector<Irrelevance> FindIrrelevance(const Program& program, int level, const std::vector<uint32_t>& state);
  double CountBelow(size_t level, const double* state);
  bool HasRoom();

  std::vector<uint16_t> order_;
  std::vector<Level> levels_;
  std::vector<StateTable> counts_, alive_;   // by level
  std::vector<Scratch> scratch_;             // by level, for the recursions in here
  std::vector<std::vector<double>> states_;  // by level: the state that is looked at there
  uint64_t visits_left_ = 0;
  bool gave_up_ = false;
  size_t inserts_until_check_ = 0;
  bool full_ = false;
};

}  // namespace lathe::solver
