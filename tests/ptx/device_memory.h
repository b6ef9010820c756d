// The device's memory: every allocation by its exact bounds, and what is known of each of its bytes. Memory is the host's, and so are
// addresses.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "access_shadow.h"

namespace lathe::ptx {

class DeviceMemory {
 public:
  enum ByteState : uint8_t {
    kWritten = 1,          // by a copy from the host, or by a kernel; filling with a pattern (cuMemset) is no writing: who does it does not
                           // mean the pattern to be read
    kWrittenInLaunch = 2,  // by the kernel that runs
    kReadAsConstant = 4,   // by the kernel that runs, with ld.global.nc
  };
  struct Allocation {
    uint64_t address = 0, bytes = 0;
    bool read_only = false;
    std::vector<uint8_t> state = {};        // of each byte
    uint64_t dirty_from = 0, dirty_to = 0;  // bytes whose state is the launch's
    std::unique_ptr<AccessShadow> shadow;   // once a kernel has touched it otherwise than by ld.global.nc
    std::unique_ptr<uint8_t, void (*)(void*)> memory{nullptr, nullptr};
  };

  Epochs epochs;  // of all kernels that use this memory

  uint64_t Allocate(uint64_t bytes);  // 0: there is no memory
  bool Free(uint64_t address);        // false: nothing was allocated there
  // Memory of somebody else's that kernels may read, or also write: a module's variables.
  void Add(uint64_t address, uint64_t bytes, bool read_only);

  // The allocation that these bytes lie in, all of them; null where none.
  Allocation* Find(uint64_t address, uint64_t bytes) {
    if (last_ != nullptr && address - last_->address < last_->bytes && bytes <= last_->bytes - (address - last_->address)) return last_;
    return FindAmongAll(address, bytes);
  }
  // The nearest allocation, for people: "16 bytes past the end of an allocation of 64 bytes"
  std::string Describe(uint64_t address) const;

  void MarkWritten(uint64_t address, uint64_t bytes) { Mark(address, bytes, kWritten); }
  void MarkUnwritten(uint64_t address, uint64_t bytes) { Mark(address, bytes, 0); }
  void EndLaunch();

 private:
  void Mark(uint64_t address, uint64_t bytes, uint8_t state);
  Allocation* FindAmongAll(uint64_t address, uint64_t bytes);

  std::map<uint64_t, Allocation> allocations_;
  Allocation* last_ = nullptr;
};

}  // namespace lathe::ptx
