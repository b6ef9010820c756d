// Toolchain: a compiler and how to call it. A cross compiler is another one of these.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace lathe {

// On AArch64 GCC reorders instructions before it hands out registers, and moves loads up until the sums of a register tile no longer fit: a
// kernel that uses 31 of the 32 vector registers then spills in its innermost loop (GCC 12: direct_cpu's first config 7 registers a step of
// 28 multiply-adds). On x86 it does not do that by itself.
constexpr const char* kKeepOrder = "-fno-schedule-insns";

struct Toolchain {
  std::string compiler = "c++";  // looked up in $PATH, or a path
#if defined(__aarch64__)
  std::vector<std::string> flags = {"-std=c++20", "-O3", kKeepOrder, "-mcpu=native", "-fPIC", "-shared"};
#else
  std::vector<std::string> flags = {"-std=c++20", "-O3", "-march=native", "-fPIC", "-shared"};
#endif
  std::vector<std::string> extra_flags;  // after those of the template: -fsanitize=address

  // Of a cross toolchain, which a profile describes (toolchain_profile.h); all empty for this machine's own compiler.
  std::string profile;                // its name, for messages
  std::string architecture;           // what it builds for: "aarch64"
  std::vector<std::string> features;  // that the machine which runs it must have: "asimddp"
  std::vector<std::string> launcher;  // starts built programs on this machine: qemu-aarch64-static -L SYSROOT
  std::filesystem::path worker;       // a lathe-worker of that architecture, for the launcher

  bool cross() const { return !profile.empty(); }
  // $CXX, or c++.
  static Toolchain Default();
};

}  // namespace lathe
