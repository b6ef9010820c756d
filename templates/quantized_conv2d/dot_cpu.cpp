// Direct convolution of bytes with vectors of output channels. One step of the sum is four input channels at one place of the window: four
// bytes of a pixel, broadcast, meet vectors of weights that hold the same four channels of LANES output channels in their 32-bit lanes, and
// Dot adds the four products to the lane. x86 with VNNI and Arm with I8MM have that as one instruction.
//
// Arm without I8MM multiplies signed bytes only: there pixels are taken as pixel - 128, by a flip of their top bits, and 128 times the sum of
// an output channel's weights is part of what its sum starts from.
//
// A tile is TILE_Y rows of TILE_X output pixels times TILE_K vectors of output channels, in registers over the whole sum. Along a row of
// the window the pixels follow each other with all their channels, so its S*C bytes are one run; only a run's end is ragged, where the
// weights are zero and the pixel's bytes may be anything.
//
//   for each block of output rows (BLOCKS of them an image), copied with its padding into the workspace where it is not used in place
//     for each block of output channels
//       for each tile of the block of rows
//
// Planes (nchw) are turned into pixels on their way into the copy, and the block of outputs is turned back on its way out.
//
// The input's zero point is taken out of the sums beforehand: an output channel starts from bias - zero point * sum of its weights, and the
// padding holds the zero point.

typedef Vec<int32_t, LANES> Lane;
typedef Vec<float, LANES> Real;

constexpr int kUnroll = UNROLL;                      // a pragma does not see macros
constexpr int kBlockK = TILE_K * LANES;              // output channels of a tile
constexpr int kBlocksK = int(CeilDiv(KG, kBlockK));  // in a group
constexpr int kRaggedK = KG % kBlockK;               // channels in a group's last block; 0: it is full

#if defined(__ARM_NEON) && !defined(__ARM_FEATURE_MATMUL_INT8)
constexpr bool kFlipped = LANES == 4;
#else
constexpr bool kFlipped = false;
#endif

constexpr bool kNhwc = LAYOUT == LAYOUT_NHWC;
constexpr bool kMerged = DILATION_W == 1 && GROUPS == 1;  // a row of the window is one run
constexpr int kPlaces = kMerged ? 1 : S, kRun = kMerged ? S * CG : CG, kRunSteps = int(CeilDiv(kRun, 4));
constexpr int64_t kSteps = int64_t(R) * kPlaces * kRunSteps;
constexpr int64_t kPanel = (kSteps + 2) * kBlockK;

constexpr bool kFlat = POINTWISE;
constexpr int64_t kRows = kFlat ? 1 : OH;
constexpr int64_t kColumns = kFlat ? int64_t(OH) * OW : OW;
constexpr int64_t kTiles = kFlat ? CeilDiv(kColumns, TILE_X) : CeilDiv(OH, TILE_Y);
constexpr int64_t kBlockTiles = CeilDiv(kTiles, BLOCKS);
constexpr int64_t kBlocks = CeilDiv(kTiles, kBlockTiles);
constexpr int64_t kBlockRows = kFlat ? 1 : kBlockTiles * TILE_Y;
constexpr int64_t kBlockColumns = kFlat ? kBlockTiles * TILE_X : OW;

// The window of the input that a block needs: in place, or copied to [rows, columns, C].
constexpr bool kCopied = PADDED || !kNhwc || kRun % 4 != 0 || COPY == COPY_ALWAYS;
constexpr int64_t kWindowRows = kFlat ? 1 : (kBlockRows - 1) * STRIDE_H + (R - 1) * DILATION_H + 1;
constexpr int64_t kWindowColumns = kFlat ? kBlockColumns : REACH_W;
constexpr int64_t kStepY = (kCopied ? kWindowColumns : W) * int64_t(C);
constexpr int64_t kWindowBytes = kCopied ? CeilDiv(kWindowRows * kStepY + 64, 64) * 64 : 0;  // the last run is read a little beyond its end
constexpr int64_t kStagedBytes = kNhwc ? 0 : CeilDiv(kBlockRows * kBlockColumns * K, 64) * 64;

// weight: [k, r, s, c] or [k, c, r, s] -> packed: [groups * blocks, 2 + steps, kBlockK] of four bytes each
void prepare(const int8_t* weight, const int32_t* bias, const float* scale, int32_t* packed) {
  memset(packed, 0, static_cast<size_t>(GROUPS * kBlocksK * kPanel) * sizeof(int32_t));
  for (int64_t group = 0; group < GROUPS; ++group)
    for (int64_t in_group = 0; in_group < KG; ++in_group) {
      const int64_t k = group * KG + in_group;
      int32_t* lane = packed + (group * kBlocksK + in_group / kBlockK) * kPanel + in_group % kBlockK;
      int32_t sum = 0;
      for (int64_t r = 0; r < R; ++r)
        for (int64_t s = 0; s < S; ++s)
          for (int64_t c = 0; c < CG; ++c) {
            const int8_t value = weight[kNhwc ? ((k * R + r) * S + s) * CG + c : ((k * CG + c) * R + r) * S + s];
            const int64_t place = kMerged ? 0 : s, inside = kMerged ? s * CG + c : c;
            int32_t* step = lane + (2 + (r * kPlaces + place) * kRunSteps + inside / 4) * kBlockK;
            memcpy(reinterpret_cast<char*>(step) + inside % 4, &value, 1);
            sum += value;
          }
      *lane = (BIAS ? bias[k] : 0) - (int32_t(INPUT_ZERO_POINT) - (kFlipped ? 128 : 0)) * sum;
      memcpy(lane + kBlockK, &scale[k], sizeof(float));
    }
}

// Lane by lane sum + the four products of unsigned bytes of `pixels` and signed bytes of `weights`, exactly. (Instructions that saturate
// sums of 16 bits will not do.)
template <int N>
LATHE_INLINE Vec<int32_t, N> Dot(Vec<int32_t, N> sum, Vec<int32_t, N> pixels, Vec<int32_t, N> weights) {
#if defined(__AVX512VNNI__)
  if constexpr (N == 16) return __builtin_ia32_vpdpbusd_v16si(sum, pixels, weights);
#endif
#if (defined(__AVX512VNNI__) && defined(__AVX512VL__)) || defined(__AVXVNNI__)
  if constexpr (N == 8) return __builtin_ia32_vpdpbusd_v8si(sum, pixels, weights);
  if constexpr (N == 4) return __builtin_ia32_vpdpbusd_v4si(sum, pixels, weights);
#endif
#if defined(__ARM_FEATURE_MATMUL_INT8)
  if constexpr (N == 4) {
    asm("usdot %0.4s, %1.16b, %2.16b" : "+w"(sum) : "w"(pixels), "w"(weights));
    return sum;
  }
#elif defined(__ARM_FEATURE_DOTPROD)
  if constexpr (N == 4) {
    asm("sdot %0.4s, %1.16b, %2.16b" : "+w"(sum) : "w"(pixels), "w"(weights));
    return sum;
  }
#elif defined(__ARM_NEON)
  if constexpr (N == 4) {  // products fit 16 bits, neighbours are added in 32, twice
    Vec<int32_t, N> low, high;
    asm("smull %0.8h, %2.8b, %3.8b\n\tsmull2 %1.8h, %2.16b, %3.16b\n\tsaddlp %0.4s, %0.8h\n\tsaddlp %1.4s, %1.8h\n\taddp %0.4s, %0.4s, %1.4s"
        : "=&w"(low), "=&w"(high)
        : "w"(pixels), "w"(weights));
    return sum + low;
  }
#endif
  // Even and odd bytes apart, in lanes of 16 bits; products of two such pairs add up in 32.
  typedef Vec<int16_t, 2 * N> Short;
  const Short even = reinterpret_cast<Short>(pixels & 0x00FF00FF), odd = reinterpret_cast<Short>((pixels >> 8) & 0x00FF00FF);
  const Short even_weights = reinterpret_cast<Short>(weights) << 8 >> 8, odd_weights = reinterpret_cast<Short>(weights) >> 8;
#if defined(__AVX512BW__)
  if constexpr (N == 16)
    return sum + __builtin_ia32_pmaddwd512_mask(even, even_weights, Vec<int32_t, N>{}, 0xFFFF) +
           __builtin_ia32_pmaddwd512_mask(odd, odd_weights, Vec<int32_t, N>{}, 0xFFFF);
#endif
#if defined(__AVX2__)
  if constexpr (N == 8) return sum + __builtin_ia32_pmaddwd256(even, even_weights) + __builtin_ia32_pmaddwd256(odd, odd_weights);
#endif
#if defined(__SSE2__)
  if constexpr (N == 4) return sum + __builtin_ia32_pmaddwd128(even, even_weights) + __builtin_ia32_pmaddwd128(odd, odd_weights);
#endif
  const auto low = [](Short value) { return reinterpret_cast<Vec<int32_t, N>>(value) << 16 >> 16; };
  const auto high = [](Short value) { return reinterpret_cast<Vec<int32_t, N>>(value) >> 16; };
  return sum + low(even) * low(even_weights) + high(even) * high(even_weights) + low(odd) * low(odd_weights) +
         high(odd) * high(odd_weights);
}

// Scaled and rounded, halves to even. Cut off first, so that a whole number of 32 bits holds it.
template <int N>
LATHE_INLINE Vec<uint8_t, N> Requantised(Vec<int32_t, N> sum, Vec<float, N> scale) {
  const Vec<float, N> bound = Broadcast<float, N>(1024.0f);
  const Vec<int32_t, N> lowest = Vec<int32_t, N>{} + (ACTIVATION == ACTIVATION_RELU ? int32_t(OUTPUT_ZERO_POINT) : 0);
  Vec<float, N> value = __builtin_convertvector(sum, Vec<float, N>) * scale;
#ifdef __AVX512F__
  if constexpr (N == 16) {
    value =
        __builtin_ia32_minps512_mask(value, bound, value, 0xFFFF, 4);  // far below the range the conversion gives the least number anyway
    Vec<int32_t, N> level = __builtin_ia32_cvtps2dq512_mask(value, sum, 0xFFFF, 4);
    level += int32_t(OUTPUT_ZERO_POINT);
    level = __builtin_ia32_pmaxsd512_mask(level, lowest, level, 0xFFFF);
    return reinterpret_cast<Vec<uint8_t, N>>(__builtin_ia32_pmovusdb512_mask(level, Vec<char, N>{}, 0xFFFF));
  }
#endif
  value = value > bound ? bound : value;
  value = value < -bound ? -bound : value;
  // Adding 1.5 * 2^23 leaves the rounded number in the low bits.
  Vec<int32_t, N> level = reinterpret_cast<Vec<int32_t, N>>(value + 12582912.0f) - 0x4B400000 + int32_t(OUTPUT_ZERO_POINT);
  const Vec<int32_t, N> highest = Vec<int32_t, N>{} + 255;
  level = level < lowest ? lowest : level;
  level = level > highest ? highest : level;
  return Convert<uint8_t, int32_t, N>(level);
}

// One tile.  in: its first pixel's window  panel: offsets, scales, weights  out: its first pixel's first channel, pixels K bytes apart
template <int TY, int TX, int CHANNELS>
__attribute__((noinline)) void Tile(const uint8_t* in, const int32_t* panel, uint8_t* out) {
  constexpr int kVectors = int(CeilDiv(CHANNELS, LANES));
  Lane sum[TY * TX][kVectors];
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v)
#pragma GCC unroll 32
    for (int pixel = 0; pixel < TY * TX; ++pixel) sum[pixel][v] = Load<int32_t, LANES>(panel + v * LANES);

  const int32_t* weight = panel + 2 * kBlockK;
#pragma GCC unroll 1
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 1
    for (int s = 0; s < kPlaces; ++s) {
      const uint8_t* from = in + r * DILATION_H * kStepY + s * DILATION_W * int64_t(C);
#pragma GCC unroll kUnroll
      for (int i = 0; i < kRunSteps; ++i) {
        Lane w[kVectors];
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) w[v] = Load<int32_t, LANES>(weight + v * LANES);
        if (PREFETCH > 0)
#pragma GCC unroll 8
          for (int at = 0; at < kVectors * LANES; at += 16) __builtin_prefetch(weight + PREFETCH * kBlockK + at);
#pragma GCC unroll 8
        for (int y = 0; y < TY; ++y)
#pragma GCC unroll 32
          for (int x = 0; x < TX; ++x) {
            int32_t four;
            memcpy(&four, from + y * STRIDE_H * kStepY + x * STRIDE_W * int64_t(C), sizeof four);
            const Lane pixels = Broadcast<int32_t, LANES>(kFlipped ? four ^ int32_t(0x80808080) : four);
#pragma GCC unroll 8
            for (int v = 0; v < kVectors; ++v) sum[y * TX + x][v] = Dot<LANES>(sum[y * TX + x][v], pixels, w[v]);
          }
        weight += kBlockK;
        from += 4;
      }
    }

  Real scale[kVectors];
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) scale[v] = reinterpret_cast<Real>(Load<int32_t, LANES>(panel + kBlockK + v * LANES));
#pragma GCC unroll 8
  for (int y = 0; y < TY; ++y)
#pragma GCC unroll 32
    for (int x = 0; x < TX; ++x)
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        const Vec<uint8_t, LANES> bytes = Requantised<LANES>(sum[y * TX + x][v], scale[v]);
        uint8_t* to = out + (int64_t(y) * kColumns + x) * K + v * LANES;
        if constexpr (CHANNELS % LANES == 0)
          Store<uint8_t, LANES>(to, bytes);
        else if (v < kVectors - 1)
          Store<uint8_t, LANES>(to, bytes);
        else
          memcpy(to, &bytes, CHANNELS % LANES);
      }
}

struct Block {
  const uint8_t* window;  // of its first pixel
  uint8_t* output;        // its first pixel's first channel, pixels K bytes apart
  int64_t rows, columns;
};

template <int TY, int CHANNELS>
LATHE_INLINE void TileRow(const Block& block, const uint8_t* window, const int32_t* panel, uint8_t* output, int64_t y) {
  const uint8_t* in = window + y * STRIDE_H * kStepY;
  uint8_t* out = output + y * kColumns * K;
  int64_t x = 0;
#pragma GCC unroll 1
  for (; x + TILE_X <= block.columns; x += TILE_X) Tile<TY, TILE_X, CHANNELS>(in + x * STRIDE_W * C, panel, out + x * K);
  if constexpr (kColumns % TILE_X != 0)
    if (x < block.columns) Tile<TY, kColumns % TILE_X, CHANNELS>(in + x * STRIDE_W * C, panel, out + x * K);
}

template <int CHANNELS>
LATHE_INLINE void AllTiles(const Block& block, const uint8_t* window, const int32_t* panel, uint8_t* output) {
  constexpr int kTileY = kFlat ? 1 : TILE_Y;
  int64_t y = 0;
#pragma GCC unroll 1
  for (; y + kTileY <= block.rows; y += kTileY) TileRow<kTileY, CHANNELS>(block, window, panel, output, y);
  if constexpr (kRows % kTileY != 0)
    if (y < block.rows) TileRow<kRows % kTileY, CHANNELS>(block, window, panel, output, y);
}

// number: which block of output channels, counted over all groups.
void Panel(const Block& block, const int32_t* weight, int64_t number) {
  const int64_t group = number / kBlocksK, inside = number % kBlocksK;
  const int32_t* panel = weight + number * kPanel;
  const uint8_t* window = block.window + group * CG;
  uint8_t* output = block.output + group * KG + inside * kBlockK;
  if constexpr (kRaggedK != 0) {
    if (inside + 1 == kBlocksK)
      AllTiles<kRaggedK>(block, window, panel, output);
    else if constexpr (kBlocksK > 1)
      AllTiles<kBlockK>(block, window, panel, output);
  } else {
    AllTiles<kBlockK>(block, window, panel, output);
  }
}

// N*N bytes: from[i][j] to to[j][i]. Each round zips the first half of the rows with the second.
template <int N>
LATHE_INLINE void TurnSquare(const uint8_t* from, int64_t from_step, uint8_t* to, int64_t to_step) {
  typedef Vec<uint8_t, N> Bytes;
  Bytes rows[N], low;
  for (int i = 0; i < N; ++i) low[i] = uint8_t(i / 2 + (i % 2 == 0 ? 0 : N));
#pragma GCC unroll 16
  for (int i = 0; i < N; ++i) rows[i] = Load<uint8_t, N>(from + i * from_step);
#pragma GCC unroll 4
  for (int step = 1; step < N; step *= 2) {
    Bytes zipped[N];
#pragma GCC unroll 8
    for (int i = 0; i < N / 2; ++i) {
      zipped[2 * i] = __builtin_shuffle(rows[i], rows[i + N / 2], low);
      zipped[2 * i + 1] = __builtin_shuffle(rows[i], rows[i + N / 2], low + uint8_t(N / 2));
    }
#pragma GCC unroll 16
    for (int i = 0; i < N; ++i) rows[i] = zipped[i];
  }
#pragma GCC unroll 16
  for (int i = 0; i < N; ++i) Store<uint8_t, N>(to + i * to_step, rows[i]);
}

// from: [rows][columns] -> to: [columns][rows]. A square that does not fit moves back: some bytes are turned twice.
void Turn(const uint8_t* from, int64_t from_step, uint8_t* to, int64_t to_step, int64_t rows, int64_t columns) {
  if (rows >= 16 && columns >= 16) {
    for (int64_t i = 0; i < rows; i += 16)
      for (int64_t j = 0; j < columns; j += 16) {
        const int64_t y = Min(i, rows - 16), x = Min(j, columns - 16);
        TurnSquare<16>(from + y * from_step + x, from_step, to + x * to_step + y, to_step);
      }
    return;
  }
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j) to[j * to_step + i] = from[i * from_step + j];
}

LATHE_INLINE void Fill(uint8_t* to, int64_t pixels) { memset(to, int(INPUT_ZERO_POINT), static_cast<size_t>(pixels * C)); }

// image: [h, w, c] or [c, h, w] -> window, from row y0 and column x0 of the image on (beyond the image: padding)
void CopyWindow(const uint8_t* image, uint8_t* window, int64_t y0, int64_t x0, int64_t rows, int64_t columns) {
  constexpr int64_t kHeight = kFlat ? 1 : H, kWidth = kFlat ? int64_t(H) * W : W;
  const int64_t begin = Min<int64_t>(Max<int64_t>(0, -x0), columns), end = Max<int64_t>(begin, Min<int64_t>(columns, kWidth - x0));
  for (int64_t y = 0; y < rows; ++y) {
    uint8_t* to = window + y * kStepY;
    if (y0 + y < 0 || y0 + y >= kHeight) {
      Fill(to, columns);
      continue;
    }
    Fill(to, begin);
    const int64_t at = (y0 + y) * kWidth + x0 + begin;
    if (kNhwc)
      memcpy(to + begin * C, image + at * C, static_cast<size_t>((end - begin) * C));
    else
      Turn(image + at, kHeight * kWidth, to + begin * C, C, C, end - begin);
    Fill(to + end * C, columns - end);
  }
}

void run(const uint8_t* input, const int32_t* weight, const int32_t*, const float*, uint8_t* output, int64_t n, const Context& context) {
  constexpr int64_t kPanels = int64_t(GROUPS) * kBlocksK;
  // A unit of work is one block of one image for one slice of the output channels; each task takes neighbouring units.
  const int64_t units = n * kBlocks * SPLIT_K;
  context.Parallel(TASKS, [&](int task) {
    uint8_t* window = static_cast<uint8_t*>(context.workspace()) + task * (kWindowBytes + kStagedBytes);
    uint8_t* staged = window + kWindowBytes;
    int64_t copied = -1;  // the block that the window holds
    for (int64_t unit = units * task / TASKS; unit < units * (task + 1) / TASKS; ++unit) {
      const int64_t slice = unit % SPLIT_K, image = unit / SPLIT_K / kBlocks, at = unit / SPLIT_K % kBlocks;
      const int64_t y = kFlat ? 0 : at * kBlockRows, x = kFlat ? at * kBlockColumns : 0;
      const uint8_t* pixels = input + image * H * W * C;
      uint8_t* result = output + image * OH * OW * K;
      Block block;
      block.rows = Min<int64_t>(kBlockRows, kRows - y);
      block.columns = Min<int64_t>(kBlockColumns, kColumns - x);
      block.output = kNhwc ? result + (y * OW + x) * K : staged;
      if (kCopied) {
        if (copied != unit / SPLIT_K)
          CopyWindow(pixels, window, y * STRIDE_H - PAD_TOP, x * STRIDE_W - PAD_LEFT,
                     kFlat ? 1 : (block.rows - 1) * STRIDE_H + (R - 1) * DILATION_H + 1, kFlat ? block.columns : kWindowColumns);
        copied = unit / SPLIT_K;
        block.window = window;
      } else {
        block.window = pixels + y * STRIDE_H * kStepY + x * STRIDE_W * C;
      }
      const int64_t begin = kPanels * slice / SPLIT_K, end = kPanels * (slice + 1) / SPLIT_K;
      for (int64_t panel = begin; panel < end; ++panel) Panel(block, weight, panel);
      if (!kNhwc && begin < end) {
        const auto first = [](int64_t panel) { return panel / kBlocksK * KG + Min<int64_t>(panel % kBlocksK * kBlockK, KG); };
        const int64_t k = first(begin), channels = (end == kPanels ? K : first(end)) - k;
        Turn(staged + k, K, result + k * OH * OW + y * OW + x, int64_t(OH) * OW, block.rows * block.columns, channels);
      }
    }
  });
}
