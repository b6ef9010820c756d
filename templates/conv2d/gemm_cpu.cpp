// Convolution as a matrix product: weights [K, steps] times windows [steps, pixels], where a step is one input channel at one place of
// the window and the pixels of an image form one row of OH*OW.
//
// A tile is TILE_V vectors times TILE_S scalars of sums, in registers over the whole product (or over BLOCK_C input channels of it). The
// vectors lie along the pixels (planes need no turning) or along the output channels (nothing is lost on a 7x7 image):
//   VECTOR == pixels:    pixels are loaded as vectors, weights broadcast    VECTOR == channels:  the other way round
//
//   for each block of BLOCK_P tiles of pixels; for each block of BLOCK_C input channels: windows copied into panels unless used in place
//     for each block of BLOCK_K tiles of output channels
//       for each tile of pixels; for each tile of output channels
//
// Panels hold a tile's pixels step by step, so every load of the product is sequential whatever stride, window and padding are; rows are
// compacted there. The weights of the next block of output channels are prefetched evenly while the tiles of this one are computed:
// weights that do not fit into the second cache arrive at the pace they are used instead of in bursts. Likewise the next block's pixels.
// Each tile begins by asking for the lines of the output that it will end in.
//
// Where the pixels do not end with a vector, the last vector is moved back to end with them: some pixels are computed twice, none is
// read or written outside. Ragged tiles are computed at the size left over.

typedef Vec<float, LANES> Lane;
#include "epilogue_cpu.h"
#include "store_cpu.h"

constexpr bool kNhwc = LAYOUT == LAYOUT_NHWC;
constexpr bool kAlongPixels = VECTOR == VECTOR_PIXELS;
constexpr int kUnroll = UNROLL;  // a pragma does not see macros
constexpr int64_t kPixels = int64_t(OH) * OW, kPlane = int64_t(H) * W;
constexpr int64_t kVectors = CeilDiv(kPixels, LANES);  // of pixels
constexpr int kTileP = kAlongPixels ? TILE_V * LANES : TILE_S;
constexpr int kTileK = kAlongPixels ? TILE_S : TILE_V * LANES;
constexpr int64_t kTilesP = kAlongPixels ? CeilDiv(kVectors, TILE_V) : CeilDiv(kPixels, TILE_S);
constexpr int kTilesK = int(CeilDiv(K, kTileK));
constexpr int kRestP = int(kAlongPixels ? kVectors % TILE_V * LANES : kPixels % TILE_S);  // pixels of the last tile; 0: it is full
constexpr int kRestK = K % kTileK;                                                        // channels of the last tile; 0: it is full
constexpr int64_t kShift = kAlongPixels ? kVectors * LANES - kPixels : 0;                 // how far the last vector moves back

constexpr int kBlockC = BLOCK_C == 0 ? C : BLOCK_C;  // divides C
constexpr int kBlocksC = C / kBlockC;
constexpr int kSteps = R * S * kBlockC;
constexpr int64_t kPanelK = (int64_t(R) * S * C + 1) * kTileK;  // packed weights of one tile of output channels
constexpr int64_t kBlockP = BLOCK_P == 0 ? kTilesP : BLOCK_P < kTilesP ? int64_t(BLOCK_P) : kTilesP;
constexpr int64_t kBlocksP = CeilDiv(kTilesP, kBlockP);
constexpr int kBlockK = BLOCK_K == 0 ? kTilesK : BLOCK_K < kTilesK ? int(BLOCK_K) : kTilesK;

// A tile's pixels: [steps][kTileP] (nchw) or [kTileP][steps + a line against cache set conflicts] (nhwc), or in place.
constexpr bool kCopied = !POINTWISE || PACK == PACK_ALWAYS;
constexpr int64_t kNextPixel = kNhwc ? (kCopied ? kSteps + 16 : C) : 1;
constexpr int64_t kNextStep = kNhwc ? 1 : kCopied ? kTileP : kPlane;
constexpr int64_t kPanelP = kCopied ? (kNhwc ? kTileP * kNextPixel : int64_t(kSteps) * kTileP) : kTileP * kNextPixel;
constexpr int64_t kPanelFloats = kCopied ? CeilDiv(kBlockP * kPanelP + 16, 16) * 16 : 0;
constexpr int kTileFloats = TILE_V * TILE_S * LANES;
constexpr int64_t kPartialFloats = kBlocksC == 1 ? 0 : kBlockP * kTilesK * kTileFloats;

// What a tile prefetches between its steps, evenly: with each UNROLL of them so many cache lines of the next block's weights; and its share
// of the next block's pixels, kLinesP lines of each of kShareC channels.
constexpr bool kPrefetchK = PREFETCH == PREFETCH_WEIGHTS || PREFETCH == PREFETCH_BOTH;
constexpr bool kPrefetchP = PREFETCH == PREFETCH_PIXELS || PREFETCH == PREFETCH_BOTH;
constexpr int kLinesK = kPrefetchK ? int(CeilDiv(CeilDiv(UNROLL * kTileK, 16), kBlockP)) : 0;
constexpr int64_t kRangeP = POINTWISE ? kBlockP * kTileP : CeilDiv(kBlockP * kTileP, OW) * STRIDE_H * W;  // in each plane
constexpr int kLinesP = int(CeilDiv(kRangeP, 16 * kBlockP));
constexpr int kRounds = kSteps / kUnroll;
constexpr int kShareC = int(CeilDiv(kBlockC, CeilDiv(kTilesK, SPLIT_K)));
constexpr int kParts = kShareC < kRounds ? kShareC : kRounds;
constexpr int kChannelsP = int(CeilDiv(kShareC, kParts));  // in each part of the tile's rounds

// weight: [k, r, s, c] or [k, c, r, s] -> packed: [tiles of k, 1 + steps, kTileK]; steps: [blocks of c, r, s, c]; the first is the bias.
void prepare(const float* weight, const float* bias, float* packed) {
  memset(packed, 0, static_cast<size_t>(kTilesK * kPanelK) * sizeof(float));
  for (int64_t k = 0; k < K; ++k) {
    float* lane = packed + k / kTileK * kPanelK + k % kTileK;
    if (BIAS) *lane = bias[k];
    for (int64_t c = 0; c < C; ++c)
      for (int64_t at = 0; at < R * S; ++at)
        lane[(1 + c / kBlockC * kSteps + at * kBlockC + c % kBlockC) * kTileK] =
            weight[kNhwc ? (k * R * S + at) * C + c : (k * C + c) * R * S + at];
  }
}

struct TileAt {
  const float *pixels, *bias, *weight;
  float* partial;
  Place out;                       // its first pixel's first channel
  int64_t back;                    // how far its last vector moves back
  const float *ahead_k, *ahead_p;  // weights and pixels to prefetch meanwhile
  bool first, last;                // block of input channels
};

// PIXELS and CHANNELS of a tile; along the pixels whole vectors of them.
template <int PIXELS, int CHANNELS>
__attribute__((noinline)) void Tile(const TileAt& at) {
  constexpr int kV = int(CeilDiv(kAlongPixels ? PIXELS : CHANNELS, LANES)), kS = kAlongPixels ? CHANNELS : PIXELS;
  Lane sum[kS][kV];
  if (kBlocksC == 1 || at.first) {
#pragma GCC unroll 32
    for (int s = 0; s < kS; ++s)
#pragma GCC unroll 8
      for (int v = 0; v < kV; ++v) sum[s][v] = kAlongPixels ? Broadcast<float, LANES>(at.bias[s]) : Load<float, LANES>(at.bias + v * LANES);
  } else {
#pragma GCC unroll 32
    for (int s = 0; s < kS; ++s)
#pragma GCC unroll 8
      for (int v = 0; v < kV; ++v) sum[s][v] = Load<float, LANES>(at.partial + (s * kV + v) * LANES);
  }

  if (kBlocksC == 1 || at.last) PrefetchRows<kNhwc ? CHANNELS : PIXELS>(at.out + -at.back, kNhwc ? K : kPixels, kNhwc ? PIXELS : CHANNELS);

  const float *pixels = at.pixels, *pixels_last = at.pixels - at.back, *weight = at.weight, *ahead_k = at.ahead_k, *ahead_p = at.ahead_p;
  const auto step = [&]() __attribute__((always_inline)) {
    Lane vector[kV];
#pragma GCC unroll 8
    for (int v = 0; v < kV; ++v)
      vector[v] = Load<float, LANES>((!kAlongPixels ? weight : kShift != 0 && !kCopied && v == kV - 1 ? pixels_last : pixels) + v * LANES);
#pragma GCC unroll 32
    for (int s = 0; s < kS; ++s) {
      const Lane scalar = Broadcast<float, LANES>(kAlongPixels ? weight[s] : pixels[s * kNextPixel]);
#pragma GCC unroll 8
      for (int v = 0; v < kV; ++v) sum[s][v] += vector[v] * scalar;
    }
    pixels += kNextStep;
    pixels_last += kNextStep;
    weight += kTileK;
  };
  const auto steps = [&](int rounds) __attribute__((always_inline)) {
#pragma GCC unroll 1
    for (int i = 0; i < rounds; ++i) {
#pragma GCC unroll 16
      for (int u = 0; u < kUnroll; ++u) step();
#pragma GCC unroll 16
      for (int line = 0; line < kLinesK; ++line) __builtin_prefetch(ahead_k + line * 16, 0, 2);
      ahead_k += kLinesK * 16;
    }
  };
  if (kPrefetchP)
#pragma GCC unroll 1
    for (int part = 0; part < kParts; ++part, ahead_p += kChannelsP * kPlane) {
      for (int c = 0; c < kChannelsP; ++c)
        for (int line = 0; line < kLinesP; ++line) __builtin_prefetch(ahead_p + c * kPlane + line * 16, 0, 2);
      steps(kRounds / kParts);
    }
  if constexpr (!kPrefetchP || kRounds % kParts != 0) steps(kPrefetchP ? kRounds % kParts : kRounds);
#pragma GCC unroll 16
  for (int u = 0; u < kSteps % kUnroll; ++u) step();

  if (kBlocksC > 1 && !at.last) {
#pragma GCC unroll 32
    for (int s = 0; s < kS; ++s)
#pragma GCC unroll 8
      for (int v = 0; v < kV; ++v) Store<float, LANES>(at.partial + (s * kV + v) * LANES, sum[s][v]);
    return;
  }
  constexpr bool kSilu = ACTIVATION == ACTIVATION_SILU;
  constexpr bool kRows = kSilu || (!kAlongPixels && (!kNhwc || CHANNELS % LANES != 0));  // sums pass through memory on their way out
  constexpr int64_t kOut = kAlongPixels ? kPixels : K;
  if constexpr (!kRows) {
#pragma GCC unroll 32
    for (int s = 0; s < kS; ++s)
#pragma GCC unroll 8
      for (int v = 0; v < kV; ++v) {
        const Place to = at.out + (s * kOut + v * LANES - (v == kV - 1 ? at.back : 0));
        Store<float, LANES>(to.out, Finished<LANES>(sum[s][v], to));
      }
  } else {
    constexpr int kRow = kAlongPixels ? kTileP : kTileK;
    alignas(64) float rows[kS * kRow];
#pragma GCC unroll 32
    for (int s = 0; s < kS; ++s)
#pragma GCC unroll 8
      for (int v = 0; v < kV; ++v) Store<float, LANES>(rows + s * kRow + v * LANES, Early(sum[s][v]));
    if constexpr (kAlongPixels) {
#pragma GCC unroll 1
      for (int s = 0; s < kS; ++s)
#pragma GCC unroll 8
        for (int v = 0; v < kV; ++v) {
          const Place to = at.out + (s * kOut + v * LANES - (v == kV - 1 ? at.back : 0));
          Store<float, LANES>(to.out, Finished<LANES>(Load<float, LANES>(rows + s * kRow + v * LANES), to));
        }
      return;
    }
    if (kSilu && !RESIDUAL)
#pragma GCC unroll 1
      for (int i = 0; i < kS * kRow; i += LANES) Store<float, LANES>(rows + i, Silu<LANES>(Load<float, LANES>(rows + i)));
    if constexpr (kNhwc) {
#pragma GCC unroll 1
      for (int s = 0; s < kS; ++s) CopyLate<CHANNELS>(rows + s * kRow, at.out + s * kOut);
    } else {
      StoreTurned<PIXELS, kTileK>(rows, at.out, kPixels, CHANNELS);
    }
  }
}

template <int PIXELS>
LATHE_INLINE void TileOf(const TileAt& at, bool last_k) {
  if constexpr (kRestK == 0) {
    Tile<PIXELS, kTileK>(at);
  } else {
    if (last_k)
      Tile<PIXELS, kRestK>(at);
    else if constexpr (kTilesK > 1)
      Tile<PIXELS, kTileK>(at);
  }
}

// Neighbouring pixels of one input row, at places of a tile; from < 0: they lie in the padding.
struct Run {
  int64_t from;
  int to, count;
};

// Runs of pixels [p, p + count) of the output for one place of the window.
LATHE_INLINE Run* AddRuns(Run* run, int to, int64_t p, int count, int64_t r, int64_t s) {
  if (POINTWISE) {
    *run++ = {p, to, count};
    return run;
  }
  while (count > 0) {
    const int64_t y = p / OW, x = p % OW, in_y = y * STRIDE_H + r * DILATION_H - PAD_TOP, left = s * DILATION_W - PAD_LEFT;
    const int64_t end = Min<int64_t>(OW, x + count);  // in this row
    // Columns [begin, beyond) of the output have their input inside of the row.
    const int64_t begin = Max<int64_t>(x, left < 0 ? CeilDiv(-left, STRIDE_W) : 0);
    const int64_t beyond = Min<int64_t>(end, left >= W ? 0 : (W - 1 - left) / STRIDE_W + 1);
    if (in_y < 0 || in_y >= H || begin >= beyond) {
      *run++ = {-1, to, int(end - x)};
    } else {
      if (begin > x) *run++ = {-1, to, int(begin - x)};
      *run++ = {in_y * W + begin * STRIDE_W + left, to + int(begin - x), int(beyond - begin)};
      if (end > beyond) *run++ = {-1, to + int(beyond - x), int(end - beyond)};
    }
    to += int(end - x);
    count -= int(end - x);
    p += end - x;
  }
  return run;
}

// Writes up to a vector more than asked: the panel is filled from front to back.  readable: floats from `from` on
LATHE_INLINE void CopyRun(float* to, const float* from, int count, int64_t readable) {
  int x = 0;
  if (STRIDE_W == 1) {
    for (; x < count && x + LANES <= readable; x += LANES) Store<float, LANES>(to + x, Load<float, LANES>(from + x));
  } else if (STRIDE_W == 2) {
    for (; x < count && 2 * (x + LANES) <= readable; x += LANES) {
      Lane even, odd;
      Unzip<LANES>(from + 2 * x, even, odd);
      Store<float, LANES>(to + x, even);
    }
  }
#pragma GCC unroll 1
  for (; x < count; ++x) to[x] = from[x * STRIDE_W];
}

// image: [c, h, w] or [h, w, c] -> panel, for BLOCK_C channels from c0 on
void CopyTile(const float* image, float* panel, int64_t tile, int64_t c0) {
  const int64_t p0 = tile * kTileP;
  const int count = int(kAlongPixels ? Min<int64_t>(kTileP, kVectors * LANES - p0) : Min<int64_t>(kTileP, kPixels - p0));
  if (kNhwc) {
#pragma GCC unroll 1
    for (int i = 0; i < count; ++i) {
      float* to = panel + i * kNextPixel;
      const int64_t y = (p0 + i) / OW * STRIDE_H - PAD_TOP, x = (p0 + i) % OW * STRIDE_W - PAD_LEFT;
      for (int64_t r = 0; r < R; ++r)
        for (int64_t s = 0; s < S; ++s, to += kBlockC) {
          const int64_t in_y = y + r * DILATION_H, in_x = x + s * DILATION_W;
          if (in_y < 0 || in_y >= H || in_x < 0 || in_x >= W)
            memset(to, 0, kBlockC * sizeof(float));
          else
            memcpy(to, image + (in_y * W + in_x) * C + c0, kBlockC * sizeof(float));
        }
    }
    return;
  }
  Run runs[3 * (kTileP + 2)];
  for (int64_t r = 0; r < R; ++r)
    for (int64_t s = 0; s < S; ++s) {
      const bool moved = kShift != 0 && p0 + count > kPixels;
      Run* end = AddRuns(runs, 0, p0, count - (moved ? LANES : 0), r, s);
      if (moved) end = AddRuns(end, count - LANES, kPixels - LANES, LANES, r, s);
      float* to = panel + (r * S + s) * kBlockC * kTileP;
      const float* plane = image + c0 * kPlane;
      int64_t c = 0;
      if (end == runs + 1 && runs->from >= 0 && runs->count == kTileP) {  // as nearly always: one copy of known length a channel
        constexpr int64_t kTouched = CeilDiv(kTileP, LANES) * LANES * STRIDE_W;
        const int64_t whole = kBlockC - (c0 + kBlockC == C && runs->from + kTouched > kPlane ? CeilDiv(kTouched, kPlane) : 0);
        for (; c < whole; ++c, to += kTileP) CopyRun(to, plane + c * kPlane + runs->from, kTileP, kTouched);
      }
      for (; c < kBlockC; ++c, to += kTileP)
        for (const Run* run = runs; run < end; ++run) {
          if (run->from >= 0)
            CopyRun(to + run->to, plane + c * kPlane + run->from, run->count, (C - c0 - c) * kPlane - run->from);
          else
            for (int x = 0; x < run->count; x += LANES) Store<float, LANES>(to + run->to + x, Lane{});
        }
    }
}

// One block of pixels of one image for tiles [k_begin, k_end) of output channels.
void Block(const float* image, Place output, const float* weight, float* panels, float* partial, int64_t tile_begin, int64_t k_begin,
           int64_t k_end) {
  const int64_t tiles = Min(kBlockP, kTilesP - tile_begin);
  TileAt at{};
  for (int64_t b = 0; b < kBlocksC; ++b) {
    if (kCopied)
      for (int64_t t = 0; t < tiles; ++t) CopyTile(image, panels + t * kPanelP, tile_begin + t, b * kBlockC);
    const int64_t next_c = b + 1 == kBlocksC ? 0 : (b + 1) * kBlockC, next_p = (tile_begin + (b + 1 == kBlocksC ? kBlockP : 0)) * kTileP;
    const float* ahead = image + next_c * kPlane + (POINTWISE ? next_p : next_p / OW * STRIDE_H * W);
    at.first = b == 0;
    at.last = b + 1 == kBlocksC;
    for (int64_t k0 = k_begin; k0 < k_end; k0 += kBlockK)
      for (int64_t t = 0; t < tiles; ++t) {
        const int64_t tile = tile_begin + t;
        at.pixels = kCopied ? panels + t * kPanelP : image + tile * kPanelP + b * kBlockC * kNextStep;
        at.back = tile + 1 == kTilesP ? kShift : 0;
        for (int64_t k = k0; k < Min(k0 + kBlockK, k_end); ++k) {
          at.bias = weight + k * kPanelK;
          at.weight = at.bias + (1 + b * kSteps) * kTileK;
          if (kPrefetchK) at.ahead_k = at.weight + kBlockK * kPanelK + t * kRounds * kLinesK * 16;
          if (kPrefetchP) at.ahead_p = ahead + (k - k_begin) * kParts * kChannelsP * kPlane + t * kLinesP * 16;
          at.partial = partial + (t * kTilesK + k) * kTileFloats;
          at.out = output + (kNhwc ? tile * kTileP * K + k * kTileK : k * kTileK * kPixels + tile * kTileP);
          if constexpr (kRestP == 0) {
            TileOf<kTileP>(at, k + 1 == kTilesK);
          } else {
            if (tile + 1 == kTilesP)
              TileOf<kRestP>(at, k + 1 == kTilesK);
            else if constexpr (kTilesP > 1)
              TileOf<kTileP>(at, k + 1 == kTilesK);
          }
        }
      }
  }
}

void run(const float* input, const float* weight, const float*, const float* residual, float* output, int64_t n, const Context& context) {
  // A unit of work is one block of pixels of one image for one slice of the output channels; each task takes neighbouring units.
  const int64_t units = n * kBlocksP * SPLIT_K;
  context.Parallel(TASKS, [&](int task) {
    float* panels = static_cast<float*>(context.workspace()) + task * (kPanelFloats + kPartialFloats);
    for (int64_t unit = units * task / TASKS; unit < units * (task + 1) / TASKS; ++unit) {
      const int64_t slice = unit % SPLIT_K, block = unit / SPLIT_K % kBlocksP, image = unit / SPLIT_K / kBlocksP;
      Block(input + image * kPlane * C, FirstPlace(output, residual) + image * kPixels * K, weight, panels, panels + kPanelFloats,
            block * kBlockP, kTilesK * slice / SPLIT_K, kTilesK * (slice + 1) / SPLIT_K);
    }
  });
}
