// Arithmetic, comparison, selection, logic and shifts: what works lane by lane on plain values. A form's name is the opcode as NVRTC writes
// it; one that is missing here is refused when a module is loaded.
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "decoding.h"

namespace lathe::ptx {
namespace {

template <typename T>
using Unsigned = std::make_unsigned_t<T>;
template <typename T>
using Wide = std::conditional_t<std::is_signed_v<T>, std::conditional_t<sizeof(T) == 2, int32_t, int64_t>,
                                std::conditional_t<sizeof(T) == 2, uint32_t, uint64_t>>;
// 64 by 64 bits; GCC's and Clang's.
__extension__ using Int128 = __int128;
__extension__ using Uint128 = unsigned __int128;

template <typename T>
T HighProduct(T a, T b) {
  using Whole = std::conditional_t<std::is_signed_v<T>, Int128, Uint128>;
  return static_cast<T>(static_cast<Whole>(a) * b >> (8 * sizeof(T)));
}
// Overflow wraps, in signed types, too.
template <typename T>
T Sum(T a, T b) {
  return static_cast<T>(static_cast<Unsigned<T>>(a) + static_cast<Unsigned<T>>(b));
}
template <typename T>
T Product(T a, T b) {
  return static_cast<T>(uint64_t{1} * static_cast<Unsigned<T>>(a) * static_cast<Unsigned<T>>(b));
}
// Division by zero has no result that anybody may count on; all ones is what devices give.
template <typename T>
T Quotient(T a, T b) {
  if (b == 0) return static_cast<T>(-1);
  if constexpr (std::is_signed_v<T>)
    if (b == -1) return Sum<T>(static_cast<T>(~a), 1);
  return static_cast<T>(a / b);
}
template <typename T>
T Remainder(T a, T b) {
  if (b == 0) return a;
  if constexpr (std::is_signed_v<T>)
    if (b == -1) return 0;
  return static_cast<T>(a % b);
}
template <typename T>
T ShiftRight(T a, uint32_t n) {
  constexpr uint32_t bits = 8 * sizeof(T);
  if (n < bits) return static_cast<T>(a >> n);
  return static_cast<T>(std::is_signed_v<T> && a < 0 ? -1 : 0);
}
template <typename T>
T ExtractBits(T a, uint32_t position, uint32_t length) {
  constexpr uint32_t bits = 8 * sizeof(T);
  position &= 0xff;
  length &= 0xff;
  Unsigned<T> field = position < bits ? static_cast<Unsigned<T>>(a) >> position : 0;
  if (length < bits) field &= (Unsigned<T>{1} << length) - 1;
  if constexpr (std::is_signed_v<T>) {  // the field's top bit, or the number's where the field goes beyond it, fills what is above
    const uint32_t top = std::min(position + length - 1, bits - 1), taken = position < bits ? std::min(length, bits - position) : 0;
    if (length > 0 && taken < bits && (static_cast<Unsigned<T>>(a) >> top & 1) != 0) field |= ~Unsigned<T>{0} << taken;
  }
  return static_cast<T>(field);
}
template <typename T>
T InsertBits(T from, T into, uint32_t position, uint32_t length) {
  constexpr uint32_t bits = 8 * sizeof(T);
  position &= 0xff;
  length &= 0xff;
  if (position >= bits || length == 0) return into;
  const T mask = static_cast<T>((length >= bits ? ~T{0} : (T{1} << length) - 1) << position);
  return static_cast<T>((into & ~mask) | (static_cast<T>(from << position) & mask));
}
uint32_t Permute(uint32_t a, uint32_t b, uint32_t selector) {
  const uint64_t bytes = uint64_t{b} << 32 | a;
  uint32_t result = 0;
  for (uint32_t i = 0; i < 4; ++i) {
    const uint32_t select = selector >> (4 * i) & 15;
    auto byte = static_cast<uint32_t>(bytes >> (8 * (select & 7))) & 0xff;
    if ((select & 8) != 0) byte = (byte & 0x80) != 0 ? 0xff : 0;  // its sign, all over
    result |= byte << (8 * i);
  }
  return result;
}
template <typename A, typename B>
uint32_t ByteDot(uint32_t a, uint32_t b, uint32_t c) {
  for (uint32_t shift = 0; shift < 32; shift += 8) c += static_cast<uint32_t>(static_cast<A>(a >> shift) * static_cast<B>(b >> shift));
  return c;
}
// One number and one NaN give the number; -0 is less than +0.
template <typename T>
T Least(T a, T b) {
  if (a == b) return std::signbit(a) ? a : b;
  return std::isnan(a) || b < a ? b : a;
}
template <typename T>
T Most(T a, T b) {
  if (a == b) return std::signbit(a) ? b : a;
  return std::isnan(a) || b > a ? b : a;
}
float Flushed(float x) { return std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(0.0f, x) : x; }
float FusedDown(float a, float b, float c) {
  // Exact in double: 48 bits of product; the sum is rounded once to double and then down, so the double's error is looked at, too.
  const double product = static_cast<double>(a) * b, sum = product + c;
  const double rest = std::abs(product) > std::abs(c) ? (product - sum) + c : (c - sum) + product;
  auto result = static_cast<float>(sum);
  if (std::isfinite(result) && (static_cast<double>(result) > sum || (static_cast<double>(result) == sum && rest < 0)))
    result = std::nextafter(result, -std::numeric_limits<float>::infinity());
  return result;
}
// "2^126 < |b| < 2^128 gives 0", and for an infinite a a NaN: the PTX ISA's words about div.approx.
float ApproximateQuotient(float a, float b) {
  const float size = std::abs(b);
  if (size > 0x1p126f && std::isfinite(size)) return std::isfinite(a) ? 0.0f : std::numeric_limits<float>::quiet_NaN();
  return a / b;
}

template <typename T>
void AddWholeNumbers(Forms& forms, const std::string& type) {
  forms["add." + type] = Each<&Sum<T>>();
  forms["sub." + type] = Each<[](T a, T b) { return Sum<T>(a, Sum<T>(static_cast<T>(~b), 1)); }>();
  forms["mul.lo." + type] = Each<&Product<T>>();
  forms["mul.hi." + type] = Each<&HighProduct<T>>();
  forms["mad.lo." + type] = Each<[](T a, T b, T c) { return Sum<T>(Product<T>(a, b), c); }>();
  forms["mad.hi." + type] = Each<[](T a, T b, T c) { return Sum<T>(HighProduct<T>(a, b), c); }>();
  if constexpr (sizeof(T) < 8) {
    forms["mul.wide." + type] = Each<[](T a, T b) { return static_cast<Wide<T>>(Wide<T>{a} * Wide<T>{b}); }>();
    forms["mad.wide." + type] = Each<[](T a, T b, Wide<T> c) { return Sum<Wide<T>>(Wide<T>{a} * Wide<T>{b}, c); }>();
  }
  forms["div." + type] = Each<&Quotient<T>>();
  forms["rem." + type] = Each<&Remainder<T>>();
  forms["min." + type] = Each<[](T a, T b) { return std::min(a, b); }>();
  forms["max." + type] = Each<[](T a, T b) { return std::max(a, b); }>();
  forms["shr." + type] = Each<&ShiftRight<T>>();
  if constexpr (std::is_signed_v<T>) {
    forms["neg." + type] = Each<[](T a) { return Sum<T>(static_cast<T>(~a), 1); }>();
    forms["abs." + type] = Each<[](T a) { return a < 0 ? Sum<T>(static_cast<T>(~a), 1) : a; }>();
  }
  if constexpr (sizeof(T) > 2) forms["bfe." + type] = Each<&ExtractBits<T>>();
}

template <typename T>
void AddBits(Forms& forms, const std::string& type) {
  forms["and." + type] = Each<[](T a, T b) { return static_cast<T>(a & b); }>();
  forms["or." + type] = Each<[](T a, T b) { return static_cast<T>(a | b); }>();
  forms["xor." + type] = Each<[](T a, T b) { return static_cast<T>(a ^ b); }>();
  forms["not." + type] = Each<[](T a) { return static_cast<T>(~a); }>();
  forms["shl." + type] = Each<[](T a, uint32_t n) { return n < 8 * sizeof(T) ? static_cast<T>(a << n) : T{0}; }>();
  forms["shr." + type] = Each<&ShiftRight<T>>();
  if constexpr (sizeof(T) > 2) {
    forms["popc." + type] = Each<[](T a) { return static_cast<uint32_t>(std::popcount(a)); }>();
    forms["clz." + type] = Each<[](T a) { return static_cast<uint32_t>(std::countl_zero(a)); }>();
    forms["bfi." + type] = Each<&InsertBits<T>>();
    forms["brev." + type] = Each<[](T a) {
      T result = 0;
      for (uint32_t i = 0; i < 8 * sizeof(T); ++i) result = static_cast<T>(result << 1 | (a / (T{1} << i) & 1));
      return result;
    }>();
  }
}

template <typename T>
void AddFloats(Forms& forms, const std::string& type) {
  for (const char* rounding : {".", ".rn."}) {
    forms["add" + (rounding + type)] = Each<[](T a, T b) { return a + b; }>();
    forms["sub" + (rounding + type)] = Each<[](T a, T b) { return a - b; }>();
    forms["mul" + (rounding + type)] = Each<[](T a, T b) { return a * b; }>();
  }
  forms["fma.rn." + type] = Each<[](T a, T b, T c) { return std::fma(a, b, c); }>();
  forms["div.rn." + type] = Each<[](T a, T b) { return a / b; }>();
  forms["rcp.rn." + type] = Each<[](T a) { return 1 / a; }>();
  forms["sqrt.rn." + type] = Each<[](T a) { return std::sqrt(a); }>();
  forms["min." + type] = Each<&Least<T>>();
  forms["max." + type] = Each<&Most<T>>();
  forms["neg." + type] = Each<[](T a) { return -a; }>();
  forms["abs." + type] = Each<[](T a) { return std::abs(a); }>();
}

// NaNs make "lt" and its like false, "ltu" and its like true.
template <typename T>
void AddComparisons(Forms& forms, const std::string& type) {
  forms["setp.eq." + type] = Each<[](T a, T b) { return a == b; }>();
  forms["setp.ne." + type] = Each<[](T a, T b) { return a < b || b < a; }>();
  forms["setp.lt." + type] = Each<[](T a, T b) { return a < b; }>();
  forms["setp.le." + type] = Each<[](T a, T b) { return a <= b; }>();
  forms["setp.gt." + type] = Each<[](T a, T b) { return b < a; }>();
  forms["setp.ge." + type] = Each<[](T a, T b) { return b <= a; }>();
  if constexpr (std::is_floating_point_v<T>) {
    forms["setp.equ." + type] = Each<[](T a, T b) { return !(a < b || b < a); }>();
    forms["setp.neu." + type] = Each<[](T a, T b) { return a != b; }>();
    forms["setp.ltu." + type] = Each<[](T a, T b) { return !(b <= a); }>();
    forms["setp.leu." + type] = Each<[](T a, T b) { return !(b < a); }>();
    forms["setp.gtu." + type] = Each<[](T a, T b) { return !(a <= b); }>();
    forms["setp.geu." + type] = Each<[](T a, T b) { return !(a < b); }>();
    forms["setp.num." + type] = Each<[](T a, T b) { return !std::isnan(a) && !std::isnan(b); }>();
    forms["setp.nan." + type] = Each<[](T a, T b) { return std::isnan(a) || std::isnan(b); }>();
  }
}

template <typename T>
void AddSelection(Forms& forms, const std::string& letters) {
  for (const char letter : letters)
    forms[std::string("selp.") + letter + std::to_string(8 * sizeof(T))] = Each<[](T a, T b, bool first) { return first ? a : b; }>();
}

// All lanes of a predicate at once.
template <auto F>
Form Masks2() {
  return {[](Warp& warp, const Instruction& i) { warp.SetPredicate(i.at[0], F(warp.Predicate(i.at[1]), warp.Predicate(i.at[2]))); },
          {kPredicateBytes, kPredicateBytes, kPredicateBytes}};
}

void AddPredicates(Forms& forms) {
  forms["and.pred"] = Masks2<[](Mask a, Mask b) { return a & b; }>();
  forms["or.pred"] = Masks2<[](Mask a, Mask b) { return a | b; }>();
  forms["xor.pred"] = Masks2<[](Mask a, Mask b) { return a ^ b; }>();
  forms["not.pred"] = {[](Warp& warp, const Instruction& i) { warp.SetPredicate(i.at[0], ~warp.Predicate(i.at[1])); },
                       {kPredicateBytes, kPredicateBytes}};
}

void AddOthers(Forms& forms) {
  forms["prmt.b32"] = Each<&Permute>();
  forms["dp4a.s32.s32"] = Each<&ByteDot<int8_t, int8_t>>();
  forms["dp4a.u32.u32"] = Each<&ByteDot<uint8_t, uint8_t>>();
  forms["dp4a.s32.u32"] = Each<&ByteDot<int8_t, uint8_t>>();
  forms["dp4a.u32.s32"] = Each<&ByteDot<uint8_t, int8_t>>();
  forms["mul24.lo.s32"] = Each<[](uint32_t a, uint32_t b) {
    return static_cast<uint32_t>(static_cast<int64_t>(static_cast<int32_t>(a << 8) / 256) * (static_cast<int32_t>(b << 8) / 256));
  }>();
  forms["fma.rm.f32"] = Each<&FusedDown>();
  forms["ex2.approx.f32"] = Each<[](float a) { return std::exp2(a); }>();
  forms["ex2.approx.ftz.f32"] = Each<[](float a) { return Flushed(std::exp2(Flushed(a))); }>();
  forms["lg2.approx.f32"] = Each<[](float a) { return std::log2(a); }>();
  forms["lg2.approx.ftz.f32"] = Each<[](float a) { return std::log2(Flushed(a)); }>();
  forms["rsqrt.approx.f32"] = Each<[](float a) { return static_cast<float>(1 / std::sqrt(static_cast<double>(a))); }>();
  forms["sqrt.approx.f32"] = Each<[](float a) { return std::sqrt(a); }>();
  forms["rcp.approx.f32"] = Each<[](float a) { return 1 / a; }>();
  forms["rcp.approx.ftz.f32"] = Each<[](float a) { return Flushed(1 / Flushed(a)); }>();
  forms["div.approx.f32"] = Each<&ApproximateQuotient>();
  forms["div.full.f32"] = Each<[](float a, float b) { return a / b; }>();
}

}  // namespace

void AddArithmetic(Forms& forms) {
  AddWholeNumbers<int16_t>(forms, "s16");
  AddWholeNumbers<uint16_t>(forms, "u16");
  AddWholeNumbers<int32_t>(forms, "s32");
  AddWholeNumbers<uint32_t>(forms, "u32");
  AddWholeNumbers<int64_t>(forms, "s64");
  AddWholeNumbers<uint64_t>(forms, "u64");
  AddBits<uint16_t>(forms, "b16");
  AddBits<uint32_t>(forms, "b32");
  AddBits<uint64_t>(forms, "b64");
  AddFloats<float>(forms, "f32");
  AddFloats<double>(forms, "f64");
  AddComparisons<int16_t>(forms, "s16");
  AddComparisons<uint16_t>(forms, "u16");
  AddComparisons<int32_t>(forms, "s32");
  AddComparisons<uint32_t>(forms, "u32");
  AddComparisons<int64_t>(forms, "s64");
  AddComparisons<uint64_t>(forms, "u64");
  AddComparisons<float>(forms, "f32");
  AddComparisons<double>(forms, "f64");
  for (const char* bits : {"16", "32", "64"})
    for (const char* equality : {"setp.eq.", "setp.ne."})
      forms[std::string(equality) + 'b' + bits] = forms[std::string(equality) + 'u' + bits];
  AddSelection<uint16_t>(forms, "bus");
  AddSelection<uint32_t>(forms, "busf");
  AddSelection<uint64_t>(forms, "busf");
  AddPredicates(forms);
  AddOthers(forms);
}

}  // namespace lathe::ptx
