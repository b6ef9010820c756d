// 3x3 convolution by Winograd's minimal filtering, F(2x2, 3x3) or F(4x4, 3x3), in three kernels:
//   transform_input   windows of (OUTPUT + 2)^2 pixels, OUTPUT apart -> POINTS values each, at POINTS places
//   multiply          at each place a matrix product: [tiles, C] by [C, K]
//   transform_output  POINTS values -> OUTPUT^2 pixels, with bias, residual and activation
// 4 (OUTPUT 4) or 2.25 (OUTPUT 2) times fewer products than directly, for moving POINTS/OUTPUT^2 times the image through memory. Weights are
// transformed once, by pack. All between the transforms is f32, whatever is stored.
//
// The workspace, its matrices padded to whole tiles of the product so that nothing in it is tested for:
//   windows   nhwc: [POINTS, rows, ALIGNED_DEPTH]   nchw: [POINTS, ALIGNED_DEPTH, rows]   rows: output tiles of all images
//   products  nhwc: [POINTS, rows, COLUMNS]         nchw: [POINTS, COLUMNS, rows]
// Beyond the last channel windows are zero; rows beyond the last tile stay undefined and touch nothing but themselves.
// multiply is the product of implicit_gemm.cl on matrices that exist: see there how items share a tile.

#define WINDOW (OUTPUT + 2)
#define POINTS (WINDOW * WINDOW)
#define TILES_Y ((OH + OUTPUT - 1) / OUTPUT)
#define TILES_X ((OW + OUTPUT - 1) / OUTPUT)
#define DEPTH C
#define ALIGNED_DEPTH (STEPS * TILE_K)
#define COLUMNS (TILES_N * TILE_N)
#define LOAD 4
typedef float staged_t;
typedef float4 staged4_t;
#define STAGED(i, p) (p)[i]
#define STAGED2(i, p) (*(LOCAL const float2*)((p) + (i)))
#define STAGED4(i, p) (*(LOCAL const float4*)((p) + (i)))
typedef float sum_t;
typedef float2 sum2_t;
typedef float4 sum4_t;
#define ADD_PRODUCT(a, b, sum) ((sum) + (a) * (b))
typedef staged_t weight_t;
#include "tile_product.h"

#include "values.h"
#include "epilogue.h"

DEVICE int PaddedRows(int n) { return (n * (TILES_Y * TILES_X) + TILE_M - 1) / TILE_M * TILE_M; }

// ---- the three transforms of one row or column, whose elements lie `stride` apart (Lavin and Gray's matrices) ----
DEVICE void TransformWindow(float* d, int stride) {
#if OUTPUT == 2
  const float d0 = d[0], d1 = d[stride], d2 = d[2 * stride], d3 = d[3 * stride];
  d[0] = d0 - d2;
  d[stride] = d1 + d2;
  d[2 * stride] = d2 - d1;
  d[3 * stride] = d1 - d3;
#else
  const float d0 = d[0], d1 = d[stride], d2 = d[2 * stride], d3 = d[3 * stride], d4 = d[4 * stride], d5 = d[5 * stride];
  const float a = d4 - 4.0f * d2, b = d3 - 4.0f * d1, c = d4 - d2, e = 2.0f * (d3 - d1);
  d[0] = 4.0f * d0 - 5.0f * d2 + d4;
  d[stride] = a + b;
  d[2 * stride] = a - b;
  d[3 * stride] = c + e;
  d[4 * stride] = c - e;
  d[5 * stride] = 4.0f * d1 - 5.0f * d3 + d5;
#endif
}

// Three elements become WINDOW.
DEVICE void TransformWeights(float* g, int stride) {
  const float g0 = g[0], g1 = g[stride], g2 = g[2 * stride];
#if OUTPUT == 2
  g[stride] = 0.5f * (g0 + g1 + g2);
  g[2 * stride] = 0.5f * (g0 - g1 + g2);
  g[3 * stride] = g2;
#else
  g[0] = g0 / 4.0f;
  g[stride] = (g0 + g1 + g2) / -6.0f;
  g[2 * stride] = (g1 - g0 - g2) / 6.0f;
  g[3 * stride] = (g0 + 2.0f * g1 + 4.0f * g2) / 24.0f;
  g[4 * stride] = (g0 - 2.0f * g1 + 4.0f * g2) / 24.0f;
  g[5 * stride] = g2;
#endif
}

// WINDOW elements become OUTPUT.
DEVICE void TransformProducts(float* m, int stride) {
#if OUTPUT == 2
  const float m0 = m[0], m1 = m[stride], m2 = m[2 * stride], m3 = m[3 * stride];
  m[0] = m0 + m1 + m2;
  m[stride] = m1 - m2 - m3;
#else
  const float m0 = m[0], m5 = m[5 * stride];
  const float sum1 = m[stride] + m[2 * stride], difference1 = m[stride] - m[2 * stride];
  const float sum2 = m[3 * stride] + m[4 * stride], difference2 = m[3 * stride] - m[4 * stride];
  m[0] = m0 + sum1 + sum2;
  m[stride] = difference1 + 2.0f * difference2;
  m[2 * stride] = sum1 + 4.0f * sum2;
  m[3 * stride] = difference1 + 8.0f * difference2 + m5;
#endif
}

// One item: a channel of a window. Neighbouring items are neighbouring channels (nhwc) or tiles (nchw).
KERNEL void transform_input(GLOBAL const value_t* RESTRICT input, GLOBAL const float* RESTRICT weight_packed, GLOBAL const value_t* RESTRICT bias,
                            GLOBAL const value_t* RESTRICT residual, GLOBAL value_t* RESTRICT output, int n, GLOBAL uchar* RESTRICT workspace) {
  const int tiles = n * (TILES_Y * TILES_X);
  const size_t id = get_global_id(0), rows = (size_t)PaddedRows(n);
  if (id >= (size_t)tiles * ALIGNED_DEPTH) return;
#if LAYOUT == LAYOUT_NHWC
  const int channel = (int)(id % ALIGNED_DEPTH), tile = (int)(id / ALIGNED_DEPTH);
  GLOBAL float* to = (GLOBAL float*)workspace + ((size_t)tile * ALIGNED_DEPTH + (size_t)channel);
#else
  const int channel = (int)(id / (size_t)tiles), tile = (int)(id % (size_t)tiles);
  GLOBAL float* to = (GLOBAL float*)workspace + ((size_t)channel * rows + (size_t)tile);
#endif
  const int image = tile / (TILES_Y * TILES_X);
  const int y0 = tile / TILES_X % TILES_Y * OUTPUT - PAD_TOP, x0 = tile % TILES_X * OUTPUT - PAD_LEFT;
  float window[POINTS];
  UNROLL
  for (int i = 0; i < POINTS; ++i) {
    const int y = y0 + i / WINDOW, x = x0 + i % WINDOW;
    window[i] = 0.0f;
    if (y >= 0 && y < H && x >= 0 && x < W && channel < C) {
#if LAYOUT == LAYOUT_NHWC
      window[i] = GET((((size_t)image * H + (size_t)y) * W + (size_t)x) * C + (size_t)channel, input);
#else
      window[i] = GET((((size_t)image * C + (size_t)channel) * H + (size_t)y) * W + (size_t)x, input);
#endif
    }
  }
  UNROLL
  for (int i = 0; i < WINDOW; ++i) TransformWindow(window + i, WINDOW);
  UNROLL
  for (int i = 0; i < WINDOW; ++i) TransformWindow(window + i * WINDOW, 1);
  UNROLL
  for (int i = 0; i < POINTS; ++i) to[(size_t)i * rows * ALIGNED_DEPTH] = window[i];
}

// ---- the product ----
DEVICE void FetchWindows(GLOBAL const float* windows, int rows, int row0, int item, int step, float* next_windows) {
  UNROLL
  for (int j = 0; j < FETCHES_M; ++j) {
    const int i = item + j * ITEMS;
#if TILE_M * TILE_K / 4 % ITEMS != 0
    if (i < TILE_M * TILE_K / 4)
#endif
    {
#if LAYOUT == LAYOUT_NHWC
      const size_t at = (size_t)(row0 + FETCH_PIXEL(i)) * ALIGNED_DEPTH + (size_t)(step * TILE_K + FETCH_DEPTH(i));
#else
      const size_t at = (size_t)(step * TILE_K + FETCH_DEPTH(i)) * (size_t)rows + (size_t)(row0 + FETCH_PIXEL(i));
#endif
      const float4 v = ((GLOBAL const float4*)windows)[at / 4];
      next_windows[4 * j] = v.x, next_windows[4 * j + 1] = v.y, next_windows[4 * j + 2] = v.z, next_windows[4 * j + 3] = v.w;
    }
  }
}

KERNEL GROUP_SIZE(ITEMS, 1, 1) void multiply(GLOBAL const value_t* RESTRICT input, GLOBAL const float* RESTRICT weight_packed,
                                             GLOBAL const value_t* RESTRICT bias, GLOBAL const value_t* RESTRICT residual,
                                             GLOBAL value_t* RESTRICT output, int n, GLOBAL uchar* RESTRICT workspace) {
  LOCAL_ARRAY(float, windows, BUFFERS * TILE_K * ROW);
  LOCAL_ARRAY(float, weights, BUFFERS * TILE_K * TILE_N);
  const int item = (int)get_local_id(0), tile = (int)get_group_id(0), point = (int)get_group_id(1), rows = PaddedRows(n);
#if LAYOUT == LAYOUT_NHWC  // neighbouring items store side by side
  const int item_n = item % GROUP_N, item_m = item / GROUP_N;
#else
  const int item_m = item % GROUP_M, item_n = item / GROUP_M;
#endif
#if ORDER == ORDER_PIXELS
  const int tile_m = tile / TILES_N, tile_n = tile % TILES_N;
#else
  const int tile_m = tile % (rows / TILE_M), tile_n = tile / (rows / TILE_M);
#endif
  GLOBAL const float* from_windows = (GLOBAL const float*)workspace + (size_t)point * (size_t)rows * ALIGNED_DEPTH;
  GLOBAL const float* from_weights = weight_packed + (size_t)(point * TILES_N + tile_n) * (ALIGNED_DEPTH * TILE_N);

  float sum[ITEM_M][ITEM_N];
  UNROLL
  for (int i = 0; i < ITEM_M; ++i) {
    UNROLL
    for (int j = 0; j < ITEM_N; ++j) sum[i][j] = 0.0f;
  }
  float next_windows[FETCHES_M * 4], next_weights[FETCHES_N * 4];
#if PREFETCH != PREFETCH_NONE
  FetchWindows(from_windows, rows, tile_m * TILE_M, item, 0, next_windows);
  FetchWeights(from_weights, item, (size_t)0, next_weights);
#endif
  for (int step = 0; step < STEPS; ++step) {
    const int buffer = step % BUFFERS;  // with two, the others may still read the one of the step before
#if PREFETCH == PREFETCH_NONE
    FetchWindows(from_windows, rows, tile_m * TILE_M, item, step, next_windows);
    FetchWeights(from_weights, item, (size_t)step, next_weights);
#endif
    StagePixels(item, next_windows, windows + buffer * (TILE_K * ROW));
    StageWeights(item, next_weights, weights + buffer * (TILE_K * TILE_N));
    barrier(CLK_LOCAL_MEM_FENCE);
#if PREFETCH != PREFETCH_NONE
    if (step + 1 < STEPS) {
      FetchWindows(from_windows, rows, tile_m * TILE_M, item, step + 1, next_windows);
      FetchWeights(from_weights, item, (size_t)(step + 1), next_weights);
    }
#endif
    AddStep(item_m, item_n, windows + buffer * (TILE_K * ROW), weights + buffer * (TILE_K * TILE_N), sum);
#if BUFFERS == 1
    barrier(CLK_LOCAL_MEM_FENCE);
#endif
  }

  GLOBAL float* to = (GLOBAL float*)workspace + ((size_t)POINTS * (size_t)rows * ALIGNED_DEPTH + (size_t)point * (size_t)rows * COLUMNS);
#if LAYOUT == LAYOUT_NHWC
  UNROLL
  for (int i = 0; i < ITEM_M; ++i) {
    const int row = tile_m * TILE_M + i / WIDTH_M * (GROUP_M * WIDTH_M) + item_m * WIDTH_M + i % WIDTH_M;
    UNROLL
    for (int j = 0; j < ITEM_N; j += WIDTH_N) {
      const size_t at = (size_t)row * COLUMNS + (size_t)(tile_n * TILE_N + j * GROUP_N + item_n * WIDTH_N);
#if WIDTH_N == 4
      ((GLOBAL float4*)to)[at / 4] = make_float4(sum[i][j], sum[i][j + 1], sum[i][j + 2], sum[i][j + 3]);
#elif WIDTH_N == 2
      ((GLOBAL float2*)to)[at / 2] = make_float2(sum[i][j], sum[i][j + 1]);
#else
      to[at] = sum[i][j];
#endif
    }
  }
#else
  UNROLL
  for (int j = 0; j < ITEM_N; ++j) {
    const int column = tile_n * TILE_N + j / WIDTH_N * (GROUP_N * WIDTH_N) + item_n * WIDTH_N + j % WIDTH_N;
    UNROLL
    for (int i = 0; i < ITEM_M; i += WIDTH_M) {
      const size_t at = (size_t)column * (size_t)rows + (size_t)(tile_m * TILE_M + i * GROUP_M + item_m * WIDTH_M);
#if WIDTH_M == 4
      ((GLOBAL float4*)to)[at / 4] = make_float4(sum[i][j], sum[i + 1][j], sum[i + 2][j], sum[i + 3][j]);
#elif WIDTH_M == 2
      ((GLOBAL float2*)to)[at / 2] = make_float2(sum[i][j], sum[i + 1][j]);
#else
      to[at] = sum[i][j];
#endif
    }
  }
#endif
}

// One item: an output channel of a tile.
KERNEL void transform_output(GLOBAL const value_t* RESTRICT input, GLOBAL const float* RESTRICT weight_packed, GLOBAL const value_t* RESTRICT bias,
                             GLOBAL const value_t* RESTRICT residual, GLOBAL value_t* RESTRICT output, int n, GLOBAL uchar* RESTRICT workspace) {
  const int tiles = n * (TILES_Y * TILES_X);
  const size_t id = get_global_id(0), rows = (size_t)PaddedRows(n);
  if (id >= (size_t)tiles * K) return;
  GLOBAL const float* from = (GLOBAL const float*)workspace + (size_t)POINTS * rows * ALIGNED_DEPTH;
#if LAYOUT == LAYOUT_NHWC
  const int channel = (int)(id % K), tile = (int)(id / K);
  from += (size_t)tile * COLUMNS + (size_t)channel;
#else
  const int channel = (int)(id / (size_t)tiles), tile = (int)(id % (size_t)tiles);
  from += (size_t)channel * rows + (size_t)tile;
#endif
  const int image = tile / (TILES_Y * TILES_X), y0 = tile / TILES_X % TILES_Y * OUTPUT, x0 = tile % TILES_X * OUTPUT;
  float values[POINTS];
  UNROLL
  for (int i = 0; i < POINTS; ++i) values[i] = from[(size_t)i * rows * COLUMNS];
  UNROLL
  for (int i = 0; i < WINDOW; ++i) TransformProducts(values + i, WINDOW);
  UNROLL
  for (int i = 0; i < OUTPUT; ++i) TransformProducts(values + i * WINDOW, 1);
#if BIAS
  const float first = GET((size_t)channel, bias);
#else
  const float first = 0.0f;
#endif
#if LAYOUT == LAYOUT_NCHW && OW % OUTPUT == 0  // whole rows, aligned to themselves
  UNROLL
  for (int i = 0; i < OUTPUT; ++i) {
    if (y0 + i >= OH) continue;
    const size_t at = (((size_t)image * K + (size_t)channel) * OH + (size_t)(y0 + i)) * OW + (size_t)x0;
    const float* row = values + i * WINDOW;
#if OUTPUT == 4
    float4 sum = make_float4(row[0] + first, row[1] + first, row[2] + first, row[3] + first);
#if RESIDUAL
    sum += GET4(at, residual);
#endif
    PUT4(make_float4(Activated(sum.x), Activated(sum.y), Activated(sum.z), Activated(sum.w)), at, output);
#else
    float2 sum = make_float2(row[0] + first, row[1] + first);
#if RESIDUAL
    sum += GET2(at, residual);
#endif
    PUT2(make_float2(Activated(sum.x), Activated(sum.y)), at, output);
#endif
  }
#else
  UNROLL
  for (int i = 0; i < OUTPUT * OUTPUT; ++i) {
    const int y = y0 + i / OUTPUT, x = x0 + i % OUTPUT;
    if (y >= OH || x >= OW) continue;
#if LAYOUT == LAYOUT_NHWC
    const size_t at = (((size_t)image * OH + (size_t)y) * OW + (size_t)x) * K + (size_t)channel;
#else
    const size_t at = (((size_t)image * K + (size_t)channel) * OH + (size_t)y) * OW + (size_t)x;
#endif
    PUT(Activated(ADD_RESIDUAL(values[i / OUTPUT * WINDOW + i % OUTPUT] + first, at)), at, output);
  }
#endif
}

// weight -> packed: [POINTS, TILES_N, ALIGNED_DEPTH, TILE_N], zeros beyond the last channel. One item: one 3x3 window.
KERNEL GROUP_SIZE(64, 1, 1) void pack(GLOBAL const value_t* RESTRICT weight, GLOBAL const value_t* RESTRICT bias, GLOBAL float* RESTRICT packed) {
  const size_t id = get_global_id(0);
  if (id >= (size_t)TILES_N * ALIGNED_DEPTH * TILE_N) return;
  const int k = (int)(id / TILE_N / ALIGNED_DEPTH) * TILE_N + (int)(id % TILE_N), channel = (int)(id / TILE_N % ALIGNED_DEPTH);
  float g[POINTS];
  UNROLL
  for (int i = 0; i < POINTS; ++i) g[i] = 0.0f;
  if (k < K && channel < C) {
    UNROLL
    for (int i = 0; i < 9; ++i) {
#if LAYOUT == LAYOUT_NHWC
      const size_t at = ((size_t)k * 9 + (size_t)i) * C + (size_t)channel;
#else
      const size_t at = ((size_t)k * C + (size_t)channel) * 9 + (size_t)i;
#endif
      g[i / 3 * WINDOW + i % 3] = GET(at, weight);
    }
    UNROLL
    for (int i = 0; i < 3; ++i) TransformWeights(g + i, WINDOW);
    UNROLL
    for (int i = 0; i < WINDOW; ++i) TransformWeights(g + i * WINDOW, 1);
  }
  UNROLL
  for (int i = 0; i < POINTS; ++i) packed[(size_t)i * TILES_N * ALIGNED_DEPTH * TILE_N + id] = g[i];
}
