// cp.async: copies from global to shared memory that a thread begins, gathers in groups, and waits for.
#include <cstdlib>

#include "decoding.h"
#include "reach.h"

namespace lathe::ptx {
namespace {

void BeginCopies(Warp& warp, const Instruction& instruction) {
  AccessCounts::Lanes to_lanes, from_lanes;
  Block& block = *warp.block;
  const bool has_from_bytes = instruction.count == 2;
  for (uint32_t lane = 0; lane < kLanes; ++lane) {
    if (!warp.IsActive(lane)) continue;
    PendingCopy copy;
    const uint64_t to = AddressOf(warp, instruction, instruction.at[4], lane);
    copy.bytes = instruction.bytes;
    copy.from_bytes = has_from_bytes ? warp.Get<uint32_t>(instruction.at[2], lane) : copy.bytes;
    copy.from = warp.Get<uint64_t>(instruction.at[1], lane);
    copy.instruction = &instruction;
    copy.to = SharedOffset(warp, instruction, lane, to, copy.bytes, copy.bytes);
    if (copy.from % copy.bytes != 0) {
      Report(warp, lane, instruction, "misaligned", "copies from an address that is no multiple of " + std::to_string(copy.bytes));
      throw Fault{kMisalignedAddress};
    }
    if (copy.from_bytes > copy.bytes) {
      Report(warp, lane, instruction, "size", "copies " + std::to_string(copy.from_bytes) + " bytes to " + std::to_string(copy.bytes));
      throw Fault{kLaunchFailed};
    }
    // Here, for copies that nobody waits for, too; what else there is to see of what it reads, when it has ended.
    if (DeviceMemory& memory = *block.grid->memory; copy.from_bytes > 0 && memory.Find(copy.from, copy.from_bytes) == nullptr) {
      Report(warp, lane, instruction, "out of bounds",
             "copies " + std::to_string(copy.from_bytes) + " bytes of global memory, " + memory.Describe(copy.from));
      throw Fault{kIllegalAddress};
    }
    if (const AccessShadow::Conflict conflict = block.shadow.BeginCopy(copy.to, copy.bytes, WhoIs(warp, lane));
        conflict.kind != AccessShadow::Conflict::kNone)
      ReportConflict(warp, lane, instruction, conflict, "begins to copy to ", SharedByte(copy.to));
    warp.copies[lane].open.push_back(copy);
    to_lanes.emplace_back(lane, to);
    if (copy.from_bytes > 0) from_lanes.emplace_back(lane, copy.from);
  }
  if (AccessCounts* counts = block.grid->counts; counts != nullptr) {
    counts->Note(instruction, true, instruction.bytes, to_lanes);
    counts->Note(instruction, false, instruction.bytes, from_lanes);
  }
}

void EndCopy(Warp& warp, uint32_t lane, const PendingCopy& copy) {
  uint8_t* to = warp.block->shared.data() + copy.to;
  std::memset(to, 0, copy.bytes);
  // Reach wants one aligned access; where fewer bytes are taken, they are taken one by one.
  if (copy.from_bytes == copy.bytes) {
    std::memcpy(to, ReachGlobal(warp, *copy.instruction, lane, copy.from, copy.bytes, Access::kLoad), copy.bytes);
  } else {
    for (uint32_t i = 0; i < copy.from_bytes; ++i) to[i] = *ReachGlobal(warp, *copy.instruction, lane, copy.from + i, 1, Access::kLoad);
  }
  warp.block->shadow.EndCopy(copy.to, copy.bytes, WhoIs(warp, lane));
}

void CommitGroup(Warp& warp, const Instruction&) {
  for (uint32_t lane = 0; lane < kLanes; ++lane)
    if (warp.IsActive(lane)) {
      warp.copies[lane].groups.push_back(std::move(warp.copies[lane].open));
      warp.copies[lane].open.clear();
    }
}

// `offset`: so many of the youngest groups may still be under way; negative: none, and nothing that is in no group.
void WaitForCopies(Warp& warp, const Instruction& instruction) {
  const bool all = instruction.offset < 0;
  const size_t most = all ? 0 : static_cast<size_t>(instruction.offset);
  for (uint32_t lane = 0; lane < kLanes; ++lane) {
    if (!warp.IsActive(lane)) continue;
    CopyQueue& queue = warp.copies[lane];
    for (; queue.groups.size() > most; queue.groups.pop_front())
      for (const PendingCopy& copy : queue.groups.front()) EndCopy(warp, lane, copy);
    if (!all) continue;
    for (const PendingCopy& copy : queue.open) EndCopy(warp, lane, copy);
    queue.open.clear();
  }
}

// cp.async.{ca,cg}.shared.global [to], [from], 16{, from_bytes}
void DecodeCopy(Decoding& decoding, Instruction& instruction) {
  const std::string& opcode = decoding.text().opcode;
  const std::vector<OperandText>& operands = decoding.text().operands;
  if (opcode == "cp.async.commit_group") {
    decoding.ExpectOperands(0);
    instruction.run = &CommitGroup;
  } else if (opcode == "cp.async.wait_group" || opcode == "cp.async.wait_all") {
    decoding.ExpectOperands(opcode == "cp.async.wait_all" ? 0 : 1);
    instruction.offset = operands.empty() ? -1 : std::strtoll(operands[0].number.c_str(), nullptr, 0);
    instruction.run = &WaitForCopies;
  } else if (opcode == "cp.async.cg.shared.global" || opcode == "cp.async.ca.shared.global") {
    if (operands.size() != 3) decoding.ExpectOperands(4);
    instruction.space = Space::kShared;
    decoding.Address(operands[0], instruction);
    Instruction from;
    from.space = Space::kGlobal;
    decoding.Address(operands[1], from);
    if (from.address_bytes != 8 || from.offset != 0) decoding.Refuse("this way to say where it copies from is not known");
    instruction.at[1] = from.at[4];
    instruction.bytes = static_cast<uint8_t>(std::strtoul(operands[2].number.c_str(), nullptr, 0));
    if (instruction.bytes != 16 && (opcode[9] == 'g' || (instruction.bytes != 4 && instruction.bytes != 8)))
      decoding.Refuse("it copies 16 bytes (ca: 4, 8 or 16)");
    instruction.count = 1;
    if (operands.size() == 4) {
      instruction.at[2] = decoding.Slot(operands[3], 4);
      instruction.count = 2;
    }
    decoding.NoteAccess(instruction.bytes);
    instruction.run = &BeginCopies;
  } else {
    decoding.Refuse("this kind of copy is not known");
  }
}

}  // namespace

void AddAsynchronousCopies(Decoders& decoders) { decoders["cp"] = &DecodeCopy; }

}  // namespace lathe::ptx
