// WinnerEdges: where a space may be too narrow: the winner takes the last value of a list, or a constraint stands right beside it.
#pragma once

#include <vector>

#include "core/result.h"
#include "costmodel/importance.h"
#include "space/space.h"

namespace lathe {

struct EdgeValue {
  size_t parameter = 0;
  bool largest = false;  // of the list's numbers; else the smallest
  double lead = 0;       // by which fraction the model expects the neighbouring value to be slower, all else as in the winner; <= 0: none
};

struct EdgeConstraint {
  size_t constraint = 0;  // place in Space::constraints()
  size_t forbids = 0;     // configurations one step from the winner that only this constraint refuses
  Point best;             // the most promising of them
  double promise = 0;     // by which fraction the model expects it to be faster than the winner; negative: slower
};

struct WinnerEdges {
  // Numbers with three values or more, where the list could go on: no constraint refuses the winner with the next number, and it is no
  // factor below 1. Largest lead first.
  std::vector<EdgeValue> values;
  std::vector<EdgeConstraint> constraints;  // most promising first
};

// A step is to another value of one parameter: the next number, or any other name.
Result<WinnerEdges> EdgesOf(const Space& space, const TimeModel& model, const Point& winner);

}  // namespace lathe
