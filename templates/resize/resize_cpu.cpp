// Resize by rows. A plane is an image (nhwc: PIXEL = C values side by side) or one channel of it (nchw: PIXEL = 1), so a row is a run of
// pixels and both layouts are one case. Every bilinear axis has the form (first, weight): pixel `first` and its right or lower neighbour,
// which exists wherever the axis has two pixels; edges are weights of 0 and 1.
//
//   direct            output row <- four taps per value out of two input rows
//   horizontal_first  input row -> buffer [OW*PIXEL], twice; output row <- blend of the two.  Enlarging, a buffered row serves several
//                     output rows; what is gathered is gathered once a row.
//   vertical_first    two input rows -> blend [W*PIXEL]; output row <- its columns.  The blend runs along memory at full vector width,
//                     and only one row is gathered from: better than horizontal_first once the image shrinks.
//
// BLEND fixed: weights are w/256. A row blended first is exact in 16 bits (8 fraction bits), so the result is off by at most
// 255*(1/512 + 1/512) < 1 level before rounding: never more than one level from the reference.

constexpr int64_t ROW_IN = W * PIXEL, ROW_OUT = OW * PIXEL;
constexpr int64_t NEXT_X = W > 1 ? PIXEL : 0;  // from a pixel to its right neighbour
constexpr bool FIXED = BLEND == BLEND_FIXED;
constexpr int PowerOfTwoFor(int64_t values, int most) { return most / 2 >= values && most > 4 ? PowerOfTwoFor(values, most / 2) : most; }
constexpr int PIXEL_LANES = PowerOfTwoFor(PIXEL, LANES);  // one pixel is a few of these
// Values that fetching a pixel touches.
constexpr int64_t SPAN = GATHER == GATHER_PIXELS ? CeilDiv(PIXEL, PIXEL_LANES) * PIXEL_LANES : GATHER == GATHER_QUADS ? 8 - PIXEL : PIXEL;

template <bool kFixed>
struct Arithmetic {  // real
  typedef float Weight, Buffered;
};
template <>
struct Arithmetic<true> {
  typedef uint32_t Weight;
  typedef uint16_t Buffered;
};
typedef Arithmetic<FIXED>::Weight Weight;
typedef Arithmetic<FIXED>::Buffered Buffered;

// ---- where an output pixel lies; the same expressions as the reference, so nearest picks the same pixels

LATHE_INLINE constexpr double Coordinate(int64_t x, int64_t in, int64_t out, double scale) {
  if (COORDINATE_MODE == COORDINATE_MODE_ALIGN_CORNERS) return out > 1 ? double(x * (in - 1)) / double(out - 1) : 0.0;
  if (COORDINATE_MODE == COORDINATE_MODE_ASYMMETRIC) return scale > 0 ? double(x) / scale : double(x * in) / double(out);
  if (COORDINATE_MODE == COORDINATE_MODE_PYTORCH_HALF_PIXEL && out == 1) return 0.0;
  return scale > 0 ? (double(x) + 0.5) / scale - 0.5 : double((2 * x + 1) * in - out) / double(2 * out);
}

struct Tap {
  int64_t first;  // in pixels
  float weight;   // of the neighbour; 0 for nearest
};

LATHE_INLINE Tap TapAt(int64_t x, int64_t in, int64_t out, double scale) {
  const double at = Coordinate(x, in, out, scale);
  if (MODE == MODE_NEAREST) {
    const double pixel = NEAREST_MODE == NEAREST_MODE_ROUND_PREFER_FLOOR  ? ceil(at - 0.5)
                         : NEAREST_MODE == NEAREST_MODE_ROUND_PREFER_CEIL ? floor(at + 0.5)
                         : NEAREST_MODE == NEAREST_MODE_FLOOR             ? floor(at)
                                                                          : ceil(at);
    return {Min<int64_t>(Max<int64_t>(int64_t(pixel), 0), in - 1), 0.0f};
  }
  if (at <= 0 || in == 1) return {0, 0.0f};
  const int64_t first = int64_t(at);
  if (first >= in - 1) return {in - 2, 1.0f};
  return {first, float(at - double(first))};
}

LATHE_INLINE Weight WeightOf(float weight) {
  if constexpr (FIXED)
    return Weight(weight * 256.0f + 0.5f);
  else
    return weight;
}

// Columns of the output: where in an input row each begins (in values), and its neighbour's weight.
struct Columns {
  const int32_t* at;
  const Weight* weight;
  const uint16_t* quad_weights;  // the same four times each
  int64_t safe;                  // pixels from the left that may be fetched as vectors: neither reading nor writing past a row

  // STRIDED: W = K*OW, so every pixel has the same place in its K columns.
  static constexpr int64_t K = W / OW;
  static constexpr int64_t OFFSET =
      MODE == MODE_NEAREST                            ? (COORDINATE_MODE == COORDINATE_MODE_ASYMMETRIC                                           ? 0
                                                         : K % 2 == 1                                                                            ? K / 2
                                                         : NEAREST_MODE == NEAREST_MODE_ROUND_PREFER_FLOOR || NEAREST_MODE == NEAREST_MODE_FLOOR ? K / 2 - 1
                                                                                                                                                 : K / 2)
      : COORDINATE_MODE == COORDINATE_MODE_ASYMMETRIC ? 0
                                                      : (K - 1) / 2;
  static constexpr bool BETWEEN = MODE == MODE_BILINEAR && COORDINATE_MODE != COORDINATE_MODE_ASYMMETRIC && K % 2 == 0;
  static constexpr bool ONE_TAP =
      MODE == MODE_NEAREST || (TAPS == TAPS_STRIDED && !BETWEEN);  // the neighbour never counts, and may not exist

  LATHE_INLINE int64_t At(int64_t x) const {
    if constexpr (TAPS == TAPS_TABLE) return at[x];
    if constexpr (TAPS == TAPS_STRIDED) return (x * K + OFFSET) * PIXEL;
    return TapAt(x, W, OW, SCALE_W).first * PIXEL;
  }
  LATHE_INLINE Weight WeightAt(int64_t x) const {
    if constexpr (TAPS == TAPS_TABLE) return weight[x];
    if constexpr (TAPS == TAPS_STRIDED) return WeightOf(BETWEEN ? 0.5f : 0.0f);
    return WeightOf(TapAt(x, W, OW, SCALE_W).weight);
  }
};

// ---- values and vectors of them. N == 0 is the plain value, which the compiler vectorises as it likes.

template <typename To, int N, typename From>
LATHE_INLINE auto Fetch(const From* from) {
  if constexpr (N == 0)
    return To(*from);
  else
    return Convert<To, From, N>(Load<From, N>(from));
}
// `value` is of From, one or N of it.
template <int N, typename From, typename To, typename Value>
LATHE_INLINE void Put(To* to, Value value) {
  if constexpr (N == 0)
    *to = To(From(value));
  else
    Store<To, N>(to, Convert<To, From, N>(value));
}

// Stores a real value as an output: rounded for bytes.
template <int N, typename Value>
LATHE_INLINE void PutReal(output_t* to, Value value) {
  if constexpr (sizeof(output_t) == 1)
    Put<N, float>(to, value + 0.5f);
  else
    Put<N, float>(to, value);
}

template <typename Value, typename W_>
LATHE_INLINE Value Lerp(Value a, Value b, W_ weight) {
  return a + (b - a) * weight;
}

// Bytes to an intermediate: real numbers, or eight fraction bits.
template <int N>
LATHE_INLINE void BlendInput(const input_t* a, const input_t* b, Weight weight, Buffered* to) {
  if constexpr (FIXED) {
    const uint16_t high = uint16_t(weight), low = uint16_t(256 - weight);
    Put<N, uint16_t>(to, Fetch<uint16_t, N>(a) * low + Fetch<uint16_t, N>(b) * high);
  } else {
    Put<N, float>(to, Lerp(Fetch<float, N>(a), Fetch<float, N>(b), weight));
  }
}
template <int N>
LATHE_INLINE void BlendBuffered(const Buffered* a, const Buffered* b, Weight weight, output_t* to) {
  if constexpr (FIXED)
    Put<N, uint32_t>(to, (Fetch<uint32_t, N>(a) * (256 - weight) + Fetch<uint32_t, N>(b) * weight + 32768u) >> 16);
  else
    PutReal<N>(to, Lerp(Fetch<float, N>(a), Fetch<float, N>(b), weight));
}
template <int N>
LATHE_INLINE void WidenInput(const input_t* a, Buffered* to) {
  if constexpr (FIXED)
    Put<N, uint16_t>(to, Fetch<uint16_t, N>(a) * uint16_t(256));
  else
    Put<N, float>(to, Fetch<float, N>(a));
}
template <int N>
LATHE_INLINE void NarrowBuffered(const Buffered* a, output_t* to) {
  if constexpr (FIXED)
    Put<N, uint32_t>(to, (Fetch<uint32_t, N>(a) + 128u) >> 8);
  else
    PutReal<N>(to, Fetch<float, N>(a));
}

// ---- along a row: body.template operator()<N>(i) for values [0, count), vectors first, the ragged end value by value

template <int N, typename Body>
LATHE_INLINE void AlongRow(int64_t count, const Body& body) {
  int64_t i = 0;
  for (; i + N <= count; i += N) body.template operator()<N>(i);
  for (; i < count; ++i) body.template operator()<0>(i);
}

// body.template operator()<N>(x, at, out) for every value of every output pixel from `x` on: `at` in the input row, `out` in the output
// row.
template <typename Body>
LATHE_INLINE void AcrossColumns(const Columns& columns, int64_t x, const Body& body) {
  if constexpr (GATHER == GATHER_PIXELS) {
    for (; x < columns.safe; ++x) {
      const int64_t at = columns.At(x);
      for (int64_t k = 0; k < PIXEL; k += PIXEL_LANES) body.template operator()<PIXEL_LANES>(x, at + k, x * PIXEL + k);
    }
  }
#pragma GCC ivdep
  for (; x < OW; ++x) {
    const int64_t at = columns.At(x);
    for (int64_t k = 0; k < PIXEL; ++k) body.template operator()<0>(x, at + k, x * PIXEL + k);
  }
}

// ---- quads: four output pixels of 2 to 4 bytes at once, each spread over four lanes. A pixel and its neighbour come by one load of eight
// values, are taken apart by constant shuffles, and the result is pushed together again.

#if GATHER == GATHER_QUADS
typedef Vec<uint8_t, 16> Bytes;
typedef Vec<uint16_t, 16> Quad;

// To{values of a, then of b, at these constant places}
#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define SHUFFLED(To, a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#endif
#endif
#ifndef SHUFFLED  // older compilers
#define SHUFFLED(To, a, b, ...) PickedLanes<To>(a, b, __VA_ARGS__)
template <typename To, typename From, typename... Places>
LATHE_INLINE To PickedLanes(From a, From b, Places... places) {
  constexpr int kLanes = sizeof(From) / sizeof(a[0]);
  const int from[] = {places...};
  To to;
  for (size_t i = 0; i < sizeof...(places); ++i) to[i] = from[i] < kLanes ? a[from[i]] : b[from[i] - kLanes];
  return to;
}
#endif
#define EIGHT(at) at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7)
#define SIXTEEN(at) EIGHT(at), at(8), at(9), at(10), at(11), at(12), at(13), at(14), at(15)
// Lane i of four lanes a pixel: where the pixel's value is in loads of eight, and its neighbour's.
#define AT_LEFT(i) ((i) / 4 * 8 + (i) % 4)
#define AT_RIGHT(i) ((i) / 4 * 8 + PIXEL + (i) % 4)
// Value i of PIXEL values a pixel: where it is in four lanes a pixel.
#define AT_SPREAD(i) ((i) / PIXEL < 4 ? (i) / PIXEL * 4 + (i) % PIXEL : 15)

LATHE_INLINE uint16_t QuadWeight(const Columns& columns, int64_t x, int lane) { return uint16_t(columns.WeightAt(x + lane / 4)); }

// Bytes -> eight fraction bits, as BlendInput and WidenInput.
LATHE_INLINE void ResizeQuad(const uint8_t* in, const Columns& columns, int64_t x, uint16_t* out) {
  const Vec<uint64_t, 4> words = FromLanes<uint64_t, 4>([&](int j) {
    uint64_t word;
    memcpy(&word, in + columns.At(x + j), 8);
    return word;
  });
  const Vec<uint8_t, 32> bytes = reinterpret_cast<Vec<uint8_t, 32>>(words);
  const Quad left = __builtin_convertvector(SHUFFLED(Bytes, bytes, bytes, SIXTEEN(AT_LEFT)), Quad);
  Quad value = left << 8;
  if constexpr (!Columns::ONE_TAP) {
    const Quad right = __builtin_convertvector(SHUFFLED(Bytes, bytes, bytes, SIXTEEN(AT_RIGHT)), Quad);
    Quad weights;
    if constexpr (TAPS == TAPS_TABLE)
      weights = Load<uint16_t, 16>(columns.quad_weights + 4 * x);
    else
      weights = FromLanes<uint16_t, 16>([&](int i) { return QuadWeight(columns, x, i); });
    value += (right - left) * weights;  // modulo 2^16, and the result fits
  }
  Store<uint16_t, 16>(out + x * PIXEL, SHUFFLED(Quad, value, value, SIXTEEN(AT_SPREAD)));
}

// Eight fraction bits -> bytes, two pixels; as BlendBuffered and NarrowBuffered.
LATHE_INLINE Vec<uint8_t, 8> ResizedHalf(const uint16_t* in, const Columns& columns, int64_t x) {
  typedef Vec<uint16_t, 8> Half;
  typedef Vec<uint32_t, 8> Wide;
  const Half a = Load<uint16_t, 8>(in + columns.At(x)), b = Load<uint16_t, 8>(in + columns.At(x + 1));
  const Wide left = __builtin_convertvector(SHUFFLED(Half, a, b, EIGHT(AT_LEFT)), Wide);
  Wide value = left << 8;
  if constexpr (!Columns::ONE_TAP) {
    const Wide right = __builtin_convertvector(SHUFFLED(Half, a, b, EIGHT(AT_RIGHT)), Wide);
    Half weights;
    if constexpr (TAPS == TAPS_TABLE)
      weights = Load<uint16_t, 8>(columns.quad_weights + 4 * x);
    else
      weights = FromLanes<uint16_t, 8>([&](int i) { return QuadWeight(columns, x, i); });
    value += (right - left) * __builtin_convertvector(weights, Wide);  // modulo 2^32 likewise
  }
  return Convert<uint8_t, uint32_t, 8>((value + 32768u) >> 16);
}
LATHE_INLINE void ResizeQuad(const uint16_t* in, const Columns& columns, int64_t x, uint8_t* out) {
  const Vec<uint8_t, 8> low = ResizedHalf(in, columns, x), high = ResizedHalf(in, columns, x + 2);
  Store<uint8_t, 16>(out + x * PIXEL, SHUFFLED(Bytes, low, high, SIXTEEN(AT_SPREAD)));
}
#endif

// The pixels that quads made; the rest follows one by one.
template <typename From, typename To>
LATHE_INLINE int64_t ResizeQuads(const From* in, To* out, const Columns& columns) {
  int64_t x = 0;
  if constexpr (GATHER == GATHER_QUADS)
    for (; x + 4 <= columns.safe && x * PIXEL + 16 <= ROW_OUT; x += 4) ResizeQuad(in, columns, x, out);
  return x;
}

void ResizeRow(const input_t* __restrict__ in, Buffered* __restrict__ out, const Columns& columns) {
  AcrossColumns(
      columns, ResizeQuads(in, out, columns), [=]<int N>(int64_t x, int64_t at, int64_t to) __attribute__((always_inline)) {
        if constexpr (Columns::ONE_TAP)
          WidenInput<N>(in + at, out + to);
        else
          BlendInput<N>(in + at, in + at + NEXT_X, columns.WeightAt(x), out + to);
      });
}
void ResizeBlended(const Buffered* __restrict__ in, output_t* __restrict__ out, const Columns& columns) {
  AcrossColumns(
      columns, ResizeQuads(in, out, columns), [=]<int N>(int64_t x, int64_t at, int64_t to) __attribute__((always_inline)) {
        if constexpr (Columns::ONE_TAP)
          NarrowBuffered<N>(in + at, out + to);
        else
          BlendBuffered<N>(in + at, in + at + NEXT_X, columns.WeightAt(x), out + to);
      });
}
void ResizeTwoRows(const input_t* __restrict__ top, const input_t* __restrict__ bottom, float weight, output_t* __restrict__ out,
                   const Columns& columns) {
  AcrossColumns(
      columns, 0, [=]<int N>(int64_t x, int64_t at, int64_t to) __attribute__((always_inline)) {
        if constexpr (Columns::ONE_TAP) {
          PutReal<N>(out + to, Lerp(Fetch<float, N>(top + at), Fetch<float, N>(bottom + at), weight));
        } else if constexpr (!FIXED) {
          const auto left = Lerp(Fetch<float, N>(top + at), Fetch<float, N>(bottom + at), weight);
          const auto right = Lerp(Fetch<float, N>(top + at + NEXT_X), Fetch<float, N>(bottom + at + NEXT_X), weight);
          PutReal<N>(out + to, Lerp(left, right, columns.WeightAt(x)));
        }
      });
}
void CopyPixels(const input_t* __restrict__ in, output_t* __restrict__ out, const Columns& columns) {
  AcrossColumns(
      columns, 0, [=]<int N>(int64_t, int64_t at, int64_t to) __attribute__((always_inline)) {
        Put<N, input_t>(out + to, Fetch<input_t, N>(in + at));
      });
}

// One task's rows [begin, end) out of all planes' output rows; `buffer` is its own.
void ResizeRows(const input_t* input, output_t* output, int64_t begin, int64_t end, const Columns& columns, Buffered* buffer) {
  constexpr int64_t kBufferRow = CeilDiv(ROW_OUT + 64, 16) * 16;
  int64_t buffered[2] = {-1, -1};  // which input rows the two halves of the buffer hold
  int64_t copied = -1;             // nearest: the input row that the output row above shows
  // Values of ROW in the buffer; `other` must stay.
  const auto resized = [&](int64_t row, int64_t other) {
    int slot = buffered[1] == row || buffered[0] == other ? 1 : 0;
    if (buffered[slot] != row || !REUSE) ResizeRow(input + row * ROW_IN, buffer + slot * kBufferRow, columns);
    buffered[slot] = row;
    return buffer + slot * kBufferRow;
  };
  for (int64_t i = begin; i < end; ++i) {
    const Tap tap = TapAt(i % OH, H, OH, SCALE_H);
    const int64_t top = i / OH * H + tap.first, bottom = H > 1 && tap.weight > 0 ? top + 1 : top;
    output_t* out = output + i * ROW_OUT;
    if constexpr (MODE == MODE_NEAREST) {
      if (REUSE && top == copied)
        memcpy(out, out - ROW_OUT, ROW_OUT * sizeof(output_t));
      else
        CopyPixels(input + top * ROW_IN, out, columns);
      copied = top;
    } else if constexpr (ALGORITHM == ALGORITHM_DIRECT) {
      ResizeTwoRows(input + top * ROW_IN, input + bottom * ROW_IN, tap.weight, out, columns);
    } else if constexpr (ALGORITHM == ALGORITHM_HORIZONTAL_FIRST) {
      const Weight weight = WeightOf(tap.weight);
      const Buffered* a = resized(top, -1);
      if (bottom == top) {
        AlongRow<LANES>(
            ROW_OUT, [=]<int N>(int64_t x) __attribute__((always_inline)) { NarrowBuffered<N>(a + x, out + x); });
      } else {
        const Buffered* b = resized(bottom, top);
        AlongRow<LANES>(
            ROW_OUT, [=]<int N>(int64_t x) __attribute__((always_inline)) { BlendBuffered<N>(a + x, b + x, weight, out + x); });
      }
    } else {
      constexpr int kLanes = FIXED ? 2 * LANES : LANES;  // the intermediate is half as wide
      const Weight weight = WeightOf(tap.weight);
      const input_t *a = input + top * ROW_IN, *b = input + bottom * ROW_IN;
      if (bottom == top)
        AlongRow<kLanes>(
            ROW_IN, [=]<int N>(int64_t x) __attribute__((always_inline)) { WidenInput<N>(a + x, buffer + x); });
      else
        AlongRow<kLanes>(
            ROW_IN, [=]<int N>(int64_t x) __attribute__((always_inline)) { BlendInput<N>(a + x, b + x, weight, buffer + x); });
      ResizeBlended(buffer, out, columns);
    }
  }
}

void run(const input_t* input, output_t* output, int64_t n, const Context& context) {
  int32_t* at = static_cast<int32_t*>(context.workspace());
  Weight* weight = reinterpret_cast<Weight*>(at + CeilDiv(OW, 16) * 16);
  uint16_t* quad_weights = reinterpret_cast<uint16_t*>(weight + CeilDiv(OW, 16) * 16);
  Columns columns = {at, weight, quad_weights, OW};
  if constexpr (TAPS == TAPS_TABLE) {
    for (int64_t x = 0; x < OW; ++x) {
      const Tap tap = TapAt(x, W, OW, SCALE_W);
      at[x] = int32_t(tap.first * PIXEL);
      weight[x] = WeightOf(tap.weight);
      if constexpr (GATHER == GATHER_QUADS)
        for (int k = 0; k < 4; ++k) quad_weights[4 * x + k] = uint16_t(weight[x]);
    }
  }
  while (columns.safe > 0 && (columns.At(columns.safe - 1) + NEXT_X + SPAN > ROW_IN || (columns.safe - 1) * PIXEL + SPAN > ROW_OUT))
    --columns.safe;

  const int64_t rows = n * (LAYOUT == LAYOUT_NHWC ? 1 : C) * OH;
  constexpr int64_t kBuffer = ALGORITHM == ALGORITHM_VERTICAL_FIRST ? CeilDiv(ROW_IN + 64, 16) * 16 : 2 * CeilDiv(ROW_OUT + 64, 16) * 16;
  Buffered* buffers = reinterpret_cast<Buffered*>(quad_weights + (GATHER == GATHER_QUADS ? CeilDiv(OW, 16) * 64 : 0));
  context.Parallel(TASKS, [&](int task) {
    Buffered* buffer = ALGORITHM == ALGORITHM_DIRECT ? nullptr : buffers + task * kBuffer;
    ResizeRows(input, output, rows * task / TASKS, rows * (task + 1) / TASKS, columns, buffer);
  });
}
