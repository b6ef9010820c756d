// The GPU dialect: what stands before every GPU template. One source is OpenCL C 1.2 and CUDA C++14 (Maxwell's last compiler has no later
// standard). docs/gpu-dialect.md explains it.
//
// The base is OpenCL C: its names for work items, barriers, atomics, vector loads and mathematics are kept, and the second half of this
// file teaches them to CUDA. Own words stand only where the two languages cannot agree:
//   KERNEL  GROUP_SIZE(x, y, z)                a kernel, and the group it is always launched with
//   GLOBAL  LOCAL  RESTRICT                    qualifiers of pointers
//   LOCAL_ARRAY(type, name, count)             memory that a group shares, aligned to 16 bytes
//   CONSTANT_TABLE  DEVICE                     a table at file scope; a function that kernels call
//   UNROLL  UNROLL_BY(n)                       before a loop
//   make_float4(a, b, c, d) and its like       vectors: (float4)(a, b, c, d) means something else in C++
//   schar                                      a signed byte: CUDA's char is the host's
//   dp4a(a, b, c)                              c + the products of four signed bytes each, added
//   LATHE_OPENCL, LATHE_CUDA                   which of the two this is; LATHE_CUDA_ARCH 870 with the latter
#define LATHE_QUOTE(text) #text
#define LATHE_PRAGMA(text) _Pragma(LATHE_QUOTE(text))
#define UNROLL LATHE_PRAGMA(unroll)
#define UNROLL_BY(n) LATHE_PRAGMA(unroll n)

#ifdef __OPENCL_VERSION__
#define LATHE_OPENCL 1
#define KERNEL __kernel
#define GROUP_SIZE(x, y, z) __attribute__((reqd_work_group_size(x, y, z)))
#define GLOBAL __global
#define LOCAL __local
#define RESTRICT restrict
#define LOCAL_ARRAY(type, name, count) __local type name[count] __attribute__((aligned(16)))
#define CONSTANT_TABLE __constant
#define DEVICE inline static
#define schar char

#define make_float2(a, b) ((float2)((a), (b)))
#define make_float4(a, b, c, d) ((float4)((a), (b), (c), (d)))
#define make_int2(a, b) ((int2)((a), (b)))
#define make_int4(a, b, c, d) ((int4)((a), (b), (c), (d)))
#define make_uint2(a, b) ((uint2)((a), (b)))
#define make_uint4(a, b, c, d) ((uint4)((a), (b), (c), (d)))
#define make_uchar4(a, b, c, d) ((uchar4)((uchar)(a), (uchar)(b), (uchar)(c), (uchar)(d)))

DEVICE int dp4a(int a, int b, int c) {
  const char4 x = as_char4(a), y = as_char4(b);
  return c + x.x * y.x + x.y * y.y + x.z * y.z + x.w * y.w;
}

#else  // CUDA
#define LATHE_CUDA 1
#define LATHE_CUDA_ARCH __CUDA_ARCH__
#define KERNEL extern "C" __global__
#define GROUP_SIZE(x, y, z) __launch_bounds__((x) * (y) * (z))
#define GLOBAL
#define LOCAL
#define RESTRICT __restrict__
#define LOCAL_ARRAY(type, name, count) __shared__ __align__(16) type name[count]
#define CONSTANT_TABLE __constant__ const
#define DEVICE static __device__ __forceinline__
#define CUDA_NO_HALF  // should a .cu template include cuda_fp16.h: `half` is ours

typedef signed char schar;
typedef unsigned char uchar;
typedef unsigned short ushort;
typedef unsigned int uint;
#define ulong lathe_ulong  // nvcc includes <sys/types.h>, whose ulong is C's unsigned long
typedef unsigned long long ulong;
struct half {  // storage only, as in OpenCL without cl_khr_fp16
  ushort bits;
};

// ---- work items ----
DEVICE size_t get_local_id(uint d) { return d == 0 ? threadIdx.x : d == 1 ? threadIdx.y : threadIdx.z; }
DEVICE size_t get_group_id(uint d) { return d == 0 ? blockIdx.x : d == 1 ? blockIdx.y : blockIdx.z; }
DEVICE size_t get_local_size(uint d) { return d == 0 ? blockDim.x : d == 1 ? blockDim.y : blockDim.z; }
DEVICE size_t get_num_groups(uint d) { return d == 0 ? gridDim.x : d == 1 ? gridDim.y : gridDim.z; }
DEVICE size_t get_global_id(uint d) { return get_group_id(d) * get_local_size(d) + get_local_id(d); }
DEVICE size_t get_global_size(uint d) { return get_num_groups(d) * get_local_size(d); }

#define CLK_LOCAL_MEM_FENCE 1
#define CLK_GLOBAL_MEM_FENCE 2
DEVICE void barrier(uint) { __syncthreads(); }
DEVICE void mem_fence(uint flags) {
  if (flags & CLK_GLOBAL_MEM_FENCE)
    __threadfence();
  else
    __threadfence_block();
}

// ---- atomics, on global and local whole numbers; each returns what was there ----
template <typename T>
DEVICE T atomic_add(volatile T* at, T value) {
  return atomicAdd(const_cast<T*>(at), value);
}
template <typename T>
DEVICE T atomic_sub(volatile T* at, T value) {
  return atomicSub(const_cast<T*>(at), value);
}
template <typename T>
DEVICE T atomic_min(volatile T* at, T value) {
  return atomicMin(const_cast<T*>(at), value);
}
template <typename T>
DEVICE T atomic_max(volatile T* at, T value) {
  return atomicMax(const_cast<T*>(at), value);
}
template <typename T>
DEVICE T atomic_and(volatile T* at, T value) {
  return atomicAnd(const_cast<T*>(at), value);
}
template <typename T>
DEVICE T atomic_or(volatile T* at, T value) {
  return atomicOr(const_cast<T*>(at), value);
}
template <typename T>
DEVICE T atomic_xor(volatile T* at, T value) {
  return atomicXor(const_cast<T*>(at), value);
}
template <typename T>
DEVICE T atomic_xchg(volatile T* at, T value) {
  return atomicExch(const_cast<T*>(at), value);
}
template <typename T>
DEVICE T atomic_cmpxchg(volatile T* at, T expected, T value) {
  return atomicCAS(const_cast<T*>(at), expected, value);
}
template <typename T>
DEVICE T atomic_inc(volatile T* at) {
  return atomicAdd(const_cast<T*>(at), T(1));
}
template <typename T>
DEVICE T atomic_dec(volatile T* at) {
  return atomicSub(const_cast<T*>(at), T(1));
}

// ---- bits ----
DEVICE int as_int(float x) { return __float_as_int(x); }
DEVICE int as_int(uint x) { return static_cast<int>(x); }
DEVICE uint as_uint(float x) { return __float_as_uint(x); }
DEVICE uint as_uint(int x) { return static_cast<uint>(x); }
DEVICE float as_float(int x) { return __int_as_float(x); }
DEVICE float as_float(uint x) { return __uint_as_float(x); }
DEVICE int popcount(int x) { return __popc(static_cast<uint>(x)); }
DEVICE uint popcount(uint x) { return static_cast<uint>(__popc(x)); }
DEVICE ulong popcount(ulong x) { return static_cast<ulong>(__popcll(x)); }
DEVICE int clz(int x) { return __clz(x); }
DEVICE uint clz(uint x) { return static_cast<uint>(__clz(static_cast<int>(x))); }
DEVICE ulong clz(ulong x) { return static_cast<ulong>(__clzll(static_cast<long long>(x))); }

// ---- mathematics; min, max, fmin, fmax, floor, ceil, rint, exp, sqrt and fabs are CUDA's own, overloaded for float ----
template <typename T>
DEVICE T clamp(T x, T low, T high) {
  return min(max(x, low), high);
}
DEVICE float mad(float a, float b, float c) { return fmaf(a, b, c); }
DEVICE float mix(float a, float b, float t) { return fmaf(b - a, t, a); }
DEVICE float native_exp(float x) { return __expf(x); }
DEVICE float native_recip(float x) { return __fdividef(1.0f, x); }
DEVICE float native_divide(float a, float b) { return __fdividef(a, b); }
DEVICE float native_rsqrt(float x) { return rsqrtf(x); }
DEVICE int mul24(int a, int b) { return __mul24(a, b); }

DEVICE int dp4a(int a, int b, int c) {
#if LATHE_CUDA_ARCH >= 610
  return __dp4a(a, b, c);
#else
  UNROLL
  for (int shift = 0; shift < 32; shift += 8) c += static_cast<schar>(a >> shift) * static_cast<schar>(b >> shift);
  return c;
#endif
}

// ---- vectors: + - * of floats and whole numbers; other widths than 2 and 4 are for moving values only ----
#define LATHE_VECTOR_OPERATORS(V, T)                                                                        \
  DEVICE V##2 operator+(V##2 a, V##2 b) { return make_##V##2(a.x + b.x, a.y + b.y); }                       \
  DEVICE V##2 operator-(V##2 a, V##2 b) { return make_##V##2(a.x - b.x, a.y - b.y); }                       \
  DEVICE V##2 operator*(V##2 a, V##2 b) { return make_##V##2(a.x * b.x, a.y * b.y); }                       \
  DEVICE V##2 operator*(V##2 a, T b) { return make_##V##2(a.x * b, a.y * b); }                              \
  DEVICE V##2 operator*(T a, V##2 b) { return b * a; }                                                      \
  DEVICE V##4 operator+(V##4 a, V##4 b) { return make_##V##4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w); } \
  DEVICE V##4 operator-(V##4 a, V##4 b) { return make_##V##4(a.x - b.x, a.y - b.y, a.z - b.z, a.w - b.w); } \
  DEVICE V##4 operator*(V##4 a, V##4 b) { return make_##V##4(a.x * b.x, a.y * b.y, a.z * b.z, a.w * b.w); } \
  DEVICE V##4 operator*(V##4 a, T b) { return make_##V##4(a.x * b, a.y * b, a.z * b, a.w * b); }            \
  DEVICE V##4 operator*(T a, V##4 b) { return b * a; }                                                      \
  DEVICE V##2 & operator+=(V##2 & a, V##2 b) { return a = a + b; }                                          \
  DEVICE V##4 & operator+=(V##4 & a, V##4 b) { return a = a + b; }                                          \
  DEVICE V##2 & operator*=(V##2 & a, T b) { return a = a * b; }                                             \
  DEVICE V##4 & operator*=(V##4 & a, T b) { return a = a * b; }
LATHE_VECTOR_OPERATORS(float, float)
LATHE_VECTOR_OPERATORS(int, int)
LATHE_VECTOR_OPERATORS(uint, uint)

DEVICE float2 fma(float2 a, float2 b, float2 c) { return make_float2(fmaf(a.x, b.x, c.x), fmaf(a.y, b.y, c.y)); }
DEVICE float4 fma(float4 a, float4 b, float4 c) {
  return make_float4(fmaf(a.x, b.x, c.x), fmaf(a.y, b.y, c.y), fmaf(a.z, b.z, c.z), fmaf(a.w, b.w, c.w));
}
DEVICE float2 mad(float2 a, float2 b, float2 c) { return fma(a, b, c); }
DEVICE float4 mad(float4 a, float4 b, float4 c) { return fma(a, b, c); }
DEVICE float4 fmin(float4 a, float4 b) { return make_float4(fminf(a.x, b.x), fminf(a.y, b.y), fminf(a.z, b.z), fminf(a.w, b.w)); }
DEVICE float4 fmax(float4 a, float4 b) { return make_float4(fmaxf(a.x, b.x), fmaxf(a.y, b.y), fmaxf(a.z, b.z), fmaxf(a.w, b.w)); }
DEVICE float dot(float4 a, float4 b) { return fmaf(a.x, b.x, fmaf(a.y, b.y, fmaf(a.z, b.z, a.w * b.w))); }
DEVICE float4 convert_float4(uchar4 v) { return make_float4(v.x, v.y, v.z, v.w); }
DEVICE float4 convert_float4(int4 v) { return make_float4(v.x, v.y, v.z, v.w); }

struct uchar8 {
  uchar s[8];
};
struct uchar16 {
  uchar s[16];
};
struct float8 {
  float s[8];
};
struct float16 {
  float s[16];
};

// vloadN(i, p) is p[i*N] and what follows it. Like OpenCL's, it needs no more than an element's alignment, and so moves single elements:
// where the address is aligned, a cast to a pointer to vectors says so, in both languages.
#define LATHE_VLOAD(T, N)                                                               \
  DEVICE T##N vload##N(size_t offset, const T* from) {                                  \
    T##N v;                                                                             \
    UNROLL                                                                              \
    for (int i = 0; i < N; ++i) reinterpret_cast<T*>(&v)[i] = from[offset * N + i];     \
    return v;                                                                           \
  }                                                                                     \
  DEVICE void vstore##N(T##N v, size_t offset, T* to) {                                 \
    UNROLL                                                                              \
    for (int i = 0; i < N; ++i) to[offset * N + i] = reinterpret_cast<const T*>(&v)[i]; \
  }
#define LATHE_VLOADS(T) LATHE_VLOAD(T, 2) LATHE_VLOAD(T, 3) LATHE_VLOAD(T, 4)
LATHE_VLOADS(float)
LATHE_VLOADS(int)
LATHE_VLOADS(uint)
LATHE_VLOADS(uchar)
LATHE_VLOADS(ushort)
LATHE_VLOAD(float, 8)
LATHE_VLOAD(float, 16)
LATHE_VLOAD(uchar, 8)
LATHE_VLOAD(uchar, 16)

// ---- halves in memory, floats in registers; rounding is to nearest even ----
DEVICE float lathe_half_to_float(ushort bits) {
  float x;
  asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
  return x;
}
DEVICE ushort lathe_float_to_half(float x) {
  ushort bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
  return bits;
}
DEVICE float vload_half(size_t i, const half* from) { return lathe_half_to_float(from[i].bits); }
DEVICE float2 vload_half2(size_t i, const half* from) { return make_float2(vload_half(2 * i, from), vload_half(2 * i + 1, from)); }
DEVICE float4 vload_half4(size_t i, const half* from) {
  return make_float4(vload_half(4 * i, from), vload_half(4 * i + 1, from), vload_half(4 * i + 2, from), vload_half(4 * i + 3, from));
}
DEVICE void vstore_half(float x, size_t i, half* to) { to[i].bits = lathe_float_to_half(x); }
DEVICE void vstore_half2(float2 v, size_t i, half* to) {
  vstore_half(v.x, 2 * i, to);
  vstore_half(v.y, 2 * i + 1, to);
}
DEVICE void vstore_half4(float4 v, size_t i, half* to) {
  vstore_half2(make_float2(v.x, v.y), 2 * i, to);
  vstore_half2(make_float2(v.z, v.w), 2 * i + 1, to);
}
// As above, where the address is a multiple of the vector's size: vloada_halfN is OpenCL's name for it.
DEVICE float2 vloada_half2(size_t i, const half* from) {
  const ushort2 v = reinterpret_cast<const ushort2*>(from)[i];
  return make_float2(lathe_half_to_float(v.x), lathe_half_to_float(v.y));
}
DEVICE float4 vloada_half4(size_t i, const half* from) {
  const ushort4 v = reinterpret_cast<const ushort4*>(from)[i];
  return make_float4(lathe_half_to_float(v.x), lathe_half_to_float(v.y), lathe_half_to_float(v.z), lathe_half_to_float(v.w));
}
DEVICE void vstorea_half2(float2 v, size_t i, half* to) {
  reinterpret_cast<ushort2*>(to)[i] = make_ushort2(lathe_float_to_half(v.x), lathe_float_to_half(v.y));
}
DEVICE void vstorea_half4(float4 v, size_t i, half* to) {
  reinterpret_cast<ushort4*>(to)[i] =
      make_ushort4(lathe_float_to_half(v.x), lathe_float_to_half(v.y), lathe_float_to_half(v.z), lathe_float_to_half(v.w));
}
#endif
