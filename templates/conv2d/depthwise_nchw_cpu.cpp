// Depthwise convolution (every channel by itself) of planes, vectors of output pixels.
//
// A tile is TILE_Y rows of TILE_V vectors of neighbouring pixels of one channel. Every place of its window is loaded once and added to all
// output rows that it meets; the tile is written out in full. The channel's weights stay in registers as far as those suffice.
//
// Where a row does not end with a vector, its last vector is moved back to end with the row: some pixels are computed twice. Rows shorter
// than a vector, padding and column strides go through a copy of (a block of) the plane in the workspace, small enough for the first cache:
//   [rows][phases][columns]   where phase p holds the columns p, p + STRIDE_W, p + 2*STRIDE_W, …: vectors load neighbours again.
// The zeros around the copy are the same for every channel and written once.

typedef Vec<float, LANES> Lane;

constexpr int kVectors = int(CeilDiv(OW, LANES));           // in a row
constexpr bool kShort = OW < LANES;                         // a row does not fill a vector
constexpr int kShift = kShort ? 0 : kVectors * LANES - OW;  // how far the last vector moves back
constexpr int kTilesY = int(CeilDiv(OH, TILE_Y));
constexpr int kBlockTiles = int(CeilDiv(kTilesY, BLOCKS));
constexpr int kBlocks = int(CeilDiv(kTilesY, kBlockTiles));
constexpr int kBlockRows = kBlockTiles * TILE_Y;

constexpr bool kCopied = PADDED || STRIDE_W > 1 || kShort;
constexpr int kPhases = S == 1 ? 1 : STRIDE_W;
constexpr int64_t kWindowRows = int64_t(kBlockRows - 1) * STRIDE_H + (R - 1) * DILATION_H + 1;
constexpr int64_t kPhaseColumns = (kShort ? LANES : OW) + (S - 1) * DILATION_W / STRIDE_W;
constexpr int64_t kStepY = kCopied ? kPhases * kPhaseColumns : W;
constexpr int64_t kWindowFloats = kCopied ? CeilDiv(kWindowRows * kStepY, 16) * 16 : 0;

LATHE_INLINE Lane Activated(Lane x) {
  if (ACTIVATION == ACTIVATION_SILU) return x / (1.0f + Exp<LANES>(-x));
  if (ACTIVATION == ACTIVATION_RELU || ACTIVATION == ACTIVATION_RELU6) x = x < 0.0f ? Lane{} : x;
  if (ACTIVATION == ACTIVATION_RELU6) x = x > 6.0f ? Broadcast<float, LANES>(6.0f) : x;
  return x;
}

// Where a row is shorter than a vector, the vector's rest goes where the next rows will be written, but never past `end`, the end of the
// block.
LATHE_INLINE void StoreVector(float* to, Lane value, const float* end) {
  if (!kShort || end - to >= LANES) {
    Store<float, LANES>(to, value);
  } else {
    for (int i = 0; i < OW; ++i) to[i] = value[i];
  }
}

// in: the window of its first pixel  out: its first pixel  end: of the block's output  back: how far its last vector moves back
template <int TY, int TV>
LATHE_INLINE void Tile(const float* in, const Lane (&w)[R * S], Lane start, float* out, const float* end, int64_t back) {
  Lane sum[TY][TV];
#pragma GCC unroll 8
  for (int i = 0; i < TY; ++i)
#pragma GCC unroll 8
    for (int v = 0; v < TV; ++v) sum[i][v] = start;
#pragma GCC unroll 64
  for (int row = 0; row < (TY - 1) * STRIDE_H + (R - 1) * DILATION_H + 1; ++row)
#pragma GCC unroll 64
    for (int s = 0; s < S; ++s) {
      const float* from = in + row * kStepY + s * DILATION_W % STRIDE_W * kPhaseColumns + s * DILATION_W / STRIDE_W;
#pragma GCC unroll 8
      for (int v = 0; v < TV; ++v) {
        const Lane pixels = Load<float, LANES>(from + v * LANES - (kShift != 0 && v == TV - 1 ? back : 0));
#pragma GCC unroll 8
        for (int i = 0; i < TY; ++i) {
          const int r = row - i * STRIDE_H;
          if (r < 0 || r % DILATION_H != 0 || r / DILATION_H >= R) continue;
          sum[i][v] += pixels * w[r / DILATION_H * S + s];
        }
      }
    }
#pragma GCC unroll 8
  for (int i = 0; i < TY; ++i)
#pragma GCC unroll 8
    for (int v = 0; v < TV; ++v) StoreVector(out + i * OW + v * LANES - (kShift != 0 && v == TV - 1 ? back : 0), Activated(sum[i][v]), end);
}

template <int TY>
LATHE_INLINE void TileRow(const float* in, const Lane (&w)[R * S], Lane start, float* out, const float* end) {
  constexpr int kRest = kVectors % TILE_V, kWhole = kVectors - kRest;
#pragma GCC unroll 1
  for (int v = 0; v < kWhole; v += TILE_V)
    Tile<TY, TILE_V>(in + v * LANES, w, start, out + v * LANES, end, v + TILE_V == kVectors ? kShift : 0);
  if constexpr (kRest != 0) Tile<TY, kRest>(in + kWhole * LANES, w, start, out + kWhole * LANES, end, kShift);
}

// window: of the block's first pixel  out: its first pixel
__attribute__((noinline)) void Channel(const float* window, const float* weight, float bias, float* out, int rows) {
  Lane w[R * S];
#pragma GCC unroll 64
  for (int i = 0; i < R * S; ++i) w[i] = Broadcast<float, LANES>(weight[i]);
  const Lane start = Broadcast<float, LANES>(bias);
  const float* end = out + rows * OW;
  int y = 0;
#pragma GCC unroll 1
  for (; y + TILE_Y <= rows; y += TILE_Y) TileRow<TILE_Y>(window + y * STRIDE_H * kStepY, w, start, out + y * OW, end);
  if constexpr (OH % TILE_Y != 0)
    if (y < rows) TileRow<OH % TILE_Y>(window + y * STRIDE_H * kStepY, w, start, out + y * OW, end);
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

void run(const float* input, const float* weight, const float* bias, float* output, int64_t n, const Context& context) {
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
      if (kCopied) {
        if (zeroed != block) memset(windows, 0, kWindowFloats * PLANES * sizeof(float));
        zeroed = block;
        for (int64_t i = 0; i < planes; ++i) CopyPlane(plane + i * H * W, windows + i * kWindowFloats, y, rows);
      }
      for (int64_t i = 0; i < planes; ++i)
        Channel(kCopied ? windows + i * kWindowFloats : plane + (i * H + int64_t(y) * STRIDE_H) * W, weight + (channel + i) * R * S,
                BIAS ? bias[channel + i] : 0.0f, output + ((image * C + channel + i) * OH + y) * OW, rows);
      unit += planes;
    }
  });
}
