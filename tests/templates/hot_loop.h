// HotLoop: the innermost loop of a function's AArch64 assembly that does the work, as a compiler wrote it with -S.
#pragma once

#include <string>
#include <vector>

namespace lathe::testing {

struct HotLoop {
  std::vector<std::string> instructions;
  int multiply_adds = 0;  // fmla, and its kin on whole numbers
  // Vector registers stored to or loaded from the stack: sums that did not fit.
  std::vector<std::string> spills;
};

// Of all loops that hold no other, the one with most multiply-adds; empty when none has any.
HotLoop FindHotLoop(const std::string& assembly);

}  // namespace lathe::testing
