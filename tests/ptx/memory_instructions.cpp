// ld, st, atom, red, cvta, mov: what moves values.
#include <algorithm>

#include "decoding.h"
#include "reach.h"

namespace lathe::ptx {
namespace {

using Words = std::vector<std::string>;

bool IsOneOf(const std::string& word, std::initializer_list<const char*> words) {
  return std::any_of(words.begin(), words.end(), [&](const char* one) { return word == one; });
}

bool TakeSpace(const std::string& word, Space& space) {
  if (word == "global")
    space = Space::kGlobal;
  else if (word == "shared" || word == "shared::cta")
    space = Space::kShared;
  else if (word == "local")
    space = Space::kLocal;
  else if (word == "const")
    space = Space::kConst;
  else
    return false;
  return true;
}

// ---- ld and st ----

void Count(const Warp& warp, const Instruction& instruction, uint32_t bytes) {
  AccessCounts* counts = warp.block->grid->counts;
  if (counts == nullptr || (instruction.space != Space::kGlobal && instruction.space != Space::kShared)) return;
  AccessCounts::Lanes lanes;
  for (uint32_t lane = 0; lane < kLanes; ++lane)
    if (warp.IsActive(lane)) lanes.emplace_back(lane, AddressOf(warp, instruction, instruction.at[4], lane));
  counts->Note(instruction, instruction.space == Space::kShared, bytes, lanes);
}

// A register may be larger than what is loaded, which is then extended by its own sign or by zeros.
template <typename T, typename R>
void Load(Warp& warp, const Instruction& instruction) {
  Count(warp, instruction, static_cast<uint32_t>(sizeof(T) * instruction.count));
  for (uint32_t lane = 0; lane < kLanes; ++lane) {
    if (!warp.IsActive(lane)) continue;
    const uint64_t address = AddressOf(warp, instruction, instruction.at[4], lane);
    const uint8_t* from = Reach(warp, instruction, lane, address, sizeof(T) * instruction.count, Access::kLoad);
    for (uint32_t i = 0; i < instruction.count; ++i) {
      T value;
      std::memcpy(&value, from + i * sizeof value, sizeof value);
      warp.Set(instruction.at[i], lane, static_cast<R>(value));
    }
  }
}

template <typename T>
void Store(Warp& warp, const Instruction& instruction) {
  Count(warp, instruction, static_cast<uint32_t>(sizeof(T) * instruction.count));
  const uint32_t value_bytes = instruction.value_bytes;
  for (uint32_t lane = 0; lane < kLanes; ++lane) {
    if (!warp.IsActive(lane)) continue;
    std::array<T, 4> values;  // the low bytes of registers that are larger
    for (uint32_t i = 0; i < instruction.count; ++i)
      std::memcpy(&values[i], warp.slots + instruction.at[i] + lane * value_bytes, sizeof(T));
    const uint64_t address = AddressOf(warp, instruction, instruction.at[4], lane);
    const auto bytes = static_cast<uint32_t>(sizeof(T) * instruction.count);
    std::memcpy(Reach(warp, instruction, lane, address, bytes, Access::kStore, values.data()), values.data(), bytes);
  }
}

template <typename T>
Handler LoadInto(uint8_t register_bytes) {
  if constexpr (sizeof(T) <= 2)
    if (register_bytes == 2) return &Load<T, std::conditional_t<std::is_signed_v<T>, int16_t, uint16_t>>;
  if constexpr (sizeof(T) <= 4)
    if (register_bytes == 4) return &Load<T, std::conditional_t<std::is_signed_v<T>, int32_t, uint32_t>>;
  return register_bytes == 8 ? &Load<T, std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>> : nullptr;
}

Handler LoadOf(char kind, uint8_t bytes, uint8_t register_bytes) {
  if (kind == 's') {
    if (bytes == 1) return LoadInto<int8_t>(register_bytes);
    if (bytes == 2) return LoadInto<int16_t>(register_bytes);
    if (bytes == 4) return LoadInto<int32_t>(register_bytes);
  }
  if (bytes == 1) return LoadInto<uint8_t>(register_bytes);
  if (bytes == 2) return LoadInto<uint16_t>(register_bytes);
  if (bytes == 4) return LoadInto<uint32_t>(register_bytes);
  return bytes == 8 ? LoadInto<uint64_t>(register_bytes) : nullptr;
}

Handler StoreOf(uint8_t bytes) {
  return bytes == 1   ? &Store<uint8_t>
         : bytes == 2 ? &Store<uint16_t>
         : bytes == 4 ? &Store<uint32_t>
         : bytes == 8 ? &Store<uint64_t>
                      : nullptr;
}

template <typename R>
void LoadParameter(Warp& warp, const Instruction& instruction) {
  const uint8_t* from = warp.block->grid->parameters.data() + instruction.offset;
  uint64_t value = 0;
  std::memcpy(&value, from, instruction.bytes);
  if (instruction.cached && instruction.bytes < 8 && (value >> (8 * instruction.bytes - 1) & 1) != 0)  // `cached`: signed, here
    value |= ~uint64_t{0} << (8 * instruction.bytes);
  std::array<R, kLanes> all;
  all.fill(static_cast<R>(value));
  detail::Keep(warp, instruction.at[0], all);
}

void DecodeParameterLoad(Decoding& decoding, Instruction& instruction, const std::string& type) {
  const InstructionText& text = decoding.text();
  uint8_t register_bytes = 0;
  instruction.at[0] = decoding.Slot(text.operands[0], &register_bytes);
  const Kernel::Parameter& parameter = decoding.Parameter(text.operands[1]);
  instruction.bytes = BytesOfType('.' + type, text.line);
  const int64_t within = text.operands[1].offset;
  if (within < 0 || static_cast<uint64_t>(within) + instruction.bytes > parameter.bytes) decoding.Refuse("it reads beyond the parameter");
  instruction.offset = static_cast<int64_t>(parameter.offset) + within;
  instruction.cached = type[0] == 's';
  if (register_bytes < instruction.bytes) decoding.Refuse("the register is too small");
  instruction.run = register_bytes == 2   ? &LoadParameter<uint16_t>
                    : register_bytes == 4 ? &LoadParameter<uint32_t>
                                          : &LoadParameter<uint64_t>;
}

// ld{.volatile}{.space}{.nc}{.cache}{.v2,.v4}.type value, [address]    st the other way round
void DecodeLoadOrStore(Decoding& decoding, Instruction& instruction) {
  decoding.ExpectOperands(2);
  const Words words = decoding.Words();
  if (words.size() < 2) decoding.Refuse("its type is missing");
  const bool loads = words[0] == "ld";
  const std::string& type = words.back();
  if (loads && words[1] == "param" && words.size() == 3) return DecodeParameterLoad(decoding, instruction, type);
  for (size_t i = 1; i + 1 < words.size(); ++i) {
    if (TakeSpace(words[i], instruction.space)) continue;
    if (words[i] == "nc")
      instruction.cached = true;
    else if (words[i] == "v2" || words[i] == "v4")
      instruction.count = words[i] == "v2" ? 2 : 4;
    else if (!IsOneOf(words[i], {"volatile", "ca", "cg", "cs", "lu", "cv", "wb", "wt"}))
      decoding.Refuse("'." + words[i] + "' is not known");
  }
  const OperandText &value = decoding.text().operands[loads ? 0 : 1], &address = decoding.text().operands[loads ? 1 : 0];
  instruction.bytes = BytesOfType('.' + type, decoding.text().line);
  if (instruction.bytes * instruction.count > 16) decoding.Refuse("it moves more than 16 bytes");
  const std::vector<OperandText> values = value.kind == OperandText::Kind::kVector ? value.parts : std::vector<OperandText>{value};
  if (values.size() != instruction.count) decoding.Refuse("the vector has another length");
  for (size_t i = 0; i < values.size(); ++i) {
    uint8_t bytes = 0;
    instruction.at[i] = values[i].kind == OperandText::Kind::kNumber
                            ? decoding.Slot(values[i], bytes = std::max<uint8_t>(instruction.bytes, 2))
                            : decoding.Slot(values[i], &bytes);
    if (i > 0 && bytes != instruction.value_bytes) decoding.Refuse("the registers differ in size");
    instruction.value_bytes = bytes;
  }
  decoding.Address(address, instruction);
  decoding.NoteAccess(instruction.bytes * instruction.count);
  if (instruction.value_bytes < instruction.bytes) decoding.Refuse("the register is too small");
  instruction.run = loads ? LoadOf(type[0], instruction.bytes, instruction.value_bytes) : StoreOf(instruction.bytes);
  if (instruction.run == nullptr) decoding.Refuse("this combination of sizes is not known");
}

// ---- atom and red ----

template <typename T, auto F>
void Atomic(Warp& warp, const Instruction& instruction) {
  for (uint32_t lane = 0; lane < kLanes; ++lane) {
    if (!warp.IsActive(lane)) continue;
    uint8_t* at = Reach(warp, instruction, lane, AddressOf(warp, instruction, instruction.at[4], lane), sizeof(T), Access::kAtomic);
    T there;
    std::memcpy(&there, at, sizeof there);
    const T b = warp.Get<T>(instruction.at[1], lane), c = instruction.count == 2 ? warp.Get<T>(instruction.at[2], lane) : T();
    const T result = F(there, b, c);
    std::memcpy(at, &result, sizeof result);
    if (instruction.at[0] != Instruction::kNoSlot) warp.Set(instruction.at[0], lane, there);
  }
}

template <typename T>
Handler AtomicOf(const std::string& operation) {
  if (operation == "exch") return &Atomic<T, [](T, T b, T) { return b; }>;
  if (operation == "cas") return &Atomic<T, [](T there, T b, T c) { return there == b ? c : there; }>;
  if constexpr (!std::is_same_v<T, float>) {
    if (operation == "add")
      return &Atomic<T, [](T there, T b, T) {
        return static_cast<T>(static_cast<std::make_unsigned_t<T>>(there) + static_cast<std::make_unsigned_t<T>>(b));
      }>;
    if (operation == "and") return &Atomic<T, [](T there, T b, T) { return static_cast<T>(there & b); }>;
    if (operation == "or") return &Atomic<T, [](T there, T b, T) { return static_cast<T>(there | b); }>;
    if (operation == "xor") return &Atomic<T, [](T there, T b, T) { return static_cast<T>(there ^ b); }>;
    if (operation == "min") return &Atomic<T, [](T there, T b, T) { return std::min(there, b); }>;
    if (operation == "max") return &Atomic<T, [](T there, T b, T) { return std::max(there, b); }>;
    if (operation == "inc") return &Atomic<T, [](T there, T b, T) { return b <= there ? T{0} : static_cast<T>(there + 1); }>;
    if (operation == "dec") return &Atomic<T, [](T there, T b, T) { return there == 0 || b < there ? b : static_cast<T>(there - 1); }>;
  } else {
    if (operation == "add") return &Atomic<T, [](T there, T b, T) { return there + b; }>;
  }
  return nullptr;
}

// atom{.relaxed}{.space}.operation.type d, [a], b{, c}    red: without d
void DecodeAtomic(Decoding& decoding, Instruction& instruction) {
  const Words words = decoding.Words();
  const bool returns = words[0] == "atom";
  if (words.size() < 3) decoding.Refuse("what it does is not said");
  const std::string &operation = words[words.size() - 2], &type = words.back();
  for (size_t i = 1; i + 2 < words.size(); ++i)
    if (!TakeSpace(words[i], instruction.space) && !IsOneOf(words[i], {"relaxed", "cta", "gpu"}))
      decoding.Refuse("'." + words[i] + "' is not known");
  const std::vector<OperandText>& operands = decoding.text().operands;
  const size_t address = returns ? 1 : 0;
  decoding.ExpectOperands(address + 2 + (operation == "cas" ? 1 : 0));
  instruction.bytes = BytesOfType('.' + type, decoding.text().line);
  decoding.Address(operands[address], instruction);
  instruction.at[0] = returns && operands[0].name != "_" ? decoding.Slot(operands[0], instruction.bytes) : Instruction::kNoSlot;
  instruction.at[1] = decoding.Slot(operands[address + 1], instruction.bytes);
  if (operation == "cas") instruction.at[2] = decoding.Slot(operands[address + 2], instruction.bytes);
  instruction.count = operation == "cas" ? 2 : 1;
  decoding.NoteAccess(instruction.bytes);
  if (type == "s32")
    instruction.run = AtomicOf<int32_t>(operation);
  else if (type == "s64")
    instruction.run = AtomicOf<int64_t>(operation);
  else if (type == "f32")
    instruction.run = AtomicOf<float>(operation);
  else if (type[0] != 'f' && instruction.bytes == 4)
    instruction.run = AtomicOf<uint32_t>(operation);
  else if (type[0] != 'f' && instruction.bytes == 8)
    instruction.run = AtomicOf<uint64_t>(operation);
  if (instruction.run == nullptr) decoding.Refuse("this operation on this type is not known");
}

// ---- mov and cvta ----

template <uint64_t add>
uint64_t IntoWindow(uint64_t address) {
  return address | add;
}
template <uint64_t drop>
uint64_t OutOfWindow(uint64_t address) {
  return address & ~drop;
}

void DecodeCvta(Decoding& decoding, Instruction& instruction) {
  static const Forms forms = {
      {"cvta.to.global.u64", Each<&OutOfWindow<0>>()},
      {"cvta.global.u64", Each<&IntoWindow<0>>()},
      {"cvta.to.const.u64", Each<&OutOfWindow<0>>()},
      {"cvta.const.u64", Each<&IntoWindow<0>>()},
      {"cvta.to.shared.u64", Each<&OutOfWindow<kSharedWindow>>()},
      {"cvta.shared.u64", Each<&IntoWindow<kSharedWindow>>()},
      {"cvta.to.local.u64", Each<&OutOfWindow<kLocalWindow>>()},
      {"cvta.local.u64", Each<&IntoWindow<kLocalWindow>>()},
  };
  decoding.ExpectOperands(2);
  const auto found = forms.find(decoding.text().opcode);
  if (found == forms.end()) decoding.Refuse("this conversion of addresses is not known");
  instruction.run = found->second.run;
  for (size_t i = 0; i < 2; ++i) instruction.at[i] = decoding.Slot(decoding.text().operands[i], 8);
}

// Low part first. `parts` are the slots of the parts, `at[0]` the whole.
template <typename Whole, typename Part>
void Pack(Warp& warp, const Instruction& instruction) {
  std::array<Whole, kLanes> whole = {};
  for (uint32_t lane = 0; lane < kLanes; ++lane)
    for (size_t i = 0; i < instruction.parts.size(); ++i)
      whole[lane] |= static_cast<Whole>(static_cast<Whole>(warp.Get<Part>(instruction.parts[i], lane)) << (8 * sizeof(Part) * i));
  detail::Keep(warp, instruction.at[0], whole);
}
template <typename Whole, typename Part>
void Unpack(Warp& warp, const Instruction& instruction) {
  const detail::Slots<Whole> whole(warp, instruction.at[0]);
  for (size_t i = 0; i < instruction.parts.size(); ++i) {
    std::array<Part, kLanes> part;
    for (uint32_t lane = 0; lane < kLanes; ++lane) part[lane] = static_cast<Part>(whole[lane] >> (8 * sizeof(Part) * i));
    detail::Keep(warp, instruction.parts[i], part);
  }
}

template <typename T>
void Move(Warp& warp, const Instruction& instruction) {
  detail::Keep(warp, instruction.at[0], detail::Slots<T>(warp, instruction.at[1]).value);
}
void MovePredicate(Warp& warp, const Instruction& instruction) { warp.SetPredicate(instruction.at[0], warp.Predicate(instruction.at[1])); }

void DecodeMove(Decoding& decoding, Instruction& instruction) {
  decoding.ExpectOperands(2);
  const Words words = decoding.Words();
  if (words.size() != 2) decoding.Refuse("it is not known");
  const uint8_t bytes = BytesOfType('.' + words[1], decoding.text().line);
  const OperandText &to = decoding.text().operands[0], &from = decoding.text().operands[1];
  const bool unpacks = to.kind == OperandText::Kind::kVector, packs = from.kind == OperandText::Kind::kVector;
  if (!unpacks && !packs) {
    instruction.at = {decoding.Slot(to, bytes), decoding.Slot(from, bytes)};
    instruction.run = bytes == 0   ? &MovePredicate
                      : bytes == 2 ? &Move<uint16_t>
                      : bytes == 4 ? &Move<uint32_t>
                      : bytes == 8 ? &Move<uint64_t>
                                   : nullptr;
  } else {
    const std::vector<OperandText>& parts = unpacks ? to.parts : from.parts;
    if (unpacks && packs) decoding.Refuse("from vector to vector it cannot move");
    const size_t part_bytes = parts.empty() ? 0 : bytes / parts.size();
    instruction.at[0] = decoding.Slot(unpacks ? from : to, bytes);
    for (const OperandText& part : parts) instruction.parts.push_back(decoding.Slot(part, static_cast<uint8_t>(part_bytes)));
    if (bytes == 4 && part_bytes == 2) instruction.run = unpacks ? &Unpack<uint32_t, uint16_t> : &Pack<uint32_t, uint16_t>;
    if (bytes == 8 && part_bytes == 4) instruction.run = unpacks ? &Unpack<uint64_t, uint32_t> : &Pack<uint64_t, uint32_t>;
    if (bytes == 8 && part_bytes == 2) instruction.run = unpacks ? &Unpack<uint64_t, uint16_t> : &Pack<uint64_t, uint16_t>;
  }
  if (instruction.run == nullptr) decoding.Refuse("these sizes are not known");
}

}  // namespace

void AddMemoryInstructions(Decoders& decoders) {
  for (const char* word : {"ld", "st"}) decoders[word] = &DecodeLoadOrStore;
  for (const char* word : {"atom", "red"}) decoders[word] = &DecodeAtomic;
  decoders["cvta"] = &DecodeCvta;
  decoders["mov"] = &DecodeMove;
}

}  // namespace lathe::ptx
