// Convolution of halves on tensor cores: implicit_gemm.cl's product, its matrices multiplied 16x16x16 at a time by a warp.
//   rows: pixels of all images, n*OH*OW, so that one image fills the tiles   columns: a group's output channels   summed over: R*S*CG
//
// A block has WARPS_M x WARPS_N warps; each makes FRAGMENTS_M x FRAGMENTS_N pieces of 16 pixels by 16 channels, in f32. A step's TILE_K halves
// of each pixel and each channel lie in rows of shared memory, PAD halves apart; eight halves are copied at once, which CG % 8 == 0 makes
// possible. Eight neighbouring threads copy the same columns of eight rows: with a PAD these lie in different banks, as the eight that a
// warp's matrix load reads together do. From sm_80 on the copies are asynchronous and STAGES deep, zeros of the border included; before, the
// next step waits in registers. A finished piece goes through shared memory, because which element a thread holds is the architecture's own
// affair.

#define WARPS (WARPS_M * WARPS_N)
#define ITEMS (32 * WARPS)
#define TILE_M (WARPS_M * FRAGMENTS_M * 16)
#define TILE_N (WARPS_N * FRAGMENTS_N * 16)
#define DEPTH (R * S * CG)
#define STEPS ((DEPTH + TILE_K - 1) / TILE_K)
#define STEPS_PER_SLICE ((STEPS + SPLIT_K - 1) / SPLIT_K)
#define TILES_N ((KG + TILE_N - 1) / TILE_N)
#define PIXELS (OH * OW)
#define ROW (TILE_K + PAD)
#define STAGE_HALVES ((TILE_M + TILE_N) * ROW)
#define VECTORS_K (TILE_K / 8)
#define FETCHES_M ((TILE_M * VECTORS_K + ITEMS - 1) / ITEMS)
#define FETCHES_N ((TILE_N * VECTORS_K + ITEMS - 1) / ITEMS)
#define ASYNC (LATHE_CUDA_ARCH >= 800)

// ---- the machine ----
struct Factor {  // 16x16 halves
  uint part[8];
};
struct Sum {  // 16x16 floats
  float part[8];
};

DEVICE uint SharedAddress(const void* p) { return static_cast<uint>(__cvta_generic_to_shared(p)); }

// 16 bytes, or as many zeros.
DEVICE void CopyAsync(ushort* to, const half* from, bool zeros) {
#if ASYNC
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(SharedAddress(to)), "l"(from), "r"(zeros ? 0 : 16) : "memory");
#endif
}
DEVICE void EndCopies() {
#if ASYNC
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}
// Until all but the last STAGES - 2 groups of this thread's copies are there.
DEVICE void AwaitCopies() {
#if ASYNC
  asm volatile("cp.async.wait_group %0;" ::"n"(STAGES - 2) : "memory");
#endif
}

DEVICE void LoadPixels(Factor& f, const ushort* from) {
  asm volatile("wmma.load.a.sync.aligned.row.m16n16k16.shared.f16 {%0, %1, %2, %3, %4, %5, %6, %7}, [%8], %9;"
               : "=r"(f.part[0]), "=r"(f.part[1]), "=r"(f.part[2]), "=r"(f.part[3]), "=r"(f.part[4]), "=r"(f.part[5]), "=r"(f.part[6]),
                 "=r"(f.part[7])
               : "r"(SharedAddress(from)), "r"(ROW)
               : "memory");
}
DEVICE void LoadWeights(Factor& f, const ushort* from) {
  asm volatile("wmma.load.b.sync.aligned.col.m16n16k16.shared.f16 {%0, %1, %2, %3, %4, %5, %6, %7}, [%8], %9;"
               : "=r"(f.part[0]), "=r"(f.part[1]), "=r"(f.part[2]), "=r"(f.part[3]), "=r"(f.part[4]), "=r"(f.part[5]), "=r"(f.part[6]),
                 "=r"(f.part[7])
               : "r"(SharedAddress(from)), "r"(ROW)
               : "memory");
}
DEVICE void AddProduct(Sum& sum, const Factor& a, const Factor& b) {
  asm volatile("wmma.mma.sync.aligned.row.col.m16n16k16.f32.f32 {%0, %1, %2, %3, %4, %5, %6, %7}, {%8, %9, %10, %11, %12, %13, %14, %15}, "
               "{%16, %17, %18, %19, %20, %21, %22, %23}, {%0, %1, %2, %3, %4, %5, %6, %7};"
               : "+f"(sum.part[0]), "+f"(sum.part[1]), "+f"(sum.part[2]), "+f"(sum.part[3]), "+f"(sum.part[4]), "+f"(sum.part[5]),
                 "+f"(sum.part[6]), "+f"(sum.part[7])
               : "r"(a.part[0]), "r"(a.part[1]), "r"(a.part[2]), "r"(a.part[3]), "r"(a.part[4]), "r"(a.part[5]), "r"(a.part[6]), "r"(a.part[7]),
                 "r"(b.part[0]), "r"(b.part[1]), "r"(b.part[2]), "r"(b.part[3]), "r"(b.part[4]), "r"(b.part[5]), "r"(b.part[6]), "r"(b.part[7]));
}
DEVICE void StoreSum(const Sum& sum, float* to) {
  asm volatile("wmma.store.d.sync.aligned.row.m16n16k16.shared.f32 [%0], {%1, %2, %3, %4, %5, %6, %7, %8}, 16;" ::"r"(SharedAddress(to)),
               "f"(sum.part[0]), "f"(sum.part[1]), "f"(sum.part[2]), "f"(sum.part[3]), "f"(sum.part[4]), "f"(sum.part[5]), "f"(sum.part[6]),
               "f"(sum.part[7])
               : "memory");
  __syncwarp();
}
DEVICE void Clear(Sum& sum) {
  UNROLL
  for (int i = 0; i < 8; ++i) sum.part[i] = 0.0f;
}
// ---- end of the machine ----

#include "values.h"
#include "epilogue.h"

// An item's j-th copy: its row among the tile's, and which eight of the row.
DEVICE int CopyRow(int item, int j) { return (item + j * ITEMS) / (8 * VECTORS_K) * 8 + item % 8; }
DEVICE int CopyVector(int item, int j) { return (item + j * ITEMS) / 8 % VECTORS_K; }
DEVICE int StagedAt(int item, int j) { return CopyRow(item, j) * ROW + CopyVector(item, j) * 8; }

// Where an item's pixels come from.
struct Copies {
  size_t at[FETCHES_M];            // where the pixel's window begins; before the image when there is padding
  int y[FETCHES_M], x[FETCHES_M];  // its row and column
};

DEVICE void FindCopies(int item, int first_pixel, int pixels, int group, Copies& copies) {
  UNROLL
  for (int j = 0; j < FETCHES_M; ++j) {
    const int m = min(first_pixel + CopyRow(item, j), pixels - 1);
    const int image = m / PIXELS;
    copies.y[j] = m % PIXELS / OW * STRIDE_H - PAD_TOP;
    copies.x[j] = m % PIXELS % OW * STRIDE_W - PAD_LEFT;
    copies.at[j] = static_cast<size_t>(image) * (H * W * C) + static_cast<size_t>((copies.y[j] * W + copies.x[j]) * C + group * CG);
  }
}

// The j-th eight halves of a step's pixels; false where they are zeros.
DEVICE bool FindPixels(const Copies& copies, int item, int step, int j, size_t& at) {
  const int depth = step * TILE_K + CopyVector(item, j) * 8, tap = depth / CG, channel = depth % CG;
  const int dy = tap / S * DILATION_H, dx = tap % S * DILATION_W;
  at = copies.at[j] + static_cast<size_t>((dy * W + dx) * C + channel);
  return depth < DEPTH && static_cast<uint>(copies.y[j] + dy) < static_cast<uint>(H) && static_cast<uint>(copies.x[j] + dx) < static_cast<uint>(W);
}

#define FOR_PIXELS(j)                   \
  UNROLL                                \
  for (int j = 0; j < FETCHES_M; ++j)   \
    if (TILE_M * VECTORS_K % ITEMS == 0 || item + j * ITEMS < TILE_M * VECTORS_K)
#define FOR_WEIGHTS(j)                  \
  UNROLL                                \
  for (int j = 0; j < FETCHES_N; ++j)   \
    if (TILE_N * VECTORS_K % ITEMS == 0 || item + j * ITEMS < TILE_N * VECTORS_K)

DEVICE void StartCopies(const half* input, const half* weights, const Copies& copies, int item, int step, ushort* stage) {
  FOR_PIXELS(j) {
    size_t at;
    const bool there = FindPixels(copies, item, step, j, at);
    CopyAsync(stage + StagedAt(item, j), input + (there ? at : 0), !there);
  }
  FOR_WEIGHTS(j) {
    const half* from = weights + (static_cast<size_t>(step) * (TILE_N * TILE_K) + static_cast<size_t>(item + j * ITEMS) * 8);
    CopyAsync(stage + TILE_M * ROW + StagedAt(item, j), from, false);
  }
}

DEVICE void Fetch(const half* input, const half* weights, const Copies& copies, int item, int step, uint4* next) {
  FOR_PIXELS(j) {
    size_t at;
    next[j] = make_uint4(0, 0, 0, 0);
    if (FindPixels(copies, item, step, j, at)) next[j] = *reinterpret_cast<const uint4*>(input + at);
  }
  FOR_WEIGHTS(j) {
    const half* from = weights + (static_cast<size_t>(step) * (TILE_N * TILE_K) + static_cast<size_t>(item + j * ITEMS) * 8);
    next[FETCHES_M + j] = *reinterpret_cast<const uint4*>(from);
  }
}

DEVICE void Stage(const uint4* next, int item, ushort* stage) {
  FOR_PIXELS(j) *reinterpret_cast<uint4*>(stage + StagedAt(item, j)) = next[j];
  FOR_WEIGHTS(j) *reinterpret_cast<uint4*>(stage + TILE_M * ROW + StagedAt(item, j)) = next[FETCHES_M + j];
}

DEVICE void AddStep(int warp_m, int warp_n, const ushort* stage, Sum (&sum)[FRAGMENTS_M][FRAGMENTS_N]) {
  UNROLL
  for (int k = 0; k < TILE_K; k += 16) {
    Factor pixels[FRAGMENTS_M], weights[FRAGMENTS_N];
    UNROLL
    for (int i = 0; i < FRAGMENTS_M; ++i) LoadPixels(pixels[i], stage + (warp_m * FRAGMENTS_M + i) * 16 * ROW + k);
    UNROLL
    for (int j = 0; j < FRAGMENTS_N; ++j) LoadWeights(weights[j], stage + (TILE_M + (warp_n * FRAGMENTS_N + j) * 16) * ROW + k);
    UNROLL
    for (int i = 0; i < FRAGMENTS_M; ++i) {
      UNROLL
      for (int j = 0; j < FRAGMENTS_N; ++j) AddProduct(sum[i][j], pixels[i], weights[j]);
    }
  }
}

DEVICE void AddEight(const half* from, float (&value)[8]) {
  const uint4 eight = *reinterpret_cast<const uint4*>(from);
  UNROLL
  for (int v = 0; v < 8; ++v) value[v] += vload_half(v, reinterpret_cast<const half*>(&eight));
}

// Half a row of a piece, from channel k of the group on.
DEVICE void StoreEight(const float4* from, int m, int k, int group, int slice, int pixels, const half* bias, const half* residual, half* output,
                       uchar* workspace) {
  if (m >= pixels || k >= KG) return;
  const float4 low = from[0], high = from[1];
  const int channel = group * KG + k;
  const size_t at = static_cast<size_t>(m) * K + static_cast<size_t>(channel);
#if SPLIT_K > 1
  float* to = reinterpret_cast<float*>(workspace) + static_cast<size_t>(slice) * static_cast<size_t>(pixels) * K + at;
#if KG % 8 == 0
  reinterpret_cast<float4*>(to)[0] = low;
  reinterpret_cast<float4*>(to)[1] = high;
#else
  const float value[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
  UNROLL
  for (int v = 0; v < 8; ++v)
    if (k + v < KG) to[v] = value[v];
#endif
#else
  float value[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#if KG % 8 == 0
  if (BIAS) AddEight(bias + channel, value);
  if (RESIDUAL) AddEight(residual + at, value);
  UNROLL
  for (int v = 0; v < 8; ++v) value[v] = Activated(value[v]);
  uint4 eight;
  eight.x = lathe_float_to_half(value[0]) | static_cast<uint>(lathe_float_to_half(value[1])) << 16;
  eight.y = lathe_float_to_half(value[2]) | static_cast<uint>(lathe_float_to_half(value[3])) << 16;
  eight.z = lathe_float_to_half(value[4]) | static_cast<uint>(lathe_float_to_half(value[5])) << 16;
  eight.w = lathe_float_to_half(value[6]) | static_cast<uint>(lathe_float_to_half(value[7])) << 16;
  *reinterpret_cast<uint4*>(output + at) = eight;
#else
  UNROLL
  for (int v = 0; v < 8; ++v) {
    if (k + v >= KG) break;
    if (BIAS) value[v] += vload_half(static_cast<size_t>(channel + v), bias);
    if (RESIDUAL) value[v] += vload_half(at + static_cast<size_t>(v), residual);
    vstore_half(Activated(value[v]), at + static_cast<size_t>(v), output);
  }
#endif
#endif
}

KERNEL GROUP_SIZE(ITEMS, 1, 1) void convolve(const half* RESTRICT input, const half* RESTRICT weight_packed, const half* RESTRICT bias,
                                             const half* RESTRICT residual, half* RESTRICT output, int n
#if SPLIT_K > 1
                                             , uchar* RESTRICT workspace
#endif
) {
#if SPLIT_K == 1
  uchar* workspace = nullptr;
#endif
  // Stages; at the end 16x16 floats for each warp.
  __shared__ __align__(128) ushort shared[STAGES * STAGE_HALVES > WARPS * 512 ? STAGES * STAGE_HALVES : WARPS * 512];
  const int item = static_cast<int>(threadIdx.x), warp = item / 32, lane = item % 32, tile = static_cast<int>(blockIdx.x);
  const int slice = static_cast<int>(blockIdx.y), pixels = n * PIXELS;
#if ORDER == ORDER_PIXELS
  const int tile_m = tile / (TILES_N * GROUPS), tile_n = tile % (TILES_N * GROUPS);
#else
  const int tiles_m = (pixels + TILE_M - 1) / TILE_M, tile_m = tile % tiles_m, tile_n = tile / tiles_m;
#endif
  const int warp_m = warp / WARPS_N, warp_n = warp % WARPS_N, group = tile_n / TILES_N;
  const half* weights = weight_packed + static_cast<size_t>(tile_n) * STEPS * (TILE_N * TILE_K);

  Sum sum[FRAGMENTS_M][FRAGMENTS_N];
  UNROLL
  for (int i = 0; i < FRAGMENTS_M; ++i) {
    UNROLL
    for (int j = 0; j < FRAGMENTS_N; ++j) Clear(sum[i][j]);
  }
  Copies copies;
  FindCopies(item, tile_m * TILE_M, pixels, group, copies);
  const int first = slice * STEPS_PER_SLICE, last = min(STEPS, first + STEPS_PER_SLICE);

#if ASYNC
  UNROLL
  for (int s = 0; s < STAGES - 1; ++s) {
    if (first + s < last) StartCopies(input, weights, copies, item, first + s, shared + s * STAGE_HALVES);
    EndCopies();  // also where there was none: groups are counted
  }
  for (int step = first; step < last; ++step) {
    AwaitCopies();
    __syncthreads();  // all copies of this step are there, and nobody reads the stage before it any more
    const int ahead = step + STAGES - 1;
    if (ahead < last) StartCopies(input, weights, copies, item, ahead, shared + (ahead - first) % STAGES * STAGE_HALVES);
    EndCopies();
    AddStep(warp_m, warp_n, shared + (step - first) % STAGES * STAGE_HALVES, sum);
  }
#else
  uint4 next[FETCHES_M + FETCHES_N];
  Fetch(input, weights, copies, item, first, next);
  for (int step = first; step < last; ++step) {
    ushort* stage = shared + (step - first) % STAGES * STAGE_HALVES;
    Stage(next, item, stage);
    __syncthreads();
    if (step + 1 < last) Fetch(input, weights, copies, item, step + 1, next);
    AddStep(warp_m, warp_n, stage, sum);
  }
#endif

  __syncthreads();
  float* piece = reinterpret_cast<float*>(shared) + warp * 256;
  UNROLL
  for (int i = 0; i < FRAGMENTS_M; ++i) {
    UNROLL
    for (int j = 0; j < FRAGMENTS_N; ++j) {
      StoreSum(sum[i][j], piece);
      const int m = tile_m * TILE_M + (warp_m * FRAGMENTS_M + i) * 16 + lane / 2;
      const int k = tile_n % TILES_N * TILE_N + (warp_n * FRAGMENTS_N + j) * 16 + lane % 2 * 8;
      StoreEight(reinterpret_cast<const float4*>(piece + lane * 8), m, k, group, slice, pixels, bias, residual, output, workspace);
      __syncwarp();
    }
  }
}

#if SPLIT_K > 1
KERNEL GROUP_SIZE(64, 1, 1) void add_slices(const half* RESTRICT input, const half* RESTRICT weight_packed, const half* RESTRICT bias,
                                            const half* RESTRICT residual, half* RESTRICT output, int n, uchar* RESTRICT workspace) {
  const size_t at = get_global_id(0), count = static_cast<size_t>(n) * PIXELS * K;
  if (at >= count) return;
  const float* from = reinterpret_cast<const float*>(workspace) + at;
  float sum = 0.0f;
  UNROLL
  for (int slice = 0; slice < SPLIT_K; ++slice) sum += from[static_cast<size_t>(slice) * count];
#if BIAS
  sum += vload_half(at % K, bias);
#endif
  vstore_half(Activated(ADD_RESIDUAL(sum, at)), at, output);
}
#endif

// weight -> packed: [GROUPS, TILES_N, STEPS, TILE_N / 8, TILE_K / 8, 8 channels, 8], in the order in which they are copied; zeros beyond the last
// channel and the last step
KERNEL GROUP_SIZE(64, 1, 1) void pack(const half* RESTRICT weight, const half* RESTRICT bias, half* RESTRICT packed) {
  const size_t at = get_global_id(0);
  if (at >= static_cast<size_t>(GROUPS) * TILES_N * STEPS * TILE_N * TILE_K) return;
  const size_t step = at / TILE_K / TILE_N % STEPS, tile = at / TILE_K / TILE_N / STEPS;
  const size_t depth = step * TILE_K + at / 64 % VECTORS_K * 8 + at % 8, k = tile % TILES_N * TILE_N + at / 64 / VECTORS_K % (TILE_N / 8) * 8 + at / 8 % 8;
  const bool there = depth < DEPTH && k < KG;
  vstore_half(there ? vload_half((tile / TILES_N * KG + k) * DEPTH + depth, weight) : 0.0f, at, packed);
}
