// Verification: an output held against the reference's, element by element, within the operator's or the template's tolerance.
#pragma once

#include <cstddef>
#include <string>

#include "space/operator.h"

namespace lathe {

struct Comparison {
  bool agrees = true;
  // Largest deviation in units of the tolerance (1: just allowed). Where equality is demanded, the largest absolute deviation, at least 1.
  // A NaN or an infinity on one side only counts as kNoNumber.
  double max_error = 0;
  std::string message;  // the first element that is off, with both values, and how many are; empty when agrees
};
constexpr double kNoNumber = 1e30;

// The largest |element|; what a relative tolerance refers to. NaN and infinity count nothing.
double LargestMagnitude(DType dtype, const void* data, size_t elements);

// `largest`: LargestMagnitude(expected). NaN agrees with NaN, an infinity with the same infinity.
Comparison Compare(const TensorShape& tensor, const void* expected, const void* actual, double largest);

// IEEE 754 half precision, bit pattern to value and back (to nearest, ties to even).
float HalfToFloat(uint16_t bits);
uint16_t FloatToHalf(float value);

}  // namespace lathe
