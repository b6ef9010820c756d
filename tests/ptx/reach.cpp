#include "reach.h"

#include <algorithm>

namespace lathe::ptx {
namespace {

const char* Doing(Access access) { return access == Access::kLoad ? "reads " : access == Access::kStore ? "writes " : "changes "; }

void CheckAlignment(Warp& warp, const Instruction& instruction, uint32_t lane, uint64_t address, uint32_t bytes, Access access) {
  if (address % bytes == 0) return;
  Report(warp, lane, instruction, "misaligned",
         Doing(access) + std::to_string(bytes) + " bytes at an address that is " + std::to_string(address % bytes) +
             " past a multiple of that");
  throw Fault{kMisalignedAddress};
}

// All of `bytes` states have the bits; at most 16 of them.
bool Have(const uint8_t* state, uint32_t bytes, uint8_t bits) {
  return std::all_of(state, state + bytes, [&](uint8_t byte) { return (byte & bits) == bits; });
}
bool Any(const uint8_t* state, uint32_t bytes, uint8_t bits) {
  return std::any_of(state, state + bytes, [&](uint8_t byte) { return (byte & bits) != 0; });
}

AccessShadow::Conflict Note(AccessShadow& shadow, uint64_t offset, uint32_t bytes, Access access, const AccessShadow::Who& who) {
  if (access == Access::kLoad) return shadow.Read(offset, bytes, who);
  return access == Access::kStore ? shadow.Write(offset, bytes, who) : shadow.Change(offset, bytes, who);
}

AccessShadow::Conflict Touch(const Warp& warp, uint32_t lane, DeviceMemory::Allocation& allocation, uint64_t offset, uint32_t bytes,
                             Access access) {
  const Grid& grid = *warp.block->grid;
  if (allocation.shadow == nullptr) allocation.shadow = std::make_unique<AccessShadow>(grid.memory->epochs, false);
  allocation.shadow->Resize(allocation.bytes, grid.kernel->granule);
  return Note(*allocation.shadow, offset, bytes, access, WhoIs(warp, lane));
}

// Storing what is there already races with nobody, unless a copy is going to change it. `from`: what is stored; null where nothing is.
bool Changes(const uint8_t* at, const void* from, uint32_t bytes, const AccessShadow::Conflict& conflict) {
  return from == nullptr || conflict.kind == AccessShadow::Conflict::kCopyUnderWay || std::memcmp(at, from, bytes) != 0;
}

}  // namespace

uint8_t* ReachGlobal(Warp& warp, const Instruction& instruction, uint32_t lane, uint64_t address, uint32_t bytes, Access access,
                     const void* from) {
  CheckAlignment(warp, instruction, lane, address, bytes, access);
  DeviceMemory& memory = *warp.block->grid->memory;
  DeviceMemory::Allocation* allocation = memory.Find(address, bytes);
  if (allocation == nullptr || (allocation->read_only && access != Access::kLoad)) {
    Report(warp, lane, instruction, "out of bounds",
           Doing(access) + std::to_string(bytes) + " bytes of global memory, " + memory.Describe(address) +
               (allocation == nullptr ? "" : ", which is constant"));
    throw Fault{kIllegalAddress};
  }
  const uint64_t within = address - allocation->address;
  uint8_t* state = allocation->state.data() + within;
  if (warp.block->grid->tells_unwritten_global && access != Access::kStore && !Have(state, bytes, DeviceMemory::kWritten))
    Report(warp, lane, instruction, "uninitialised",
           Doing(access) + std::to_string(bytes) + " bytes of global memory that nobody wrote, " + memory.Describe(address));
  if (!instruction.cached) {
    const AccessShadow::Conflict conflict = Touch(warp, lane, *allocation, within, bytes, access);
    if (conflict.kind != AccessShadow::Conflict::kNone && Changes(reinterpret_cast<const uint8_t*>(address), from, bytes, conflict))
      ReportConflict(warp, lane, instruction, conflict, Doing(access), memory.Describe(address));
  }
  if (access == Access::kLoad && !instruction.cached) return reinterpret_cast<uint8_t*>(address);
  if (access == Access::kLoad) {
    if (Any(state, bytes, DeviceMemory::kWrittenInLaunch))
      Report(warp, lane, instruction, "not constant",
             "reads as constant (ld.global.nc) what this launch has written, " + memory.Describe(address));
    for (uint32_t i = 0; i < bytes; ++i) state[i] |= DeviceMemory::kReadAsConstant;
  } else {
    if (Any(state, bytes, DeviceMemory::kReadAsConstant))
      Report(warp, lane, instruction, "not constant",
             "writes what this launch has read as constant (ld.global.nc), " + memory.Describe(address));
    for (uint32_t i = 0; i < bytes; ++i) state[i] |= DeviceMemory::kWritten | DeviceMemory::kWrittenInLaunch;
  }
  if (allocation->dirty_to == 0) allocation->dirty_from = within;
  allocation->dirty_from = std::min(allocation->dirty_from, within);
  allocation->dirty_to = std::max(allocation->dirty_to, within + bytes);
  return reinterpret_cast<uint8_t*>(address);
}

uint64_t SharedOffset(Warp& warp, const Instruction& instruction, uint32_t lane, uint64_t address, uint32_t bytes, uint32_t alignment) {
  const uint64_t offset = address - kSharedBase, all = warp.block->shared.size();
  if (offset >= all || bytes > all - offset) {
    Report(warp, lane, instruction, "out of bounds",
           "accesses " + std::to_string(bytes) + " bytes at " + std::to_string(static_cast<int64_t>(offset)) +
               " of shared memory, of which there are " + std::to_string(all) + " bytes");
    throw Fault{kIllegalAddress};
  }
  if (offset % alignment != 0) {
    Report(warp, lane, instruction, "misaligned",
           "accesses shared memory at " + std::to_string(offset) + ", which is no multiple of " + std::to_string(alignment));
    throw Fault{kMisalignedAddress};
  }
  return offset;
}

void ReportConflict(Warp& warp, uint32_t lane, const Instruction& instruction, const AccessShadow::Conflict& conflict, const char* does,
                    const std::string& place) {
  using Conflict = AccessShadow::Conflict;
  std::string other;
  if (conflict.other == AccessShadow::kOtherBlock)
    other = "another block";
  else if (conflict.other == AccessShadow::kMany)
    other = "several threads";
  else if ((conflict.other & AccessShadow::kOfWarp) != 0)
    other = "a lane of warp " + std::to_string(conflict.other & (AccessShadow::kOfWarp - 1));
  else
    other = ThreadName(*warp.block, conflict.other);
  if (conflict.kind == Conflict::kUnwritten)
    Report(warp, lane, instruction, "uninitialised", does + place + ", which nobody of the block wrote");
  else if (conflict.kind == Conflict::kCopyUnderWay)
    Report(warp, lane, instruction, "race", does + place + ", which an asynchronous copy of " + other + " may still be writing");
  else
    Report(warp, lane, instruction, "race",
           does + place + ", which " + other + (conflict.kind == Conflict::kWritten ? " wrote" : " read") +
               (conflict.other == AccessShadow::kOtherBlock ? " in the same launch" : " with no barrier between"));
}

uint8_t* ReachShared(Warp& warp, const Instruction& instruction, uint32_t lane, uint64_t address, uint32_t bytes, Access access,
                     const void* from) {
  Block& block = *warp.block;
  const uint64_t offset = SharedOffset(warp, instruction, lane, address, bytes, bytes);
  uint8_t* at = block.shared.data() + offset;
  const AccessShadow::Conflict conflict = Note(block.shadow, offset, bytes, access, WhoIs(warp, lane));
  if (conflict.kind != AccessShadow::Conflict::kNone && Changes(at, from, bytes, conflict))
    ReportConflict(warp, lane, instruction, conflict, Doing(access), SharedByte(offset));
  return at;
}

uint8_t* ReachLocal(Warp& warp, const Instruction& instruction, uint32_t lane, uint64_t address, uint32_t bytes, Access access) {
  const uint64_t of_lane = warp.block->grid->kernel->local_bytes;
  CheckAlignment(warp, instruction, lane, address, bytes, access);
  if (address >= of_lane || bytes > of_lane - address) {
    Report(warp, lane, instruction, "out of bounds",
           "accesses " + std::to_string(bytes) + " bytes at " + std::to_string(address) + " of its local memory, of which there are " +
               std::to_string(of_lane));
    throw Fault{kIllegalAddress};
  }
  return warp.local.data() + lane * of_lane + address;
}

}  // namespace lathe::ptx
