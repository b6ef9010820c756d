// Interval arithmetic over a Program: what a constraint can still become while some of its parameters are open.
//
// A sum that is over its limit already, whatever is added, ends a walk many parameters before the sum is complete.
#pragma once

#include <cstdint>
#include <vector>

#include "space/solver_program.h"

namespace lathe::solver {

// Every value lies in [low, high] and is a number; unless both are infinite, then nothing is known.
struct Range {
  double low = 0, high = 0;
};

// Sound because each operation here rounds as the operation itself does.
Range Bound(Op op, const Function& function, Range a, Range b, Range c);

// For one level of a walk: whether the constraints that more than its parameter is missing to can still hold.
class BoundCheck {
 public:
  // `known`: the slots in the state, in its order: all of a lower level than `level`. domains[p]: parameter p's numbers.
  BoundCheck(const Program& program, const std::vector<std::vector<double>>& domains, int level, const std::vector<uint32_t>& known);

  // False: no completion of this state holds. Stops looking, and answers true, where looking has hardly ever helped. Not thread-safe.
  bool Possible(const double* state);

 private:
  struct Operation {
    Op op = Op::kConstant;
    Function function;
    std::array<uint32_t, 3> operands{};  // indices into ranges_
    uint32_t result = 0;
  };

  std::vector<Range> ranges_;  // by what is read: the state first, then what never changes, then results
  size_t state_size_ = 0;
  std::vector<Operation> operations_;
  std::vector<uint32_t> checks_;  // indices into ranges_
  uint64_t asked_ = 0, ruled_out_ = 0;
};

}  // namespace lathe::solver
