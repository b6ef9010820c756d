// Convolution as a matrix product whose left matrix is never stored (implicit GEMM).
//   rows: pixels of all images, n*OH*OW   columns: a group's output channels, KG   summed over: R*S*CG, channels fastest
//
// A group of work items makes a tile of TILE_M pixels by TILE_N channels. It fetches TILE_K steps of both matrices at a time into local
// memory, pixels and weights transposed so that an item reads its ITEM_M pixels and ITEM_N channels of one step as vectors. An item's pixels
// (and channels) are vectors that lie GROUP_M (GROUP_N) vectors apart: neighbouring items read neighbouring vectors, without bank conflicts.
//
// Pixels beyond the last one repeat it, and packed weights are padded with zeros: only the image's border and a last, incomplete step are
// tested for. With SPLIT_K > 1 the sum is cut into slices, each made by groups of its own; add_slices puts them together.

#define DEPTH (R * S * CG)

#include "values.h"
#if DTYPE == DTYPE_F16
typedef ushort raw_t;  // a half that is only moved
#else
typedef float raw_t;
#endif

// ---- values in local memory ----
#if DTYPE == DTYPE_F16 && STAGE == STAGE_STORED
typedef ushort staged_t;
typedef ushort2 staged2_t;
typedef ushort4 staged4_t;
#define STAGED(i, p) vload_half(i, (LOCAL const half*)(p))
#define STAGED2(i, p) vloada_half2((i) / 2, (LOCAL const half*)(p))
#define STAGED4(i, p) vloada_half4((i) / 4, (LOCAL const half*)(p))
#else
typedef float staged_t;
typedef float2 staged2_t;
typedef float4 staged4_t;
#define STAGED(i, p) (p)[i]
#define STAGED2(i, p) (*(LOCAL const float2*)((p) + (i)))
#define STAGED4(i, p) (*(LOCAL const float4*)((p) + (i)))
#endif

typedef float sum_t;
typedef float2 sum2_t;
typedef float4 sum4_t;
#define ADD_PRODUCT(a, b, sum) ((sum) + (a) * (b))

// COPYn: n values from `p` + `i`, aligned to n values, in the form they are staged in.
#if DTYPE == DTYPE_F16 && STAGE == STAGE_F32
#define COPY1(to, i, p) (to)[0] = vload_half(i, p)
#define COPY2(to, i, p)                         \
  {                                             \
    const float2 v = vloada_half2((i) / 2, p);  \
    (to)[0] = v.x, (to)[1] = v.y;               \
  }
#define COPY4(to, i, p)                                        \
  {                                                            \
    const float4 v = vloada_half4((i) / 4, p);                 \
    (to)[0] = v.x, (to)[1] = v.y, (to)[2] = v.z, (to)[3] = v.w; \
  }
#else
#define COPY1(to, i, p) (to)[0] = ((GLOBAL const raw_t*)(p))[i]
#define COPY2(to, i, p)                                                             \
  {                                                                                 \
    const staged2_t v = *(GLOBAL const staged2_t*)((GLOBAL const raw_t*)(p) + (i)); \
    (to)[0] = v.x, (to)[1] = v.y;                                                   \
  }
#define COPY4(to, i, p)                                                             \
  {                                                                                 \
    const staged4_t v = *(GLOBAL const staged4_t*)((GLOBAL const raw_t*)(p) + (i)); \
    (to)[0] = v.x, (to)[1] = v.y, (to)[2] = v.z, (to)[3] = v.w;                     \
  }
#endif
#if LOAD == 4
#define COPY_LOAD COPY4
#elif LOAD == 2
#define COPY_LOAD COPY2
#else
#define COPY_LOAD COPY1
#endif
typedef value_t weight_t;
#include "tile_product.h"
#include "epilogue.h"

DEVICE void FetchPixels(GLOBAL const value_t* input, int item, int step, const Windows* windows, staged_t* fetched) {
#if CG % TILE_K == 0  // one tap for the whole step
  const int tap = step * TILE_K / CG;
#endif
  UNROLL
  for (int j = 0; j < FETCHES_M; ++j) {
    const int depth = step * TILE_K + FETCH_DEPTH(item + j * ITEMS);
#if CG % TILE_K == 0
    const int channel = depth - tap * CG;
#else
    const int tap = depth / CG, channel = depth % CG;
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
    for (int v = 0; v < LOAD; ++v) fetched[j * LOAD + v] = 0;
    if (inside) {
#if LAYOUT == LAYOUT_NHWC
      const size_t at = windows->at[j] + (size_t)((dy * W + dx) * C + channel);
#else
      const size_t at = windows->at[j] + (size_t)(channel * H * W + dy * W + dx);
#endif
      COPY_LOAD(fetched + j * LOAD, at, input);
    }
  }
}

// ---- what becomes of the sums ----
#if SPLIT_K > 1
#define FINISHED(x, channel) (x)
#define STORE(x, i, p) (p)[i] = (x)
#define STORE2(x, y, i, p) ((GLOBAL float2*)(p))[(i) / 2] = make_float2(x, y)
#define STORE4(x, y, z, t, i, p) ((GLOBAL float4*)(p))[(i) / 4] = make_float4(x, y, z, t)
#else
#if BIAS
#define FINISHED(x, channel) Activated((x) + GET(channel, bias))
#else
#define FINISHED(x, channel) Activated(x)
#endif
#define STORE PUT
#define STORE2(x, y, i, p) PUT2(make_float2(x, y), i, p)
#define STORE4(x, y, z, t, i, p) PUT4(make_float4(x, y, z, t), i, p)
#endif
#if RESIDUAL && SPLIT_K == 1
#define ADD(i, a) (a) += GET(i, residual);
#define ADD2(i, a, b)                      \
  {                                        \
    const float2 more = GET2(i, residual); \
    (a) += more.x, (b) += more.y;          \
  }
#define ADD4(i, a, b, c, d)                                     \
  {                                                             \
    const float4 more = GET4(i, residual);                      \
    (a) += more.x, (b) += more.y, (c) += more.z, (d) += more.w; \
  }
#endif

KERNEL GROUP_SIZE(ITEMS, 1, 1) void convolve(GLOBAL const value_t* RESTRICT input, GLOBAL const value_t* RESTRICT weight_packed,
                                             GLOBAL const value_t* RESTRICT bias, GLOBAL const value_t* RESTRICT residual,
                                             GLOBAL value_t* RESTRICT output, int n
#if SPLIT_K > 1
                                             , GLOBAL uchar* RESTRICT workspace
#endif
) {
  LOCAL_ARRAY(staged_t, pixels, BUFFERS * TILE_K * ROW);
  LOCAL_ARRAY(staged_t, weights, BUFFERS * TILE_K * TILE_N);
#include "tile_product_loop.h"
#if SPLIT_K > 1
  GLOBAL float* to = (GLOBAL float*)workspace + (size_t)slice * (size_t)all_pixels * K;
#else
  GLOBAL value_t* to = output;
#endif
#include "tile_product_store.h"
}

#if SPLIT_K > 1
KERNEL GROUP_SIZE(64, 1, 1) void add_slices(GLOBAL const value_t* RESTRICT input, GLOBAL const value_t* RESTRICT weight_packed,
                                            GLOBAL const value_t* RESTRICT bias, GLOBAL const value_t* RESTRICT residual,
                                            GLOBAL value_t* RESTRICT output, int n, GLOBAL uchar* RESTRICT workspace) {
  const size_t at = get_global_id(0), count = (size_t)n * PIXELS * K;
  if (at >= count) return;
  GLOBAL const float* from = (GLOBAL const float*)workspace + at;
  float sum = 0.0f;
  UNROLL
  for (int slice = 0; slice < SPLIT_K; ++slice) sum += from[(size_t)slice * count];
#if BIAS
  sum += GET(LAYOUT == LAYOUT_NHWC ? at % K : at / PIXELS % K, bias);
#endif
  PUT(Activated(ADD_RESIDUAL(sum, at)), at, output);
}
#endif

// weight -> packed: [GROUPS, TILES_N, STEPS, TILE_K, TILE_N], zeros beyond the last channel and the last step
KERNEL GROUP_SIZE(64, 1, 1) void pack(GLOBAL const value_t* RESTRICT weight, GLOBAL const value_t* RESTRICT bias, GLOBAL value_t* RESTRICT packed) {
  const size_t at = get_global_id(0);
  if (at >= (size_t)GROUPS * TILES_N * STEPS * TILE_K * TILE_N) return;
  const size_t tile = at / TILE_N / TILE_K / STEPS;
  const int depth = (int)(at / TILE_N % (STEPS * TILE_K)), k = (int)(tile % TILES_N) * TILE_N + (int)(at % TILE_N);
  const int tap = depth / CG, channel = depth % CG;
  float value = 0.0f;
  if (depth < DEPTH && k < KG) {
    const size_t out = tile / TILES_N * KG + (size_t)k;
    value = GET(LAYOUT == LAYOUT_NHWC ? out * DEPTH + (size_t)depth : (out * CG + (size_t)channel) * (R * S) + (size_t)tap, weight);
  }
  PUT(value, at, packed);
}
