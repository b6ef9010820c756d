// Direct convolution of planes (nchw) with vectors of output pixels: nothing is turned around, neither on the way in nor on the way out.
//
// A tile is TILE_K output channels times TILE_Y rows of TILE_V vectors of neighbouring pixels, in registers over the whole sum (or over
// BLOCK_C input channels of it). Each step loads TILE_Y*TILE_V vectors of input and meets them with one broadcast weight per channel.
//
// Where a row does not end with a vector, its last vector is moved back to end with the row: some pixels are computed twice, none is
// read or written outside. Rows shorter than a vector, padding and column strides go through a copy in the workspace,
// as does anything on demand (planes far apart cost a page look-up each):
//   [C][rows][phases][columns]   where phase p holds the columns p, p + STRIDE_W, p + 2*STRIDE_W, …: vectors load neighbours again.
//
// A 1x1 convolution without stride or padding is a matrix product: its pixels form one row of OH*OW.

typedef Vec<float, LANES> Lane;
#include "epilogue_cpu.h"
#include "store_cpu.h"

constexpr int kUnroll = UNROLL;                       // a pragma does not see macros
constexpr int kBlocksK = int(CeilDiv(KG, TILE_K));    // tiles of output channels in a group
constexpr int kRaggedK = KG % TILE_K;                 // channels in a group's last tile; 0: it is full
constexpr int kBlockC = BLOCK_C == 0 ? CG : BLOCK_C;  // divides CG
constexpr int kBlocksC = CG / kBlockC;
constexpr int64_t kPanel = (int64_t(R) * S * CG + 1) * TILE_K;  // packed weights of one tile of output channels

constexpr bool kFlat = POINTWISE;
constexpr int64_t kRows = kFlat ? 1 : OH;
constexpr int64_t kColumns = kFlat ? int64_t(OH) * OW : OW;
constexpr int64_t kVectors = CeilDiv(kColumns, LANES);                // in a row
constexpr bool kShort = kColumns < LANES;                             // a row does not fill a vector
constexpr int64_t kShift = kShort ? 0 : kVectors * LANES - kColumns;  // how far the last vector moves back
// A block is so many tiles high, or long where the image is one row.
constexpr int64_t kTiles = kFlat ? CeilDiv(kVectors, TILE_V) : CeilDiv(OH, TILE_Y);
constexpr int64_t kBlockTiles = CeilDiv(kTiles, BLOCKS);
constexpr int64_t kBlocks = CeilDiv(kTiles, kBlockTiles);
constexpr int64_t kBlockRows = kFlat ? 1 : kBlockTiles * TILE_Y;
constexpr int64_t kBlockVectors = kFlat ? kBlockTiles * TILE_V : kVectors;

constexpr bool kCopied = PADDED || STRIDE_W > 1 || kShort || COPY == COPY_ALWAYS;
constexpr int kPhases = S == 1 ? 1 : STRIDE_W;
constexpr int kRowStep = R == 1 ? STRIDE_H : 1;  // only rows that some window touches are copied
constexpr int64_t kWindowRows = (kBlockRows - 1) * STRIDE_H / kRowStep + (R - 1) * DILATION_H + 1;
// A copied part of a single long row begins a vector early, for a last vector that moves back to before the part.
constexpr int64_t kLead = kFlat && kCopied && kShift != 0 ? LANES : 0;
constexpr int64_t kPhaseColumns = kFlat ? kLead + kBlockVectors * LANES : (kShort ? LANES : kColumns) + (S - 1) * DILATION_W / STRIDE_W;
constexpr int64_t kStepY = kCopied ? kPhases * kPhaseColumns : W;                         // from a row to the next
constexpr int64_t kStepOut = kCopied ? STRIDE_H / kRowStep * kStepY : STRIDE_H * kStepY;  // from an output row's input to the next one's
constexpr int64_t kStepC = kCopied ? kWindowRows * kStepY : int64_t(H) * W;
constexpr int64_t kWindowFloats = kCopied ? CeilDiv(C * kStepC, 16) * 16 : 0;
constexpr int64_t kTileFloats = TILE_K * TILE_Y * TILE_V * LANES;
constexpr int64_t kPartialFloats = kBlocksC == 1 ? 0 : CeilDiv(kBlockRows, TILE_Y) * CeilDiv(kBlockVectors, TILE_V) * kTileFloats;

// One output channel of a packed panel: position of weight (r, s, c) in the order in which tiles meet it.
constexpr int64_t StepOf(int64_t r, int64_t s, int64_t c) {
  const int64_t block = c / kBlockC, inside = c % kBlockC;
  return block * kBlockC * R * S + (ORDER == ORDER_RSC ? (r * S + s) * kBlockC + inside : (inside * R + r) * S + s);
}

// weight: [k, c, r, s] -> packed: [groups * tiles, 1 + steps, TILE_K]; the first step of each panel is the bias.
void prepare(const float* weight, const float* bias, float* packed) {
  memset(packed, 0, static_cast<size_t>(GROUPS * kBlocksK * kPanel) * sizeof(float));
  for (int64_t group = 0; group < GROUPS; ++group)
    for (int64_t in_group = 0; in_group < KG; ++in_group) {
      const int64_t k = group * KG + in_group;
      float* lane = packed + (group * kBlocksK + in_group / TILE_K) * kPanel + in_group % TILE_K;
      if (BIAS) *lane = bias[k];
      for (int64_t r = 0; r < R; ++r)
        for (int64_t s = 0; s < S; ++s)
          for (int64_t c = 0; c < CG; ++c) lane[(1 + StepOf(r, s, c)) * TILE_K] = weight[((k * CG + c) * R + r) * S + s];
    }
}

LATHE_INLINE void StoreVector(Place to, Lane sum) {
  if (!kShort) {
    Store<float, LANES>(to.out, Finished<LANES>(sum, to));
  } else {
    alignas(64) float lanes[LANES];
    Store<float, LANES>(lanes, Finished<LANES>(sum, to, kColumns));
    memcpy(to.out, lanes, kColumns * sizeof(float));
  }
}

// One tile over one block of input channels.  in: its first pixel's window  weight: [steps, TILE_K]  out: its first channel's first pixel
// back: how far its last vector moves back
template <int TK, int TY, int TV>
__attribute__((noinline)) void Tile(const float* in, const float* bias, const float* weight, float* partial, bool first, bool last,
                                    Place out, int64_t back) {
  constexpr int kVecs = TY * TV;
  Lane sum[TK][kVecs];
  if (kBlocksC == 1 || first) {
#pragma GCC unroll 32
    for (int k = 0; k < TK; ++k)
#pragma GCC unroll 32
      for (int v = 0; v < kVecs; ++v) sum[k][v] = Broadcast<float, LANES>(bias[k]);
  } else {
#pragma GCC unroll 32
    for (int k = 0; k < TK; ++k)
#pragma GCC unroll 32
      for (int v = 0; v < kVecs; ++v) sum[k][v] = Load<float, LANES>(partial + (k * kVecs + v) * LANES);
  }

  if (!kShort && (kBlocksC == 1 || last))
#pragma GCC unroll 1
    for (int y = 0; y < TY; ++y) PrefetchRows<TV * LANES>(out + (int64_t(y) * OW - back), int64_t(OH) * OW, TK);

  // One step: one input channel at one place of the window.
  const auto step = [&](const float* from) __attribute__((always_inline)) {
    const float* from_last = from - back;
    Lane pixels[kVecs];
#pragma GCC unroll 8
    for (int y = 0; y < TY; ++y)
#pragma GCC unroll 8
      for (int v = 0; v < TV; ++v)
        pixels[y * TV + v] = Load<float, LANES>((kShift != 0 && v == TV - 1 ? from_last : from) + y * kStepOut + v * LANES);
#pragma GCC unroll 32
    for (int k = 0; k < TK; ++k) {
      const Lane w = Broadcast<float, LANES>(weight[k]);
#pragma GCC unroll 32
      for (int v = 0; v < kVecs; ++v) sum[k][v] += pixels[v] * w;
    }
    weight += TILE_K;
  };
  const auto column = [](int s) { return int64_t(s) * DILATION_W % STRIDE_W * kPhaseColumns + int64_t(s) * DILATION_W / STRIDE_W; };

  if (ORDER == ORDER_RSC) {
#pragma GCC unroll 1
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 1
      for (int s = 0; s < S; ++s) {
        const float* from = in + r * DILATION_H * kStepY + column(s);
#pragma GCC unroll kUnroll
        for (int c = 0; c < kBlockC; ++c) step(from + c * kStepC);
      }
  } else {
#pragma GCC unroll 1
    for (int c = 0; c < kBlockC; ++c)
#pragma GCC unroll 1
      for (int r = 0; r < R; ++r) {
        const float* from = in + c * kStepC + r * DILATION_H * kStepY;
#pragma GCC unroll kUnroll
        for (int s = 0; s < S; ++s) step(from + column(s));
      }
  }

  if ((kBlocksC > 1 && !last) || ACTIVATION == ACTIVATION_SILU) {
    alignas(64) float sums[ACTIVATION == ACTIVATION_SILU ? TK * kVecs * LANES : 1];
    float* to = kBlocksC > 1 && !last ? partial : sums;
#pragma GCC unroll 32
    for (int k = 0; k < TK; ++k)
#pragma GCC unroll 32
      for (int v = 0; v < kVecs; ++v) Store<float, LANES>(to + (k * kVecs + v) * LANES, sum[k][v]);
    if (kBlocksC > 1 && !last) return;
#pragma GCC unroll 1
    for (int k = 0; k < TK; ++k)
#pragma GCC unroll 1
      for (int v = 0; v < kVecs; ++v)
        StoreVector(out + ((int64_t(k) * OH + v / TV) * OW + v % TV * LANES - (v % TV == TV - 1 ? back : 0)),
                    Load<float, LANES>(sums + (k * kVecs + v) * LANES));
    return;
  }
#pragma GCC unroll 32
  for (int k = 0; k < TK; ++k)
#pragma GCC unroll 8
    for (int y = 0; y < TY; ++y)
#pragma GCC unroll 8
      for (int v = 0; v < TV; ++v)
        StoreVector(out + ((int64_t(k) * OH + y) * OW + v * LANES - (v == TV - 1 ? back : 0)), sum[k][y * TV + v]);
}

struct Block {
  const float* window;  // of its first pixel
  Place output;         // its first pixel in channel 0
  float* partial;
  int64_t rows, first_vector, vectors;
};

// Part of a block for one tile of output channels: where in the input channels, and whether their first or last.
struct Pass {
  const float *in, *bias, *weight;
  Place output;
  bool first, last;
};

template <int TK, int TY>
LATHE_INLINE float* TileRow(const Pass& pass, const Block& block, int64_t y, float* partial) {
  const float* in = pass.in + y * kStepOut;
  const Place out = pass.output + y * OW;
  int64_t v = 0;
#pragma GCC unroll 1
  for (; v + TILE_V <= block.vectors; v += TILE_V, partial += kTileFloats)
    Tile<TK, TY, TILE_V>(in + v * LANES, pass.bias, pass.weight, partial, pass.first, pass.last, out + v * LANES,
                         block.first_vector + v + TILE_V == kVectors ? kShift : 0);
  if constexpr (kVectors % TILE_V != 0)
    if (v < block.vectors) {
      Tile<TK, TY, kVectors % TILE_V>(in + v * LANES, pass.bias, pass.weight, partial, pass.first, pass.last, out + v * LANES, kShift);
      partial += kTileFloats;
    }
  return partial;
}

template <int TK>
LATHE_INLINE void AllTiles(const Pass& pass, const Block& block) {
  constexpr int kTileY = kFlat ? 1 : TILE_Y;
  float* partial = block.partial;
  int64_t y = 0;
#pragma GCC unroll 1
  for (; y + kTileY <= block.rows; y += kTileY) partial = TileRow<TK, kTileY>(pass, block, y, partial);
  if constexpr (kRows % kTileY != 0)
    if (y < block.rows) TileRow<TK, kRows % kTileY>(pass, block, y, partial);
}

// panel: which tile of output channels, counted over all groups.
void Panel(const Block& block, const float* weight, int64_t panel) {
  const int64_t group = panel / kBlocksK, inside = panel % kBlocksK;
  const float* bias = weight + panel * kPanel;
  Pass pass{nullptr, bias, nullptr, block.output + (group * KG + inside * TILE_K) * OH * OW, false, false};
  for (int64_t b = 0; b < kBlocksC; ++b) {
    pass.in = block.window + (group * CG + b * kBlockC) * kStepC;
    pass.weight = bias + (1 + b * kBlockC * R * S) * TILE_K;
    pass.first = b == 0;
    pass.last = b + 1 == kBlocksC;
    if constexpr (kRaggedK != 0) {
      if (inside + 1 == kBlocksK)
        AllTiles<kRaggedK>(pass, block);
      else if constexpr (kBlocksK > 1)
        AllTiles<TILE_K>(pass, block);
    } else {
      AllTiles<TILE_K>(pass, block);
    }
  }
}

// Columns x0, x0 + STRIDE_W, … of a row, zero outside of it.
LATHE_INLINE void CopyRow(float* to, const float* row, int64_t width, int64_t x0, int64_t columns) {
  const int64_t begin = Min<int64_t>(x0 < 0 ? CeilDiv(-x0, STRIDE_W) : 0, columns);
  const int64_t end = Max<int64_t>(begin, Min<int64_t>(columns, x0 >= width ? 0 : (width - 1 - x0) / STRIDE_W + 1));
  for (int64_t x = 0; x < begin; ++x) to[x] = 0;
  const float* from = row + x0;
  int64_t x = begin;
  if (STRIDE_W == 1) {
    memcpy(to + x, from + x, static_cast<size_t>(end - x) * sizeof(float));
    x = end;
  }
  if (STRIDE_W == 2)
    for (; x + LANES <= end && x0 + 2 * (x + LANES) <= width; x += LANES) {
      Lane even, odd;
      Unzip<LANES>(from + 2 * x, even, odd);
      Store<float, LANES>(to + x, even);
    }
  for (; x < end; ++x) to[x] = from[x * STRIDE_W];
  for (; x < columns; ++x) to[x] = 0;
}

// image: [c, h, w] -> window, from output row y, or from column x of the single long row
void CopyWindow(const float* image, float* window, int64_t y, int64_t rows, int64_t x) {
  constexpr int64_t kHeight = kFlat ? 1 : H, kWidth = kFlat ? int64_t(H) * W : W;
  const int64_t y0 = y * STRIDE_H - PAD_TOP;
  for (int64_t c = 0; c < C; ++c)
    for (int64_t j = 0; j < rows; ++j)
      for (int64_t phase = 0; phase < kPhases; ++phase) {
        float* to = window + c * kStepC + j * kStepY + phase * kPhaseColumns;
        const int64_t from = y0 + j * kRowStep;
        if (from < 0 || from >= kHeight)
          memset(to, 0, kPhaseColumns * sizeof(float));
        else
          CopyRow(to, image + (c * kHeight + from) * kWidth, kWidth, x - kLead + phase - PAD_LEFT, kPhaseColumns);
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
      const int64_t y = kFlat ? 0 : at * kBlockRows;
      const float* pixels = input + image * H * W * C;
      Block block;
      block.rows = Min<int64_t>(kBlockRows, kRows - y);
      block.first_vector = kFlat ? at * kBlockVectors : 0;
      block.vectors = Min<int64_t>(kBlockVectors, kVectors - block.first_vector);
      block.partial = window + kWindowFloats;
      block.output = FirstPlace(output, residual) + (image * OH * OW * K + y * OW + block.first_vector * LANES);
      if (kCopied) {
        if (copied != unit / SPLIT_K)
          CopyWindow(pixels, window, y, (block.rows - 1) * STRIDE_H / kRowStep + (R - 1) * DILATION_H + 1, block.first_vector * LANES);
        copied = unit / SPLIT_K;
        block.window = window + kLead;
      } else {
        block.window = pixels + y * kStepOut + block.first_vector * LANES;
      }
      for (int64_t panel = kPanels * slice / SPLIT_K; panel < kPanels * (slice + 1) / SPLIT_K; ++panel) Panel(block, weight, panel);
    }
  });
}
