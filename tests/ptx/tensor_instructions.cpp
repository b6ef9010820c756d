// wmma m16n16k16 of halves with sums in f32.
//
// Which element of a fragment a lane holds is the architecture's own affair, so here it is an order that no kernel could guess: a step
// through the elements that is prime to their number. Factors have 16 halves in 8 registers of each of 32 lanes, so each element is there
// twice.
#include <bit>

#include "decoding.h"
#include "half.h"
#include "reach.h"

namespace lathe::ptx {
namespace {

constexpr uint32_t kSide = 16, kElements = kSide * kSide, kRegisters = 8;

constexpr uint32_t FactorElement(uint32_t lane, uint32_t half) { return ((lane * 16 + half) * 167 + 31) % kElements; }
constexpr uint32_t SumElement(uint32_t lane, uint32_t part) { return ((lane * kRegisters + part) * 73 + 19) % kElements; }

// Lanes do it together: all of them, at one address. Returns it and the stride.
struct Place {
  uint64_t address = 0;
  uint32_t stride = 0;
};
Place CommonPlace(Warp& warp, const Instruction& instruction) {
  Place place;
  for (uint32_t lane = 0; lane < kLanes; ++lane) {
    if (!warp.IsActive(lane)) {
      Report(warp, lane, instruction, "wmma", "takes no part, or does not exist");
      throw Fault{kLaunchFailed};
    }
    const Place own = {AddressOf(warp, instruction, instruction.at[4], lane), warp.Get<uint32_t>(instruction.at[0], lane)};
    if (lane == 0) place = own;
    if (own.address != place.address || own.stride != place.stride)
      Report(warp, lane, instruction, "wmma", "has another address or stride than lane 0");
  }
  return place;
}

// The offset of a line of 16 elements in shared memory.
uint64_t Line(Warp& warp, const Instruction& instruction, const Place& place, uint32_t line, uint32_t element_bytes) {
  constexpr uint32_t kAlignment = 32;  // of the first
  const uint64_t address = place.address + uint64_t{line} * place.stride * element_bytes;
  return SharedOffset(warp, instruction, 0, address, kSide * element_bytes, line == 0 ? kAlignment : 16);
}

AccessShadow::Who TheWarp(const Warp& warp) {
  const auto index = static_cast<AccessShadow::Id>(warp.index);
  return {static_cast<AccessShadow::Id>(AccessShadow::kOfWarp | index), index, warp.syncs};
}

// Elements [line][within the line]. For a: pixels by k; for b, which is stored by columns: channels by k.
void LoadFactor(Warp& warp, const Instruction& instruction) {
  const Place place = CommonPlace(warp, instruction);
  std::array<uint16_t, kElements> elements;
  for (uint32_t line = 0; line < kSide; ++line) {
    const uint64_t offset = Line(warp, instruction, place, line, 2);
    const AccessShadow::Conflict conflict = warp.block->shadow.Read(offset, kSide * 2, TheWarp(warp));
    if (conflict.kind != AccessShadow::Conflict::kNone)
      ReportConflict(warp, 0, instruction, conflict, "reads a line at ", SharedByte(offset));
    std::memcpy(&elements[line * kSide], warp.block->shared.data() + offset, kSide * 2);
  }
  for (uint32_t lane = 0; lane < kLanes; ++lane)
    for (uint32_t i = 0; i < kRegisters; ++i) {
      const uint32_t low = elements[FactorElement(lane, 2 * i)], high = elements[FactorElement(lane, 2 * i + 1)];
      warp.Set(instruction.parts[i], lane, low | high << 16);
    }
}

void StoreSum(Warp& warp, const Instruction& instruction) {
  const Place place = CommonPlace(warp, instruction);
  std::array<uint32_t, kElements> elements;
  for (uint32_t lane = 0; lane < kLanes; ++lane)
    for (uint32_t i = 0; i < kRegisters; ++i) elements[SumElement(lane, i)] = warp.Get<uint32_t>(instruction.parts[i], lane);
  for (uint32_t line = 0; line < kSide; ++line) {
    const uint64_t offset = Line(warp, instruction, place, line, 4);
    const AccessShadow::Conflict conflict = warp.block->shadow.Write(offset, kSide * 4, TheWarp(warp));
    if (conflict.kind != AccessShadow::Conflict::kNone)
      ReportConflict(warp, 0, instruction, conflict, "writes a line at ", SharedByte(offset));
    std::memcpy(warp.block->shared.data() + offset, &elements[line * kSide], kSide * 4);
  }
}

// parts: 8 of d, 8 of a, 8 of b, 8 of c
void Multiply(Warp& warp, const Instruction& instruction) {
  if (warp.active != kAllLanes) {
    Report(warp, static_cast<uint32_t>(std::countr_one(warp.active)), instruction, "wmma", "takes no part, or does not exist");
    throw Fault{kLaunchFailed};
  }
  std::array<float, kElements> a, b, by_k, sum;
  const auto factor = [&](std::array<float, kElements>& to, size_t first) {
    for (uint32_t i = 0; i < kRegisters; ++i)
      for (uint32_t lane = 0; lane < kLanes; ++lane) {
        const auto both = warp.Get<uint32_t>(instruction.parts[first + i], lane);
        to[FactorElement(lane, 2 * i)] = HalfToFloat(static_cast<uint16_t>(both));
        to[FactorElement(lane, 2 * i + 1)] = HalfToFloat(static_cast<uint16_t>(both >> 16));
      }
  };
  factor(a, kRegisters);
  factor(b, 2 * kRegisters);
  for (uint32_t lane = 0; lane < kLanes; ++lane)
    for (uint32_t i = 0; i < kRegisters; ++i) sum[SumElement(lane, i)] = warp.Get<float>(instruction.parts[3 * kRegisters + i], lane);
  for (uint32_t n = 0; n < kSide; ++n)
    for (uint32_t k = 0; k < kSide; ++k) by_k[k * kSide + n] = b[n * kSide + k];
  for (uint32_t m = 0; m < kSide; ++m)
    for (uint32_t k = 0; k < kSide; ++k)
      for (uint32_t n = 0; n < kSide; ++n) sum[m * kSide + n] += a[m * kSide + k] * by_k[k * kSide + n];
  for (uint32_t lane = 0; lane < kLanes; ++lane)
    for (uint32_t i = 0; i < kRegisters; ++i) warp.Set(instruction.parts[i], lane, sum[SumElement(lane, i)]);
}

void TakeFragment(Decoding& decoding, const OperandText& operand, Instruction& instruction) {
  if (operand.kind != OperandText::Kind::kVector || operand.parts.size() != kRegisters) decoding.Refuse("a fragment has 8 registers");
  for (const OperandText& part : operand.parts) instruction.parts.push_back(decoding.Slot(part, 4));
}

void DecodeWmma(Decoding& decoding, Instruction& instruction) {
  const std::string& opcode = decoding.text().opcode;
  const std::vector<OperandText>& operands = decoding.text().operands;
  instruction.space = Space::kShared;
  instruction.flow = Flow::kTogether;
  const auto take = [&](size_t fragment, size_t address) {
    decoding.ExpectOperands(3);
    TakeFragment(decoding, operands[fragment], instruction);
    decoding.Address(operands[address], instruction);
    instruction.at[0] = decoding.Slot(operands[2], 4);  // the stride
    decoding.NoteAccess(16);
  };
  if (opcode == "wmma.load.a.sync.aligned.row.m16n16k16.shared.f16" || opcode == "wmma.load.b.sync.aligned.col.m16n16k16.shared.f16") {
    take(0, 1);
    instruction.run = &LoadFactor;
  } else if (opcode == "wmma.store.d.sync.aligned.row.m16n16k16.shared.f32") {
    take(1, 0);
    instruction.run = &StoreSum;
  } else if (opcode == "wmma.mma.sync.aligned.row.col.m16n16k16.f32.f32") {
    decoding.ExpectOperands(4);
    for (const OperandText& operand : operands) TakeFragment(decoding, operand, instruction);
    instruction.run = &Multiply;
  } else {
    decoding.Refuse("this shape, type or layout of wmma is not known");
  }
}

}  // namespace

void AddTensorInstructions(Decoders& decoders) { decoders["wmma"] = &DecodeWmma; }

}  // namespace lathe::ptx
