// Fused preprocessing of NV12 by blocks of up to 16 neighbouring output pixels. A frame is an image of luma and one of half its extent with
// two channels; each of them is a Source, which gives its channels at a block as vectors of floats:
//
//     window(s) of 128 bytes of a row -> one shuffle a column tap: channel c of the block's pixels in bytes [16*c, 16*c + 16) -> floats
//     two rows, then two columns blended
//
// Every axis has the form (first, weight): pixel `first` and its right or lower neighbour, which exists wherever the image has two pixels;
// edges are weights of 0 and 1.

constexpr int LANES = 16;
constexpr int64_t PLANE = int64_t(OH) * OW, WINDOW = 128;
typedef Vec<float, LANES> Floats;
typedef Vec<uint8_t, 64> Bytes;

#include "tap_cpu.h"

// How many pixels have their taps in one window of an image's row; 16 at most.
constexpr int64_t PixelsOfWindow(int64_t in_w, int64_t channels) {
  int64_t pixels = LANES;
  while (pixels > 1) {
    const int64_t span = COORDINATE_MODE == COORDINATE_MODE_ALIGN_CORNERS && RW > 1 ? ((pixels - 1) * (in_w - 1) + RW - 2) / (RW - 1)
                                                                                    : (pixels - 1) * in_w / RW;
    if ((span + 3) * channels <= WINDOW) break;
    --pixels;
  }
  return pixels;
}
constexpr int64_t Least(int64_t a, int64_t b) { return a < b ? a : b; }
constexpr int64_t WINDOW_PIXELS = Least(PixelsOfWindow(W, 1), PixelsOfWindow(W / 2, 2));
constexpr int64_t PIXELS = Least(RW, FETCH == FETCH_BYTES ? int64_t(LANES) : Least(LANES, WINDOWS*WINDOW_PIXELS)),
                  BLOCKS = CeilDiv(RW, PIXELS);

LATHE_INLINE Floats Lerp(Floats a, Floats b, Floats weight) { return a + (b - a) * weight; }

// What a block of pixels needs of a row.
struct Block {
  float weight[LANES];   // of the right neighbours
  int32_t at[LANES];     // bytes: each pixel's offset in the row
  int32_t base[2];       // shuffles: where the windows begin
  uint8_t place[2][64];  // and where in its window each byte is
};

template <int CHANNELS, int64_t IN_H, int64_t IN_W>
class Source {
 public:
  static constexpr int64_t ROW = IN_W * CHANNELS, NEXT_X = IN_W > 1 ? CHANNELS : 0;
  // STRIDED and a whole number of pixels: the neighbour never counts.
  static constexpr bool ONE_TAP =
      TAPS == TAPS_STRIDED && IN_W % RW == 0 && (COORDINATE_MODE == COORDINATE_MODE_ASYMMETRIC || IN_W / RW % 2 == 1);

  explicit Source(Block* blocks) : blocks_(blocks) {
    for (int64_t b = 0; b < BLOCKS; ++b) Fill(b, &blocks[b]);
    if constexpr (TAPS == TAPS_STRIDED) {
      // The longest run of blocks that are like the one in the middle, each a whole step further.
      const int64_t middle = BLOCKS / 2;
      const auto alike = [&](int64_t b) {
        Block moved = blocks[middle];
        for (int q = 0; q < WINDOWS; ++q) moved.base[q] += int32_t((b - middle) * kStep);
        for (int lane = 0; lane < LANES; ++lane) moved.at[lane] = blocks[b].at[lane];
        return kStep * RW == PIXELS * ROW && memcmp(&moved, &blocks[b], sizeof(Block)) == 0;
      };
      common_ = blocks[middle];
      begin_ = end_ = middle;
      while (begin_ > 0 && alike(begin_ - 1)) --begin_;
      while (end_ < BLOCKS && alike(end_)) ++end_;
      if (!alike(middle)) end_ = begin_;
      origin_[0] = common_.base[0] - middle * kStep, origin_[1] = common_.base[1] - middle * kStep;
    }
  }

  // The block's channels, out of two rows of this image.
  LATHE_INLINE void Get(const uint8_t* top, const uint8_t* bottom, float weight, int64_t b, Floats* channels) const {
    Floats rows[2][CHANNELS];
    const bool common = TAPS == TAPS_STRIDED && b >= begin_ && b < end_;
    const Block& block = common ? common_ : blocks_[b];
    int64_t base[WINDOWS];
    for (int q = 0; q < WINDOWS; ++q) base[q] = common ? origin_[q] + b * kStep : block.base[q];
    const Floats down = Broadcast<float, LANES>(weight);
    for (int tap = 0; tap < (ONE_TAP ? 1 : 2); ++tap) {
      Floats above[CHANNELS], below[CHANNELS];
      Pick(top, block, base, tap, above);
      Pick(bottom, block, base, tap, below);
      for (int c = 0; c < CHANNELS; ++c) rows[tap][c] = Lerp(above[c], below[c], down);
    }
    for (int c = 0; c < CHANNELS; ++c) channels[c] = ONE_TAP ? rows[0][c] : Lerp(rows[0][c], rows[1][c], Load<float, LANES>(block.weight));
  }

 private:
  static constexpr int64_t kStep = PIXELS * (IN_W / RW) * CHANNELS;

  LATHE_INLINE void Pick(const uint8_t* row, const Block& block, const int64_t* base, int tap, Floats* channels) const {
    if constexpr (FETCH == FETCH_BYTES) {
      for (int c = 0; c < CHANNELS; ++c)
        channels[c] = __builtin_convertvector(
            (FromLanes<int32_t, LANES>([&](int lane) { return int32_t(row[block.at[lane] + tap * NEXT_X + c]); })), Floats);
    } else {
      const auto shuffled = [&](int q) {
        const uint8_t* from = row + base[q];
        return __builtin_shuffle(Load<uint8_t, 64>(from), Load<uint8_t, 64>(from + 64),
                                 Load<uint8_t, 64>(block.place[q]) + uint8_t(tap * NEXT_X));
      };
      Bytes bytes = shuffled(0);
      if constexpr (WINDOWS == 2) {
        Vec<int8_t, 64> first = {};
        for (int i = 0; i < 64; ++i) first[i] = i % LANES < WINDOW_PIXELS ? -1 : 0;
        bytes = first ? bytes : shuffled(1);
      }
      Vec<uint8_t, LANES> parts[4];
      memcpy(parts, &bytes, 64);
      for (int c = 0; c < CHANNELS; ++c) channels[c] = Convert<float, uint8_t, LANES>(parts[c]);
    }
  }

  static void Fill(int64_t b, Block* block) {
    memset(block, 0, sizeof(Block));
    const int64_t x0 = Min<int64_t>(b * PIXELS, RW - PIXELS);
    for (int q = 0; q < WINDOWS; ++q)
      block->base[q] =
          int32_t(Max<int64_t>(0, Min(TapAt(Min<int64_t>(x0 + q * WINDOW_PIXELS, RW - 1), IN_W, RW).first * CHANNELS, ROW - WINDOW)));
    for (int64_t lane = 0; lane < PIXELS; ++lane) {
      Tap tap = TapAt(x0 + lane, IN_W, RW);
      if constexpr (ONE_TAP) {  // the neighbour counts in full where the last pixel is meant
        tap.first += tap.weight > 0.5f;
        tap.weight = 0;
      }
      block->weight[lane] = tap.weight;
      block->at[lane] = int32_t(tap.first * CHANNELS);
      const int q = WINDOWS == 2 && lane >= WINDOW_PIXELS;
      for (int c = 0; c < CHANNELS; ++c) block->place[q][c * LANES + lane] = uint8_t(tap.first * CHANNELS + c - block->base[q]);
    }
  }

  const Block* blocks_;
  Block common_;
  int64_t begin_ = 0, end_ = 0, origin_[2] = {};
};

// ---- colour

constexpr float kScale[3] = {float(SCALE0), float(SCALE1), float(SCALE2)};
constexpr float kShift[3] = {float(-double(MEAN0) * double(SCALE0)), float(-double(MEAN1) * double(SCALE1)),
                             float(-double(MEAN2) * double(SCALE2))};

// Y U V -> B G R, 0 .. 255
LATHE_INLINE void ToColours(const Floats* yuv, Floats* bgr) {
  constexpr double kr = MATRIX == MATRIX_BT601 ? 0.299 : 0.2126, kb = MATRIX == MATRIX_BT601 ? 0.114 : 0.0722, kg = 1 - kr - kb;
  constexpr double kLuma = FULL_RANGE ? 1 : 255.0 / 219, kChroma = FULL_RANGE ? 1 : 255.0 / 224;
  const Floats y = (yuv[0] - (FULL_RANGE ? 0.0f : 16.0f)) * float(kLuma), u = yuv[1] - 128.0f, v = yuv[2] - 128.0f;
  bgr[0] = y + u * float(2 * (1 - kb) * kChroma);
  bgr[1] = y - u * float(2 * kb * (1 - kb) / kg * kChroma) - v * float(2 * kr * (1 - kr) / kg * kChroma);
  bgr[2] = y + v * float(2 * (1 - kr) * kChroma);
  for (int c = 0; c < 3; ++c) bgr[c] = Min(Max(bgr[c], Floats{}), Broadcast<float, LANES>(255.0f));
}

LATHE_INLINE void StoreBlock(int64_t b, const Floats* bgr, float* out) {
  const int64_t x = Min<int64_t>(b * PIXELS, RW - PIXELS);  // the last block ends with the row
  for (int p = 0; p < 3; ++p) {
    const Floats value = bgr[SWAP ? 2 - p : p] * kScale[p] + kShift[p];
    float* const to = out + p * PLANE + x;
    if (x + LANES <= RW) {
      Store<float, LANES>(to, value);
    } else {
      float spare[LANES];
      Store<float, LANES>(spare, value);
      memcpy(to, spare, PIXELS * sizeof(float));
    }
  }
}

// ---- rows

void Fill(float* to, int64_t count, float value) {
  for (int64_t i = 0; i < count; ++i) to[i] = value;
}

// Rows a tap along an axis of `in` rows needs.
struct RowPair {
  const uint8_t *top, *bottom;
  float weight;
};
LATHE_INLINE RowPair RowsAt(const uint8_t* image, int64_t row_bytes, int64_t y, int64_t in) {
  const Tap tap = TapAt(y, in, RH);
  const uint8_t* top = image + tap.first * row_bytes;
  return {top, in > 1 && tap.weight > 0 ? top + row_bytes : top, tap.weight};
}

void run(const uint8_t* input, float* output, int64_t n, const Context& context) {
  Block* const blocks = static_cast<Block*>(context.workspace());
  constexpr int64_t kChromaH = H > 1 ? H / 2 : 1, kChromaW = W > 1 ? W / 2 : 1;
  const Source<1, H, W> luma_source(blocks);
  const Source<2, kChromaH, kChromaW> chroma_source(blocks + BLOCKS);
  const int64_t rows = n * OH;
  context.Parallel(TASKS, [&](int task) {
    for (int64_t i = rows * task / TASKS; i < rows * (task + 1) / TASKS; ++i) {
      const int64_t y = i % OH - TOP;
      float* const out = output + (i / OH * 3 * OH + i % OH) * OW;
      const bool bar = y < 0 || y >= RH;
      for (int p = 0; p < 3; ++p) {
        const float grey = float(PAD_VALUE) * kScale[p] + kShift[p];
        Fill(out + p * PLANE, bar ? OW : LEFT, grey);
        if (!bar) Fill(out + p * PLANE + LEFT + RW, OW - LEFT - RW, grey);
      }
      if (bar) continue;
      const uint8_t* frame = input + i / OH * (H * 3 / 2) * W;
      const RowPair luma = RowsAt(frame, W, y, H), chroma = RowsAt(frame + H * W, W, y, kChromaH);
      Floats yuv[3], bgr[3];
      for (int64_t b = 0; b < BLOCKS; ++b) {
        luma_source.Get(luma.top, luma.bottom, luma.weight, b, yuv);
        chroma_source.Get(chroma.top, chroma.bottom, chroma.weight, b, yuv + 1);
        ToColours(yuv, bgr);
        StoreBlock(b, bgr, out + LEFT);
      }
    }
  });
}
