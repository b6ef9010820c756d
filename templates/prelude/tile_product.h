// What convolutions as matrix products share that make a tile of TILE_M pixels by TILE_N channels in a group (conv2d's implicit_gemm.cl
// says how). Before it is included: DEPTH, the steps of a whole sum; staged_t and staged4_t, what lies in local memory, and STAGED(i, p), STAGED2 and
// STAGED4, which read it as sum_t, sum2_t and sum4_t, the types of sums and factors; ADD_PRODUCT(a, b, sum);
// weight_t, what packed weights are, and where that is not staged_t, COPY4(to, i, p) of them in the form they are staged in.

#define TILE_M (GROUP_M * ITEM_M)
#define TILE_N (GROUP_N * ITEM_N)
#define ITEMS (GROUP_M * GROUP_N)
#define STEPS ((DEPTH + TILE_K - 1) / TILE_K)
#define STEPS_PER_SLICE ((STEPS + SPLIT_K - 1) / SPLIT_K)
#define TILES_N ((KG + TILE_N - 1) / TILE_N)
#define PIXELS (OH * OW)
#define ROW (TILE_M + PAD)  // of the staged pixels
#if PREFETCH == PREFETCH_LOCAL
#define BUFFERS 2
#else
#define BUFFERS 1
#endif
#define FETCHES_M ((TILE_M * TILE_K / LOAD + ITEMS - 1) / ITEMS)  // of one item, for one step
#define FETCHES_N ((TILE_N * TILE_K / 4 + ITEMS - 1) / ITEMS)

#if ITEM_M % 4 == 0
#define WIDTH_M 4
#else
#define WIDTH_M ITEM_M
#endif
#if ITEM_N % 4 == 0
#define WIDTH_N 4
#else
#define WIDTH_N ITEM_N
#endif

// The element of a step's pixels that an item's j-th fetch begins with: neighbouring items fetch what lies side by side in memory.
#if LAYOUT == LAYOUT_NHWC
#define FETCH_PIXEL(i) ((i) / (TILE_K / LOAD))
#define FETCH_DEPTH(i) ((i) % (TILE_K / LOAD) * LOAD)
#define FETCHED_PIXELS 1
#else
#define FETCH_PIXEL(i) ((i) % (TILE_M / LOAD) * LOAD)
#define FETCH_DEPTH(i) ((i) / (TILE_M / LOAD))
#define FETCHED_PIXELS LOAD
#endif

typedef struct {
  size_t at[FETCHES_M];  // where the window begins, before the image when there is padding: it wraps around, and back
#if PADDED
  int y[FETCHES_M], x[FETCHES_M];  // its row and column
#endif
} Windows;

DEVICE void FindWindows(int item, int first_pixel, int pixels, int group, Windows* windows) {
  UNROLL
  for (int j = 0; j < FETCHES_M; ++j) {
    const int m = min(first_pixel + FETCH_PIXEL(item + j * ITEMS), pixels - FETCHED_PIXELS);
    const int image = m / PIXELS, y = m % PIXELS / OW * STRIDE_H - PAD_TOP, x = m % PIXELS % OW * STRIDE_W - PAD_LEFT;
#if LAYOUT == LAYOUT_NHWC
    windows->at[j] = (size_t)image * (H * W * C) + (size_t)((y * W + x) * C + group * CG);
#else
    windows->at[j] = (size_t)image * (H * W * C) + (size_t)(group * CG * H * W + y * W + x);
#endif
#if PADDED
    windows->y[j] = y;
    windows->x[j] = x;
#endif
  }
}

DEVICE void StagePixels(int item, const staged_t* fetched, LOCAL staged_t* pixels) {
  UNROLL
  for (int j = 0; j < FETCHES_M; ++j) {
    const int i = item + j * ITEMS;
#if TILE_M * TILE_K / LOAD % ITEMS != 0
    if (i < TILE_M * TILE_K / LOAD)
#endif
    {
      UNROLL
      for (int v = 0; v < LOAD; ++v) {
#if LAYOUT == LAYOUT_NHWC
        pixels[(FETCH_DEPTH(i) + v) * ROW + FETCH_PIXEL(i)] = fetched[j * LOAD + v];
#else
        pixels[FETCH_DEPTH(i) * ROW + FETCH_PIXEL(i) + v] = fetched[j * LOAD + v];
#endif
      }
    }
  }
}

#ifndef COPY4  // where packed weights are not what is staged
#define COPY4(to, i, p)                                         \
  {                                                             \
    const staged4_t v = *(GLOBAL const staged4_t*)((p) + (i));  \
    (to)[0] = v.x, (to)[1] = v.y, (to)[2] = v.z, (to)[3] = v.w; \
  }
#endif

// A step's weights lie in one piece, as they are staged.
DEVICE void FetchWeights(GLOBAL const weight_t* weight, int item, size_t tile_step, staged_t* fetched) {
  UNROLL
  for (int j = 0; j < FETCHES_N; ++j) {
    const int i = item + j * ITEMS;
#if TILE_N * TILE_K / 4 % ITEMS != 0
    if (i < TILE_N * TILE_K / 4)
#endif
    {
      const size_t at = tile_step * (TILE_N * TILE_K) + (size_t)(4 * i);
      COPY4(fetched + 4 * j, at, weight);
    }
  }
}

DEVICE void StageWeights(int item, const staged_t* fetched, LOCAL staged_t* weights) {
  UNROLL
  for (int j = 0; j < FETCHES_N; ++j) {
    const int i = item + j * ITEMS;
#if TILE_N * TILE_K / 4 % ITEMS != 0
    if (i < TILE_N * TILE_K / 4)
#endif
    {
      staged4_t v;
      v.x = fetched[4 * j], v.y = fetched[4 * j + 1], v.z = fetched[4 * j + 2], v.w = fetched[4 * j + 3];
      *(LOCAL staged4_t*)(weights + 4 * i) = v;
    }
  }
}

// sum += pixels * weights, over one step's depth.
DEVICE void AddStep(int item_m, int item_n, LOCAL const staged_t* pixels, LOCAL const staged_t* weights, sum_t sum[ITEM_M][ITEM_N]) {
#if UNROLL_K == 0
  UNROLL
#else
  UNROLL_BY(UNROLL_K)
#endif
  for (int k = 0; k < TILE_K; ++k) {
    sum_t a[ITEM_M], b[ITEM_N];
    UNROLL
    for (int i = 0; i < ITEM_M; i += WIDTH_M) {
      const int at = k * ROW + i * GROUP_M + item_m * WIDTH_M;
#if WIDTH_M == 4
      const sum4_t v = STAGED4(at, pixels);
      a[i] = v.x, a[i + 1] = v.y, a[i + 2] = v.z, a[i + 3] = v.w;
#elif WIDTH_M == 2
      const sum2_t v = STAGED2(at, pixels);
      a[i] = v.x, a[i + 1] = v.y;
#else
      a[i] = STAGED(at, pixels);
#endif
    }
    UNROLL
    for (int j = 0; j < ITEM_N; j += WIDTH_N) {
      const int at = k * TILE_N + j * GROUP_N + item_n * WIDTH_N;
#if WIDTH_N == 4
      const sum4_t v = STAGED4(at, weights);
      b[j] = v.x, b[j + 1] = v.y, b[j + 2] = v.z, b[j + 3] = v.w;
#elif WIDTH_N == 2
      const sum2_t v = STAGED2(at, weights);
      b[j] = v.x, b[j + 1] = v.y;
#else
      b[j] = STAGED(at, weights);
#endif
    }
    UNROLL
    for (int i = 0; i < ITEM_M; ++i) {
      UNROLL
      for (int j = 0; j < ITEM_N; ++j) sum[i][j] = ADD_PRODUCT(a[i], b[j], sum[i][j]);
    }
  }
}
