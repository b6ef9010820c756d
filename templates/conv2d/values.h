// A convolution's values in memory, f32 or f16: value_t; GET and PUT one, GET2, GET4, PUT2 and PUT4 neighbours at a multiple of as many.
// In all of them i counts values of `p`. They index vectors, rather than cast the sum of pointer and index: within larger kernels NVRTC 12.9 makes
// four stores of the latter.
#if DTYPE == DTYPE_F16
typedef half value_t;
#define GET(i, p) vload_half(i, p)
#define GET2(i, p) vloada_half2((i) / 2, p)
#define GET4(i, p) vloada_half4((i) / 4, p)
#define PUT(x, i, p) vstore_half(x, i, p)
#define PUT2(v, i, p) vstorea_half2(v, (i) / 2, p)
#define PUT4(v, i, p) vstorea_half4(v, (i) / 4, p)
#else
typedef float value_t;
#define GET(i, p) (p)[i]
#define GET2(i, p) ((GLOBAL const float2*)(p))[(i) / 2]
#define GET4(i, p) ((GLOBAL const float4*)(p))[(i) / 4]
#define PUT(x, i, p) (p)[i] = (x)
#define PUT2(v, i, p) ((GLOBAL float2*)(p))[(i) / 2] = (v)
#define PUT4(v, i, p) ((GLOBAL float4*)(p))[(i) / 4] = (v)
#endif
