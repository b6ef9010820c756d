// Resize, a block of neighbouring output pixels at a time, without a row of intermediate values. Along each axis an output pixel is a
// weighted sum of neighbouring pixels that all exist (TAPS_X, TAPS_Y of them): what lies beyond the edge is the edge's pixel, so its weight
// is added to that one's. What a block of PIXELS pixels needs of a row lies within a window of two vectors:
//
//     window = sum over rows of weight*row[base, base + 2*LANES)            along memory, no shuffling
//     block  = sum over column taps t of weight[t]*shuffle(window, place + t*PIXEL)
//
// so each window is loaded once and nothing but the output is stored. Windows overlap little when the image shrinks.
//
// Bytes are summed in 16 bits: FRACTION fraction bits, weights in 1/32768, products rounded. With 4 and 4 taps each rounding is 1/256
// level, so the result is at most one level off. Bicubic overshoots by up to 1.375 an axis: one fraction bit less, and cut at the end.

constexpr bool BYTES = sizeof(input_t) == 1;
template <bool kBytes, bool kNearest>
struct Arithmetic {
  typedef float Work;
  typedef int32_t Place;
};
template <>
struct Arithmetic<true, false> {
  typedef int16_t Work;
  typedef int16_t Place;
};
template <>
struct Arithmetic<true, true> {
  typedef uint8_t Work;
  typedef uint8_t Place;
};
typedef Arithmetic<BYTES, MODE == MODE_NEAREST>::Work Work;
typedef Arithmetic<BYTES, MODE == MODE_NEAREST>::Place Place;

constexpr int LANES = VECTOR_BYTES / int(sizeof(Work));
constexpr int FRACTION = MODE == MODE_BICUBIC ? 6 : 7;
constexpr int64_t ROW_IN = W * PIXEL, ROW_OUT = OW * PIXEL, WINDOW = 2 * LANES;
constexpr bool PLAIN = ROWS == ROWS_PLAIN;
// A coordinate that always falls on a pixel needs that one alone.
constexpr int64_t STEP_X = W / OW;
constexpr bool ONE_X = TAPS == TAPS_STRIDED && (MODE == MODE_BILINEAR || MODE == MODE_BICUBIC) &&
                       (COORDINATE_MODE == COORDINATE_MODE_ASYMMETRIC || STEP_X % 2 == 1);
constexpr int COLUMN_TAPS = ONE_X ? 1 : TAPS_X;

// How many pixels a block has: as many as a vector holds and a window surely has the taps of.
constexpr int64_t PixelsOfBlock() {
  int64_t pixels = LANES / PIXEL < OW ? LANES / PIXEL : OW;
  while (pixels > 1) {
    const int64_t steps = W % OW == 0 ? (pixels - 1) * STEP_X : (pixels - 1) * W / OW + 1;
    if ((steps + TAPS_X) * PIXEL <= WINDOW) break;
    --pixels;
  }
  return pixels;
}
constexpr int64_t PIXELS = PixelsOfBlock(), BLOCKS = CeilDiv(OW, PIXELS);

constexpr int kLines = int(CeilDiv(PIXELS * ROW_IN / OW * int64_t(sizeof(input_t)), 64));  // of a row from one block to the next

typedef Vec<Work, LANES> Value;
typedef Vec<Place, LANES> Places;

struct Window {
  Value low, high;
};
struct Block {
  Places place;  // of the first tap in the window
  Value weight[COLUMN_TAPS];
};

// ---- taps along an axis

LATHE_INLINE double Cubic(double x) {
  const double a = CUBIC_A;
  x = fabs(x);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0.0;
}

// The first of `taps` pixels that output pixel `x` needs, and their weights.
int64_t TapsAt(int64_t x, int64_t in, int64_t out, int taps, double* weights) {
  for (int t = 0; t < taps; ++t) weights[t] = 0;
  if constexpr (MODE == MODE_AREA) {
    const int64_t first = Min<int64_t>(x * in / out, in - taps);
    for (int64_t t = 0; t < taps; ++t) {
      const int64_t covered = Min((first + t + 1) * out, (x + 1) * in) - Max((first + t) * out, x * in);
      weights[t] = double(Max<int64_t>(covered, 0)) / double(in);
    }
    return first;
  }
  const double at =
      COORDINATE_MODE == COORDINATE_MODE_ASYMMETRIC ? double(x * in) / double(out) : double((2 * x + 1) * in - out) / double(2 * out);
  if constexpr (MODE == MODE_NEAREST) {
    const double pixel = NEAREST_MODE == NEAREST_MODE_ROUND_PREFER_FLOOR  ? ceil(at - 0.5)
                         : NEAREST_MODE == NEAREST_MODE_ROUND_PREFER_CEIL ? floor(at + 0.5)
                         : NEAREST_MODE == NEAREST_MODE_FLOOR             ? floor(at)
                                                                          : ceil(at);
    weights[0] = 1;
    return Min<int64_t>(Max<int64_t>(int64_t(pixel), 0), in - 1);
  }
  constexpr int kReach = MODE == MODE_BICUBIC ? 4 : 2;
  const int64_t before = int64_t(floor(at)) - (kReach / 2 - 1), first = Min(Max<int64_t>(before, 0), in - taps);
  for (int64_t t = 0; t < kReach; ++t) {
    const double distance = fabs(at - double(before + t));
    weights[Min(Max<int64_t>(before + t, 0), in - 1) - first] += MODE == MODE_BICUBIC ? Cubic(distance) : 1 - distance;
  }
  return first;
}

LATHE_INLINE Work WorkWeight(double weight) {
  if constexpr (BYTES)
    return Work(Min(floor(weight * 32768 + 0.5), 32767.0));
  else
    return Work(weight);
}

// ---- arithmetic

// A product; of 16-bit numbers (a*b + 2^14) >> 15.
template <typename V>
LATHE_INLINE V Scaled(V a, V b) {
  if constexpr (sizeof(Work) == 2) {
    typedef Vec<int32_t, LANES> Wide;
    return __builtin_convertvector((__builtin_convertvector(a, Wide) * __builtin_convertvector(b, Wide) + 16384) >> 15, V);
  } else {
    return a * b;
  }
}
#if defined(__AVX512BW__) && !defined(__clang__)
LATHE_INLINE Vec<int16_t, 32> Scaled(Vec<int16_t, 32> a, Vec<int16_t, 32> b) { return __builtin_ia32_pmulhrsw512_mask(a, b, a, ~0u); }
#endif
#ifdef __AVX2__
LATHE_INLINE Vec<int16_t, 16> Scaled(Vec<int16_t, 16> a, Vec<int16_t, 16> b) { return __builtin_ia32_pmulhrsw256(a, b); }
#endif

template <typename V, typename From>
LATHE_INLINE V Fetch(const From* from) {
  if constexpr (sizeof(Work) == sizeof(From)) {
    return Load<From, LANES>(from);
  } else {
    const V value = __builtin_convertvector(Load<From, LANES>(from), V);
    return PLAIN ? value : value << FRACTION;
  }
}

// The finished block as output values.
template <typename V>
LATHE_INLINE Vec<output_t, LANES> Finished(V value) {
  if constexpr (MODE == MODE_NEAREST) {
    return value;
  } else if constexpr (!BYTES) {
    if constexpr (PLAIN) value *= Broadcast<Work, LANES>(Work(1.0 / (TAPS_X * TAPS_Y)));
    return value;
  } else if constexpr (PLAIN) {
    constexpr int kCount = TAPS_X * TAPS_Y;
    if constexpr (kCount == 1)
      return __builtin_convertvector(value, Vec<output_t, LANES>);
    else if constexpr ((kCount & (kCount - 1)) == 0)
      return __builtin_convertvector((value + Work(kCount / 2)) >> __builtin_ctz(kCount), Vec<output_t, LANES>);
    else
      return __builtin_convertvector(Scaled(value, Broadcast<Work, LANES>(WorkWeight(1.0 / kCount))), Vec<output_t, LANES>);
  } else {
    value = (value + Work(1 << (FRACTION - 1))) >> FRACTION;
    if constexpr (MODE == MODE_BICUBIC) value = Min(Max(value, V{}), Broadcast<Work, LANES>(255));
    return __builtin_convertvector(value, Vec<output_t, LANES>);
  }
}

// ---- one output row

struct Rows {
  const input_t* row[TAPS_Y];
  Work weight[TAPS_Y];
  int count;  // those that weigh nothing are left out
};

LATHE_INLINE Vec<output_t, LANES> ResizedBlock(const Rows& rows, int64_t base, const Block& block) {
  const auto window = [&](int r) -> Window {
    const input_t* from = rows.row[r] + base;
    if (PREFETCH > 0)
#pragma GCC unroll 8
      for (int line = 0; line < kLines; ++line) __builtin_prefetch(reinterpret_cast<const char*>(from) + PREFETCH + 64 * line);
    return {Fetch<Value>(from), Fetch<Value>(from + LANES)};
  };
  Window sum = window(0);
  if constexpr (MODE == MODE_NEAREST) return Finished(__builtin_shuffle(sum.low, sum.high, block.place));
  if constexpr (PLAIN) {
    for (int r = 1; r < TAPS_Y; ++r) {
      const Window more = window(r);
      sum.low += more.low, sum.high += more.high;
    }
  } else if (rows.count > 1) {
    const Value weight = Broadcast<Work, LANES>(rows.weight[0]);
    sum.low = Scaled(sum.low, weight), sum.high = Scaled(sum.high, weight);
    for (int r = 1; r < rows.count; ++r) {
      const Window more = window(r);
      const Value next = Broadcast<Work, LANES>(rows.weight[r]);
      sum.low += Scaled(more.low, next), sum.high += Scaled(more.high, next);
    }
  }
  Value value = {};
  for (int t = 0; t < COLUMN_TAPS; ++t) {
    const Value tap = __builtin_shuffle(sum.low, sum.high, block.place + Place(t * PIXEL));
    if constexpr (ONE_X)
      value = tap;
    else if constexpr (PLAIN)
      value += tap;
    else
      value += Scaled(tap, block.weight[t]);
  }
  return Finished(value);
}

// Where blocks begin, and what they need; strided: blocks [plain_begin, plain_end) all need `common`.
struct Columns {
  const int32_t* base;
  const Block* blocks;
  Block common;
  int64_t plain_begin, plain_end, plain_base;  // the last: where block 0 would begin
};

void ResizeRow(const Rows& rows, const Columns& columns, output_t* out) {
  // The last block ends with the row, so a row of several blocks has no ragged one; its vector must not be stored beyond the row.
  const auto make = [&](int64_t b, const Block& block) {
    const int64_t x = Min<int64_t>(b * PIXELS, OW - PIXELS);
    const Vec<output_t, LANES> value = ResizedBlock(rows, columns.base[b], block);
    if (x * PIXEL + LANES <= ROW_OUT) {
      Store<output_t, LANES>(out + x * PIXEL, value);
    } else {
      output_t spare[LANES];
      Store<output_t, LANES>(spare, value);
      memcpy(out + x * PIXEL, spare, PIXELS * PIXEL * sizeof(output_t));
    }
  };
  int64_t b = 0;
  if constexpr (TAPS == TAPS_STRIDED) {
    for (; b < columns.plain_begin; ++b) make(b, columns.blocks[b]);
    for (; b < columns.plain_end; ++b)
      Store<output_t, LANES>(out + b * PIXELS * PIXEL,
                             ResizedBlock(rows, columns.plain_base + b * (PIXELS * PIXEL * STEP_X), columns.common));
  }
  for (; b < BLOCKS; ++b) make(b, columns.blocks[b]);
}

// ---- output past the caches, once a row has been put together

template <typename Words>
LATHE_INLINE void StreamVector(Words* to, Words value) {
#ifdef __AVX512F__
  if constexpr (sizeof(Words) == 64) return __builtin_ia32_movntdq512(to, value);
#endif
#ifdef __AVX2__
  if constexpr (sizeof(Words) == 32) return __builtin_ia32_movntdq256(to, value);
#endif
  *to = value;
}
LATHE_INLINE void Stream(const char* from, char* to, int64_t bytes) {
  typedef Vec<long long, VECTOR_BYTES / 8> Words;
  int64_t i = Min<int64_t>(bytes, -reinterpret_cast<intptr_t>(to) & 63);
  memcpy(to, from, size_t(i));
  for (; i + VECTOR_BYTES <= bytes; i += VECTOR_BYTES)
    StreamVector(reinterpret_cast<Words*>(to + i), reinterpret_cast<Words>(Load<char, VECTOR_BYTES>(from + i)));
  memcpy(to + i, from + i, size_t(bytes - i));
}

// One task's rows [begin, end) out of all planes' output rows.
void ResizeRows(const input_t* input, output_t* output, int64_t begin, int64_t end, const Columns& columns, output_t* buffer) {
  for (int64_t i = begin; i < end; ++i) {
    double weights[TAPS_Y];
    const int64_t first = i / OH * H + TapsAt(i % OH, H, OH, TAPS_Y, weights);
    Rows rows;
    rows.count = 0;
    for (int64_t t = 0; t < TAPS_Y; ++t) {
      if (weights[t] == 0) continue;
      rows.row[rows.count] = input + (first + t) * ROW_IN;
      rows.weight[rows.count++] = WorkWeight(weights[t]);
    }
    output_t* const out = output + i * ROW_OUT;
    if constexpr (STORE == STORE_STREAMED) {
      ResizeRow(rows, columns, buffer);
      Stream(reinterpret_cast<const char*>(buffer), reinterpret_cast<char*>(out), ROW_OUT * int64_t(sizeof(output_t)));
    } else {
      ResizeRow(rows, columns, out);
    }
  }
#if defined(__SSE2__)
  if constexpr (STORE == STORE_STREAMED) __builtin_ia32_sfence();
#endif
}

void FillBlock(int64_t b, int32_t* base, Block* block) {
  const int64_t x0 = Min<int64_t>(b * PIXELS, OW - PIXELS);
  double weights[TAPS_X];
  for (int64_t x = x0; x < x0 + PIXELS; ++x) {
    int64_t first = TapsAt(x, W, OW, TAPS_X, weights);
    if constexpr (ONE_X)  // which of the taps is the pixel
      for (int t = 0; t < TAPS_X; ++t)
        if (weights[t] > 0.5) {
          first += t;
          break;
        }
    if (x == x0) *base = int32_t(Min(first * PIXEL, ROW_IN - WINDOW));
    for (int64_t k = 0; k < PIXEL; ++k) {
      const int64_t lane = (x - x0) * PIXEL + k;
      block->place[lane] = Place(first * PIXEL + k - *base);
      for (int t = 0; t < COLUMN_TAPS; ++t) block->weight[t][lane] = MODE == MODE_NEAREST ? Work(0) : WorkWeight(weights[t]);
    }
  }
  for (int64_t lane = PIXELS * PIXEL; lane < LANES; ++lane) {
    block->place[lane] = 0;
    for (int t = 0; t < COLUMN_TAPS; ++t) block->weight[t][lane] = 0;
  }
}

void run(const input_t* input, output_t* output, int64_t n, const Context& context) {
  int32_t* const base = static_cast<int32_t*>(context.workspace());
  Block* const blocks = reinterpret_cast<Block*>(base + CeilDiv(OW, 16) * 16);
  Columns columns = {base, blocks, {}, 0, 0, 0};
  for (int64_t b = 0; b < BLOCKS; ++b) FillBlock(b, base + b, blocks + b);
  if constexpr (TAPS == TAPS_STRIDED) {
    // The longest run of blocks that are like the one in the middle, each a whole step further.
    const int64_t middle = BLOCKS / 2, step = PIXELS * PIXEL * STEP_X;
    const auto alike = [&](int64_t b) {
      return base[b] - base[middle] == (b - middle) * step && memcmp(blocks + b, blocks + middle, sizeof(Block)) == 0 &&
             b * PIXELS <= OW - PIXELS && b * PIXELS * PIXEL + LANES <= ROW_OUT;
    };
    columns.common = blocks[middle];
    columns.plain_base = base[middle] - middle * step;
    columns.plain_begin = columns.plain_end = middle;
    if (alike(middle)) {
      while (columns.plain_begin > 0 && alike(columns.plain_begin - 1)) --columns.plain_begin;
      while (columns.plain_end < BLOCKS && alike(columns.plain_end)) ++columns.plain_end;
    }
  }
  constexpr int64_t kBuffer = CeilDiv(ROW_OUT * int64_t(sizeof(output_t)) + 192, 64) * 64;
  char* const buffers = reinterpret_cast<char*>(blocks + OW);
  const int64_t rows = n * (LAYOUT == LAYOUT_NHWC ? 1 : C) * OH;
  context.Parallel(TASKS, [&](int task) {
    ResizeRows(input, output, rows * task / TASKS, rows * (task + 1) / TASKS, columns,
               reinterpret_cast<output_t*>(buffers + task * kBuffer));
  });
}
