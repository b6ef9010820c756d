// What runs: a warp and its groups of lanes, a block, a grid. ptx_machine.h explains how they go on.
#pragma once

#include <array>
#include <cstring>
#include <deque>
#include <tuple>
#include <vector>

#include "access_counts.h"
#include "access_shadow.h"
#include "device_memory.h"
#include "findings.h"
#include "ptx_module.h"

namespace lathe::ptx {

struct Block;

// Lanes that are at the same instruction.
struct Group {
  uint32_t pc = 0;
  Mask lanes = 0;
  bool waits = false;  // for other lanes of the warp, or for the block
};

// An asynchronous copy that was begun and nobody has waited for.
struct PendingCopy {
  uint64_t to = 0, from = 0;  // shared, global
  uint32_t bytes = 0, from_bytes = 0;
  const Instruction* instruction = nullptr;
};
struct CopyQueue {
  std::vector<PendingCopy> open;                // not in a group yet
  std::deque<std::vector<PendingCopy>> groups;  // the oldest first
};

struct Warp {
  uint8_t* slots = nullptr;
  Mask active = 0;  // for whom the present instruction runs
  Block* block = nullptr;
  uint32_t index = 0;
  Mask live = 0;  // lanes that there are and that have not exited
  Mask exited = 0;
  uint32_t syncs = 1;  // how often its lanes have waited for each other
  std::vector<Group> groups;
  std::vector<uint8_t> local;  // of each lane, one behind the other
  std::array<CopyQueue, kLanes> copies;

  bool IsActive(uint32_t lane) const { return (active >> lane & 1) != 0; }
  template <typename T>
  T Get(uint32_t slot, uint32_t lane) const {
    T value;
    std::memcpy(&value, slots + slot + lane * sizeof value, sizeof value);
    return value;
  }
  template <typename T>
  void Set(uint32_t slot, uint32_t lane, T value) {
    std::memcpy(slots + slot + lane * sizeof value, &value, sizeof value);
  }
  Mask Predicate(uint32_t slot) const { return Get<Mask>(slot, 0); }
  void SetPredicate(uint32_t slot, Mask value) { Set(slot, 0, (Predicate(slot) & ~active) | (value & active)); }
  uint32_t Thread(uint32_t lane) const { return index * kLanes + lane; }
};

// What a launch is, and what its blocks share.
struct Grid {
  const Kernel* kernel = nullptr;
  std::array<uint32_t, 3> blocks = {1, 1, 1}, threads = {1, 1, 1};
  std::vector<uint8_t> parameters;
  uint64_t shared_bytes = 0;  // with what the launch adds
  DeviceMemory* memory = nullptr;
  Findings* findings = nullptr;
  AccessCounts* counts = nullptr;       // none: nobody asked
  bool tells_unwritten_global = false;  // reads of global memory that nobody wrote are findings
};

struct Block {
  explicit Block(Grid& of) : grid(&of), shadow(of.memory->epochs, true) {}

  Grid* grid = nullptr;
  std::array<uint32_t, 3> index = {0, 0, 0};
  std::vector<uint8_t> shared;
  AccessShadow shadow;  // of `shared`
  std::vector<Warp> warps;
  std::vector<uint8_t> slots;
};

// The launch cannot go on, as on a device that met an illegal address.
struct Fault {
  int code = 0;
};

// Adds a finding of that lane. `kind` is a word; one kind is told once an instruction, and counted.
void Report(const Warp& warp, uint32_t lane, const Instruction& instruction, const char* kind, const std::string& what);
// "thread (3, 0, 0)"
std::string ThreadName(const Block& block, uint32_t thread);

}  // namespace lathe::ptx
