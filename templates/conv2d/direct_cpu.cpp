// Direct convolution with vectors of output channels, for either layout and any groups.
//
// A tile is TILE_Y rows of TILE_X output pixels times TILE_K vectors of output channels, held in registers over the whole sum (or over
// BLOCK_C input channels of it). Each step of the sum loads TILE_K vectors of packed weights and meets them with one broadcast input value
// per pixel: TILE_Y*TILE_X*TILE_K FMAs for TILE_Y*TILE_X + TILE_K loads. Strides are compile-time constants, so every pixel of a tile is
// one address plus an offset.
//
//   for each block of output rows (BLOCKS of them an image), copied with its padding into the workspace where there is padding
//     for each block of output channels; for each block of BLOCK_C input channels
//       for each tile of the block of rows
//
// The weights of the two middle loops stay in cache while the tiles pass; BLOCKS says how much of the image stays there. Sums that span
// several blocks of input channels rest in the workspace in between, in the tiles' own order.
//
// A 1x1 convolution without stride or padding is a matrix product: its pixels form one row of OH*OW, and tiles cross rows.
// Ragged columns, rows and channels each get a tile of the size left over; callers never pad.

typedef Vec<float, LANES> Lane;
#include "epilogue_cpu.h"
#include "store_cpu.h"

constexpr int kBlockK = TILE_K * LANES;               // output channels of a tile
constexpr int kBlocksK = int(CeilDiv(KG, kBlockK));   // in a group
constexpr int kRaggedK = KG % kBlockK;                // channels in a group's last block; 0: it is full
constexpr int kBlockC = BLOCK_C == 0 ? CG : BLOCK_C;  // divides CG
constexpr int kBlocksC = CG / kBlockC;
constexpr int kUnroll = UNROLL;                                  // a pragma does not see macros
constexpr int64_t kPanel = (int64_t(R) * S * CG + 1) * kBlockK;  // packed weights of one block of output channels

constexpr bool kFlat = POINTWISE;
constexpr int64_t kRows = kFlat ? 1 : OH;
constexpr int64_t kColumns = kFlat ? int64_t(OH) * OW : OW;
// A block is so many tiles high, or long where the image is one row.
constexpr int64_t kTiles = kFlat ? CeilDiv(kColumns, TILE_X) : CeilDiv(OH, TILE_Y);
constexpr int64_t kBlockTiles = CeilDiv(kTiles, BLOCKS);
constexpr int64_t kBlocks = CeilDiv(kTiles, kBlockTiles);
constexpr int64_t kBlockRows = kFlat ? 1 : kBlockTiles * TILE_Y;
constexpr int64_t kBlockColumns = kFlat ? kBlockTiles * TILE_X : OW;

// The window of the input that a block needs: in place, or copied to [rows, columns, C + SKEW] or [C][rows * columns + SKEW].
constexpr bool kCopied = PADDED || COPY == COPY_ALWAYS;
constexpr int64_t kWindowRows = kFlat ? 1 : (kBlockRows - 1) * STRIDE_H + (R - 1) * DILATION_H + 1;
constexpr int64_t kWindowColumns = kFlat ? kBlockColumns : REACH_W;
constexpr bool kNhwc = LAYOUT == LAYOUT_NHWC;
constexpr int64_t kStepX = kNhwc ? (kCopied ? C + SKEW : C) : 1;
constexpr int64_t kStepY = kCopied ? kWindowColumns * kStepX : kNhwc ? int64_t(W) * C : W;
constexpr int64_t kStepC = kNhwc ? 1 : kCopied ? kWindowRows * kWindowColumns + SKEW : int64_t(H) * W;
constexpr int64_t kWindowFloats = kCopied ? CeilDiv(kNhwc ? kWindowRows * kStepY : C * kStepC, 16) * 16 : 0;
constexpr int64_t kPartialFloats = kBlocksC == 1 ? 0 : kBlockRows * CeilDiv(kBlockColumns, TILE_X) * TILE_X * kBlockK;

// One output channel of a packed panel: position of weight (r, s, c) in the order in which tiles meet it.
constexpr int64_t StepOf(int64_t r, int64_t s, int64_t c) {
  const int64_t block = c / kBlockC, inside = c % kBlockC;
  return block * kBlockC * R * S + (ORDER == ORDER_RSC ? (r * S + s) * kBlockC + inside : (inside * R + r) * S + s);
}

// weight: [k, r, s, c] or [k, c, r, s] -> packed: [groups * blocks, 1 + steps, kBlockK]; the first step of each panel is the bias.
void prepare(const float* weight, const float* bias, float* packed) {
  memset(packed, 0, static_cast<size_t>(GROUPS * kBlocksK * kPanel) * sizeof(float));
  for (int64_t group = 0; group < GROUPS; ++group)
    for (int64_t in_group = 0; in_group < KG; ++in_group) {
      const int64_t k = group * KG + in_group;
      float* lane = packed + (group * kBlocksK + in_group / kBlockK) * kPanel + in_group % kBlockK;
      if (BIAS) *lane = bias[k];
      for (int64_t r = 0; r < R; ++r)
        for (int64_t s = 0; s < S; ++s)
          for (int64_t c = 0; c < CG; ++c)
            lane[(1 + StepOf(r, s, c)) * kBlockK] = weight[kNhwc ? ((k * R + r) * S + s) * CG + c : ((k * CG + c) * R + r) * S + s];
    }
}

// sum: [TY * TX][vectors] -> residual, activation -> the output.  out: its first pixel's first channel
template <int TY, int TX, int CHANNELS, int VECTORS>
LATHE_INLINE void StoreTile(const Lane (&sum)[TY * TX][VECTORS], Place out) {
  constexpr int kWhole = CHANNELS / LANES, kRest = CHANNELS % LANES;
  if (kNhwc && kRest == 0 && ACTIVATION != ACTIVATION_SILU) {
#pragma GCC unroll 8
    for (int y = 0; y < TY; ++y)
#pragma GCC unroll 32
      for (int x = 0; x < TX; ++x)
#pragma GCC unroll 8
        for (int v = 0; v < kWhole; ++v) {
          const Place at = out + ((int64_t(y) * OW + x) * K + v * LANES);
          Store<float, LANES>(at.out, Finished<LANES>(sum[y * TX + x][v], at));
        }
    return;
  }
  alignas(64) float rows[TY * TX][kBlockK];
#pragma GCC unroll 32
  for (int pixel = 0; pixel < TY * TX; ++pixel)
#pragma GCC unroll 8
    for (int v = 0; v < VECTORS; ++v) Store<float, LANES>(rows[pixel] + v * LANES, Early(sum[pixel][v]));
  if (ACTIVATION == ACTIVATION_SILU && !RESIDUAL)
#pragma GCC unroll 1
    for (int pixel = 0; pixel < TY * TX; ++pixel)
#pragma GCC unroll 1
      for (int v = 0; v < VECTORS; ++v)
        Store<float, LANES>(rows[pixel] + v * LANES, Silu<LANES>(Load<float, LANES>(rows[pixel] + v * LANES)));
#pragma GCC unroll 1
  for (int y = 0; y < TY; ++y) {
    if (kNhwc) {
#pragma GCC unroll 1
      for (int x = 0; x < TX; ++x) CopyLate<CHANNELS>(rows[y * TX + x], out + (int64_t(y) * OW + x) * K);
    } else {
      StoreTurned<TX, kBlockK>(rows[y * TX], out + int64_t(y) * OW, int64_t(OH) * OW, CHANNELS);
    }
  }
}

// One tile over one block of input channels.  in: its first pixel's window  weight: [steps, kBlockK]  partial: [pixels, vectors, LANES]
template <int TY, int TX, int CHANNELS>
__attribute__((noinline)) void Tile(const float* in, const float* bias, const float* weight, float* partial, bool first, bool last,
                                    Place out) {
  constexpr int kVectors = int(CeilDiv(CHANNELS, LANES));
  Lane sum[TY * TX][kVectors];
  if (kBlocksC == 1 || first) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      const Lane start = Load<float, LANES>(bias + v * LANES);
#pragma GCC unroll 32
      for (int pixel = 0; pixel < TY * TX; ++pixel) sum[pixel][v] = start;
    }
  } else {
#pragma GCC unroll 32
    for (int pixel = 0; pixel < TY * TX; ++pixel)
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) sum[pixel][v] = Load<float, LANES>(partial + (pixel * kVectors + v) * LANES);
  }

  if (kBlocksC == 1 || last)
#pragma GCC unroll 1
    for (int y = 0; y < TY; ++y)
      PrefetchRows<kNhwc ? CHANNELS : TX>(out + int64_t(y) * OW * (kNhwc ? K : 1), kNhwc ? K : int64_t(OH) * OW, kNhwc ? TX : CHANNELS);

  // One step: one input channel at one place of the window.
  const auto step = [&](const float* from) __attribute__((always_inline)) {
    Lane w[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) w[v] = Load<float, LANES>(weight + v * LANES);
    if (PREFETCH > 0)
#pragma GCC unroll 8
      for (int at = 0; at < kVectors * LANES; at += 16) __builtin_prefetch(weight + PREFETCH * kBlockK + at);
#pragma GCC unroll 8
    for (int y = 0; y < TY; ++y)
#pragma GCC unroll 32
      for (int x = 0; x < TX; ++x) {
        const Lane value = Broadcast<float, LANES>(from[y * STRIDE_H * kStepY + x * STRIDE_W * kStepX]);
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) sum[y * TX + x][v] += value * w[v];
      }
    weight += kBlockK;
  };

  if (ORDER == ORDER_RSC) {
    // Where neighbouring pixels follow each other with all their channels, a row of the window is one run.
    constexpr bool kMerged = kNhwc && kStepX == kBlockC && DILATION_W == 1;
    constexpr int kPlaces = kMerged ? 1 : S, kRun = kMerged ? S * kBlockC : kBlockC;
#pragma GCC unroll 1
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 1
      for (int s = 0; s < kPlaces; ++s) {
        const float* from = in + r * DILATION_H * kStepY + s * DILATION_W * kStepX;
#pragma GCC unroll kUnroll
        for (int c = 0; c < kRun; ++c) step(from + c * kStepC);
      }
  } else {
#pragma GCC unroll 1
    for (int c = 0; c < kBlockC; ++c)
#pragma GCC unroll 1
      for (int r = 0; r < R; ++r) {
        const float* from = in + c * kStepC + r * DILATION_H * kStepY;
#pragma GCC unroll kUnroll
        for (int s = 0; s < S; ++s) step(from + s * DILATION_W * kStepX);
      }
  }

  if (kBlocksC > 1 && !last) {
#pragma GCC unroll 32
    for (int pixel = 0; pixel < TY * TX; ++pixel)
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) Store<float, LANES>(partial + (pixel * kVectors + v) * LANES, sum[pixel][v]);
    return;
  }
  StoreTile<TY, TX, CHANNELS>(sum, out);
}

struct Block {
  const float* window;  // of its first pixel
  Place output;         // its first pixel's first channel
  float* partial;
  int64_t rows, columns;
};

// Part of a block for CHANNELS output channels: where in the input channels, and whether their first or last.
struct Pass {
  const float *in, *bias, *weight;
  Place output;
  bool first, last;
};

constexpr int64_t kOutX = kNhwc ? K : 1;

template <int TY, int CHANNELS>
LATHE_INLINE float* TileRow(const Pass& pass, int64_t y, int64_t columns, float* partial) {
  const float* in = pass.in + y * STRIDE_H * kStepY;
  const Place out = pass.output + y * OW * kOutX;
  int64_t x = 0;
#pragma GCC unroll 1
  for (; x + TILE_X <= columns; x += TILE_X, partial += TY * TILE_X * kBlockK)
    Tile<TY, TILE_X, CHANNELS>(in + x * STRIDE_W * kStepX, pass.bias, pass.weight, partial, pass.first, pass.last, out + x * kOutX);
  if constexpr (kColumns % TILE_X != 0)
    if (x < columns) {
      Tile<TY, kColumns % TILE_X, CHANNELS>(in + x * STRIDE_W * kStepX, pass.bias, pass.weight, partial, pass.first, pass.last,
                                            out + x * kOutX);
      partial += TY * TILE_X * kBlockK;
    }
  return partial;
}

template <int CHANNELS>
LATHE_INLINE void AllTiles(const Pass& pass, const Block& block) {
  constexpr int kTileY = kFlat ? 1 : TILE_Y;
  float* partial = block.partial;
  int64_t y = 0;
#pragma GCC unroll 1
  for (; y + kTileY <= block.rows; y += kTileY) partial = TileRow<kTileY, CHANNELS>(pass, y, block.columns, partial);
  if constexpr (kRows % kTileY != 0)
    if (y < block.rows) TileRow<kRows % kTileY, CHANNELS>(pass, y, block.columns, partial);
}

// panel: which block of output channels, counted over all groups.
void Panel(const Block& block, const float* weight, int64_t panel) {
  const int64_t group = panel / kBlocksK, inside = panel % kBlocksK;
  const float* bias = weight + panel * kPanel;
  Pass pass{nullptr, bias, nullptr, {}, false, false};
  pass.output = block.output + (group * KG + inside * kBlockK) * (kNhwc ? 1 : int64_t(OH) * OW);
  for (int64_t b = 0; b < kBlocksC; ++b) {
    pass.in = block.window + (group * CG + b * kBlockC) * kStepC;
    pass.weight = bias + (1 + b * kBlockC * R * S) * kBlockK;
    pass.first = b == 0;
    pass.last = b + 1 == kBlocksC;
    if constexpr (kRaggedK != 0) {
      if (inside + 1 == kBlocksK)
        AllTiles<kRaggedK>(pass, block);
      else if constexpr (kBlocksK > 1)
        AllTiles<kBlockK>(pass, block);
    } else {
      AllTiles<kBlockK>(pass, block);
    }
  }
}

LATHE_INLINE void Zero(float* to, int64_t count) { memset(to, 0, static_cast<size_t>(count) * sizeof(float)); }
LATHE_INLINE void CopyRun(float* to, const float* from, int64_t count) { memcpy(to, from, static_cast<size_t>(count) * sizeof(float)); }

// Copies pixels [x0, x0 + columns) of one row (x0 < 0 and beyond `width`: padding).  STEP: floats of a pixel; NEW_STEP: in the copy
template <int64_t STEP, int64_t NEW_STEP>
LATHE_INLINE void CopyRow(float* to, const float* row, int64_t width, int64_t x0, int64_t columns) {
  const int64_t begin = Min<int64_t>(Max<int64_t>(0, -x0), columns), end = Max<int64_t>(begin, Min<int64_t>(columns, width - x0));
  Zero(to, begin * NEW_STEP);
  if (STEP == NEW_STEP) {
    CopyRun(to + begin * STEP, row + (x0 + begin) * STEP, (end - begin) * STEP);
  } else {
    for (int64_t x = begin; x < end; ++x) CopyRun(to + x * NEW_STEP, row + (x0 + x) * STEP, STEP);
  }
  Zero(to + end * NEW_STEP, (columns - end) * NEW_STEP);
}

// image: [h, w, c] or [c, h, w] -> window, from row y0 and column x0 of the image on
void CopyWindow(const float* image, float* window, int64_t y0, int64_t x0, int64_t rows, int64_t columns) {
  constexpr int64_t kHeight = kFlat ? 1 : H, kWidth = kFlat ? int64_t(H) * W : W;
  for (int64_t plane = 0; plane < (kNhwc ? 1 : C); ++plane)
    for (int64_t y = 0; y < rows; ++y) {
      float* to = window + plane * kStepC + y * kStepY;
      if (y0 + y < 0 || y0 + y >= kHeight)
        Zero(to, columns * kStepX);
      else
        CopyRow<kNhwc ? C : 1, kStepX>(to, image + (plane * kHeight + y0 + y) * kWidth * (kNhwc ? C : 1), kWidth, x0, columns);
    }
}

void run(const float* input, const float* weight, const float*, const float* residual, float* output, int64_t n, const Context& context) {
  constexpr int64_t kPanels = int64_t(GROUPS) * kBlocksK;
  // A unit of work is one block of one image for one slice of the output channels; each task takes neighbouring units.
  const int64_t units = n * kBlocks * SPLIT_K;
  context.Parallel(TASKS, [&](int task) {
    float* window = static_cast<float*>(context.workspace()) + task * (kWindowFloats + kPartialFloats);
    int64_t copied = -1;  // the block that the window holds
    for (int64_t unit = units * task / TASKS; unit < units * (task + 1) / TASKS; ++unit) {
      const int64_t slice = unit % SPLIT_K, image = unit / SPLIT_K / kBlocks, at = unit / SPLIT_K % kBlocks;
      const int64_t y = kFlat ? 0 : at * kBlockRows, x = kFlat ? at * kBlockColumns : 0;
      const float* pixels = input + image * H * W * C;
      Block block;
      block.rows = Min<int64_t>(kBlockRows, kRows - y);
      block.columns = Min<int64_t>(kBlockColumns, kColumns - x);
      block.partial = window + kWindowFloats;
      block.output = FirstPlace(output, residual) + (image * OH * OW * K + (y * OW + x) * kOutX);
      if (kCopied) {
        if (copied != unit / SPLIT_K)
          CopyWindow(pixels, window, y * STRIDE_H - PAD_TOP, x * STRIDE_W - PAD_LEFT,
                     kFlat ? 1 : (block.rows - 1) * STRIDE_H + (R - 1) * DILATION_H + 1, kFlat ? block.columns : kWindowColumns);
        copied = unit / SPLIT_K;
        block.window = window;
      } else {
        block.window = pixels + y * STRIDE_H * kStepY + x * STRIDE_W * kStepX;
      }
      for (int64_t panel = kPanels * slice / SPLIT_K; panel < kPanels * (slice + 1) / SPLIT_K; ++panel) Panel(block, weight, panel);
    }
  });
}
