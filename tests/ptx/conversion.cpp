// cvt{.rounding}{.sat}.to.from: registers may be larger than either type; the low bits are read, and what is written is extended.
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "decoding.h"
#include "half.h"

namespace lathe::ptx {
namespace {

enum class Rounding { kNone, kNearestEven, kToZero, kDown, kUp };

template <Rounding rounding, typename F>
F ToWhole(F x) {
  if constexpr (rounding == Rounding::kNearestEven) return std::nearbyint(x);  // the host's mode is to nearest even
  if constexpr (rounding == Rounding::kToZero) return std::trunc(x);
  if constexpr (rounding == Rounding::kDown) return std::floor(x);
  if constexpr (rounding == Rounding::kUp) return std::ceil(x);
  return x;
}

// What does not fit becomes the nearest that does; NaN becomes 0, or in 64 bits the top bit.
template <typename To, typename F>
To Clamped(F whole) {
  constexpr auto top = std::numeric_limits<To>::max();
  if (std::isnan(whole)) return sizeof(To) == 8 || sizeof(F) == 8 ? static_cast<To>(uint64_t{1} << (8 * sizeof(To) - 1)) : To{0};
  if (whole <= static_cast<F>(std::numeric_limits<To>::min())) return std::numeric_limits<To>::min();
  return whole >= static_cast<F>(top) ? top : static_cast<To>(whole);
}

struct Half {  // a type's name in the tables below
  uint16_t bits;
};

template <typename To, typename From, Rounding rounding, bool saturates>
To Convert(From x) {
  if constexpr (std::is_same_v<From, Half>) {
    return Convert<To, float, rounding, saturates>(HalfToFloat(x.bits));
  } else if constexpr (std::is_same_v<To, Half>) {
    return {FloatToHalf(x)};
  } else if constexpr (std::is_floating_point_v<To> && std::is_floating_point_v<From>) {
    if constexpr (sizeof(To) != sizeof(From))
      return static_cast<To>(x);
    else if constexpr (saturates)
      return x > 0 ? std::min(x, To{1}) : To{0};  // NaN and -0 become 0
    else
      return ToWhole<rounding>(x);
  } else if constexpr (std::is_floating_point_v<From>) {
    return Clamped<To>(ToWhole<rounding>(x));
  } else if constexpr (saturates) {
    __extension__ using Any = __int128;
    return static_cast<To>(std::clamp(Any{x}, Any{std::numeric_limits<To>::min()}, Any{std::numeric_limits<To>::max()}));
  } else {
    return static_cast<To>(x);
  }
}

template <typename T>
constexpr bool kIsSigned = std::is_signed_v<T>;

template <typename To, typename From, Rounding rounding, bool saturates>
void Run(Warp& warp, const Instruction& instruction) {
  const uint8_t* from = warp.slots + instruction.at[1];
  std::array<To, kLanes> result;
  for (uint32_t lane = 0; lane < kLanes; ++lane) {
    From value;
    std::memcpy(&value, from + lane * instruction.address_bytes, sizeof value);  // `address_bytes`: the source register's, here
    result[lane] = Convert<To, From, rounding, saturates>(value);
  }
  if (sizeof(To) == instruction.value_bytes) return detail::Keep(warp, instruction.at[0], result);
  if constexpr (std::is_integral_v<To>) {
    const auto extend = [&](auto zero) {
      std::array<decltype(zero), kLanes> large;
      for (uint32_t lane = 0; lane < kLanes; ++lane) large[lane] = static_cast<decltype(zero)>(result[lane]);
      detail::Keep(warp, instruction.at[0], large);
    };
    if (instruction.value_bytes == 2) extend(std::conditional_t<kIsSigned<To>, int16_t, uint16_t>{});
    if (instruction.value_bytes == 4) extend(std::conditional_t<kIsSigned<To>, int32_t, uint32_t>{});
    if (instruction.value_bytes == 8) extend(std::conditional_t<kIsSigned<To>, int64_t, uint64_t>{});
  }
}

using Table = std::unordered_map<std::string, Handler>;

template <typename To, typename From>
void AddWhole(Table& table, const std::string& to, const std::string& from) {
  table[to + '.' + from] = &Run<To, From, Rounding::kNone, false>;
  table["sat." + to + '.' + from] = &Run<To, From, Rounding::kNone, true>;
}
template <typename From>
void AddToWhole(Table& table, const std::string& from) {
  AddWhole<int8_t, From>(table, "s8", from);
  AddWhole<uint8_t, From>(table, "u8", from);
  AddWhole<int16_t, From>(table, "s16", from);
  AddWhole<uint16_t, From>(table, "u16", from);
  AddWhole<int32_t, From>(table, "s32", from);
  AddWhole<uint32_t, From>(table, "u32", from);
  AddWhole<int64_t, From>(table, "s64", from);
  AddWhole<uint64_t, From>(table, "u64", from);
  table["rn.f32." + from] = &Run<float, From, Rounding::kNone, false>;
  table["rn.f64." + from] = &Run<double, From, Rounding::kNone, false>;
}
template <typename To, typename From>
void AddRoundings(Table& table, const std::string& types) {
  table["rni." + types] = &Run<To, From, Rounding::kNearestEven, false>;
  table["rzi." + types] = &Run<To, From, Rounding::kToZero, false>;
  table["rmi." + types] = &Run<To, From, Rounding::kDown, false>;
  table["rpi." + types] = &Run<To, From, Rounding::kUp, false>;
}
template <typename From>
void AddFromFloat(Table& table, const std::string& from) {
  AddRoundings<int16_t, From>(table, "s16." + from);
  AddRoundings<uint16_t, From>(table, "u16." + from);
  AddRoundings<int32_t, From>(table, "s32." + from);
  AddRoundings<uint32_t, From>(table, "u32." + from);
  AddRoundings<int64_t, From>(table, "s64." + from);
  AddRoundings<uint64_t, From>(table, "u64." + from);
  AddRoundings<From, From>(table, from + '.' + from);
  table["sat." + from + '.' + from] = &Run<From, From, Rounding::kNone, true>;
}

Table Conversions() {
  Table table;
  AddToWhole<int8_t>(table, "s8");
  AddToWhole<uint8_t>(table, "u8");
  AddToWhole<int16_t>(table, "s16");
  AddToWhole<uint16_t>(table, "u16");
  AddToWhole<int32_t>(table, "s32");
  AddToWhole<uint32_t>(table, "u32");
  AddToWhole<int64_t>(table, "s64");
  AddToWhole<uint64_t>(table, "u64");
  AddFromFloat<float>(table, "f32");
  AddFromFloat<double>(table, "f64");
  table["f32.f16"] = &Run<float, Half, Rounding::kNone, false>;
  table["rn.f16.f32"] = &Run<Half, float, Rounding::kNone, false>;
  table["f64.f32"] = &Run<double, float, Rounding::kNone, false>;
  table["rn.f32.f64"] = &Run<float, double, Rounding::kNone, false>;
  return table;
}

void DecodeConversion(Decoding& decoding, Instruction& instruction) {
  static const Table table = Conversions();
  decoding.ExpectOperands(2);
  const std::string& opcode = decoding.text().opcode;
  const auto found = table.find(opcode.substr(std::min<size_t>(4, opcode.size())));
  if (found == table.end()) decoding.Refuse("this conversion is not known");
  instruction.run = found->second;
  const std::vector<std::string> words = decoding.Words();
  instruction.at[0] = decoding.Slot(decoding.text().operands[0], &instruction.value_bytes);
  const uint8_t from_bytes = BytesOfType('.' + words.back(), decoding.text().line);
  if (decoding.text().operands[1].kind == OperandText::Kind::kNumber)
    instruction.at[1] = decoding.Slot(decoding.text().operands[1], instruction.address_bytes = std::max<uint8_t>(from_bytes, 2));
  else
    instruction.at[1] = decoding.Slot(decoding.text().operands[1], &instruction.address_bytes);
  if (instruction.address_bytes < from_bytes || instruction.value_bytes < BytesOfType('.' + words[words.size() - 2], decoding.text().line))
    decoding.Refuse("a register is too small");
  const std::string& to = words[words.size() - 2];
  if (to[0] == 'f' && instruction.value_bytes != BytesOfType('.' + to, decoding.text().line))
    decoding.Refuse("only whole numbers are widened to their register");
}

}  // namespace

void AddConversions(Decoders& decoders) { decoders["cvt"] = &DecodeConversion; }

}  // namespace lathe::ptx
