// Branches, barriers, and what lanes of a warp do together.
#include <algorithm>

#include "decoding.h"

namespace lathe::ptx {
namespace {

void DecodeBranch(Decoding& decoding, Instruction& instruction) {
  if (decoding.text().opcode != "bra" && decoding.text().opcode != "bra.uni") decoding.Refuse("this branch is not known");
  decoding.ExpectOperands(1);
  instruction.flow = Flow::kBranch;
  instruction.target = decoding.Label(decoding.text().operands[0]);
}

void DecodeExit(Decoding& decoding, Instruction& instruction) {
  decoding.ExpectOperands(0);
  instruction.flow = Flow::kExit;
}

// Lanes that are here together are so in the order that memory sees, too.
void SyncWarp(Warp& warp, const Instruction&) { ++warp.syncs; }

void DecodeBarrier(Decoding& decoding, Instruction& instruction) {
  const std::string& opcode = decoding.text().opcode;
  const std::vector<OperandText>& operands = decoding.text().operands;
  decoding.ExpectOperands(1);
  if (opcode == "bar.warp.sync") {
    instruction.flow = Flow::kTogether;
    instruction.awaited = decoding.Slot(operands[0], 4);
    instruction.run = &SyncWarp;
    return;
  }
  if (opcode != "bar.sync" && opcode != "barrier.sync" && opcode != "barrier.sync.aligned") decoding.Refuse("this barrier is not known");
  if (operands[0].kind != OperandText::Kind::kNumber) decoding.Refuse("a barrier whose number is computed is not known");
  instruction.flow = Flow::kBlockBarrier;
  instruction.target = static_cast<uint32_t>(std::strtoul(operands[0].number.c_str(), nullptr, 0));
}

// Stores are seen in order anyway.
void DoNothing(Warp&, const Instruction&) {}
void DecodeFence(Decoding& decoding, Instruction& instruction) {
  decoding.ExpectOperands(0);
  instruction.run = &DoNothing;
}

// shfl.sync.mode.b32 d{|p}, a, b, c, membermask: `c` has the clamp in bits 0 to 4, the segment mask in bits 8 to 12
enum class Shuffle { kUp, kDown, kButterfly, kIndex };
template <Shuffle mode>
void RunShuffle(Warp& warp, const Instruction& instruction) {
  const detail::Slots<uint32_t> a(warp, instruction.at[1]), b(warp, instruction.at[2]), c(warp, instruction.at[3]);
  std::array<uint32_t, kLanes> result;
  for (uint32_t lane = 0; lane < kLanes; ++lane) {
    const uint32_t distance = b[lane] & 31, clamp = c[lane] & 31, segment = c[lane] >> 8 & 31;
    const uint32_t last = (lane & segment) | (clamp & ~segment), first = lane & segment;
    uint32_t from = lane;
    bool in_range = true;
    if constexpr (mode == Shuffle::kUp) in_range = static_cast<int32_t>(from = lane - distance) >= static_cast<int32_t>(last);
    if constexpr (mode == Shuffle::kDown) in_range = (from = lane + distance) <= last;
    if constexpr (mode == Shuffle::kButterfly) in_range = (from = lane ^ distance) <= last;
    if constexpr (mode == Shuffle::kIndex) in_range = (from = first | (distance & ~segment)) <= last;
    if (!in_range) from = lane;
    result[lane] = a[from];
    if (warp.IsActive(lane) && !warp.IsActive(from))
      Report(warp, lane, instruction, "shuffle", "reads a register of lane " + std::to_string(from) + ", which takes no part");
  }
  detail::Keep(warp, instruction.at[0], result);
}

void DecodeShuffle(Decoding& decoding, Instruction& instruction) {
  static const std::unordered_map<std::string, Handler> modes = {{"shfl.sync.up.b32", &RunShuffle<Shuffle::kUp>},
                                                                 {"shfl.sync.down.b32", &RunShuffle<Shuffle::kDown>},
                                                                 {"shfl.sync.bfly.b32", &RunShuffle<Shuffle::kButterfly>},
                                                                 {"shfl.sync.idx.b32", &RunShuffle<Shuffle::kIndex>}};
  const auto found = modes.find(decoding.text().opcode);
  if (found == modes.end()) decoding.Refuse("this shuffle is not known");
  decoding.ExpectOperands(5);
  for (size_t i = 0; i < 4; ++i) instruction.at[i] = decoding.Slot(decoding.text().operands[i], 4);
  instruction.awaited = decoding.Slot(decoding.text().operands[4], 4);
  instruction.flow = Flow::kTogether;
  instruction.run = found->second;
}

// vote.sync.{ballot.b32,all.pred,any.pred} d, predicate, membermask
void DecodeVote(Decoding& decoding, Instruction& instruction) {
  decoding.ExpectOperands(3);
  const std::string& opcode = decoding.text().opcode;
  const std::vector<OperandText>& operands = decoding.text().operands;
  const bool ballot = opcode == "vote.sync.ballot.b32";
  instruction.at[0] = decoding.Slot(operands[0], ballot ? uint8_t{4} : kPredicateBytes);
  instruction.at[1] = decoding.Slot(operands[1], kPredicateBytes);
  instruction.awaited = decoding.Slot(operands[2], 4);
  instruction.flow = Flow::kTogether;
  if (ballot)
    instruction.run = [](Warp& warp, const Instruction& i) {
      std::array<Mask, kLanes> all;
      all.fill(warp.Predicate(i.at[1]) & warp.active);
      detail::Keep(warp, i.at[0], all);
    };
  else if (opcode == "vote.sync.all.pred")
    instruction.run = [](Warp& warp, const Instruction& i) {
      warp.SetPredicate(i.at[0], (~warp.Predicate(i.at[1]) & warp.active) == 0 ? kAllLanes : 0);
    };
  else if (opcode == "vote.sync.any.pred")
    instruction.run = [](Warp& warp, const Instruction& i) {
      warp.SetPredicate(i.at[0], (warp.Predicate(i.at[1]) & warp.active) != 0 ? kAllLanes : 0);
    };
  else
    decoding.Refuse("this vote is not known");
}

}  // namespace

void AddWarpInstructions(Decoders& decoders) {
  decoders["bra"] = &DecodeBranch;
  for (const char* word : {"ret", "exit"}) decoders[word] = &DecodeExit;
  for (const char* word : {"bar", "barrier"}) decoders[word] = &DecodeBarrier;
  for (const char* word : {"membar", "fence"}) decoders[word] = &DecodeFence;
  decoders["shfl"] = &DecodeShuffle;
  decoders["vote"] = &DecodeVote;
}

}  // namespace lathe::ptx
