// How a file of instructions says which it knows: Forms for those whose operands are plain values, in order; Decoders for the others.
#pragma once

#include <string>
#include <type_traits>
#include <unordered_map>

#include "ptx_module.h"
#include "ptx_parser.h"
#include "warp.h"

namespace lathe::ptx {

constexpr uint8_t kPredicateBytes = 0;

// "add.s32" and what it does to three slots of 4 bytes.
struct Form {
  Handler run = nullptr;
  std::vector<uint8_t> bytes;  // of each operand, the destination first
};
using Forms = std::unordered_map<std::string, Form>;

// One instruction of a kernel while it is decoded.
class Decoding {
 public:
  virtual ~Decoding() = default;
  virtual const InstructionText& text() const = 0;
  // The slot of a register of just so many bytes, or of a number.
  virtual uint32_t Slot(const OperandText& operand, uint8_t bytes) = 0;
  // The slot of a register of any size.
  virtual uint32_t Slot(const OperandText& operand, uint8_t* bytes) = 0;
  // Slot, size and offset of "[%rd1+4]", "[table+4]", "[%r1]".
  virtual void Address(const OperandText& operand, Instruction& instruction) = 0;
  virtual uint32_t Label(const OperandText& operand) = 0;
  virtual const Kernel::Parameter& Parameter(const OperandText& operand) = 0;
  virtual void NoteAccess(uint32_t bytes) = 0;

  [[noreturn]] void Refuse(const std::string& why) const { throw Refusal("'" + text().text + "': " + why, text().line); }
  void ExpectOperands(size_t count) const {
    if (text().operands.size() != count) Refuse("it takes " + std::to_string(count) + " operands");
  }
  // "ld", "global", "f32"
  std::vector<std::string> Words() const;
};
using Decoder = void (*)(Decoding&, Instruction&);
using Decoders = std::unordered_map<std::string, Decoder>;  // by the opcode's first word

void AddArithmetic(Forms& forms);
void AddConversions(Decoders& decoders);
void AddMemoryInstructions(Decoders& decoders);
void AddAsynchronousCopies(Decoders& decoders);
void AddWarpInstructions(Decoders& decoders);
void AddTensorInstructions(Decoders& decoders);

namespace detail {

template <typename T>
struct Slots {  // the values of a slot while an instruction works
  std::array<T, kLanes> value;
  Slots(const Warp& warp, uint32_t slot) { std::memcpy(value.data(), warp.slots + slot, sizeof value); }
  T operator[](uint32_t lane) const { return value[lane]; }
};
template <>
struct Slots<bool> {
  Mask mask;
  Slots(const Warp& warp, uint32_t slot) { std::memcpy(&mask, warp.slots + slot, sizeof mask); }
  bool operator[](uint32_t lane) const { return (mask >> lane & 1) != 0; }
};

template <typename D>
void Keep(Warp& warp, uint32_t slot, const std::array<D, kLanes>& result) {
  if (warp.active == kAllLanes) {
    std::memcpy(warp.slots + slot, result.data(), sizeof result);
    return;
  }
  std::array<D, kLanes> kept;
  std::memcpy(kept.data(), warp.slots + slot, sizeof kept);
  for (uint32_t lane = 0; lane < kLanes; ++lane) kept[lane] = (warp.active >> lane & 1) != 0 ? result[lane] : kept[lane];
  std::memcpy(warp.slots + slot, kept.data(), sizeof kept);
}

template <auto F, typename D, typename... S, size_t... I>
void RunEach(Warp& warp, const Instruction& instruction, std::index_sequence<I...>) {
  const std::tuple<Slots<S>...> from(Slots<S>(warp, instruction.at[I + 1])...);
  if constexpr (std::is_same_v<D, bool>) {
    Mask result = 0;
    for (uint32_t lane = 0; lane < kLanes; ++lane) result |= Mask{F(std::get<I>(from)[lane]...)} << lane;
    warp.SetPredicate(instruction.at[0], result);
  } else {
    std::array<D, kLanes> result;
    for (uint32_t lane = 0; lane < kLanes; ++lane) result[lane] = F(std::get<I>(from)[lane]...);
    Keep(warp, instruction.at[0], result);
  }
}

template <auto F, typename D, typename... S>
void Run(Warp& warp, const Instruction& instruction) {
  RunEach<F, D, S...>(warp, instruction, std::index_sequence_for<S...>());
}

template <typename T>
constexpr uint8_t OperandBytes() {
  return std::is_same_v<T, bool> ? kPredicateBytes : static_cast<uint8_t>(sizeof(T));
}

template <auto F, typename D, typename... S>
Form FormOf(D (*)(S...)) {
  return {&Run<F, D, S...>, {OperandBytes<D>(), OperandBytes<S>()...}};
}

}  // namespace detail

// The form of a function of one lane's values: types and number of operands are the function's. It is called for lanes that are not active,
// too, with whatever they hold.
template <auto F>
Form Each() {
  return detail::FormOf<F>(+F);
}

}  // namespace lathe::ptx
