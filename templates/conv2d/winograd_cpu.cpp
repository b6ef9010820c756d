// 3x3 convolution with stride 1 by Winograd's minimal filtering F(m x m, 3 x 3), m = OUTPUT (Lavin & Gray 2015, arXiv:1509.09308).
//
// The output is cut into tiles of m x m pixels; each depends on (m + 2) x (m + 2) pixels d of the input and needs, per pair of channels,
// (m + 2)^2 products instead of 9 m^2:   Y = A' [sum over c of (G g G') . (B' d B)] A   with . place by place.
//   m = 2: 2.25 times fewer products   m = 4: 4 times   m = 6: 5.06 times, and more of them are wasted on ragged images
//
//   for each block of BLOCK_T*TILE_S tiles
//     windows: B' d B of every input channel            -> [places][tiles][C]
//     for each block of BLOCK_K tiles of output channels
//       for each place: product with the packed weights  -> [places][tiles][channels], TILE_S tiles by TILE_V vectors in registers
//       outputs: A' (...) A, bias, residual, activation
//
// Threads share out the blocks of tiles or, where a small image has few of them, the channels of each block (SPLIT_K): input channels while
// the windows are made, then output channels.
//
// Everything runs along the channels in vectors; planes (nchw) are turned 16 channels at a time on their way in and out. Where channels do
// not end with a vector, the last vector is moved back to end with them.
//
// The transforms cost accuracy. Largest deviation from sums in double, by the largest output, on layers of 32 to 256 channels of uniform
// numbers: m = 2: 4e-7 to 6e-7, m = 4: 5e-6 to 1.3e-5, m = 6: 9e-6 to 2.1e-5, where direct convolution has 1e-6 to 2e-6. All of them are
// held to the operator's own tolerance, 1e-4.

typedef Vec<float, LANES> Lane;
#include "epilogue_cpu.h"
#include "winograd_transforms_cpu.h"

constexpr bool kNhwc = LAYOUT == LAYOUT_NHWC;
constexpr int kUnroll = UNROLL;  // a pragma does not see macros
constexpr int kPlaces = kA * kA;
constexpr int64_t kTilesX = CeilDiv(OW, kM), kTiles = kTilesX * CeilDiv(OH, kM);
constexpr int64_t kBlockT = BLOCK_T * TILE_S < kTiles ? int64_t(BLOCK_T) * TILE_S : kTiles;
constexpr int64_t kBlocksT = CeilDiv(kTiles, kBlockT);
constexpr int kRestT = int(kTiles % TILE_S);  // of the last tile of sums; 0: it is full
constexpr int kTileK = TILE_V * LANES, kTilesK = int(CeilDiv(K, kTileK));
constexpr int kBlockK = BLOCK_K == 0 || BLOCK_K > kTilesK ? kTilesK : int(BLOCK_K);
constexpr int64_t kPanel = (int64_t(kPlaces) * C + 1) * kTileK;  // packed weights of one tile of output channels

// A line more for each row and place: powers of two would meet in the same sets of the cache.
constexpr int64_t kRowC = C + 16, kPlaceC = kBlockT * kRowC + 16;
constexpr int64_t kRowK = kBlockK * kTileK + 16, kPlaceK = kBlockT * kRowK + 16;

// Neighbouring tiles that are turned together.
constexpr int kSegment = 64 / kM;
constexpr int kSegmentColumns = kSegment * kM + 2;

// Cache lines of the next tile of weights to prefetch with each UNROLL steps.
constexpr int kAhead = PREFETCH == 0 ? 0 : int(CeilDiv(CeilDiv(UNROLL * kTileK, 16), CeilDiv(kBlockT, TILE_S)));

// weight: [k, r, s, c] or [k, c, r, s] -> packed: [tiles of k, 1 + places * c, kTileK]; the first step of each panel is the bias.
void prepare(const float* weight, const float* bias, float* packed) {
  memset(packed, 0, static_cast<size_t>(kTilesK * kPanel) * sizeof(float));
  for (int64_t k = 0; k < K; ++k) {
    float* lane = packed + k / kTileK * kPanel + k % kTileK;
    if (BIAS) *lane = bias[k];
    for (int64_t c = 0; c < C; ++c) {
      double g[9], columns[kA * 3], places[kPlaces];
      for (int64_t at = 0; at < 9; ++at) g[at] = weight[kNhwc ? (k * 9 + at) * C + c : (k * C + c) * 9 + at];
      for (int s = 0; s < 3; ++s) TransformWeight(g + s, 3, columns + s, 3);
      for (int i = 0; i < kA; ++i) TransformWeight(columns + i * 3, 1, places + i * kA, 1);
      for (int64_t place = 0; place < kPlaces; ++place) lane[(1 + place * C + c) * kTileK] = static_cast<float>(places[place]);
    }
  }
}

// from: one vector of channels at the window's first pixel -> to: the same channels at the tile's first place
LATHE_INLINE void WindowOf(const float* from, int64_t row, int64_t pixel, float* to) {
  Lane half[kA][kA];
#pragma GCC unroll 8
  for (int j = 0; j < kA; ++j) {
    Lane d[kA], v[kA];
#pragma GCC unroll 8
    for (int i = 0; i < kA; ++i) d[i] = Load<float, LANES>(from + i * row + j * pixel);
    TransformInput(d, v);
#pragma GCC unroll 8
    for (int i = 0; i < kA; ++i) half[i][j] = v[i];
  }
#pragma GCC unroll 8
  for (int i = 0; i < kA; ++i) {
    Lane v[kA];
    TransformInput(half[i], v);
#pragma GCC unroll 8
    for (int j = 0; j < kA; ++j) Store<float, LANES>(to + (i * kA + j) * kPlaceC, v[j]);
  }
}

// Neighbouring tiles of one row of tiles: the first one, and its input's and its output's first pixel.
struct Segment {
  int tiles;
  int64_t in_y, in_x, out_y, out_x;
};

LATHE_INLINE Segment SegmentAt(int64_t tile, int64_t beyond) {
  const int64_t ty = tile / kTilesX, tx = tile % kTilesX;
  const int64_t end = Min(Min(beyond, (ty + 1) * kTilesX), tile + kSegment);
  return {int(end - tile), ty * kM - PAD_TOP, tx * kM - PAD_LEFT, ty * kM, tx * kM};
}

// One row of the segment's input of LANES planes from c0 on, turned: to: [columns][LANES]
LATHE_INLINE void TurnRow(const float* image, int64_t c0, int64_t y, int64_t x0, int columns, float* to) {
  const int begin = int(y < 0 || y >= H ? columns : Min<int64_t>(columns, Max<int64_t>(0, -x0)));
  const int end = int(Max<int64_t>(begin, Min<int64_t>(columns, W - x0)));
  for (int x = 0; x < begin; ++x) Store<float, LANES>(to + x * LANES, Lane{});
  for (int x = end; x < columns; ++x) Store<float, LANES>(to + x * LANES, Lane{});
#pragma GCC unroll 1
  for (int x = begin; x < end; x += LANES) {
    const int at = end - begin >= LANES ? Min(x, end - LANES) : x, count = Min(LANES, end - at);
    const int64_t from = (c0 * H + y) * W + x0 + at;
    Lane rows[LANES];
    // A short row may be read beyond its end, the image not.
    if (count == LANES || from + int64_t(LANES - 1) * H * W + LANES <= int64_t(C) * H * W) {
#pragma GCC unroll 16
      for (int i = 0; i < LANES; ++i) rows[i] = Load<float, LANES>(image + from + int64_t(i) * H * W);
    } else {
      alignas(64) float part[LANES][LANES] = {};
      for (int i = 0; i < LANES; ++i) memcpy(part[i], image + from + int64_t(i) * H * W, static_cast<size_t>(count) * sizeof(float));
#pragma GCC unroll 16
      for (int i = 0; i < LANES; ++i) rows[i] = Load<float, LANES>(part[i]);
    }
    Transpose<LANES>(rows);
    if (count == LANES) {
#pragma GCC unroll 16
      for (int i = 0; i < LANES; ++i) Store<float, LANES>(to + (at + i) * LANES, rows[i]);
    } else {
#pragma GCC unroll 16
      for (int i = 0; i < LANES; ++i)
        if (i < count) Store<float, LANES>(to + (at + i) * LANES, rows[i]);
    }
  }
}

// windows: [places][tiles][C] of tiles [tile, beyond), input channels [c_begin, c_end)
__attribute__((noinline)) void Windows(const float* image, int64_t tile, int64_t beyond, int64_t c_begin, int64_t c_end, float* windows) {
  alignas(64) float turned[kA * kSegmentColumns * LANES];
  while (tile < beyond) {
    const Segment segment = SegmentAt(tile, beyond);
    const int columns = segment.tiles * kM + 2;
    for (int64_t c = c_begin; c < c_end; c += LANES) {
      const int64_t c0 = Min<int64_t>(c, C - LANES);
      if (!kNhwc) {
        for (int i = 0; i < kA; ++i) TurnRow(image, c0, segment.in_y + i, segment.in_x, columns, turned + i * kSegmentColumns * LANES);
#pragma GCC unroll 1
        for (int t = 0; t < segment.tiles; ++t) WindowOf(turned + t * kM * LANES, kSegmentColumns * LANES, LANES, windows + t * kRowC + c0);
        continue;
      }
#pragma GCC unroll 1
      for (int t = 0; t < segment.tiles; ++t) {
        const int64_t y = segment.in_y, x = segment.in_x + t * kM;
        if (y >= 0 && y + kA <= H && x >= 0 && x + kA <= W) {
          WindowOf(image + (y * W + x) * C + c0, int64_t(W) * C, C, windows + t * kRowC + c0);
        } else {
          for (int i = 0; i < kA; ++i)
            for (int j = 0; j < kA; ++j)
              Store<float, LANES>(turned + (i * kA + j) * LANES, y + i < 0 || y + i >= H || x + j < 0 || x + j >= W
                                                                     ? Lane{}
                                                                     : Load<float, LANES>(image + ((y + i) * W + x + j) * C + c0));
          WindowOf(turned, kA * LANES, LANES, windows + t * kRowC + c0);
        }
      }
    }
    windows += segment.tiles * kRowC;
    tile += segment.tiles;
  }
}

// windows: [TS][kRowC]  weight: [C][kTileK] -> products: [TS][kRowK]
template <int TS>
__attribute__((noinline)) void Product(const float* windows, const float* weight, float* products, const float* ahead) {
  Lane sum[TS][TILE_V] = {};
  const auto step = [&]() __attribute__((always_inline)) {
    Lane vector[TILE_V];
#pragma GCC unroll 8
    for (int v = 0; v < TILE_V; ++v) vector[v] = Load<float, LANES>(weight + v * LANES);
#pragma GCC unroll 32
    for (int t = 0; t < TS; ++t) {
      const Lane scalar = Broadcast<float, LANES>(windows[t * kRowC]);
#pragma GCC unroll 8
      for (int v = 0; v < TILE_V; ++v) sum[t][v] += vector[v] * scalar;
    }
    ++windows;
    weight += kTileK;
  };
#pragma GCC unroll 1
  for (int i = 0; i < C / kUnroll; ++i) {
#pragma GCC unroll 8
    for (int u = 0; u < kUnroll; ++u) step();
#pragma GCC unroll 32
    for (int line = 0; line < kAhead; ++line) __builtin_prefetch(ahead + line * 16, 0, 2);
    ahead += kAhead * 16;
  }
#pragma GCC unroll 8
  for (int u = 0; u < C % kUnroll; ++u) step();
#pragma GCC unroll 32
  for (int t = 0; t < TS; ++t)
#pragma GCC unroll 8
    for (int v = 0; v < TILE_V; ++v) Store<float, LANES>(products + t * kRowK + v * LANES, sum[t][v]);
}

// from: one vector of channels at the tile's first place -> store(row, column, sums)
template <typename ToMemory>
LATHE_INLINE void OutputOf(const float* from, Lane bias, int rows, int columns, const ToMemory& store) {
  Lane half[kM][kA];
#pragma GCC unroll 8
  for (int j = 0; j < kA; ++j) {
    Lane v[kA], y[kM];
#pragma GCC unroll 8
    for (int i = 0; i < kA; ++i) v[i] = Load<float, LANES>(from + (i * kA + j) * kPlaceK);
    TransformOutput(v, y);
#pragma GCC unroll 8
    for (int i = 0; i < kM; ++i) half[i][j] = y[i];
  }
#pragma GCC unroll 8
  for (int i = 0; i < kM; ++i) {
    if (i >= rows) break;
    Lane y[kM];
    TransformOutput(half[i], y);
#pragma GCC unroll 8
    for (int j = 0; j < kM; ++j)
      if (j < columns) store(i, j, y[j] + bias);
  }
}

// rows: [columns][LANES] -> LANES planes of the output from `to` on
LATHE_INLINE void TurnBack(const float* rows, int columns, Place to) {
#pragma GCC unroll 1
  for (int x = 0; x < columns; x += LANES) {
    const int at = columns >= LANES ? Min(x, columns - LANES) : 0, count = Min(LANES, columns - at);
    Lane turned[LANES];
#pragma GCC unroll 16
    for (int i = 0; i < LANES; ++i) turned[i] = Load<float, LANES>(rows + (at + i) * LANES);
    Transpose<LANES>(turned);
    if (count == LANES) {
#pragma GCC unroll 16
      for (int i = 0; i < LANES; ++i) StoreLate<LANES>(turned[i], to + (int64_t(i) * OH * OW + at));
    } else {
      alignas(64) float part[LANES][LANES];
#pragma GCC unroll 16
      for (int i = 0; i < LANES; ++i) Store<float, LANES>(part[i], Late<LANES>(turned[i], to + (int64_t(i) * OH * OW + at), count));
      for (int i = 0; i < LANES; ++i) memcpy((to + (int64_t(i) * OH * OW + at)).out, part[i], static_cast<size_t>(count) * sizeof(float));
    }
  }
}

// products: [places][tiles][channels from k_begin on] of tiles [tile, beyond)
__attribute__((noinline)) void Outputs(const float* products, const float* weight, int64_t tile, int64_t beyond, int64_t k_begin,
                                       int64_t k_end, Place output) {
  alignas(64) float turned[(kM * kSegmentColumns + LANES) * LANES];
  while (tile < beyond) {
    const Segment segment = SegmentAt(tile, beyond);
    const int rows = int(Min<int64_t>(kM, OH - segment.out_y)), columns = int(Min<int64_t>(segment.tiles * kM, OW - segment.out_x));
    for (int64_t k = k_begin; k < k_end; k += LANES) {
      const int64_t k0 = Min<int64_t>(k, K - LANES);
      // A vector that moves back may reach into another tile of channels; in the products they lie side by side.
      alignas(64) float bias_of[LANES];
      for (int i = 0; i < LANES; ++i) bias_of[i] = weight[(k0 + i) / kTileK * kPanel + (k0 + i) % kTileK];
      const Lane bias = Load<float, LANES>(bias_of);
      const float* from = products + (k0 - k_begin);
#pragma GCC unroll 1
      for (int t = 0; t < segment.tiles; ++t) {
        const int width = Min(kM, columns - t * kM);
        float* const first_turned = turned + t * kM * LANES;
        const Place first = output + ((segment.out_y * OW + segment.out_x + t * kM) * K + k0);
        const auto store = [&](int y, int x, Lane sum) __attribute__((always_inline)) {
          const Place at = first + (int64_t(y) * OW + x) * K;
          if (kNhwc)
            Store<float, LANES>(at.out, Finished<LANES>(sum, at));
          else
            Store<float, LANES>(first_turned + (y * kSegmentColumns + x) * LANES, RESIDUAL ? sum : Activated<LANES>(sum));
        };
        OutputOf(from + t * kRowK, bias, rows, width, store);
      }
      if (!kNhwc)
        for (int i = 0; i < rows; ++i)
          TurnBack(turned + i * kSegmentColumns * LANES, columns, output + ((k0 * OH + segment.out_y + i) * OW + segment.out_x));
    }
    products += segment.tiles * kRowK;
    tile += segment.tiles;
  }
}

// Outputs of tiles [tile, tile + tiles) from their windows, for tiles [k_first, k_last) of output channels.
void Channels(const float* windows, const float* weight, Place output, float* products, int64_t tile, int64_t tiles, int64_t k_first,
              int64_t k_last) {
  const auto panel = [&](int64_t k, int64_t place) { return weight + k * kPanel + (1 + place * C) * kTileK; };
  for (int64_t k_begin = k_first; k_begin < k_last; k_begin += kBlockK) {
    const int64_t k_end = Min<int64_t>(k_begin + kBlockK, k_last);
    for (int64_t place = 0; place < kPlaces; ++place)
      for (int64_t k = k_begin; k < k_end; ++k) {
        const float* from = windows + place * kPlaceC;
        float* to = products + place * kPlaceK + (k - k_begin) * kTileK;
        const float* ahead = k + 1 < k_end ? panel(k + 1, place) : panel(k_begin, place + 1);
        int64_t t = 0;
#pragma GCC unroll 1
        for (; t + TILE_S <= tiles; t += TILE_S, ahead += C / kUnroll * kAhead * 16)
          Product<TILE_S>(from + t * kRowC, panel(k, place), to + t * kRowK, ahead);
        if constexpr (kRestT != 0)
          if (t < tiles) Product<kRestT>(from + t * kRowC, panel(k, place), to + t * kRowK, ahead);
      }
    Outputs(products, weight, tile, tile + tiles, k_begin * kTileK, Min<int64_t>(k_end * kTileK, K), output);
  }
}

void run(const float* input, const float* weight, const float*, const float* residual, float* output, int64_t n, const Context& context) {
  const int64_t units = n * kBlocksT;
  float* const workspace = static_cast<float*>(context.workspace());
  // tasks: how many share a unit; 1: each unit is a task's own
  const auto unit_of = [&](int64_t unit, float* windows, int tasks) {
    const float* image = input + unit / kBlocksT * H * W * C;
    const Place out = FirstPlace(output, residual) + unit / kBlocksT * OH * OW * K;
    float* products = windows + kPlaces * kPlaceC;
    const int64_t tile = unit % kBlocksT * kBlockT, tiles = Min(kBlockT, kTiles - tile);
    if (tasks == 1) {
      Windows(image, tile, tile + tiles, 0, C, windows);
      Channels(windows, weight, out, products, tile, tiles, 0, kTilesK);
      return;
    }
    context.Parallel(tasks, [&](int task) {
      Windows(image, tile, tile + tiles, C / LANES * task / tasks * LANES, C / LANES * (task + 1) / tasks * LANES, windows);
    });
    context.Parallel(tasks, [&](int task) {
      const int64_t first = kTilesK * task / tasks, last = kTilesK * (task + 1) / tasks;
      Channels(windows, weight, out, products + first * kTileK, tile, tiles, first, last);
    });
  };
  if (SPLIT_K > 1) {
    for (int64_t unit = 0; unit < units; ++unit) unit_of(unit, workspace, SPLIT_K);
  } else {
    context.Parallel(TASKS, [&](int task) {
      for (int64_t unit = units * task / TASKS; unit < units * (task + 1) / TASKS; ++unit)
        unit_of(unit, workspace + task * kPlaces * (kPlaceC + kPlaceK), 1);
    });
  }
}
