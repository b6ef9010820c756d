// Built with the kernels' flags, so that the compiler itself says which instructions they may use. Generated.
#include "library.h"

const char* lathe_cpu_lacks() {
#if defined(__x86_64__)
#define LATHE_NEEDS(feature) \
  if (!__builtin_cpu_supports(feature)) return feature
#ifdef __AVX__
  LATHE_NEEDS("avx");
#endif
#ifdef __AVX2__
  LATHE_NEEDS("avx2");
#endif
#ifdef __FMA__
  LATHE_NEEDS("fma");
#endif
#ifdef __AVX512F__
  LATHE_NEEDS("avx512f");
#endif
#ifdef __AVX512BW__
  LATHE_NEEDS("avx512bw");
#endif
#ifdef __AVX512VL__
  LATHE_NEEDS("avx512vl");
#endif
#ifdef __AVX512DQ__
  LATHE_NEEDS("avx512dq");
#endif
#undef LATHE_NEEDS
#endif
  return nullptr;
}
