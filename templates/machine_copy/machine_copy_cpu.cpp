// output[i] = input[i].   input, output: [COUNT], 64-byte aligned
//
// Each thread copies one share, cut into PIECES that advance side by side (more streams for the prefetchers), UNROLL vectors of each at a time.
// What does not fill a step is copied word by word at the end.
using V = Vec<int32_t, LANES>;
constexpr int64_t STEP = LANES * UNROLL;

LATHE_INLINE void Put(int32_t* to, V value) {
#if STREAM && defined(__SSE2__)
#if LANES == 4
  __builtin_ia32_movntdq((__attribute__((vector_size(16))) long long*)to, (__attribute__((vector_size(16))) long long)value);
#elif LANES == 8
  __builtin_ia32_movntdq256((__attribute__((vector_size(32))) long long*)to, (__attribute__((vector_size(32))) long long)value);
#else
  __builtin_ia32_movntdq512((__attribute__((vector_size(64))) long long*)to, (__attribute__((vector_size(64))) long long)value);
#endif
#elif STREAM && defined(__aarch64__) && LANES == 4
  const int64_t __attribute__((vector_size(16))) pair = (int64_t __attribute__((vector_size(16))))value;
  asm volatile("stnp %x0, %x1, [%2]" ::"r"(pair[0]), "r"(pair[1]), "r"(to) : "memory");
#else
  Store<int32_t, LANES>(to, value);
#endif
}

void CopyShare(const int32_t* input, int32_t* output, int64_t count) {
  const int64_t piece = count / PIECES / STEP * STEP;
  for (int64_t i = 0; i < piece; i += STEP) {
    V held[PIECES][UNROLL];
#pragma GCC unroll 8
    for (int p = 0; p < PIECES; ++p)
#pragma GCC unroll 8
      for (int u = 0; u < UNROLL; ++u) held[p][u] = Load<int32_t, LANES>(input + p * piece + i + u * LANES);
#pragma GCC unroll 8
    for (int p = 0; p < PIECES; ++p)
#pragma GCC unroll 8
      for (int u = 0; u < UNROLL; ++u) Put(output + p * piece + i + u * LANES, held[p][u]);
  }
  for (int64_t i = PIECES * piece; i < count; ++i) output[i] = input[i];
}

void run(const int32_t* input, int32_t* output, const Context& context) {
  const int threads = context.threads();
  // Whole cache lines each, so that streamed vectors stay aligned and no two threads share a line.
  const int64_t share = CeilDiv(CeilDiv(COUNT, 16), threads) * 16;
  context.Parallel(threads, [&](int t) {
    const int64_t begin = Min<int64_t>(COUNT, t * share), end = Min<int64_t>(COUNT, begin + share);
    CopyShare(input + begin, output + begin, end - begin);
  });
#if STREAM && defined(__SSE2__)
  __builtin_ia32_sfence();
#endif
}
