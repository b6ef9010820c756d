// How tiles of sums leave for the output. After epilogue_cpu.h.

LATHE_INLINE void PrefetchPlace(Place at) {
  __builtin_prefetch(at.out, 1);
#if RESIDUAL
  __builtin_prefetch(at.residual);
#endif
}

// Asks for the cache lines of `rows` rows of ROW floats, to be there when the sums are: a store that misses holds up what is loaded after
// it.
template <int ROW>
LATHE_INLINE void PrefetchRows(Place out, int64_t step, int rows) {
#pragma GCC unroll 1
  for (int i = 0; i < rows; ++i, out = out + step) {
#pragma GCC unroll 8
    for (int x = 0; x < ROW; x += 16) PrefetchPlace(out + x);
    if (ROW % 16 != 1) PrefetchPlace(out + (ROW - 1));  // rows begin anywhere in a line
  }
}

// rows: [PIXELS][ROW] -> out[channel * plane + pixel] for the first `channels`: 4x4 pieces turned in registers.
template <int PIXELS, int ROW>
LATHE_INLINE void StoreTurned(const float* rows, Place out, int64_t plane, int channels) {
  typedef Vec<float, 4> Four;
  typedef Vec<int32_t, 4> Pick;
  int k = 0;
#pragma GCC unroll 1
  for (; k + 4 <= channels; k += 4) {
    const Place to = out + k * plane;
#pragma GCC unroll 4
    for (int x = 0; x < (PIXELS < 4 ? 0 : PIXELS); x += 4) {
      const int p = Min(x, PIXELS - 4);  // the last piece ends with the tile
      const float* from = rows + p * ROW + k;
      const Four a = Load<float, 4>(from), b = Load<float, 4>(from + ROW);
      const Four c = Load<float, 4>(from + 2 * ROW), d = Load<float, 4>(from + 3 * ROW);
      const Four ab = __builtin_shuffle(a, b, Pick{0, 4, 1, 5}), ab2 = __builtin_shuffle(a, b, Pick{2, 6, 3, 7});
      const Four cd = __builtin_shuffle(c, d, Pick{0, 4, 1, 5}), cd2 = __builtin_shuffle(c, d, Pick{2, 6, 3, 7});
      StoreLate<4>(__builtin_shuffle(ab, cd, Pick{0, 1, 4, 5}), to + p);
      StoreLate<4>(__builtin_shuffle(ab, cd, Pick{2, 3, 6, 7}), to + (plane + p));
      StoreLate<4>(__builtin_shuffle(ab2, cd2, Pick{0, 1, 4, 5}), to + (2 * plane + p));
      StoreLate<4>(__builtin_shuffle(ab2, cd2, Pick{2, 3, 6, 7}), to + (3 * plane + p));
    }
    for (int p = 0; p < (PIXELS < 4 ? PIXELS : 0); ++p)
      for (int i = 0; i < 4; ++i) StoreLate(rows[p * ROW + k + i], to + (i * plane + p));
  }
  for (; k < channels; ++k)
    for (int p = 0; p < PIXELS; ++p) StoreLate(rows[p * ROW + k], out + (k * plane + p));
}
