// From an address to its bytes, with every check on the way. What is refused is told; what a device would not survive ends the launch.
#pragma once

#include "ptx_machine.h"

namespace lathe::ptx {

enum class Access { kLoad, kStore, kAtomic };

// Each returns the bytes behind an address of that lane.
// `from`: what is going to be written, for stores.
uint8_t* ReachGlobal(Warp& warp, const Instruction& instruction, uint32_t lane, uint64_t address, uint32_t bytes, Access access,
                     const void* from = nullptr);
uint8_t* ReachShared(Warp& warp, const Instruction& instruction, uint32_t lane, uint64_t address, uint32_t bytes, Access access,
                     const void* from = nullptr);
uint8_t* ReachLocal(Warp& warp, const Instruction& instruction, uint32_t lane, uint64_t address, uint32_t bytes, Access access);

// Where shared bytes begin that an instruction of the whole warp, or an asynchronous copy, accesses; bounds are checked and nothing else.
uint64_t SharedOffset(Warp& warp, const Instruction& instruction, uint32_t lane, uint64_t address, uint32_t bytes, uint32_t alignment);
void ReportConflict(Warp& warp, uint32_t lane, const Instruction& instruction, const AccessShadow::Conflict& conflict, const char* does,
                    const std::string& place);
inline std::string SharedByte(uint64_t offset) { return "byte " + std::to_string(offset) + " of shared memory"; }
inline AccessShadow::Who WhoIs(const Warp& warp, uint32_t lane) {
  return {static_cast<AccessShadow::Id>(warp.Thread(lane)), static_cast<AccessShadow::Id>(warp.index), warp.syncs};
}

inline uint64_t AddressOf(const Warp& warp, const Instruction& instruction, uint32_t slot, uint32_t lane) {
  const uint64_t base = instruction.address_bytes == 4 ? warp.Get<uint32_t>(slot, lane) : warp.Get<uint64_t>(slot, lane);
  return base + static_cast<uint64_t>(instruction.offset);
}

inline uint8_t* Reach(Warp& warp, const Instruction& instruction, uint32_t lane, uint64_t address, uint32_t bytes, Access access,
                      const void* from = nullptr) {
  Space space = instruction.space;
  if (space == Space::kGeneric) {
    space = (address & kSharedWindow) != 0 ? Space::kShared : (address & kLocalWindow) != 0 ? Space::kLocal : Space::kGlobal;
    address &= ~kWindowMask;
  }
  if (space == Space::kShared) return ReachShared(warp, instruction, lane, address, bytes, access, from);
  if (space == Space::kLocal) return ReachLocal(warp, instruction, lane, address, bytes, access);
  return ReachGlobal(warp, instruction, lane, address, bytes, access, from);
}

}  // namespace lathe::ptx
