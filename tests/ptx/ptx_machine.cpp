#include "ptx_machine.h"

#include <algorithm>
#include <bit>

namespace lathe::ptx {
namespace {

constexpr uint8_t kSharedPattern = 0xcd;
constexpr uint32_t kNever = ~uint32_t{0};

void FillSpecials(Warp& warp, const Grid& grid) {
  const auto all = [&](Special special, uint32_t value) {
    for (uint32_t lane = 0; lane < kLanes; ++lane) warp.Set(SpecialSlot(special), lane, value);
  };
  for (uint32_t i = 0; i < 3; ++i) {
    all(static_cast<Special>(kNtidX + i), grid.threads[i]);
    all(static_cast<Special>(kNctaidX + i), grid.blocks[i]);
  }
  all(kWarpId, warp.index);
  for (uint32_t lane = 0; lane < kLanes; ++lane) {
    const uint32_t thread = warp.Thread(lane);
    warp.Set(SpecialSlot(kTidX), lane, thread % grid.threads[0]);
    warp.Set(SpecialSlot(kTidY), lane, thread / grid.threads[0] % grid.threads[1]);
    warp.Set(SpecialSlot(kTidZ), lane, thread / grid.threads[0] / grid.threads[1]);
    const Mask own = Mask{1} << lane, lower = own - 1;
    warp.Set(SpecialSlot(kLaneId), lane, lane);
    warp.Set(SpecialSlot(kLaneMaskEq), lane, own);
    warp.Set(SpecialSlot(kLaneMaskLt), lane, lower);
    warp.Set(SpecialSlot(kLaneMaskLe), lane, lower | own);
    warp.Set(SpecialSlot(kLaneMaskGt), lane, ~(lower | own));
    warp.Set(SpecialSlot(kLaneMaskGe), lane, ~lower);
  }
}

uint32_t CountOf(const std::array<uint32_t, 3>& size) { return size[0] * size[1] * size[2]; }

// A block's warps, and nothing else, made once a launch: slots of constants and of special registers stay.
void MakeWarps(Block& block) {
  const Kernel& kernel = *block.grid->kernel;
  const uint32_t threads = CountOf(block.grid->threads), count = (threads + kLanes - 1) / kLanes;
  block.slots.assign(count * kernel.slot_bytes, 0);
  block.warps.resize(count);
  for (uint32_t i = 0; i < count; ++i) {
    Warp& warp = block.warps[i];
    warp.slots = block.slots.data() + i * kernel.slot_bytes;
    warp.block = &block;
    warp.index = i;
    std::copy(kernel.constants.begin(), kernel.constants.end(), warp.slots + kernel.constants_at);
    FillSpecials(warp, *block.grid);
  }
}

void BeginBlock(Block& block) {
  const Kernel& kernel = *block.grid->kernel;
  const uint32_t threads = CountOf(block.grid->threads);
  std::fill(block.shared.begin(), block.shared.end(), kSharedPattern);
  block.grid->memory->epochs.BeginBlock();
  for (Warp& warp : block.warps) {
    for (uint32_t i = 0; i < 3; ++i)
      for (uint32_t lane = 0; lane < kLanes; ++lane) warp.Set(SpecialSlot(kCtaidX + i), lane, block.index[i]);
    const uint32_t lanes = std::min(threads - warp.index * kLanes, kLanes);
    warp.live = lanes == kLanes ? kAllLanes : (Mask{1} << lanes) - 1;
    warp.exited = 0;
    warp.groups.assign(1, {0, warp.live, false});
    warp.local.assign(kernel.local_bytes * kLanes, kSharedPattern);
    for (CopyQueue& queue : warp.copies) queue = {};
  }
}

Mask Awaited(const Warp& warp, const Instruction& instruction, uint32_t lane) {
  return instruction.awaited == Instruction::kNoSlot ? kAllLanes : warp.Get<Mask>(instruction.awaited, lane);
}

class WarpRun {
 public:
  WarpRun(Warp& warp, const Kernel& kernel) : warp_(warp), kernel_(kernel) {}

  // Until every lane waits or has exited.
  void Run() {
    while (Choose()) Go();
  }

 private:
  // Takes the group at the lowest instruction out of the list, with what else is there; false where nobody can go on.
  bool Choose() {
    pc_ = kNever;
    for (const Group& group : warp_.groups)
      if (!group.waits) pc_ = std::min(pc_, group.pc);
    if (pc_ == kNever) return false;
    lanes_ = 0;
    next_ = kNever;
    std::erase_if(warp_.groups, [&](const Group& group) {
      if (group.waits || group.pc != pc_) {
        if (!group.waits) next_ = std::min(next_, group.pc);
        return false;
      }
      lanes_ |= group.lanes;
      return true;
    });
    return true;
  }

  // Until the group has to be looked at together with others.
  void Go() {
    while (pc_ < next_) {
      const Instruction& instruction = kernel_.code[pc_];
      Mask active = lanes_;
      if (instruction.guard != Instruction::kNoSlot) {
        const Mask guard = warp_.Predicate(instruction.guard);
        active &= instruction.guard_negated ? ~guard : guard;
      }
      switch (instruction.flow) {
        case Flow::kNext:
          if (active != 0) {
            warp_.active = active;
            instruction.run(warp_, instruction);
          }
          ++pc_;
          break;
        case Flow::kBranch:
          if (active == lanes_) {
            pc_ = instruction.target;
          } else if (active == 0) {
            ++pc_;
          } else {
            warp_.groups.push_back({instruction.target, active, false});
            warp_.groups.push_back({pc_ + 1, lanes_ & ~active, false});
            return;
          }
          break;
        case Flow::kExit:
          warp_.live &= ~active;
          warp_.exited |= active;
          Release();
          lanes_ &= ~active;
          ++pc_;
          if (lanes_ == 0) return;
          break;
        case Flow::kBlockBarrier:
        case Flow::kTogether:
          if (active == 0) {
            ++pc_;
            break;
          }
          if (lanes_ != active) warp_.groups.push_back({pc_ + 1, lanes_ & ~active, false});
          Wait(instruction, active);
          return;
      }
    }
    warp_.groups.push_back({pc_, lanes_, false});
  }

  // Joins those that wait at this instruction already, and goes on with it if that was all.
  void Wait(const Instruction& instruction, Mask lanes) {
    for (const Group& group : warp_.groups)
      if (group.waits && group.pc == pc_) lanes |= group.lanes;
    std::erase_if(warp_.groups, [&](const Group& group) { return group.waits && group.pc == pc_; });
    warp_.groups.push_back({pc_, lanes, true});
    if (instruction.flow == Flow::kTogether) TryTogether(warp_.groups.back());
  }

  // A lane that has exited is waited for no longer.
  void Release() {
    for (Group& group : warp_.groups)
      if (group.waits && kernel_.code[group.pc].flow == Flow::kTogether && TryTogether(group)) next_ = std::min(next_, group.pc);
  }

  bool TryTogether(Group& group) {
    const Instruction& instruction = kernel_.code[group.pc];
    const uint32_t first = static_cast<uint32_t>(std::countr_zero(group.lanes));
    const Mask awaited = Awaited(warp_, instruction, first);
    if ((warp_.live & ~awaited) != 0) {
      Report(warp_, first, instruction, "mask", "waits for some lanes of its warp alone, which is not modelled");
      throw Fault{kLaunchFailed};
    }
    if ((awaited & warp_.live & ~group.lanes) != 0) return false;
    for (uint32_t lane = 0; lane < kLanes; ++lane) {
      if ((group.lanes >> lane & 1) == 0) continue;
      warp_.active = group.lanes;
      const Mask own = Awaited(warp_, instruction, lane);
      if ((own >> lane & 1) == 0) Report(warp_, lane, instruction, "mask", "waits for lanes that it is not one of");
      if (own != awaited) Report(warp_, lane, instruction, "mask", "waits for other lanes than those it waits with");
    }
    warp_.active = group.lanes;
    instruction.run(warp_, instruction);
    group.waits = false;
    ++group.pc;
    return true;
  }

  Warp& warp_;
  const Kernel& kernel_;
  uint32_t pc_ = 0, next_ = 0;  // of the present group, and where another one is met
  Mask lanes_ = 0;
};

// All live threads wait at barriers of the block, or there is none: opens it. False: the block is done.
bool OpenBarrier(Block& block) {
  const Kernel& kernel = *block.grid->kernel;
  const Instruction* barrier = nullptr;
  uint32_t exited = kNever;
  for (Warp& warp : block.warps) {
    if (warp.exited != 0 && exited == kNever) exited = warp.Thread(static_cast<uint32_t>(std::countr_zero(warp.exited)));
    for (const Group& group : warp.groups) {
      const Instruction& at = kernel.code[group.pc];
      const auto lane = static_cast<uint32_t>(std::countr_zero(group.lanes));
      if (at.flow != Flow::kBlockBarrier) {
        Report(warp, lane, at, "deadlock", "waits for lanes of its warp that never come");
        throw Fault{kLaunchTimeout};
      }
      if (barrier == nullptr) barrier = &at;
      if (barrier->target != at.target) {
        Report(warp, lane, at, "deadlock", "waits at another barrier than other threads of the block");
        throw Fault{kLaunchTimeout};
      }
      if (&at != &kernel.code[warp.groups.front().pc])
        Report(warp, lane, at, "divergent barrier", "waits at a barrier while other lanes of the warp wait at another one");
    }
  }
  if (barrier == nullptr) return false;
  if (exited != kNever) {
    for (Warp& warp : block.warps)
      if (!warp.groups.empty()) {
        Report(warp, static_cast<uint32_t>(std::countr_zero(warp.live)), *barrier, "barrier",
               "waits at a barrier that " + ThreadName(block, exited) + " has exited without reaching");
        break;
      }
  }
  for (Warp& warp : block.warps) {
    for (Group& group : warp.groups) {
      group.waits = false;
      ++group.pc;
    }
    ++warp.syncs;
  }
  block.grid->memory->epochs.PassBarrier();
  return true;
}

}  // namespace

int RunGrid(Grid& grid) {
  grid.memory->epochs.BeginLaunch();
  Block block(grid);
  block.shared.resize(grid.shared_bytes);
  block.shadow.Resize(grid.shared_bytes, grid.kernel->granule);
  MakeWarps(block);
  int code = kLaunched;
  try {
    for (block.index[2] = 0; block.index[2] < grid.blocks[2]; ++block.index[2])
      for (block.index[1] = 0; block.index[1] < grid.blocks[1]; ++block.index[1])
        for (block.index[0] = 0; block.index[0] < grid.blocks[0]; ++block.index[0]) {
          BeginBlock(block);
          do
            for (Warp& warp : block.warps) WarpRun(warp, *grid.kernel).Run();
          while (OpenBarrier(block));
        }
  } catch (const Fault& fault) {
    code = fault.code;
  }
  grid.memory->EndLaunch();
  grid.findings->EndKernel();
  if (grid.counts != nullptr) grid.counts->EndLaunch(grid);
  return code;
}

std::string ThreadName(const Block& block, uint32_t thread) {
  const std::array<uint32_t, 3>& size = block.grid->threads;
  return "thread (" + std::to_string(thread % size[0]) + ", " + std::to_string(thread / size[0] % size[1]) + ", " +
         std::to_string(thread / size[0] / size[1]) + ")";
}

void Report(const Warp& warp, uint32_t lane, const Instruction& instruction, const char* kind, const std::string& what) {
  const Block& block = *warp.block;
  Findings& findings = *block.grid->findings;
  if (!findings.IsNew(kind, &instruction)) return;
  const Kernel& kernel = *block.grid->kernel;
  const Kernel::Source& source = kernel.sources[static_cast<size_t>(&instruction - kernel.code.data())];
  findings.Tell(std::string(kind) + ": kernel '" + kernel.name + "', block (" + std::to_string(block.index[0]) + ", " +
                std::to_string(block.index[1]) + ", " + std::to_string(block.index[2]) + "), " + ThreadName(block, warp.Thread(lane)) +
                ' ' + what + "\n  line " + std::to_string(source.line) + ": " + source.text + '\n');
}

}  // namespace lathe::ptx
