// Fused preprocessing by output rows; LANES neighbouring pixels are made at once, as one vector for each plane, so that the interleaved
// channels of the frame come apart while they are fetched. Every axis has the form (first, weight): pixel `first` and its right or lower
// neighbour, which exists wherever the frame has two pixels; edges are weights of 0 and 1.
//
//   direct            four taps of each pixel out of two frame rows
//   horizontal_first  frame row -> planes of a buffered row [3][RW], twice; output row <- blend. Enlarging, a buffered row serves several
//   vertical_first    two frame rows -> blend [W*3] of floats at full vector width; output row <- its columns
//
// FETCH words: one load of four bytes brings a pixel and a stranger's byte, which must still lie inside the row: the last pixels of a row
// (from Columns::safe on) are made one by one.

constexpr int64_t ROW = int64_t(W) * 3, PLANE = int64_t(OH) * OW;
constexpr int64_t NEXT_X = W > 1 ? 3 : 0;                    // from a pixel to its right neighbour
constexpr int64_t BUFFER_PLANE = CeilDiv(RW + 16, 16) * 16;  // horizontal_first: one channel of a buffered row

typedef Vec<float, LANES> Floats;
typedef Vec<int32_t, LANES> Ints;

#include "tap_cpu.h"

// Columns of the shown frame: the offset of each in a frame row, and its neighbour's weight.
struct Columns {
  const int32_t* at;
  const float* weight;
  int64_t safe;  // pixels from the left whose four-byte loads stay inside a row

  // STRIDED: W = K*RW, so every pixel has the same place in its K columns.
  static constexpr int64_t K = W / RW, OFFSET = COORDINATE_MODE == COORDINATE_MODE_ASYMMETRIC ? 0 : (K - 1) / 2;
  static constexpr bool BETWEEN = COORDINATE_MODE == COORDINATE_MODE_HALF_PIXEL && K % 2 == 0;
  static constexpr bool ONE_TAP = TAPS == TAPS_STRIDED && !BETWEEN;  // the neighbour never counts, and may not exist

  LATHE_INLINE int64_t At(int64_t x) const { return TAPS == TAPS_TABLE ? at[x] : (x * K + OFFSET) * 3; }
  LATHE_INLINE float WeightAt(int64_t x) const { return TAPS == TAPS_TABLE ? weight[x] : 0.5f; }
  LATHE_INLINE Floats WeightsAt(int64_t x) const {
    if constexpr (TAPS == TAPS_TABLE)
      return Load<float, LANES>(weight + x);
    else
      return Broadcast<float, LANES>(0.5f);
  }
};

constexpr float kScale[3] = {float(SCALE0), float(SCALE1), float(SCALE2)};
constexpr float kShift[3] = {float(-double(MEAN0) * double(SCALE0)), float(-double(MEAN1) * double(SCALE1)),
                             float(-double(MEAN2) * double(SCALE2))};
LATHE_INLINE constexpr int ChannelOf(int plane) { return SWAP ? 2 - plane : plane; }

template <typename Value, typename W_>
LATHE_INLINE Value Lerp(Value a, Value b, W_ weight) {
  return a + (b - a) * weight;
}

// One value of each plane, or a vector of neighbouring pixels.
template <typename Value>
struct Planes {
  Value of[3];
};

// ---- fetching: frame bytes or a blended row, at columns [x, x + LANES), `shift` values further right

LATHE_INLINE Planes<Floats> FetchVector(const uint8_t* row, const Columns& columns, int64_t x, int64_t shift) {
  Planes<Floats> planes;
  if constexpr (FETCH == FETCH_WORDS) {
    const Ints words = FromLanes<int32_t, LANES>([&](int lane) {
      int32_t word;
      memcpy(&word, row + columns.At(x + lane) + shift, 4);
      return word;
    });
    for (int p = 0; p < 3; ++p) planes.of[p] = __builtin_convertvector((words >> (8 * ChannelOf(p))) & 255, Floats);
  } else {
    for (int p = 0; p < 3; ++p) {
      const Ints bytes = FromLanes<int32_t, LANES>([&](int lane) { return int32_t(row[columns.At(x + lane) + shift + ChannelOf(p)]); });
      planes.of[p] = __builtin_convertvector(bytes, Floats);
    }
  }
  return planes;
}
LATHE_INLINE Planes<Floats> FetchVector(const float* row, const Columns& columns, int64_t x, int64_t shift) {
  Planes<Floats> planes;
  for (int p = 0; p < 3; ++p)
    planes.of[p] = FromLanes<float, LANES>([&](int lane) { return row[columns.At(x + lane) + shift + ChannelOf(p)]; });
  return planes;
}

// Along x; `From` is uint8_t or float.
template <typename From>
LATHE_INLINE Planes<Floats> ResizedVector(const From* row, const Columns& columns, int64_t x) {
  Planes<Floats> planes = FetchVector(row, columns, x, 0);
  if constexpr (!Columns::ONE_TAP) {
    const Planes<Floats> right = FetchVector(row, columns, x, NEXT_X);
    for (int p = 0; p < 3; ++p) planes.of[p] = Lerp(planes.of[p], right.of[p], columns.WeightsAt(x));
  }
  return planes;
}
template <typename From>
LATHE_INLINE Planes<float> ResizedPixel(const From* row, const Columns& columns, int64_t x) {
  Planes<float> planes;
  for (int p = 0; p < 3; ++p) {
    const From* value = row + columns.At(x) + ChannelOf(p);
    planes.of[p] = float(value[0]);
    if constexpr (!Columns::ONE_TAP) planes.of[p] = Lerp(planes.of[p], float(value[NEXT_X]), columns.WeightAt(x));
  }
  return planes;
}

// vector(x) for whole vectors inside [0, vectors), the last one overlapping; pixel(x) for what is left of [0, count).
template <typename Vector, typename Pixel>
LATHE_INLINE void AlongRow(int64_t vectors, int64_t count, const Vector& vector, const Pixel& pixel) {
  int64_t x = 0;
  if (vectors >= LANES) {
    for (; x + LANES <= vectors; x += LANES) vector(x);
    if (x < vectors) vector(vectors - LANES);
    x = vectors;
  }
  for (; x < count; ++x) pixel(x);
}

// ---- one row of the shown frame: RW pixels of three planes, `out` at the first

void DirectRow(const uint8_t* top, const uint8_t* bottom, float weight, const Columns& columns, float* out) {
  AlongRow(
      FETCH == FETCH_WORDS ? columns.safe : RW, RW,
      [&](int64_t x) {
        Planes<Floats> planes = ResizedVector(top, columns, x);
        const Planes<Floats> below = ResizedVector(bottom, columns, x);
        for (int p = 0; p < 3; ++p) planes.of[p] = Lerp(planes.of[p], below.of[p], weight);
        for (int p = 0; p < 3; ++p) Store<float, LANES>(out + p * PLANE + x, planes.of[p] * kScale[p] + kShift[p]);
      },
      [&](int64_t x) {
        Planes<float> planes = ResizedPixel(top, columns, x);
        const Planes<float> below = ResizedPixel(bottom, columns, x);
        for (int p = 0; p < 3; ++p) planes.of[p] = Lerp(planes.of[p], below.of[p], weight);
        for (int p = 0; p < 3; ++p) out[p * PLANE + x] = planes.of[p] * kScale[p] + kShift[p];
      });
}

// A row of bytes or floats -> its columns, three planes of `stride`; normalised on the way out, or not yet.
template <bool kNormalise, typename From>
void ResizeRow(const From* row, const Columns& columns, float* out, int64_t stride) {
  const auto finish = [](auto value, int p) {
    if constexpr (kNormalise)
      return value * kScale[p] + kShift[p];
    else
      return value;
  };
  AlongRow(
      sizeof(From) == 1 && FETCH == FETCH_WORDS ? columns.safe : RW, RW,
      [&](int64_t x) {
        const Planes<Floats> planes = ResizedVector(row, columns, x);
        for (int p = 0; p < 3; ++p) Store<float, LANES>(out + p * stride + x, finish(planes.of[p], p));
      },
      [&](int64_t x) {
        const Planes<float> planes = ResizedPixel(row, columns, x);
        for (int p = 0; p < 3; ++p) out[p * stride + x] = finish(planes.of[p], p);
      });
}

void BlendPlanes(const float* a, const float* b, float weight, float* out) {
  for (int p = 0; p < 3; ++p, a += BUFFER_PLANE, b += BUFFER_PLANE)
    AlongRow(
        RW, RW,
        [&](int64_t x) {
          const Floats value = Lerp(Load<float, LANES>(a + x), Load<float, LANES>(b + x), weight);
          Store<float, LANES>(out + p * PLANE + x, value * kScale[p] + kShift[p]);
        },
        [&](int64_t x) { out[p * PLANE + x] = Lerp(a[x], b[x], weight) * kScale[p] + kShift[p]; });
}

LATHE_INLINE Floats FetchBytes(const uint8_t* from) { return Convert<float, uint8_t, LANES>(Load<uint8_t, LANES>(from)); }

void BlendRows(const uint8_t* top, const uint8_t* bottom, float weight, float* out) {
  AlongRow(
      ROW, ROW, [&](int64_t i) { Store<float, LANES>(out + i, Lerp(FetchBytes(top + i), FetchBytes(bottom + i), weight)); },
      [&](int64_t i) { out[i] = Lerp(float(top[i]), float(bottom[i]), weight); });
}

// ---- one task: rows [begin, end) out of all frames' output rows; `buffer` is its own

void Fill(float* to, int64_t count, float value) {
  for (int64_t i = 0; i < count; ++i) to[i] = value;
}

void ProcessRows(const uint8_t* input, float* output, int64_t begin, int64_t end, const Columns& columns, float* buffer) {
  int64_t buffered[2] = {-1, -1};  // horizontal_first: which frame rows the two halves of the buffer hold
  const auto resized = [&](int64_t row, int64_t other) {
    const int slot = buffered[1] == row || buffered[0] == other ? 1 : 0;
    float* const to = buffer + slot * 3 * BUFFER_PLANE;
    if (buffered[slot] != row) ResizeRow<false>(input + row * ROW, columns, to, BUFFER_PLANE);
    buffered[slot] = row;
    return to;
  };
  for (int64_t i = begin; i < end; ++i) {
    const int64_t y = i % OH - TOP;
    float* const out = output + (i / OH * 3 * OH + i % OH) * OW;
    const bool bar = y < 0 || y >= RH;
    for (int p = 0; p < 3; ++p) {
      const float grey = float(PAD_VALUE) * kScale[p] + kShift[p];
      Fill(out + p * PLANE, bar ? OW : LEFT, grey);
      if (!bar) Fill(out + p * PLANE + LEFT + RW, OW - LEFT - RW, grey);
    }
    if (bar) continue;
    const Tap tap = TapAt(y, H, RH);
    const int64_t top = i / OH * H + tap.first, bottom = H > 1 && tap.weight > 0 ? top + 1 : top;
    if constexpr (ALGORITHM == ALGORITHM_HORIZONTAL_FIRST) {
      const float* a = resized(top, -1);
      BlendPlanes(a, bottom == top ? a : resized(bottom, top), tap.weight, out + LEFT);
    } else if (bottom == top) {
      ResizeRow<true>(input + top * ROW, columns, out + LEFT, PLANE);
    } else if constexpr (ALGORITHM == ALGORITHM_DIRECT) {
      DirectRow(input + top * ROW, input + bottom * ROW, tap.weight, columns, out + LEFT);
    } else {
      BlendRows(input + top * ROW, input + bottom * ROW, tap.weight, buffer);
      ResizeRow<true>(buffer, columns, out + LEFT, PLANE);
    }
  }
}

void run(const uint8_t* input, float* output, int64_t n, const Context& context) {
  int32_t* at = static_cast<int32_t*>(context.workspace());
  float* weight = reinterpret_cast<float*>(at + BUFFER_PLANE);
  Columns columns = {at, weight, RW};
  if constexpr (TAPS == TAPS_TABLE) {
    for (int64_t x = 0; x < RW; ++x) {
      const Tap tap = TapAt(x, W, RW);
      at[x] = int32_t(tap.first * 3);
      weight[x] = tap.weight;
    }
  }
  while (columns.safe > 0 && columns.At(columns.safe - 1) + NEXT_X + 4 > ROW) --columns.safe;

  constexpr int64_t kBuffer = ALGORITHM == ALGORITHM_VERTICAL_FIRST ? CeilDiv(ROW + 16, 16) * 16 : 6 * BUFFER_PLANE;
  float* const buffers = weight + BUFFER_PLANE;
  const int64_t rows = n * OH;
  context.Parallel(TASKS, [&](int task) {
    float* const buffer = ALGORITHM == ALGORITHM_DIRECT ? nullptr : buffers + task * kBuffer;
    ProcessRows(input, output, rows * task / TASKS, rows * (task + 1) / TASKS, columns, buffer);
  });
}
