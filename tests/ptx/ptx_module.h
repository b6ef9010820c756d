// A loaded module: kernels whose instructions are decoded, once, to a function and the places of their operands.
//
// A register of a warp is a slot: the values of its 32 lanes side by side, so that one instruction is one loop over them. Predicates are a
// mask of 32 bits. Numbers that stand in the text, addresses of variables and special registers are slots, too: a handler knows slots
// alone.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/result.h"

namespace lathe::ptx {

constexpr uint32_t kLanes = 32;
using Mask = uint32_t;  // a bit a lane
constexpr Mask kAllLanes = ~Mask{0};

struct Warp;
struct Instruction;
using Handler = void (*)(Warp&, const Instruction&);

enum class Flow : uint8_t {
  kNext,
  kBranch,
  kExit,
  kBlockBarrier,  // waits for the block
  kTogether,      // waits for the lanes of `awaited`, then `run` is called for them together
};

enum class Space : uint8_t { kGeneric, kGlobal, kShared, kLocal, kConst };

struct Instruction {
  static constexpr uint32_t kNoSlot = ~uint32_t{0};

  Handler run = nullptr;
  Flow flow = Flow::kNext;
  Space space = Space::kGeneric;
  bool guard_negated = false;
  bool cached = false;                         // ld.global.nc: nobody may write there during the launch
  uint8_t bytes = 0, count = 1;                // of one element that is loaded or stored, and how many
  uint8_t value_bytes = 0, address_bytes = 8;  // of the registers with the values, and with the address
  uint32_t guard = kNoSlot;
  uint32_t awaited = kNoSlot;        // kTogether: the slot of the mask of lanes; none: the whole warp
  uint32_t target = 0;               // of a branch; of a barrier: its number
  std::array<uint32_t, 5> at = {};   // slots of operands, the destination's first
  int64_t offset = 0;                // added to the address
  std::vector<uint32_t> parts = {};  // slots of instructions with more operands
};

// Where special registers lie in a warp's slots, each of 32 bits a lane.
enum Special : uint32_t {
  kTidX,
  kTidY,
  kTidZ,
  kNtidX,
  kNtidY,
  kNtidZ,
  kCtaidX,
  kCtaidY,
  kCtaidZ,
  kNctaidX,
  kNctaidY,
  kNctaidZ,
  kLaneId,
  kWarpId,
  kLaneMaskEq,
  kLaneMaskLt,
  kLaneMaskLe,
  kLaneMaskGt,
  kLaneMaskGe,
  kSpecials
};
constexpr uint32_t SpecialSlot(uint32_t special) { return special * kLanes * 4; }

struct Kernel {
  struct Parameter {
    std::string name;
    uint64_t offset = 0, bytes = 0;
  };
  struct Source {
    uint32_t line = 0;
    std::string text;
  };
  std::string name;
  std::vector<Parameter> parameters;
  uint64_t parameter_bytes = 0;
  std::array<uint32_t, 3> most_threads = {0, 0, 0};
  bool exact_threads = false;
  std::vector<Instruction> code;
  std::vector<Source> sources;     // of each instruction
  uint64_t slot_bytes = 0;         // of a warp's slots
  std::vector<uint8_t> constants;  // what lies behind the registers' slots from the start
  uint64_t constants_at = 0;       // where among the slots
  uint64_t shared_bytes = 0;       // declared; what a launch adds lies behind
  uint64_t local_bytes = 0;        // of a thread
  uint32_t granule = 16;           // no access to shared or global memory is smaller
};

struct Variable {  // .const and .global
  std::string name;
  bool read_only = false;
  uint64_t bytes = 0;
  std::unique_ptr<uint8_t, void (*)(void*)> memory{nullptr, nullptr};
};

struct Module {
  std::string target;
  std::vector<Variable> variables;
  std::map<std::string, Kernel> kernels;
};

// Fails (kInvalidInput) at the first instruction that is not known, which it names.
Result<std::unique_ptr<Module>> LoadModule(const std::string& text);

// In shared memory the first variable lies here, so that an address of 0 is nobody's.
constexpr uint64_t kSharedBase = 1024;
// Generic addresses of shared and of local memory; all others are global.
constexpr uint64_t kSharedWindow = uint64_t{1} << 56, kLocalWindow = uint64_t{1} << 57, kWindowMask = kSharedWindow | kLocalWindow;

}  // namespace lathe::ptx
