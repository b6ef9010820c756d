// ROI align: each group pools a block of BLOCK channels of one roi. Its units are (bin, piece of the channels), a piece being CHANNELS times
// VECTOR channels that one item pools together, so that taps are read once for all of them.
//   nhwc: neighbouring items have neighbouring pieces, so that they read and write side by side
//   nchw: neighbouring items have neighbouring bins of the same channels; VECTOR is 1
//
// Whether a sample lies inside, and its bilinear weights, are products of a vertical and a horizontal part, so a bin is the sum over its
// row taps (y, v) and column taps (x, u) of v*u * input[y, x], and two short lists serve every channel of a roi.
//   TAPS == local     the group makes both lists first, up to SLOTS taps a bin; with MERGE a pixel that several samples meet is one tap.
//                     A roi whose bins have more samples than fit (adaptive grids only) is pooled as if they were computed.
//   TAPS == computed  every item works out each sample of its bins where it needs it
//
// A pyramid's levels differ in pointer, extents and scale: each group picks its roi's, so that one launch serves them all.
//
// The reference's positions are doubles, which boards lack or are slow at: here they are sums of two floats, some 48 bits.

#ifdef LATHE_CUDA
typedef long long index_t;
#else
typedef long index_t;
#endif

#if SAMPLING_RATIO > 0
#define SLOTS (2 * SAMPLING_RATIO)
#else
#define SLOTS TABLE
#endif
#define BLOCKS ((C + BLOCK - 1) / BLOCK)
#define PIECES (BLOCK / (VECTOR * CHANNELS))
#define SHIFT (ALIGNED ? 0.5f : 0.0f)

// VECTOR channels in registers (value_t), and one of them in memory (stored_t).
#if DTYPE == DTYPE_F16
typedef half stored_t;
#else
typedef float stored_t;
#endif
#if VECTOR == 4
typedef float4 value_t;
#define ZERO make_float4(0, 0, 0, 0)
#elif VECTOR == 2
typedef float2 value_t;
#define ZERO make_float2(0, 0)
#else
typedef float value_t;
#define ZERO 0.0f
#endif

// ---- numbers that are the sum of two floats, the second too small to change the first

typedef float2 Two;  // x + y. A vector, for Mesa's rusticl (22.3) loses parts of structures within structures

DEVICE Two MakeTwo(float high, float low) {
  const float sum = high + low;
  return make_float2(sum, low - (sum - high));
}
DEVICE Two SumOf(Two a, Two b) {
  const float sum = a.x + b.x, other = sum - a.x;
  return MakeTwo(sum, (a.x - (sum - other)) + (b.x - other) + (a.y + b.y));
}
DEVICE Two ProductOf(Two a, float b) {
  const float product = a.x * b;
  return MakeTwo(product, fma(a.x, b, -product) + a.y * b);
}
DEVICE Two QuotientOf(Two a, float b) {
  const float quotient = a.x / b;
  return MakeTwo(quotient, (fma(-quotient, b, a.x) + a.y) / b);
}
DEVICE Two Negative(Two a) {
  return make_float2(-a.x, -a.y);
}

// ---- a roi along one axis

typedef struct {
  Two start, bin, step;  // pixels of the feature map; from one bin, or sample, to the next
  int grid;              // samples of a bin
} Span;

// What a constant is more than a float: 0 where the compiler knows no doubles.
#define TWO_OF(constant) MakeTwo((float)(constant), (float)((constant) - (float)(constant)))

DEVICE Span SpanOf(float from, float to, int bins, Two scale) {
  const Two shift = MakeTwo(-SHIFT, 0.0f);
  Span span;
  span.start = SumOf(ProductOf(scale, from), shift);
  Two size = SumOf(SumOf(ProductOf(scale, to), shift), Negative(span.start));
  if (!ALIGNED && (size.x < 1.0f || (size.x == 1.0f && size.y < 0.0f))) size = MakeTwo(1.0f, 0.0f);
  span.bin = QuotientOf(size, (float)bins);
#if SAMPLING_RATIO > 0
  span.grid = SAMPLING_RATIO;
#else
  const float whole = ceil(span.bin.x);
  span.grid = max((int)whole + (whole == span.bin.x && span.bin.y > 0.0f ? 1 : 0), 0);
#endif
  span.step = QuotientOf(span.bin, (float)max(span.grid, 1));
  return span;
}

typedef struct {
  int first, second;  // pixels
  float keep, move;   // their weights, 0 outside
} Sample;

DEVICE Sample SampleAt(Span span, int bin, int i, int extent) {
  const Two at = SumOf(SumOf(span.start, ProductOf(span.bin, (float)bin)), ProductOf(span.step, (float)i + 0.5f));
  float whole = floor(at.x), rest = (at.x - whole) + at.y;
  if (rest < 0.0f) whole -= 1.0f, rest += 1.0f;
  Sample sample;
  sample.keep = sample.move = 0.0f;
  sample.first = sample.second = 0;
  // Outside is below -1 or above extent, both of which still count.
  if (whole < -1.0f || whole > (float)extent || (whole == (float)extent && rest > 0.0f)) return sample;
  if (whole < 0.0f) whole = rest = 0.0f;
  if (whole >= (float)(extent - 1)) whole = (float)(extent - 1), rest = 0.0f;
  sample.first = (int)whole, sample.second = min(sample.first + 1, extent - 1);
  sample.keep = 1.0f - rest, sample.move = rest;
  return sample;
}

// The samples of a bin that may lie inside: [from, to). All of a fixed grid's; of an adaptive one no more than the feature map has room for.
DEVICE int2 InsideOf(Span span, int bin, int extent) {
#if SAMPLING_RATIO > 0
  return make_int2(0, SAMPLING_RATIO);
#else
  if (span.grid == 0) return make_int2(0, 0);
  const float start = span.start.x + (float)bin * span.bin.x, scale = 1.0f / span.step.x;
  const float from = (-1.0f - start) * scale - 3.0f, to = ((float)extent - start) * scale + 3.0f, most = (float)span.grid;
  return make_int2((int)clamp(from, 0.0f, most), (int)clamp(to, 0.0f, most));
#endif
}

// ---- levels of a pyramid

typedef struct {
  GLOBAL const stored_t* pixels;
  int h, w;
  Two scale;
} Level;

// Comparing areas instead of taking a logarithm, as the reference does.
DEVICE int LevelOf(GLOBAL const float* box) {
  const Two width = SumOf(MakeTwo(box[2], 0.0f), MakeTwo(-box[0], 0.0f)), height = SumOf(MakeTwo(box[3], 0.0f), MakeTwo(-box[1], 0.0f));
  const Two area = SumOf(ProductOf(width, height.x), ProductOf(width, height.y));
  const Two canonical = TWO_OF(CANONICAL_SIZE * CANONICAL_SIZE * (1 - 1.3863e-6));
  int level = 0;
  for (int k = 1; k < LEVELS; ++k) {
    const float by = k >= CANONICAL_LEVEL ? (float)(1 << 2 * (k - CANONICAL_LEVEL)) : 1.0f / (float)(1 << 2 * (CANONICAL_LEVEL - k));
    const Two limit = ProductOf(canonical, by);
    if (area.x > limit.x || (area.x == limit.x && area.y >= limit.y)) level = k;
  }
  return level;
}

// ---- lists of taps

typedef struct {
  int at;
  float weight;
} Tap;

#if MERGE
// The list of one bin, each pixel once; returns its length. Samples rise or fall evenly, so only the last two pixels may come again.
DEVICE int MakeTaps(Span span, int bin, int extent, float share, LOCAL Tap* taps) {
  int used = 0;
  const int2 inside = InsideOf(span, bin, extent);
  for (int i = inside.x; i < inside.y; ++i) {
    const Sample sample = SampleAt(span, bin, i, extent);
    for (int part = 0; part < 2; ++part) {
      const int at = part == 0 ? sample.first : sample.second;
      const float weight = (part == 0 ? sample.keep : sample.move) * share;
      if (weight == 0.0f) continue;
      if (used > 0 && taps[used - 1].at == at)
        taps[used - 1].weight += weight;
      else if (used > 1 && taps[used - 2].at == at)
        taps[used - 2].weight += weight;
      else
        taps[used].at = at, taps[used].weight = weight, ++used;
    }
  }
  return used;
}
#endif

// ---- pooling

DEVICE value_t ValueAt(GLOBAL const stored_t* from) {
#if DTYPE == DTYPE_F16
#if VECTOR == 4
  return vloada_half4(0, from);
#elif VECTOR == 2
  return vloada_half2(0, from);
#else
  return vload_half(0, from);
#endif
#else
  return *(GLOBAL const value_t*)from;
#endif
}

DEVICE void StoreValue(value_t value, GLOBAL stored_t* to) {
#if DTYPE == DTYPE_F16
#if VECTOR == 4
  vstorea_half4(value, 0, to);
#elif VECTOR == 2
  vstorea_half2(value, 0, to);
#else
  vstore_half(value, 0, to);
#endif
#else
  *(GLOBAL value_t*)to = value;
#endif
}

#if LAYOUT == LAYOUT_NHWC
#define PIXEL(y, x) (((y) * map.w + (x)) * C)
#else
#define PIXEL(y, x) ((y) * map.w + (x))
#endif

DEVICE void AddTap(GLOBAL const stored_t* input, int pixel, float weight, const int* channels, value_t* sums) {
  UNROLL
  for (int k = 0; k < CHANNELS; ++k) sums[k] += ValueAt(input + channels[k] + pixel) * weight;
}

DEVICE void AddSamples(GLOBAL const stored_t* input, Level map, Span down, Span across, int by, int bx, float share, const int* channels,
                       value_t* sums) {
  const int2 rows = InsideOf(down, by, map.h), columns = InsideOf(across, bx, map.w);
  for (int iy = rows.x; iy < rows.y; ++iy) {
    const Sample row = SampleAt(down, by, iy, map.h);
    const float keep = row.keep * share, move = row.move * share;
    for (int ix = columns.x; ix < columns.y; ++ix) {
      const Sample column = SampleAt(across, bx, ix, map.w);
      AddTap(input, PIXEL(row.first, column.first), keep * column.keep, channels, sums);
      AddTap(input, PIXEL(row.first, column.second), keep * column.move, channels, sums);
      AddTap(input, PIXEL(row.second, column.first), move * column.keep, channels, sums);
      AddTap(input, PIXEL(row.second, column.second), move * column.move, channels, sums);
    }
  }
}

KERNEL GROUP_SIZE(GROUP, 1, 1) void roi_align(GLOBAL const stored_t* RESTRICT input, GLOBAL const stored_t* RESTRICT level1,
                                              GLOBAL const stored_t* RESTRICT level2, GLOBAL const stored_t* RESTRICT level3,
                                              GLOBAL const stored_t* RESTRICT level4, GLOBAL const float* RESTRICT rois,
                                              GLOBAL const index_t* RESTRICT batch_indices, GLOBAL stored_t* RESTRICT output, int n, int r) {
  const int item = (int)get_local_id(0), group = (int)get_group_id(0);
#if ORDER == ORDER_BLOCKS_LAST
  const int roi = group % r, block = group / r;
#else
  const int roi = group / BLOCKS, block = group % BLOCKS;
#endif
#if BATCH_IN_ROIS
  GLOBAL const float* box = rois + (size_t)roi * 5 + 1;
  const float image_number = box[-1];
  bool known = image_number >= 0.0f && image_number < (float)n;
  const size_t image = known ? (size_t)image_number : 0;
#else
  GLOBAL const float* box = rois + (size_t)roi * 4;
  const index_t image_number = batch_indices[roi];
  bool known = image_number >= 0 && image_number < n;
  const size_t image = known ? (size_t)image_number : 0;
#endif
  for (int k = 0; k < 4; ++k) known = known && fabs(box[k] * (float)SPATIAL_SCALE) < 1e6f;

  Level map;
  map.pixels = input, map.h = H, map.w = W, map.scale = TWO_OF(SPATIAL_SCALE);
#if LEVELS > 1
  const int level = known ? LevelOf(box) : 0;
  if (level == 1) map.pixels = level1, map.h = H1, map.w = W1;
  if (level == 2) map.pixels = level2, map.h = H2, map.w = W2;
  if (level == 3) map.pixels = level3, map.h = H3, map.w = W3;
  if (level == 4) map.pixels = level4, map.h = H4, map.w = W4;
  map.scale = ProductOf(map.scale, 1.0f / (float)(1 << level));
#endif
  const Span down = SpanOf(known ? box[1] : 0.0f, known ? box[3] : 0.0f, OUTPUT_HEIGHT, map.scale);
  const Span across = SpanOf(known ? box[0] : 0.0f, known ? box[2] : 0.0f, OUTPUT_WIDTH, map.scale);
  const float samples = (float)down.grid * (float)across.grid, share = known && samples > 0.0f ? 1.0f / samples : 0.0f;

#if TAPS == TAPS_LOCAL
  LOCAL_ARRAY(Tap, row_taps, OUTPUT_HEIGHT * SLOTS);
  LOCAL_ARRAY(Tap, column_taps, OUTPUT_WIDTH * SLOTS);
#if MERGE
  // Adaptive samples lie at most a pixel apart.
  const bool listed = SAMPLING_RATIO > 0 || max(down.grid, across.grid) + 1 <= SLOTS;
  LOCAL_ARRAY(int, lengths, OUTPUT_HEIGHT + OUTPUT_WIDTH);
  for (int i = item; i < OUTPUT_HEIGHT + OUTPUT_WIDTH; i += GROUP)
    lengths[i] = !listed || share == 0.0f ? 0  // NVRTC may read it before it asks
                 : i < OUTPUT_HEIGHT      ? MakeTaps(down, i, map.h, share, row_taps + i * SLOTS)
                                          : MakeTaps(across, i - OUTPUT_HEIGHT, map.w, 1.0f, column_taps + (i - OUTPUT_HEIGHT) * SLOTS);
#else
  const bool listed = SAMPLING_RATIO > 0 || 2 * max(down.grid, across.grid) <= SLOTS;
  if (listed && share > 0.0f)
    for (int i = item; i < (OUTPUT_HEIGHT + OUTPUT_WIDTH) * (SLOTS / 2); i += GROUP) {
      const bool is_row = i < OUTPUT_HEIGHT * (SLOTS / 2);
      const int of_axis = is_row ? i : i - OUTPUT_HEIGHT * (SLOTS / 2), bin = of_axis / (SLOTS / 2), number = of_axis % (SLOTS / 2);
      if (number >= (is_row ? down.grid : across.grid)) continue;
      Sample sample;
      LOCAL Tap* taps;
      if (is_row) {
        sample = SampleAt(down, bin, number, map.h);
        sample.keep *= share, sample.move *= share;
        taps = row_taps + 2 * of_axis;
      } else {
        sample = SampleAt(across, bin, number, map.w);
        taps = column_taps + 2 * of_axis;
      }
      taps[0].at = sample.first, taps[0].weight = sample.keep;
      taps[1].at = sample.second, taps[1].weight = sample.move;
    }
#endif
  barrier(CLK_LOCAL_MEM_FENCE);
#endif

  map.pixels += image * ((size_t)C * map.h * map.w);
  output += (size_t)roi * ((size_t)C * BINS);
  for (int unit = item; unit < BINS * PIECES; unit += GROUP) {
#if LAYOUT == LAYOUT_NHWC
    const int bin = unit / PIECES, piece = unit % PIECES;
#else
    const int bin = unit % BINS, piece = unit / BINS;
#endif
    const int by = bin / OUTPUT_WIDTH, bx = bin % OUTPUT_WIDTH;
    int first[CHANNELS], channels[CHANNELS];  // of each vector: its first channel, and where that lies in the image
    value_t sums[CHANNELS];
    UNROLL
    for (int k = 0; k < CHANNELS; ++k) {
#if LAYOUT == LAYOUT_NHWC
      first[k] = block * BLOCK + (piece + k * PIECES) * VECTOR;
      channels[k] = min(first[k], C - VECTOR);
#else
      first[k] = block * BLOCK + piece * CHANNELS + k;
      channels[k] = min(first[k], C - 1) * (map.h * map.w);
#endif
      sums[k] = ZERO;
    }
    if (first[0] >= C) continue;
    if (share > 0.0f) {
#if TAPS == TAPS_LOCAL
      if (listed) {
#if MERGE
        const int rows = lengths[by], columns = lengths[OUTPUT_HEIGHT + bx];
#elif SAMPLING_RATIO > 0
        const int rows = SLOTS, columns = SLOTS;
#else
        const int rows = 2 * down.grid, columns = 2 * across.grid;
#endif
        for (int y = 0; y < rows; ++y) {
          const Tap row = row_taps[by * SLOTS + y];
          for (int x = 0; x < columns; ++x) {
            const Tap column = column_taps[bx * SLOTS + x];
            AddTap(map.pixels, PIXEL(row.at, column.at), row.weight * column.weight, channels, sums);
          }
        }
      } else
#endif
        AddSamples(map.pixels, map, down, across, by, bx, share, channels, sums);
    }
    UNROLL
    for (int k = 0; k < CHANNELS; ++k) {
      if (first[k] >= C) continue;
#if LAYOUT == LAYOUT_NHWC
      GLOBAL stored_t* to = output + bin * C + first[k];
#else
      GLOBAL stored_t* to = output + first[k] * BINS + bin;
#endif
      StoreValue(sums[k], to);
    }
  }
}
