// A candidate's kernel launches as text: on its way to a worker, or to a board. One line each, in order:
//   launch  KERNEL LOCAL_BYTES DIMENSIONS GLOBAL… LOCAL… COUNT ARGUMENT…      in every run
//   prepare KERNEL LOCAL_BYTES DIMENSIONS GLOBAL… LOCAL… COUNT ARGUMENT…      once, to pack constants
// Nothing but the C++ runtime stands behind this file: the worker reads it, too.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lathe {

struct KernelLaunch {
  bool prepares = false;
  std::string kernel;
  std::vector<uint64_t> global, local;  // work items; one to three dimensions
  std::vector<int64_t> arguments;       // behind those that every kernel takes
  uint64_t dynamic_local_bytes = 0;
};

std::string LaunchLine(const KernelLaunch& launch);
// `device` is the number on a line "device N", where there is one. False when the text is none of ours.
bool ParseLaunches(const std::string& text, std::vector<KernelLaunch>& launches, uint64_t* device = nullptr);

}  // namespace lathe
