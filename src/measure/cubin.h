// What a cubin says about its kernels: the ELF sections that ptxas writes. The layout is not documented; it was read off cubins of
// CUDA 11.8, 12.9 and 13.0 and agrees with what `ptxas -v` prints.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "core/result.h"

namespace lathe {

struct CubinKernel {
  uint32_t registers = 0;    // of an item
  uint64_t local_bytes = 0;  // of declared shared memory
  uint32_t frame_bytes = 0;  // of an item's stack
  uint32_t max_items = 0;    // by __launch_bounds__; 0: not stated
  uint64_t code_bytes = 0;
};

bool IsCubin(const std::string& content);
// By kernel name. Fails (kInvalidInput) on what is no cubin, or a damaged one.
Result<std::map<std::string, CubinKernel>> ReadCubin(const std::string& content);

// Sums over all kernels in what `ptxas -v` printed: "spill_store_bytes", "spill_load_bytes".
std::map<std::string, double> ReadPtxasLog(const std::string& log);

}  // namespace lathe
