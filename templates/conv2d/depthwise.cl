// Depthwise convolution: output channel k sees input channel k / KG alone. It is bound by memory: nothing is staged, an item keeps what it
// has read of a row in registers for all its outputs that need it.
//
// An item makes PY rows of PX neighbouring pixels, CHANNELS neighbouring channels of each (nhwc). A group is WC items along the channels
// (nhwc), WX along a row, WY down the rows; groups are counted in one dimension, which has no limit that matters:
// channels or planes fastest, then along the row, then down, then images.

#define ROWS ((PY - 1) * STRIDE_H + (R - 1) * DILATION_H + 1)     // of the input that an item's windows touch
#define COLUMNS ((PX - 1) * STRIDE_W + (S - 1) * DILATION_W + 1)
#define TILES_X ((OW + PX * WX - 1) / (PX * WX))
#define TILES_Y ((OH + PY * WY - 1) / (PY * WY))
#if LAYOUT == LAYOUT_NHWC
#define TILES_C ((K + CHANNELS * WC - 1) / (CHANNELS * WC))
#else
#define TILES_C K
#endif
#define RAGGED_X (OW % (PX * WX) != 0)  // the last windows of a row may lie beyond the image
#define RAGGED_Y (OH % (PY * WY) != 0)

#include "values.h"
#include "epilogue.h"

// CHANNELS neighbouring values, aligned to as many.
DEVICE void Load(GLOBAL const value_t* from, size_t at, float* values) {
#if CHANNELS % 4 == 0
  UNROLL
  for (int v = 0; v < CHANNELS; v += 4) {
    const float4 four = GET4(at + (size_t)v, from);
    values[v] = four.x, values[v + 1] = four.y, values[v + 2] = four.z, values[v + 3] = four.w;
  }
#elif CHANNELS == 2
  const float2 two = GET2(at, from);
  values[0] = two.x, values[1] = two.y;
#else
  values[0] = GET(at, from);
#endif
}

DEVICE void Store(const float* values, GLOBAL value_t* to, size_t at) {
#if CHANNELS % 4 == 0
  UNROLL
  for (int v = 0; v < CHANNELS; v += 4) PUT4(make_float4(values[v], values[v + 1], values[v + 2], values[v + 3]), at + (size_t)v, to);
#elif CHANNELS == 2
  PUT2(make_float2(values[0], values[1]), at, to);
#else
  PUT(values[0], at, to);
#endif
}

KERNEL GROUP_SIZE(WC* WX* WY, 1, 1) void convolve(GLOBAL const value_t* RESTRICT input, GLOBAL const value_t* RESTRICT weight_packed,
                                                  GLOBAL const value_t* RESTRICT bias, GLOBAL const value_t* RESTRICT residual,
                                                  GLOBAL value_t* RESTRICT output, int n) {
  const int item = (int)get_local_id(0), tile = (int)get_group_id(0);
  const int tile_x = tile / TILES_C % TILES_X, tile_y = tile / TILES_C / TILES_X % TILES_Y, image = tile / TILES_C / TILES_X / TILES_Y;
  const int x0 = (tile_x * WX + item / WC % WX) * PX, y0 = (tile_y * WY + item / WC / WX) * PY;
#if LAYOUT == LAYOUT_NHWC
  const int k = (tile % TILES_C * WC + item % WC) * CHANNELS;
#else
  const int k = tile % TILES_C;
#endif
  if (x0 >= OW || y0 >= OH || k >= K) return;

  float first[CHANNELS];
#if BIAS
  Load(bias, (size_t)k, first);
#else
  UNROLL
  for (int v = 0; v < CHANNELS; ++v) first[v] = 0.0f;
#endif
  float sum[PY][PX][CHANNELS];
  UNROLL
  for (int y = 0; y < PY; ++y) {
    UNROLL
    for (int x = 0; x < PX; ++x) {
      UNROLL
      for (int v = 0; v < CHANNELS; ++v) sum[y][x][v] = first[v];
    }
  }

  UNROLL
  for (int row = 0; row < ROWS; ++row) {
    const int in_y = y0 * STRIDE_H - PAD_TOP + row;
#if PADDED || RAGGED_Y
    if (in_y < 0 || in_y >= H) continue;
#endif
    float values[COLUMNS][CHANNELS];
    UNROLL
    for (int column = 0; column < COLUMNS; ++column) {
      const int in_x = x0 * STRIDE_W - PAD_LEFT + column;
#if PADDED || RAGGED_X
      UNROLL
      for (int v = 0; v < CHANNELS; ++v) values[column][v] = 0.0f;
      if (in_x >= 0 && in_x < W)
#endif
      {
#if LAYOUT == LAYOUT_NHWC
        Load(input, (((size_t)image * H + (size_t)in_y) * W + (size_t)in_x) * C + (size_t)(k / KG), values[column]);
#else
        Load(input, (((size_t)image * C + (size_t)(k / KG)) * H + (size_t)in_y) * W + (size_t)in_x, values[column]);
#endif
      }
    }
    UNROLL
    for (int y = 0; y < PY; ++y) {
      const int from_top = row - y * STRIDE_H, r = from_top / DILATION_H;
      if (from_top < 0 || from_top % DILATION_H != 0 || r >= R) continue;  // known when the loops are written out
      UNROLL
      for (int s = 0; s < S; ++s) {
        float weight[CHANNELS];
#if LAYOUT == LAYOUT_NHWC
        Load(weight_packed, (size_t)((r * S + s) * K + k), weight);
#else
        Load(weight_packed, (size_t)(k * (R * S) + r * S + s), weight);
#endif
        UNROLL
        for (int x = 0; x < PX; ++x) {
          UNROLL
          for (int v = 0; v < CHANNELS; ++v) sum[y][x][v] += values[x * STRIDE_W + s * DILATION_W][v] * weight[v];
        }
      }
    }
  }

  UNROLL
  for (int y = 0; y < PY; ++y) {
    UNROLL
    for (int x = 0; x < PX; ++x) {
      if (y0 + y >= OH || x0 + x >= OW) continue;
#if LAYOUT == LAYOUT_NHWC
      const size_t at = (((size_t)image * OH + (size_t)(y0 + y)) * OW + (size_t)(x0 + x)) * K + (size_t)k;
#else
      const size_t at = (((size_t)image * K + (size_t)k) * OH + (size_t)(y0 + y)) * OW + (size_t)(x0 + x);
#endif
#if RESIDUAL
      float more[CHANNELS];
      Load(residual, at, more);
      UNROLL
      for (int v = 0; v < CHANNELS; ++v) sum[y][x][v] += more[v];
#endif
      UNROLL
      for (int v = 0; v < CHANNELS; ++v) sum[y][x][v] = Activated(sum[y][x][v]);
      Store(sum[y][x], output, at);
    }
  }
}

// weight -> packed: [R, S, K] for nhwc, where neighbouring items are neighbouring channels; [K, R, S], as it is, for nchw
KERNEL GROUP_SIZE(64, 1, 1) void pack(GLOBAL const value_t* RESTRICT weight, GLOBAL const value_t* RESTRICT bias, GLOBAL value_t* RESTRICT packed) {
  const int at = (int)get_global_id(0);
  if (at >= K * R * S) return;
  const int from = LAYOUT == LAYOUT_NHWC ? at % K * (R * S) + at / K : at;
  PUT(GET(from, weight), at, packed);
}
