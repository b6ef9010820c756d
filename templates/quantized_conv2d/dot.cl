// Convolution of bytes as a matrix product whose left matrix is never stored (implicit GEMM), by dot products of four bytes.
//   rows: pixels of all images, n*OH*OW   columns: a group's output channels, KG   summed over: R*S*QUADS, fours of channels fastest
// How items share a tile, and what the knobs do, is said in conv2d's implicit_gemm.cl; this is the same product of whole numbers.
//
// Pixels become signed by subtracting 128 (flipping their highest bit), and a pixel in the padding is the zero point, so that
//   sum of (pixel - zero point)*weight  =  sum of (pixel - 128)*weight  +  (128 - zero point)*(sum of the channel's weights)
// holds for every window. The last term and the bias are added once, by pack. Channels beyond CG have weights of zero.

#define QUADS ((CG + 3) / 4)
#define DEPTH (R * S * QUADS)
#define WEIGHTS ((size_t)GROUPS * TILES_N * STEPS * TILE_K * TILE_N)  // packed fours; behind them lie the K terms that pack adds up
#define SIGN_BITS ((int)0x80808080u)
#define PADDING ((int)((uint)(INPUT_ZERO_POINT ^ 0x80) * 0x01010101u))  // four pixels in the padding
typedef int sum_t;
typedef int2 sum2_t;
typedef int4 sum4_t;
typedef int staged_t;
typedef int4 staged4_t;
#define STAGED(i, p) (p)[i]
#define STAGED2(i, p) (*(LOCAL const int2*)((p) + (i)))
#define STAGED4(i, p) (*(LOCAL const int4*)((p) + (i)))
#define ADD_PRODUCT dp4a
typedef staged_t weight_t;
#include "tile_product.h"

// LOAD fours of channels of one pixel, signed.
DEVICE void FetchFours(GLOBAL const uchar* input, size_t at, int channel, int* fours) {
#if LAYOUT == LAYOUT_NHWC && CG % 4 == 0
#if LOAD == 4
  const int4 bytes = *(GLOBAL const int4*)(input + at);
  fours[0] = bytes.x ^ SIGN_BITS, fours[1] = bytes.y ^ SIGN_BITS, fours[2] = bytes.z ^ SIGN_BITS, fours[3] = bytes.w ^ SIGN_BITS;
#elif LOAD == 2
  const int2 bytes = *(GLOBAL const int2*)(input + at);
  fours[0] = bytes.x ^ SIGN_BITS, fours[1] = bytes.y ^ SIGN_BITS;
#else
  fours[0] = *(GLOBAL const int*)(input + at) ^ SIGN_BITS;
#endif
#else
  uint four = 0;
  UNROLL
  for (int b = 0; b < 4; ++b)
    if (CG % 4 == 0 || channel + b < CG) four |= (uint)input[at + (size_t)b * (LAYOUT == LAYOUT_NHWC ? 1 : H * W)] << (8 * b);
  fours[0] = (int)four ^ SIGN_BITS;
#endif
}

DEVICE void FetchPixels(GLOBAL const uchar* input, int item, int step, const Windows* windows, int* fetched) {
#if QUADS % TILE_K == 0  // one tap for the whole step
  const int tap = step * TILE_K / QUADS;
#endif
  UNROLL
  for (int j = 0; j < FETCHES_M; ++j) {
    const int depth = step * TILE_K + FETCH_DEPTH(item + j * ITEMS);
#if QUADS % TILE_K == 0
    const int channel = (depth - tap * QUADS) * 4;
#else
    const int tap = depth / QUADS, channel = depth % QUADS * 4;
#endif
    const int dy = tap / S * DILATION_H, dx = tap % S * DILATION_W;
    int inside = 1;
#if DEPTH % TILE_K != 0
    inside = depth < DEPTH;
#endif
#if TILE_M * TILE_K / LOAD % ITEMS != 0
    inside = inside && item + j * ITEMS < TILE_M * TILE_K / LOAD;
#endif
#if PADDED
    inside = inside && (uint)(windows->y[j] + dy) < (uint)H && (uint)(windows->x[j] + dx) < (uint)W;
#endif
    UNROLL
    for (int v = 0; v < LOAD; ++v) fetched[j * LOAD + v] = PADDING;
    if (inside) {
#if LAYOUT == LAYOUT_NHWC
      const size_t at = windows->at[j] + (size_t)((dy * W + dx) * C + channel);
#else
      const size_t at = windows->at[j] + (size_t)(channel * H * W + dy * W + dx);
#endif
      FetchFours(input, at, channel, fetched + j * LOAD);
    }
  }
}

// ---- what becomes of the sums ----
DEVICE uchar Requantised(int sum, float scale) {
  const int level = (int)rint(fmin(fmax((float)sum * scale, -512.0f), 512.0f)) + OUTPUT_ZERO_POINT;
  const int lowest = ACTIVATION == ACTIVATION_RELU ? OUTPUT_ZERO_POINT : 0;
  return (uchar)min(max(level, lowest), 255);
}

#if SPLIT_K > 1
#define FINISHED(x, channel) (x)
#define STORE2(x, y, i, p) ((GLOBAL int2*)(p))[(i) / 2] = make_int2(x, y)
#define STORE4(x, y, z, t, i, p) ((GLOBAL int4*)(p))[(i) / 4] = make_int4(x, y, z, t)
#else
#define FINISHED(x, channel) Requantised((x) + weight_packed[WEIGHTS + (size_t)(channel)], scale[channel])
#define STORE2(x, y, i, p) (p)[i] = (x), (p)[(i) + 1] = (y)
#define STORE4(x, y, z, t, i, p) ((GLOBAL uchar4*)(p))[(i) / 4] = make_uchar4(x, y, z, t)
#endif
#define STORE(x, i, p) (p)[i] = (x)

KERNEL GROUP_SIZE(ITEMS, 1, 1) void convolve(GLOBAL const uchar* RESTRICT input, GLOBAL const int* RESTRICT weight_packed,
                                             GLOBAL const int* RESTRICT bias, GLOBAL const float* RESTRICT scale,
                                             GLOBAL uchar* RESTRICT output, int n
#if SPLIT_K > 1
                                             , GLOBAL uchar* RESTRICT workspace
#endif
) {
  LOCAL_ARRAY(int, pixels, BUFFERS * TILE_K * ROW);
  LOCAL_ARRAY(int, weights, BUFFERS * TILE_K * TILE_N);
#include "tile_product_loop.h"
#if SPLIT_K > 1
  GLOBAL int* to = (GLOBAL int*)workspace + (size_t)slice * (size_t)all_pixels * K;
#else
  GLOBAL uchar* to = output;
#endif
#include "tile_product_store.h"
}

#if SPLIT_K > 1
KERNEL GROUP_SIZE(64, 1, 1) void add_slices(GLOBAL const uchar* RESTRICT input, GLOBAL const int* RESTRICT weight_packed,
                                            GLOBAL const int* RESTRICT bias, GLOBAL const float* RESTRICT scale,
                                            GLOBAL uchar* RESTRICT output, int n, GLOBAL uchar* RESTRICT workspace) {
  const size_t at = get_global_id(0), count = (size_t)n * PIXELS * K;
  if (at >= count) return;
  GLOBAL const int* from = (GLOBAL const int*)workspace + at;
  const int channel = (int)(LAYOUT == LAYOUT_NHWC ? at % K : at / PIXELS % K);
  int sum = weight_packed[WEIGHTS + (size_t)channel];
  UNROLL
  for (int slice = 0; slice < SPLIT_K; ++slice) sum += from[(size_t)slice * count];
  output[at] = Requantised(sum, scale[channel]);
}
#endif

#if LAYOUT == LAYOUT_NHWC
#define WEIGHT_AT(k, tap, channel) (((k) * (R * S) + (size_t)(tap)) * CG + (size_t)(channel))
#else
#define WEIGHT_AT(k, tap, channel) (((k) * CG + (size_t)(channel)) * (R * S) + (size_t)(tap))
#endif

// weight -> packed: [GROUPS, TILES_N, STEPS, TILE_K, TILE_N] fours, zeros beyond the last channel and the last step; then
// [K]: (128 - zero point)*(sum of the channel's weights) + bias
KERNEL GROUP_SIZE(64, 1, 1) void pack(GLOBAL const schar* RESTRICT weight, GLOBAL const int* RESTRICT bias, GLOBAL const float* RESTRICT scale,
                                      GLOBAL int* RESTRICT packed) {
  const size_t at = get_global_id(0);
  if (at >= WEIGHTS + K) return;
  if (at >= WEIGHTS) {
    const size_t k = at - WEIGHTS;
    int sum = 0;
    for (int i = 0; i < R * S * CG; ++i) sum += weight[k * (R * S * CG) + (size_t)i];
    sum *= 128 - INPUT_ZERO_POINT;
#if BIAS
    sum += bias[k];
#endif
    packed[at] = sum;
    return;
  }
  const size_t tile = at / TILE_N / TILE_K / STEPS;
  const int depth = (int)(at / TILE_N % (STEPS * TILE_K)), k = (int)(tile % TILES_N) * TILE_N + (int)(at % TILE_N);
  const int tap = depth / QUADS, channel = depth % QUADS * 4;
  uint four = 0;
  if (depth < DEPTH && k < KG) {
    for (int b = 0; b < 4 && channel + b < CG; ++b)
      four |= (uint)(uchar)weight[WEIGHT_AT(tile / TILES_N * KG + (size_t)k, tap, channel + b)] << (8 * b);
  }
  packed[at] = (int)four;
}
