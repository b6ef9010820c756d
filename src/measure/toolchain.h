// Toolchain: a compiler and how to call it. A cross compiler is another one of these.
#pragma once

#include <string>
#include <vector>

namespace lathe {

// On AArch64 GCC reorders instructions before it hands out registers, and moves loads up until the sums of a register tile no longer fit: a
// kernel that uses 31 of the 32 vector registers then spills in its innermost loop (GCC 12: direct_cpu's first config 7 times a step of 28
// multiply-adds). On x86 it does not do that by itself.
struct Toolchain {
  std::string compiler = "c++";  // looked up in $PATH, or a path
#if defined(__aarch64__)
  std::vector<std::string> flags = {"-std=c++20", "-O3", "-fno-schedule-insns", "-march=native", "-fPIC", "-shared"};
#else
  std::vector<std::string> flags = {"-std=c++20", "-O3", "-march=native", "-fPIC", "-shared"};
#endif
  std::vector<std::string> extra_flags;  // after those of the template: -fsanitize=address

  // $CXX, or c++.
  static Toolchain Default();
};

}  // namespace lathe
