// Depthwise convolution (every channel by itself) of planes, vectors of output pixels.
//
// A tile is TILE_Y rows of TILE_V vectors of neighbouring pixels of one channel. Every place of its window is loaded once and added to all
// output rows that it meets; the tile is written out in full. The channel's weights stay in registers as far as those suffice.
//
// Where a row does not end with a vector, its last vector is moved back to end with the row: some pixels are computed twice.
//
// COPY == needed: planes are used in place. A row is read a little beyond both ends, which is a neighbouring row or plane; the lanes that
// lie in the padding are cleared by masks known at compile time, rows in the padding are a row of zeros. For strides of 2 the even and the
// odd columns are taken out of two vectors once for all places of the window; those that lie one column pair further are the same vector
// moved by a lane. The first and the last planes of the tensor, where such a read could leave it, are copied, as are all
// planes for column strides over 2, for paddings wider than a vector and with COPY == always: (a block of) the plane goes to the workspace,
// small enough for the first cache,
//   [rows][phases][columns]   where phase p holds the columns p, p + STRIDE_W, p + 2*STRIDE_W, …: vectors load neighbours again.
// The zeros around the copy are the same for every channel and written once.

typedef Vec<float, LANES> Lane;
#include "epilogue_cpu.h"

constexpr int kVectors = int(CeilDiv(OW, LANES));           // in a row
constexpr bool kShort = OW < LANES;                         // a row does not fill a vector
constexpr int kShift = kShort ? 0 : kVectors * LANES - OW;  // how far the last vector moves back
constexpr int kTilesY = int(CeilDiv(OH, TILE_Y));
constexpr int kBlockTiles = int(CeilDiv(kTilesY, BLOCKS));
constexpr int kBlocks = int(CeilDiv(kTilesY, kBlockTiles));
constexpr int kBlockRows = kBlockTiles * TILE_Y;

// Which planes are used in place: none, all, or all but those at the tensor's ends.
constexpr bool kAllInPlace = !PADDED && STRIDE_W == 1 && !kShort;
constexpr bool kMiddleInside =  // only the first and the last vector of a row can meet padding
    kVectors <= 2 || (LANES * STRIDE_W >= PAD_LEFT && ((kVectors - 1) * LANES - 1) * STRIDE_W + (S - 1) * DILATION_W - PAD_LEFT < W);
constexpr bool kInPlace = kAllInPlace || (COPY == COPY_NEEDED && STRIDE_W <= 2 && kMiddleInside);
constexpr bool kCopied = !kAllInPlace;
constexpr int64_t kReadBefore = PAD_LEFT + 1, kReadAfter = 2 * LANES * STRIDE_W + (S - 1) * DILATION_W;  // of a row, at most
constexpr int kPhases = S == 1 ? 1 : STRIDE_W;
constexpr int64_t kWindowRows = int64_t(kBlockRows - 1) * STRIDE_H + (R - 1) * DILATION_H + 1;
constexpr int64_t kPhaseColumns = (kShort ? LANES : OW) + (S - 1) * DILATION_W / STRIDE_W;
constexpr int64_t kStepY = kCopied ? kPhases * kPhaseColumns : W;
constexpr int64_t kWindowFloats = kCopied ? CeilDiv(kWindowRows * kStepY, 16) * 16 : 0;

// Where a row is shorter than a vector, the vector's rest goes where the next rows will be written, but never past `end`, the end of the
// block.
LATHE_INLINE void StoreVector(Place to, Lane sum, const float* end) {
  if (!kShort || end - to.out >= LANES) {
    Store<float, LANES>(to.out, Finished<LANES>(sum, to));
  } else {
    const Lane value = Finished<LANES>(sum, to, OW);
    for (int i = 0; i < OW; ++i) to.out[i] = value[i];
  }
}

// Strides of 2: place s of the window begins in this pair of columns, counted from the pixel's own.
constexpr int BeginsInPair(int s) {
  const int column = s * DILATION_W - PAD_LEFT;
  return STRIDE_W == 2 ? (column - (column & 1)) / 2 : 0;
}

// Where a vector's lanes meet image columns: the first or the last vector of a row, its place s of the window.
template <bool FIRST>
constexpr bool Inside(int lane, int s) {
  const int column = (FIRST ? lane : OW - (kShort ? 0 : LANES) + lane) * STRIDE_W + s * DILATION_W - PAD_LEFT;
  return (kShort && lane >= OW) || (column >= 0 && column < W);
}
template <bool FIRST>
constexpr bool AllInside(int s) {
  for (int lane = FIRST && BeginsInPair(s) == -1 ? 1 : 0; lane < LANES; ++lane)
    if (!Inside<FIRST>(lane, s)) return false;
  return true;
}
template <bool FIRST>
LATHE_INLINE Lane Masked(Lane pixels, int s) {
  typedef Vec<int32_t, LANES> Bits;
  const Bits mask = FromLanes<int32_t, LANES>([s](int lane) { return Inside<FIRST>(lane, s) ? -1 : 0; });
  return reinterpret_cast<Lane>(reinterpret_cast<Bits>(pixels) & mask);
}

// STRIDE_W == 2, in place: what place s meets of the vector of pixels that begins at `pixel`. A lane that comes in from outside is loaded
// alone; for the row's FIRST vector it lies in the padding.
template <bool FIRST>
LATHE_INLINE Lane EverySecond(const float* pixel, int s) {
  const int pair = BeginsInPair(s), odd = (s * DILATION_W - PAD_LEFT) & 1;
  const bool near = pair == -1 || pair == 1;
  Lane columns[2];
  Unzip<LANES>(near ? pixel : pixel + 2 * pair, columns[0], columns[1]);
  if (!near) return columns[odd];
  const int outside = pair < 0 ? odd - 2 : 2 * LANES + odd;
  const Lane entering = FIRST && pair < 0 ? Lane{} : Broadcast<float, LANES>(pixel[outside]);
  if (pair < 0) return __builtin_shuffle(entering, columns[odd], FromLanes<int32_t, LANES>([](int lane) { return LANES - 1 + lane; }));
  return __builtin_shuffle(columns[odd], entering, FromLanes<int32_t, LANES>([](int lane) { return lane + 1; }));
}

alignas(64) const float kZeros[kReadBefore + 9 * LANES * STRIDE_W + kReadAfter] = {};

// in: the window of its first pixel  in_y: its row  out: its first pixel  end: of the block's output
// FIRST, LAST: whether it begins or ends the row
template <bool IN_PLACE, int TY, int TV, bool FIRST, bool LAST>
LATHE_INLINE void Tile(const float* in, int in_y, const Lane (&w)[R * S], Lane start, Place out, const float* end) {
  Lane sum[TY][TV];
#pragma GCC unroll 8
  for (int i = 0; i < TY; ++i)
#pragma GCC unroll 8
    for (int v = 0; v < TV; ++v) sum[i][v] = start;
#pragma GCC unroll 64
  for (int row = 0; row < (TY - 1) * STRIDE_H + (R - 1) * DILATION_H + 1; ++row) {
    const float* line = in + row * kStepY;
    if (IN_PLACE) line = in_y + row >= 0 && in_y + row < H ? in + int64_t(row) * W : kZeros + kReadBefore + LANES * STRIDE_W;
#pragma GCC unroll 64
    for (int s = 0; s < S; ++s) {
#pragma GCC unroll 8
      for (int v = 0; v < TV; ++v) {
        const int x = v * LANES - (LAST && v == TV - 1 ? kShift : 0), column = s * DILATION_W;
        Lane pixels;
        if (!IN_PLACE) {
          pixels = Load<float, LANES>(line + column % STRIDE_W * kPhaseColumns + column / STRIDE_W + x);
        } else if (STRIDE_W == 1) {
          pixels = Load<float, LANES>(line + x + column - PAD_LEFT);
        } else {
          pixels = FIRST && v == 0 ? EverySecond<true>(line + 2 * x, s) : EverySecond<false>(line + 2 * x, s);
        }
        if (IN_PLACE && FIRST && v == 0 && !AllInside<true>(s)) pixels = Masked<true>(pixels, s);
        if (IN_PLACE && LAST && v == TV - 1 && !(FIRST && v == 0 && kShort) && !AllInside<false>(s)) pixels = Masked<false>(pixels, s);
#pragma GCC unroll 8
        for (int i = 0; i < TY; ++i) {
          const int r = row - i * STRIDE_H;
          if (r < 0 || r % DILATION_H != 0 || r / DILATION_H >= R) continue;
          sum[i][v] += pixels * w[r / DILATION_H * S + s];
        }
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < TY; ++i)
#pragma GCC unroll 8
    for (int v = 0; v < TV; ++v) StoreVector(out + (i * OW + v * LANES - (LAST && v == TV - 1 ? kShift : 0)), sum[i][v], end);
}

template <bool IN_PLACE, int TY>
LATHE_INLINE void TileRow(const float* in, int in_y, const Lane (&w)[R * S], Lane start, Place out, const float* end) {
  constexpr int kStep = IN_PLACE ? STRIDE_W : 1;  // floats of the input between neighbouring pixels of the output
  constexpr int kTiles = int(CeilDiv(kVectors, TILE_V)), kLast = kVectors - (kTiles - 1) * TILE_V, kLastX = (kTiles - 1) * TILE_V * LANES;
  if constexpr (kTiles == 1) {
    Tile<IN_PLACE, TY, kLast, true, true>(in, in_y, w, start, out, end);
  } else {
    Tile<IN_PLACE, TY, TILE_V, true, false>(in, in_y, w, start, out, end);
#pragma GCC unroll 1
    for (int t = 1; t < kTiles - 1; ++t) {
      const int x = t * TILE_V * LANES;
      Tile<IN_PLACE, TY, TILE_V, false, false>(in + x * kStep, in_y, w, start, out + x, end);
    }
    Tile<IN_PLACE, TY, kLast, false, true>(in + kLastX * kStep, in_y, w, start, out + kLastX, end);
  }
}

// in: the window of the block's first pixel  in_y: its row of the image  out: its first pixel
template <bool IN_PLACE>
__attribute__((noinline)) void Channel(const float* in, int in_y, const float* weight, float bias, Place out, int rows) {
  // The few planes that are copied beside others in place are not worth a second tile.
  constexpr int kTileY = kInPlace && !IN_PLACE ? 1 : TILE_Y;
  constexpr int64_t kRow = STRIDE_H * (IN_PLACE ? int64_t(W) : kStepY);
  Lane w[R * S];
#pragma GCC unroll 64
  for (int i = 0; i < R * S; ++i) w[i] = Broadcast<float, LANES>(weight[i]);
  const Lane start = Broadcast<float, LANES>(bias);
  const float* end = (out + rows * OW).out;
  int y = 0;
#pragma GCC unroll 1
  for (; y + kTileY <= rows; y += kTileY) TileRow<IN_PLACE, kTileY>(in + y * kRow, in_y + y * STRIDE_H, w, start, out + y * OW, end);
  if constexpr (OH % kTileY != 0)
    if (y < rows) TileRow<IN_PLACE, OH % kTileY>(in + y * kRow, in_y + y * STRIDE_H, w, start, out + y * OW, end);
}

// image columns 0, 2, 4, … of a row to `even`, the others to `odd`, each as far as the phase has room.
template <int N>
LATHE_INLINE int64_t SplitPairs(const float* row, float* even, float* odd, int64_t pair, int64_t pairs) {
#pragma GCC unroll 1
  for (; pair + N <= pairs; pair += N) {
    Vec<float, N> low, high;
    Unzip<N>(row + 2 * pair, low, high);
    Store<float, N>(even + pair, low);
    if (kPhases > 1) Store<float, N>(odd + pair, high);
  }
  return pair;
}

LATHE_INLINE void SplitRow(const float* row, float* to) {
  if (STRIDE_W == 2) {
    // Image column x is column x + PAD_LEFT of the window.
    float* even = to + PAD_LEFT % 2 * kPhaseColumns + PAD_LEFT / 2;
    float* odd = to + (PAD_LEFT + 1) % 2 * kPhaseColumns + (PAD_LEFT + 1) / 2;
    if (kPhases == 1 && PAD_LEFT % 2 == 0) {
      constexpr int64_t kRoom = kPhaseColumns - PAD_LEFT / 2, kCount = CeilDiv(W, 2) < kRoom ? CeilDiv(W, 2) : kRoom;
      int64_t x = SplitPairs<LANES>(row, even, odd, 0, kCount < W / 2 ? kCount : W / 2);
      for (; x < kCount; ++x) even[x] = row[2 * x];
      return;
    }
    if (kPhases == 2) {
      constexpr int64_t kRoomEven = kPhaseColumns - PAD_LEFT / 2, kRoomOdd = kPhaseColumns - (PAD_LEFT + 1) / 2;
      constexpr int64_t kEven = CeilDiv(W, 2) < kRoomEven ? CeilDiv(W, 2) : kRoomEven, kOdd = W / 2 < kRoomOdd ? W / 2 : kRoomOdd;
      constexpr int64_t kPairs = kEven < kOdd ? kEven : kOdd;
      int64_t x = SplitPairs<LANES>(row, even, odd, 0, kPairs);
      x = SplitPairs<4>(row, even, odd, x, kPairs);
      for (int64_t i = x; i < kEven; ++i) even[i] = row[2 * i];
      for (int64_t i = x; i < kOdd; ++i) odd[i] = row[2 * i + 1];
      return;
    }
  }
  for (int phase = 0; phase < kPhases; ++phase) {
    // Column i of the phase is column phase + i*STRIDE_W - PAD_LEFT of the image.
    const int64_t begin = phase >= PAD_LEFT ? 0 : CeilDiv(PAD_LEFT - phase, STRIDE_W), end = CeilDiv(W + PAD_LEFT - phase, STRIDE_W);
    const float* from = row + phase - PAD_LEFT;
    for (int64_t i = begin; i < Min(end, kPhaseColumns); ++i) to[phase * kPhaseColumns + i] = from[i * STRIDE_W];
  }
}

// What of a plane lies in the window of the block that begins with output row y; the rest of the window is zero.
void CopyPlane(const float* plane, float* window, int y, int rows) {
  const int first = y * STRIDE_H - PAD_TOP, count = (rows - 1) * STRIDE_H + (R - 1) * DILATION_H + 1;
  for (int j = Max(0, -first); j < Min(count, H - first); ++j) {
    const float* row = plane + int64_t(first + j) * W;
    float* to = window + j * kStepY;
    if (STRIDE_W == 1) {
      if (PAD_LEFT < kPhaseColumns)
        memcpy(to + PAD_LEFT, row, static_cast<size_t>(W < kPhaseColumns - PAD_LEFT ? W : kPhaseColumns - PAD_LEFT) * sizeof(float));
    } else {
      SplitRow(row, to);
    }
  }
}

void run(const float* input, const float* weight, const float* bias, const float* residual, float* output, int64_t n,
         const Context& context) {
  const int64_t units = n * kBlocks * C;  // a block of rows of a plane; neighbours are the same block of the next channel
  context.Parallel(TASKS, [&](int task) {
    float* windows = static_cast<float*>(context.workspace()) + task * kWindowFloats * PLANES;
    int64_t zeroed = -1;  // the block for which the windows' borders are zero
    const int64_t end = units * (task + 1) / TASKS;
    // Some planes are copied before the first of them is convolved: a vector load that meets several small stores still on their way
    // stalls.
#pragma GCC unroll 1
    for (int64_t unit = units * task / TASKS; unit < end;) {
      const int64_t channel = unit % C, image = unit / C / kBlocks, planes = Min<int64_t>(PLANES, Min(end - unit, C - channel));
      const int block = static_cast<int>(unit / C % kBlocks), y = block * kBlockRows, rows = Min(kBlockRows, OH - y);
      const float* plane = input + (image * C + channel) * H * W;
      const auto convolve = [&]<bool IN_PLACE>(const float* in, int64_t i) {
        Channel<IN_PLACE>(in, y * STRIDE_H - PAD_TOP, weight + (channel + i) * R * S, BIAS ? bias[channel + i] : 0.0f,
                          FirstPlace(output, residual) + ((image * C + channel + i) * OH + y) * OW, rows);
      };
      const auto in_place = [&](int64_t i) {
        convolve.template operator()<kInPlace>(plane + (i * H + int64_t(y) * STRIDE_H - PAD_TOP) * W, i);
      };
      const int64_t before = plane - input, after = n * C * H * W - before - planes * H * W;
      if (kAllInPlace || (kInPlace && before >= kReadBefore && after >= kReadAfter)) {
        for (int64_t i = 0; i < planes; ++i) in_place(i);
      } else if constexpr (kCopied) {
        if (zeroed != block) memset(windows, 0, kWindowFloats * PLANES * sizeof(float));
        zeroed = block;
        for (int64_t i = 0; i < planes; ++i) CopyPlane(plane + i * H * W, windows + i * kWindowFloats, y, rows);
        for (int64_t i = 0; i < planes; ++i) convolve.template operator()<false>(windows + i * kWindowFloats, i);
      }
      unit += planes;
    }
  });
}
