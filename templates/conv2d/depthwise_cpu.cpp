// Depthwise convolution (every channel by itself) of nhwc images, vectors of channels.
//
// A tile is TILE_Y rows of TILE_X output pixels for one vector of channels. The pixels of its input window are loaded once each and added
// to every output that they meet; all of that is written out, so which input meets which weight is decided by the compiler.
//
// Nothing is copied. Rows outside the image are skipped by a test per row and tile. Columns outside concern the first and the last tile of
// a row, for which the column is a compile-time constant and the test vanishes, and tiles between them only where the padding is wider than
// a tile. Where the channels do not fill the last vector, it is moved back to end with the channels: some are computed twice.

typedef Vec<float, LANES> Lane;
#include "epilogue_cpu.h"

constexpr int64_t kVectors = CeilDiv(C, LANES);
constexpr int kPanel = (R * S + 1) * LANES;  // bias, then weights of one vector of channels
constexpr int kTilesX = int(CeilDiv(OW, TILE_X));
constexpr int kLastX = (kTilesX - 1) * TILE_X;  // the last tile of a row,
constexpr int kLastWidth = OW - kLastX;         // and its width
constexpr int kBlocksY = int(CeilDiv(OH, TILE_Y));

LATHE_INLINE int64_t ChannelOf(int64_t vector) { return Min<int64_t>(vector * LANES, C - LANES); }

// weight: [k, r, s, 1] -> packed: [vectors, 1 + r*s, LANES]
void prepare(const float* weight, const float* bias, float* packed) {
  for (int64_t v = 0; v < kVectors; ++v)
    for (int64_t lane = 0; lane < LANES; ++lane) {
      const int64_t channel = ChannelOf(v) + lane;
      packed[v * kPanel + lane] = BIAS ? bias[channel] : 0.0f;
      for (int64_t i = 0; i < R * S; ++i) packed[v * kPanel + (1 + i) * LANES + lane] = weight[channel * R * S + i];
    }
}

enum class Columns { kInside, kTested, kConstant };

// image, out: at the vector's first channel  x: the tile's first column, where not the constant X
template <int TY, int TX, Columns COLUMNS, int X>
__attribute__((noinline)) void Tile(const float* image, const float* weight, Place out, int64_t y, int64_t x_given) {
  const int64_t x = COLUMNS == Columns::kConstant ? X : x_given;
  const int64_t in_y = y * STRIDE_H - PAD_TOP, in_x = x * STRIDE_W - PAD_LEFT;
  const float* corner = image + (in_y * W + in_x) * C;
  Lane sum[TY][TX];
  const Lane start = Load<float, LANES>(weight);
#pragma GCC unroll 8
  for (int i = 0; i < TY; ++i)
#pragma GCC unroll 16
    for (int j = 0; j < TX; ++j) sum[i][j] = start;

#pragma GCC unroll 32
  for (int row = 0; row < (TY - 1) * STRIDE_H + (R - 1) * DILATION_H + 1; ++row) {
    if (in_y + row < 0 || in_y + row >= H) continue;
#pragma GCC unroll 64
    for (int column = 0; column < (TX - 1) * STRIDE_W + (S - 1) * DILATION_W + 1; ++column) {
      if (COLUMNS != Columns::kInside && (in_x + column < 0 || in_x + column >= W)) continue;
      const Lane pixel = Load<float, LANES>(corner + (row * W + column) * int64_t(C));
#pragma GCC unroll 8
      for (int i = 0; i < TY; ++i) {
        const int r = row - i * STRIDE_H;
        if (r < 0 || r % DILATION_H != 0 || r / DILATION_H >= R) continue;
#pragma GCC unroll 16
        for (int j = 0; j < TX; ++j) {
          const int s = column - j * STRIDE_W;
          if (s < 0 || s % DILATION_W != 0 || s / DILATION_W >= S) continue;
          sum[i][j] += pixel * Load<float, LANES>(weight + (1 + r / DILATION_H * S + s / DILATION_W) * LANES);
        }
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < TY; ++i)
#pragma GCC unroll 16
    for (int j = 0; j < TX; ++j) {
      const Place at = out + ((y + i) * OW + x + j) * int64_t(K);
      Store<float, LANES>(at.out, Finished<LANES>(sum[i][j], at));
    }
}

template <int TY>
LATHE_INLINE void AnyTile(const float* image, const float* weight, Place out, int64_t y, int tile) {
  constexpr int kReach = (TILE_X - 1) * STRIDE_W + (S - 1) * DILATION_W + 1;  // columns of a full tile's window
  const int64_t x = int64_t(tile) * TILE_X;
  if (tile == kTilesX - 1) return Tile<TY, kLastWidth, Columns::kConstant, kLastX>(image, weight, out, y, x);
  if constexpr (kTilesX > 1) {
    if (tile == 0) return Tile<TY, TILE_X, Columns::kConstant, 0>(image, weight, out, y, x);
  }
  if constexpr (kTilesX > 2) {
    if constexpr (TILE_X * STRIDE_W < PAD_LEFT || (kLastX - TILE_X) * STRIDE_W - PAD_LEFT + kReach > W)
      if (x * STRIDE_W < PAD_LEFT || x * STRIDE_W - PAD_LEFT + kReach > W)
        return Tile<TY, TILE_X, Columns::kTested, 0>(image, weight, out, y, x);
    Tile<TY, TILE_X, Columns::kInside, 0>(image, weight, out, y, x);
  }
}

template <int TY>
LATHE_INLINE void TileRows(const float* image, const float* weight, Place out, int64_t y) {
  if (ORDER == ORDER_XC) {
#pragma GCC unroll 1
    for (int tile = 0; tile < kTilesX; ++tile)
#pragma GCC unroll 1
      for (int64_t v = 0; v < kVectors; ++v) AnyTile<TY>(image + ChannelOf(v), weight + v * kPanel, out + ChannelOf(v), y, tile);
  } else {
#pragma GCC unroll 1
    for (int64_t v = 0; v < kVectors; ++v)
#pragma GCC unroll 1
      for (int tile = 0; tile < kTilesX; ++tile) AnyTile<TY>(image + ChannelOf(v), weight + v * kPanel, out + ChannelOf(v), y, tile);
  }
}

void run(const float* input, const float* weight, const float*, const float* residual, float* output, int64_t n, const Context& context) {
  const int64_t rows = n * kBlocksY;
  context.Parallel(TASKS, [&](int task) {
#pragma GCC unroll 1
    for (int64_t row = rows * task / TASKS; row < rows * (task + 1) / TASKS; ++row) {
      const float* image = input + row / kBlocksY * H * W * C;
      const Place out = FirstPlace(output, residual) + row / kBlocksY * OH * OW * K;
      const int64_t y = row % kBlocksY * TILE_Y;
      if constexpr (OH % TILE_Y != 0) {
        if (y + TILE_Y > OH)
          TileRows<OH % TILE_Y>(image, weight, out, y);
        else if constexpr (kBlocksY > 1)
          TileRows<TILE_Y>(image, weight, out, y);
      } else {
        TileRows<TILE_Y>(image, weight, out, y);
      }
    }
  });
}
