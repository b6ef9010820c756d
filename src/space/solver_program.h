// Straight-line programs made of a Graph's constraints for one order of the parameters.
//
// With the order fixed, every sub-expression has a level: the place of the last parameter it needs. Lists (sums, products, `||`) are folded
// from the lowest level up, so that what is known early is combined early and once.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "space/solver_graph.h"

namespace lathe::solver {

// Constants and parameters are slots too. Slots are in the order of evaluation.
struct Slot {
  Op op = Op::kConstant;
  Function function;
  double constant = 0;
  uint16_t parameter = 0;
  std::array<uint32_t, 3> operands{};
  uint8_t operand_count = 0;
  int level = -1;  // -1: constant
};

struct Program {
  std::vector<Slot> slots;
  std::vector<uint32_t> roots;  // the slot of each constraint, in the order given
  // A root that is a list joined by `||`: the slots of "the first i + 1 parts of it", else empty. Any of them being true settles the root.
  std::vector<std::vector<uint32_t>> partial_or;
};

// level_of[p]: the place of parameter p in the order; only those the roots name are looked at.
Program MakeProgram(const Graph& graph, const std::vector<NodeId>& roots, const std::vector<int>& level_of);

// The whole program at one point. values[p] is parameter p's number; `registers` gets every slot's value.
void Run(const Program& program, const std::vector<double>& values, std::vector<double>& registers);

// The part of a program that changes with one parameter, run for all of that parameter's values at once: one operation at a time, a lane a
// value. What does not change comes from a *state*, an array of numbers whose meaning the maker of the LaneProgram knows.
class LaneProgram {
 public:
  // `numbers`: the parameter's. `changing`: the slots that depend on it. `state_index`: where every other slot that is read, and is not a
  // constant, lies in the state.
  LaneProgram(const Program& program, std::vector<double> numbers, const std::vector<bool>& changing,
              const std::vector<uint32_t>& state_index);

  struct Scratch {
    std::vector<double> lanes;   // of operation i: [i * size() …)
    std::vector<uint8_t> alive;  // by value: no constraint among `checks` fails
  };

  size_t size() const { return numbers_.size(); }
  // The constraints that Run() tests: slots that change.
  void Check(uint32_t slot) { checks_.push_back(sources_[slot]); }
  // Returns how many values are alive.
  size_t Run(const double* state, Scratch& scratch) const;

  // A slot's number for one value after Run().
  struct Source {
    enum class From : uint8_t { kState, kConstant, kLane } from = From::kConstant;
    uint32_t index = 0;  // lane 0 is the parameter itself
  };
  Source SourceOf(uint32_t slot) const { return sources_[slot]; }
  double Read(Source source, const double* state, const Scratch& scratch, size_t value) const {
    const Lanes lanes = LanesOf(source, state, scratch);
    return lanes.values[value * lanes.stride];
  }

 private:
  struct Operation {
    Op op = Op::kConstant;
    Function function;
    std::array<Source, 3> operands;
  };

  Lanes LanesOf(Source source, const double* state, const Scratch& scratch) const {
    switch (source.from) {
      case Source::From::kState:
        return {state + source.index, 0};
      case Source::From::kConstant:
        return {&constants_[source.index], 0};
      case Source::From::kLane:
        break;
    }
    return {source.index == 0 ? numbers_.data() : &scratch.lanes[(source.index - 1) * numbers_.size()], 1};
  }

  std::vector<double> numbers_;
  std::vector<double> constants_;
  std::vector<Operation> operations_;  // operation i writes lane i + 1
  std::vector<Source> checks_;
  std::vector<Source> sources_;  // by slot
};

}  // namespace lathe::solver
