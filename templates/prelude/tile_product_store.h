// The end of such a kernel: stores its sums at `to`. Before it: tile_product_loop.h; FINISHED(sum, channel), what becomes of a sum; STORE(x, i, p), and
// STORE2 and STORE4 of neighbours that are aligned to as many. Where something lies in memory that is added to the sums at such places, ADD(i, a), ADD2
// and ADD4 add it.
#ifndef ADD
#define ADD(i, a)
#define ADD2(i, a, b)
#define ADD4(i, a, b, c, d)
#endif
  const int m0 = tile_m * TILE_M + item_m * WIDTH_M, k0 = tile_n % TILES_N * TILE_N + item_n * WIDTH_N;
#if LAYOUT == LAYOUT_NHWC
  UNROLL
  for (int i = 0; i < ITEM_M; ++i) {
    const int m = m0 + i / WIDTH_M * (GROUP_M * WIDTH_M) + i % WIDTH_M;
    if (m >= all_pixels) continue;
    UNROLL
    for (int j = 0; j < ITEM_N; j += WIDTH_N) {
      const int k = k0 + j * GROUP_N, channel = group * KG + k;
      const size_t at = (size_t)m * K + (size_t)channel;
#if KG % WIDTH_N == 0 && WIDTH_N == 4
      if (k < KG) {
        ADD4(at, sum[i][j], sum[i][j + 1], sum[i][j + 2], sum[i][j + 3])
        STORE4(FINISHED(sum[i][j], channel), FINISHED(sum[i][j + 1], channel + 1), FINISHED(sum[i][j + 2], channel + 2),
               FINISHED(sum[i][j + 3], channel + 3), at, to);
      }
#elif KG % WIDTH_N == 0 && WIDTH_N == 2
      if (k < KG) {
        ADD2(at, sum[i][j], sum[i][j + 1])
        STORE2(FINISHED(sum[i][j], channel), FINISHED(sum[i][j + 1], channel + 1), at, to);
      }
#else
      UNROLL
      for (int v = 0; v < WIDTH_N; ++v)
        if (k + v < KG) {
          ADD(at + (size_t)v, sum[i][j + v])
          STORE(FINISHED(sum[i][j + v], channel + v), at + (size_t)v, to);
        }
#endif
    }
  }
#else
  UNROLL
  for (int i = 0; i < ITEM_M; i += WIDTH_M) {
    const int m = m0 + i * GROUP_M;
    UNROLL
    for (int j = 0; j < ITEM_N; ++j) {
      const int k = k0 + j / WIDTH_N * (GROUP_N * WIDTH_N) + j % WIDTH_N, channel = group * KG + k;
      if (k >= KG) continue;
#if PIXELS % WIDTH_M == 0 && WIDTH_M > 1
      if (m >= all_pixels) continue;
      const size_t at = ((size_t)(m / PIXELS) * K + (size_t)channel) * PIXELS + (size_t)(m % PIXELS);
#if WIDTH_M == 4
      ADD4(at, sum[i][j], sum[i + 1][j], sum[i + 2][j], sum[i + 3][j])
      STORE4(FINISHED(sum[i][j], channel), FINISHED(sum[i + 1][j], channel), FINISHED(sum[i + 2][j], channel),
             FINISHED(sum[i + 3][j], channel), at, to);
#else
      ADD2(at, sum[i][j], sum[i + 1][j])
      STORE2(FINISHED(sum[i][j], channel), FINISHED(sum[i + 1][j], channel), at, to);
#endif
#else
      UNROLL
      for (int v = 0; v < WIDTH_M; ++v)
        if (m + v < all_pixels) {
          const size_t at = ((size_t)((m + v) / PIXELS) * K + (size_t)channel) * PIXELS + (size_t)((m + v) % PIXELS);
          ADD(at, sum[i + v][j])
          STORE(FINISHED(sum[i + v][j], channel), at, to);
        }
#endif
    }
  }
#endif
