// The CPU dialect: what a CPU template and a reference may use without including anything.
//
// A candidate is one translation unit: this prelude, then the workload's attributes, the derived values and the config's parameters as
// macros in capitals (H, OH, LAYOUT, LAYOUT_NHWC, TILE_X), a type for each tensor (input_t), the source, and glue that calls its
//     void run(<each tensor: const T* in, T* out>, <each dynamic attribute: int64_t>, const Context& context)
// The source sits in a namespace of its own and includes nothing: compile time is what tuning waits for.
#pragma once

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "abi.h"

#define LATHE_INLINE inline __attribute__((always_inline))

namespace {
namespace lathe_prelude {

// N values side by side, through the compiler's vector extension: the same source is SSE, AVX2, AVX-512 or NEON.
// Unaligned loads are allowed; arithmetic and comparisons work lane by lane.
template <typename T, int N>
struct VecOf {
  typedef T type __attribute__((vector_size(N * sizeof(T))));
  typedef T unaligned __attribute__((vector_size(N * sizeof(T)), aligned(alignof(T)), may_alias));
};
template <typename T, int N>
using Vec = typename VecOf<T, N>::type;

template <typename T, int N>
LATHE_INLINE Vec<T, N> Load(const T* from) {
  return *reinterpret_cast<const typename VecOf<T, N>::unaligned*>(from);
}
template <typename T, int N>
LATHE_INLINE void Store(T* to, Vec<T, N> value) {
  *reinterpret_cast<typename VecOf<T, N>::unaligned*>(to) = value;
}
template <typename T, int N>
LATHE_INLINE Vec<T, N> Broadcast(T value) {
  return value - Vec<T, N>{};  // x - 0 is x for every x, -0 and NaN included; x + 0 is not
}

template <typename T>
LATHE_INLINE T Min(T a, T b) {
  return b < a ? b : a;
}
template <typename T>
LATHE_INLINE T Max(T a, T b) {
  return a < b ? b : a;
}
constexpr int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

// f16 travels as its bits: no arithmetic type for it is everywhere.
LATHE_INLINE float HalfToFloat(uint16_t bits) {
  const uint32_t sign = uint32_t(bits & 0x8000) << 16, magnitude = bits & 0x7FFF;
  if (magnitude < 0x400) return (sign != 0 ? -0x1p-24f : 0x1p-24f) * float(magnitude);
  const uint32_t wide = sign | ((magnitude << 13) + (magnitude < 0x7C00 ? 112u << 23 : 224u << 23));
  float value;
  memcpy(&value, &wide, sizeof value);
  return value;
}
LATHE_INLINE uint16_t FloatToHalf(float value) {  // to the nearest, halves to even
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  const uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7FFFFFFF;
  if (magnitude > 0x7F800000) return uint16_t(sign | 0x7E00);
  if (magnitude >= 0x477FF000) return uint16_t(sign | 0x7C00);  // rounds to beyond 65504
  if (magnitude < 0x38800000) {                                 // below the smallest normal: a whole multiple of 2^-24
    memcpy(&value, &magnitude, sizeof value);
    return uint16_t(sign | uint32_t(lrintf(value * 0x1p24f)));
  }
  return uint16_t(sign | (magnitude + 0xFFF + (magnitude >> 13 & 1) - 0x38000000) >> 13);
}

// lane(0), lane(1), … side by side. One initialiser: a vector that is set lane by lane becomes a chain of inserts.
template <typename T, int N, typename Lane>
LATHE_INLINE Vec<T, N> FromLanes(const Lane& lane) {
  static_assert(N == 2 || N == 4 || N == 8 || N == 16);
  if constexpr (N == 2)
    return Vec<T, N>{lane(0), lane(1)};
  else if constexpr (N == 4)
    return Vec<T, N>{lane(0), lane(1), lane(2), lane(3)};
  else if constexpr (N == 8)
    return Vec<T, N>{lane(0), lane(1), lane(2), lane(3), lane(4), lane(5), lane(6), lane(7)};
  else
    return Vec<T, N>{lane(0), lane(1), lane(2),  lane(3),  lane(4),  lane(5),  lane(6),  lane(7),
                     lane(8), lane(9), lane(10), lane(11), lane(12), lane(13), lane(14), lane(15)};
}

// Lane by lane from From to To. One doubling or halving of the width at a time: g++ 12 takes a conversion from bytes to 32 bits, or back,
// apart into single lanes, and the steps into one instruction each. To u8 and u16 it is modulo 2^8 and 2^16 from whole numbers.
template <typename To, typename From, int N>
LATHE_INLINE Vec<To, N> Convert(Vec<From, N> value) {
  constexpr bool kSigned = From(-1) < From(1), kReal = From(1) / From(2) != From(0), kToReal = To(1) / To(2) != To(0);
  if constexpr (sizeof(From) == 1 && sizeof(To) == 4 && kSigned) {
    return __builtin_convertvector(__builtin_convertvector(__builtin_convertvector(value, Vec<int16_t, N>), Vec<int32_t, N>), Vec<To, N>);
  } else if constexpr (sizeof(From) == 1 && sizeof(To) == 4) {
    return __builtin_convertvector(__builtin_convertvector(__builtin_convertvector(value, Vec<uint16_t, N>), Vec<int32_t, N>), Vec<To, N>);
  } else if constexpr (sizeof(From) == 2 && sizeof(To) == 4 && kToReal) {
    return __builtin_convertvector(__builtin_convertvector(value, Vec<int32_t, N>), Vec<To, N>);
  } else if constexpr (sizeof(From) == 4 && sizeof(To) < 4 && kReal) {
    return Convert<To, int32_t, N>(__builtin_convertvector(value, Vec<int32_t, N>));
  } else if constexpr (sizeof(From) == 4 && sizeof(To) == 1) {
    return __builtin_convertvector(__builtin_convertvector(value, Vec<uint16_t, N>), Vec<To, N>);
  } else {
    return __builtin_convertvector(value, Vec<To, N>);
  }
}

// Whether any lane of a comparison's result is set.
template <int N>
LATHE_INLINE bool AnyLane(Vec<int32_t, N> mask) {
#ifdef __AVX512F__
  if constexpr (N == 16) return __builtin_ia32_ptestmd512(mask, mask, 0xFFFF) != 0;
#endif
#ifdef __AVX__
  if constexpr (N == 8) return __builtin_ia32_movmskps256(reinterpret_cast<Vec<float, 8>>(mask)) != 0;
#endif
#ifdef __SSE__
  if constexpr (N == 4) return __builtin_ia32_movmskps(reinterpret_cast<Vec<float, 4>>(mask)) != 0;
#endif
  int32_t any = 0;
  for (int lane = 0; lane < N; ++lane) any |= mask[lane];
  return any != 0;
}

// Lane by lane x < low ? low : x and x > high ? high : x; NaN stays. One instruction, where g++ 12 makes a comparison and a blend.
template <int N>
LATHE_INLINE Vec<float, N> AtLeast(Vec<float, N> x, float bound) {
  const Vec<float, N> low = Broadcast<float, N>(bound);
#ifdef __AVX512F__
  if constexpr (N == 16) return __builtin_ia32_maxps512_mask(low, x, x, 0xFFFF, 4);
#endif
#ifdef __AVX__
  if constexpr (N == 8) return __builtin_ia32_maxps256(low, x);
#endif
#ifdef __SSE__
  if constexpr (N == 4) return __builtin_ia32_maxps(low, x);
#endif
  return x < low ? low : x;
}
template <int N>
LATHE_INLINE Vec<float, N> AtMost(Vec<float, N> x, float bound) {
  const Vec<float, N> high = Broadcast<float, N>(bound);
#ifdef __AVX512F__
  if constexpr (N == 16) return __builtin_ia32_minps512_mask(high, x, x, 0xFFFF, 4);
#endif
#ifdef __AVX__
  if constexpr (N == 8) return __builtin_ia32_minps256(high, x);
#endif
#ifdef __SSE__
  if constexpr (N == 4) return __builtin_ia32_minps(high, x);
#endif
  return x > high ? high : x;
}

// The even and the odd places of 2*N floats that lie side by side.
template <int N>
LATHE_INLINE void Unzip(const float* from, Vec<float, N>& even, Vec<float, N>& odd) {
  Vec<int32_t, N> place;
  for (int i = 0; i < N; ++i) place[i] = 2 * i;
  const Vec<float, N> low = Load<float, N>(from), high = Load<float, N>(from + N);
  even = __builtin_shuffle(low, high, place);
  odd = __builtin_shuffle(low, high, place + 1);
}

// rows[i][j] becomes rows[j][i]: each round zips the first half of the rows with the second.
template <int N>
LATHE_INLINE void Transpose(Vec<float, N> (&rows)[N]) {
  Vec<int32_t, N> low;
  for (int i = 0; i < N; ++i) low[i] = i / 2 + (i % 2 == 0 ? 0 : N);
#pragma GCC unroll 4
  for (int step = 1; step < N; step *= 2) {
    Vec<float, N> zipped[N];
#pragma GCC unroll 8
    for (int i = 0; i < N / 2; ++i) {
      zipped[2 * i] = __builtin_shuffle(rows[i], rows[i + N / 2], low);
      zipped[2 * i + 1] = __builtin_shuffle(rows[i], rows[i + N / 2], low + N / 2);
    }
#pragma GCC unroll 16
    for (int i = 0; i < N; ++i) rows[i] = zipped[i];
  }
}

// e^x lane by lane, to some 2 units in the last place; below -87.3 it is about 1e-38 instead of less, above 88 about 2e38 instead of more.
// x = n*ln 2 + f with |f| <= ln 2 / 2: the degree-6 polynomial of e^f by Taylor is good to 2e-8, and 2^n is made in the exponent's bits.
template <int N>
LATHE_INLINE Vec<float, N> Exp(Vec<float, N> x) {
  typedef Vec<int32_t, N> Bits;
  x = AtMost<N>(AtLeast<N>(x, -87.3f), 88.0f);
  const Vec<float, N> shifted = x * 1.44269504f + 12582912.0f;  // 1.5 * 2^23: the fraction's low bits now hold round(x / ln 2)
  const Vec<float, N> n = shifted - 12582912.0f;
  const Vec<float, N> f = x - n * 0.693359375f - n * -2.12194440e-4f;  // ln 2 in two parts, the first exact in few bits
  Vec<float, N> y = f * 1.38888889e-3f + 8.33333333e-3f;
  y = y * f + 4.16666667e-2f;
  y = y * f + 1.66666667e-1f;
  y = y * f + 0.5f;
  y = y * f + 1.0f;
  y = y * f + 1.0f;
  return y * reinterpret_cast<Vec<float, N>>((reinterpret_cast<Bits>(shifted) << 23) + 0x3f800000);
}

// x / (1 + e^-x) lane by lane, to 3e-7 of max(1, |result|); results below 1e-30 to 4e-6 of themselves, those of x below -87 are -1e-36.
// Written for few instructions, because a convolution's last step waits for them. 2^z of z = -x / ln 2 by the best polynomial of degree 5
// (relative error 8e-8) over one binade; with 16 lanes 2^(1/16) takes the binade's place: a table in one register holds its 16 powers, and
// degree 2 is good to 4e-7. The division is an estimate and one step of Newton's, which doubles its digits.
template <int N>
LATHE_INLINE Vec<float, N> Silu(Vec<float, N> x) {
  typedef Vec<int32_t, N> Bits;
  x = AtLeast<N>(x, -87.0f);
  const Vec<float, N> y = AtMost<N>(x, 87.0f);
#ifdef __AVX512F__
  if constexpr (N == 16) {
    const Vec<float, N> shifted = y * -1.44269504f + 0x1.8p19f;  // the fraction's low bits now hold round(16*z)
    const Vec<float, N> f = y * -1.44269504f - (shifted - 0x1.8p19f);
    // Entry i: the bits of 2^(i/16) less i << 19, which the exponent's sum brings in.
    const Bits powers = {0x3F800000, 0x3F7DAAC3, 0x3F7B95C2, 0x3F79C3D3, 0x3F7837F0, 0x3F76F532, 0x3F75FED7, 0x3F75583F,
                         0x3F7504F3, 0x3F7508A4, 0x3F75672A, 0x3F76248C, 0x3F7744FD, 0x3F78CCDF, 0x3F7AC0C7, 0x3F7D257D};
    const Vec<float, N> power = reinterpret_cast<Vec<float, N>>(
        reinterpret_cast<Bits>(__builtin_ia32_permvarsi512_mask(powers, reinterpret_cast<Bits>(shifted), powers, 0xFFFF)) +
        (reinterpret_cast<Bits>(shifted) << 19));
    const Vec<float, N> d = 1.0f + (power + power * (f * (f * 2.40226418e-1f + 6.93187721e-1f)));
    const Vec<float, N> guess = __builtin_ia32_rcp14ps512_mask(d, d, 0xFFFF);
    return x * guess * (2.0f - d * guess);
  }
#endif
  const Vec<float, N> shifted = y * -1.44269504f + 0x1.8p23f;  // the fraction's low bits now hold round(z)
  const Vec<float, N> f = y * -1.44269504f - (shifted - 0x1.8p23f);
  Vec<float, N> e = f * 1.32764720e-3f + 9.67554133e-3f;
  e = e * f + 5.55071327e-2f;
  e = e * f + 2.40221197e-1f;
  e = e * f + 6.93146967e-1f;
  e = e * f + 1.0f;
  return x / (1.0f + reinterpret_cast<Vec<float, N>>(reinterpret_cast<Bits>(e) + (reinterpret_cast<Bits>(shifted) << 23)));
}

// What the host lends a kernel for one call.
class Context {
 public:
  explicit Context(const lathe_call* call) : call_(call) {}
  void* workspace() const { return call_->workspace; }
  int threads() const { return call_->parallel->threads; }

  // body(task) for each task in [0, tasks), on as many threads as the host allows; returns when all are done.
  template <typename Body>
  void Parallel(int tasks, const Body& body) const {
    if (tasks <= 1 || call_->parallel->threads <= 1) {
      for (int task = 0; task < tasks; ++task) body(task);
      return;
    }
    call_->parallel->run(
        call_->parallel->pool, tasks, [](void* arg, int32_t task) { (*static_cast<const Body*>(arg))(task); },
        const_cast<void*>(static_cast<const void*>(&body)));
  }

 private:
  const lathe_call* call_;
};

// run() may return nothing, or the number of what it refuses: `(run(…), Done())` is 0 or that number.
struct Done {
  operator int() const { return 0; }
};
LATHE_INLINE int operator,(int refused, Done) { return refused; }

}  // namespace lathe_prelude
}  // namespace
