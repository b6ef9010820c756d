// ROI align. Whether a sample lies inside, and its bilinear weights, are products of a vertical and a horizontal part, so a bin is
//     sum over its row taps (y, v) and column taps (x, u) of  v*u * input[y, x]
// and one list of taps for each axis serves every channel. 1/samples is part of the row taps' weights. Positions are computed in double.
//
//   direct     that double sum; nhwc alone, since planes would have to be read value by value
//   separable  row of bins -> pixels [the roi's columns] by its row taps, then pixels -> bins by the column taps. nchw: the first step runs
//              along memory. nhwc: columns that several bins share are summed once.
//   permuted   separable for nchw without leaving registers: a row of bins is summed over its row taps into two vectors of pixels, and each
//              column tap of all its bins at once is one permutation of them. A roi whose columns do not fit falls back to separable.
//
// The work is r rois times blocks of CHANNEL_BLOCK channels, block by block, so that a block's part of the feature map stays in the cache.

struct Tap {
  int32_t at;  // row or column
  float weight;
};

// One feature map of the pyramid.
struct Map {
  const float* pixels;
  int64_t h, w;
  double scale;
};
struct Pyramid {
  Map level[5];
};

constexpr bool PERMUTED = ALGORITHM == ALGORITHM_PERMUTED;

constexpr int64_t MostTaps(int64_t extent, int64_t bins) {
  // Adaptive: no more than two samples a pixel, or one a bin; two taps each.
  return SAMPLING_RATIO > 0 ? 2 * SAMPLING_RATIO * bins : 4 * extent + 2 * bins + 8;
}

// permuted: column tap t of bin b is pixel place[q][t][b] of the 2*LANES from base[q] on, for each of `chunks` runs of columns.
struct LaneTaps {
  static constexpr int kMost = PERMUTED ? (SAMPLING_RATIO > 0 ? 2 * SAMPLING_RATIO : 8) : 1, kMostChunks = 2;
  int32_t chunks;  // 0: they do not fit
  int32_t base[kMostChunks], taps[kMostChunks];
  int32_t place[kMostChunks][kMost][LANES];
  float weight[kMostChunks][kMost][LANES];
};

// The taps of one roi. What every use reads comes first.
struct Table {
  int64_t image;  // -1: the roi gives zeros
  int32_t level;
  int32_t left, right;                                                   // columns that taps touch: [left, right)
  int32_t columns;                                                       // how many of `column` there are
  int32_t row_begin[OUTPUT_HEIGHT + 1], column_begin[OUTPUT_WIDTH + 1];  // bin b has taps [begin[b], begin[b + 1])
  Tap row_taps[MostTaps(H, OUTPUT_HEIGHT)];
  LaneTaps lanes;
  Tap column_taps[MostTaps(W, OUTPUT_WIDTH)];
  int32_t column[W];  // the columns that taps touch, rising
};

// The beginning of a table that is used soon.
LATHE_INLINE void Prefetch(const Table* table) {
  constexpr int64_t kBytes = 256;
  const char* from = reinterpret_cast<const char*>(table);
  for (int64_t i = 0; i < kBytes; i += 64) __builtin_prefetch(from + i);
  if constexpr (PERMUTED) {
    const char* lanes = reinterpret_cast<const char*>(&table->lanes);
    for (int64_t i = 0; i < 64 + 64 * 4; i += 64)
      __builtin_prefetch(lanes + i), __builtin_prefetch(lanes + int64_t(offsetof(LaneTaps, weight)) + i);
  }
}

// Taps along one axis of a roi that reaches `from` .. `to`; each weight also times the result of its grid: 1/samples of a bin, or 0.
void MakeTaps(double from, double to, double scale, int64_t bins, int64_t extent, Tap* taps, int32_t* begin) {
  const double shift = ALIGNED ? 0.5 : 0.0, start = from * scale - shift;
  double size = to * scale - shift - start;
  if (!ALIGNED) size = Max(size, 1.0);
  const double bin_size = size / double(bins);
  const int64_t grid = SAMPLING_RATIO > 0 ? SAMPLING_RATIO : int64_t(ceil(bin_size));
  int32_t used = 0;
  for (int64_t bin = 0; bin < bins; ++bin) {
    begin[bin] = used;
    const auto add = [&](int64_t at, double weight) {
      if (MERGE)
        for (int32_t i = used; i > begin[bin] && i > used - 2; --i)
          if (taps[i - 1].at == at) {
            taps[i - 1].weight += float(weight);
            return;
          }
      taps[used++] = {int32_t(at), float(weight)};
    };
    for (int64_t i = 0; i < grid; ++i) {
      double at = start + double(bin) * bin_size + (double(i) + 0.5) * bin_size / double(grid);
      if (at > double(extent)) {
        if (bin_size > 0) break;  // the next samples lie further out
        continue;
      }
      if (at < -1) {
        if (SAMPLING_RATIO == 0) i += Max<int64_t>(0, int64_t((-2 - at) * double(grid) / bin_size));  // a long way from outside
        continue;
      }
      at = Min(Max(at, 0.0), double(extent - 1));
      const int64_t low = int64_t(at);
      const double fraction = at - double(low);
      add(low, (1 - fraction) / double(grid));
      if (low + 1 < extent) add(low + 1, fraction / double(grid));
    }
  }
  begin[bins] = used;
}

// Which feature map a roi is pooled from; areas are compared as the reference does.
int32_t LevelOf(const float* box) {
  const double area = (double(box[2]) - box[0]) * (double(box[3]) - box[1]);
  int32_t level = 0;
  for (int k = 1; k < LEVELS; ++k)
    if (area >= CANONICAL_SIZE * CANONICAL_SIZE * pow(4.0, k - CANONICAL_LEVEL) * (1 - 1.3863e-6)) level = k;
  return level;
}

void MakeLaneTaps(Table* table, int64_t width) {
  LaneTaps& lanes = table->lanes;
  constexpr int kChunk = 2 * LANES;
  lanes.chunks = 0;
  const int64_t span = table->right - table->left;
  if (OUTPUT_WIDTH > LANES || width < kChunk || span <= 0 || span > LaneTaps::kMostChunks * kChunk) return;
  const int32_t chunks = int32_t(CeilDiv(span, kChunk));
  for (int32_t q = 0; q < chunks; ++q) {
    const int32_t from = table->left + q * kChunk;
    lanes.base[q] = int32_t(Min<int64_t>(from, width - kChunk));
    lanes.taps[q] = 0;
    for (int t = 0; t < LaneTaps::kMost; ++t)
      for (int lane = 0; lane < LANES; ++lane) lanes.place[q][t][lane] = 0, lanes.weight[q][t][lane] = 0;
    for (int bin = 0; bin < OUTPUT_WIDTH; ++bin) {
      int32_t used = 0;
      for (int32_t i = table->column_begin[bin]; i < table->column_begin[bin + 1]; ++i) {
        const Tap tap = table->column_taps[i];
        if (tap.at < from || tap.at >= from + kChunk) continue;
        if (used == LaneTaps::kMost) return;
        lanes.place[q][used][bin] = tap.at - lanes.base[q];
        lanes.weight[q][used++][bin] = tap.weight;
      }
      lanes.taps[q] = Max(lanes.taps[q], used);
    }
  }
  lanes.chunks = chunks;
}

void MakeTable(const Pyramid& pyramid, const float* rois, const int64_t* batch_indices, int64_t i, int64_t n, Table* table) {
  const float* box = rois + i * (BATCH_IN_ROIS ? 5 : 4);
  const double image = BATCH_IN_ROIS ? double(*box++) : double(batch_indices[i]);
  bool known = image >= 0 && image < double(n);
  for (int k = 0; k < 4; ++k) known = known && fabs(double(box[k]) * SPATIAL_SCALE) < 1e6;
  table->image = known ? int64_t(image) : -1;
  if (!known) return;
  table->level = LevelOf(box);
  const Map& map = pyramid.level[table->level];
  MakeTaps(box[1], box[3], map.scale, OUTPUT_HEIGHT, map.h, table->row_taps, table->row_begin);
  MakeTaps(box[0], box[2], map.scale, OUTPUT_WIDTH, map.w, table->column_taps, table->column_begin);
  if (ALGORITHM == ALGORITHM_DIRECT) return;
  const int32_t taps = table->column_begin[OUTPUT_WIDTH];
  table->left = W, table->right = 0;
  for (int32_t t = 0; t < taps; ++t) {
    table->left = Min(table->left, table->column_taps[t].at);
    table->right = Max(table->right, table->column_taps[t].at + 1);
  }
  if constexpr (PERMUTED) MakeLaneTaps(table, map.w);
  table->columns = 0;
  if (LAYOUT == LAYOUT_NCHW || taps == 0) return;
  for (int32_t x = table->left; x < table->right; ++x) table->column[x] = 0;
  for (int32_t t = 0; t < taps; ++t) table->column[table->column_taps[t].at] = 1;
  for (int32_t x = table->left; x < table->right; ++x)
    if (table->column[x]) table->column[table->columns++] = x;
}

// ---- nhwc: VECTORS vectors of N channels. input: the image's [H, W, C] from the first of them; output: the roi's [bins, C] likewise.

template <int N, int VECTORS>
void PoolChannels(const Table& table, const float* input, int64_t width, float* output, float* pixels) {
  typedef Vec<float, N> Value;
  for (int by = 0; by < OUTPUT_HEIGHT; ++by) {
    const Tap *row_begin = table.row_taps + table.row_begin[by], *row_end = table.row_taps + table.row_begin[by + 1];
    if constexpr (ALGORITHM == ALGORITHM_SEPARABLE) {
      for (int32_t i = 0; i < table.columns; ++i) {
        const int64_t x = table.column[i];
        Value sum[VECTORS] = {};
        for (const Tap* row = row_begin; row != row_end; ++row)
          for (int v = 0; v < VECTORS; ++v) sum[v] += Load<float, N>(input + (row->at * width + x) * C + v * N) * row->weight;
        for (int v = 0; v < VECTORS; ++v) Store<float, N>(pixels + (x * VECTORS + v) * N, sum[v]);
      }
    }
    for (int bx = 0; bx < OUTPUT_WIDTH; ++bx) {
      const Tap *begin = table.column_taps + table.column_begin[bx], *end = table.column_taps + table.column_begin[bx + 1];
      Value sum[VECTORS] = {};
      if constexpr (ALGORITHM == ALGORITHM_SEPARABLE) {
        for (const Tap* tap = begin; tap != end; ++tap)
          for (int v = 0; v < VECTORS; ++v) sum[v] += Load<float, N>(pixels + (tap->at * VECTORS + v) * N) * tap->weight;
      } else {
        for (const Tap* row = row_begin; row != row_end; ++row)
          for (const Tap* tap = begin; tap != end; ++tap) {
            const float* pixel = input + (row->at * width + tap->at) * C;
            const float weight = row->weight * tap->weight;
            for (int v = 0; v < VECTORS; ++v) sum[v] += Load<float, N>(pixel + v * N) * weight;
          }
      }
      for (int v = 0; v < VECTORS; ++v) Store<float, N>(output + (by * OUTPUT_WIDTH + bx) * C + v * N, sum[v]);
    }
  }
}

void PoolNhwc(const Table& table, const float* input, int64_t width, float* output, int64_t from, int64_t to, float* pixels) {
  int64_t c = from;
  for (; c + GROUP * LANES <= to; c += GROUP * LANES) PoolChannels<LANES, GROUP>(table, input + c, width, output + c, pixels);
  for (; c + LANES <= to; c += LANES) PoolChannels<LANES, 1>(table, input + c, width, output + c, pixels);
  if (c < to && to - from >= LANES) {  // the last vector overlaps the one before
    PoolChannels<LANES, 1>(table, input + to - LANES, width, output + to - LANES, pixels);
    return;
  }
  for (; c < to; ++c) PoolChannels<1, 1>(table, input + c, width, output + c, pixels);
}

// ---- nchw: PLANES channels. input: the first one's [H, W]; output: the first one's [bins].

template <int PLANES>
void PoolPlanes(const Table& table, const float* input, int64_t plane, int64_t width, float* output, float* pixels) {
  constexpr int64_t kBins = OUTPUT_HEIGHT * OUTPUT_WIDTH, kPixels = W + LANES;
  for (int by = 0; by < OUTPUT_HEIGHT; ++by) {
    const Tap *row_begin = table.row_taps + table.row_begin[by], *row_end = table.row_taps + table.row_begin[by + 1];
    typedef Vec<float, LANES> Value;
    for (int64_t x = table.left; x < table.right; x += LANES) {
      if (width < LANES || x + LANES > width) {
        if (width >= LANES) {
          x = width - LANES;  // the last vector overlaps the one before
        } else {
          for (int p = 0; p < PLANES; ++p)
            for (int64_t column = table.left; column < table.right; ++column) {
              float sum = 0;
              for (const Tap* row = row_begin; row != row_end; ++row) sum += input[p * plane + row->at * width + column] * row->weight;
              pixels[p * kPixels + column] = sum;
            }
          break;
        }
      }
      Value sum[PLANES] = {};
      for (const Tap* row = row_begin; row != row_end; ++row)
        for (int p = 0; p < PLANES; ++p) sum[p] += Load<float, LANES>(input + p * plane + row->at * width + x) * row->weight;
      for (int p = 0; p < PLANES; ++p) Store<float, LANES>(pixels + p * kPixels + x, sum[p]);
    }
    for (int bx = 0; bx < OUTPUT_WIDTH; ++bx) {
      const Tap *begin = table.column_taps + table.column_begin[bx], *end = table.column_taps + table.column_begin[bx + 1];
      float sum[PLANES] = {};
      for (const Tap* tap = begin; tap != end; ++tap)
        for (int p = 0; p < PLANES; ++p) sum[p] += pixels[p * kPixels + tap->at] * tap->weight;
      for (int p = 0; p < PLANES; ++p) output[p * kBins + by * OUTPUT_WIDTH + bx] = sum[p];
    }
  }
}

// The same by permutations; the roi's lanes fit.
template <int PLANES>
void PermutePlanes(const Table& table, const float* input, int64_t plane, int64_t width, float* output) {
  typedef Vec<float, LANES> Value;
  constexpr int64_t kBins = OUTPUT_HEIGHT * OUTPUT_WIDTH;
  const LaneTaps& lanes = table.lanes;
  alignas(64) float bins[PLANES][kBins + LANES];  // a row of bins is stored as a whole vector
  for (int by = 0; by < OUTPUT_HEIGHT; ++by) {
    const Tap *row_begin = table.row_taps + table.row_begin[by], *row_end = table.row_taps + table.row_begin[by + 1];
    Value sum[PLANES] = {};
    for (int32_t q = 0; q < lanes.chunks; ++q) {
      Value low[PLANES] = {}, high[PLANES] = {};
      for (const Tap* row = row_begin; row != row_end; ++row) {
        const float* pixel = input + row->at * width + lanes.base[q];
        for (int p = 0; p < PLANES; ++p) {
          low[p] += Load<float, LANES>(pixel + p * plane) * row->weight;
          high[p] += Load<float, LANES>(pixel + p * plane + LANES) * row->weight;
        }
      }
      for (int32_t t = 0; t < lanes.taps[q]; ++t) {
        const Vec<int32_t, LANES> place = Load<int32_t, LANES>(lanes.place[q][t]);
        const Value weight = Load<float, LANES>(lanes.weight[q][t]);
        for (int p = 0; p < PLANES; ++p) sum[p] += __builtin_shuffle(low[p], high[p], place) * weight;
      }
    }
    for (int p = 0; p < PLANES; ++p) Store<float, LANES>(bins[p] + by * OUTPUT_WIDTH, sum[p]);
  }
  for (int p = 0; p < PLANES; ++p) memcpy(output + p * kBins, bins[p], kBins * sizeof(float));
}

void PoolNchw(const Table& table, const float* input, int64_t plane, int64_t width, float* output, int64_t from, int64_t to,
              float* pixels) {
  constexpr int64_t kBins = OUTPUT_HEIGHT * OUTPUT_WIDTH;
  int64_t c = from;
  if constexpr (PERMUTED) {
    if (table.lanes.chunks > 0) {
      for (; c + GROUP <= to; c += GROUP) PermutePlanes<GROUP>(table, input + c * plane, plane, width, output + c * kBins);
      for (; c < to; ++c) PermutePlanes<1>(table, input + c * plane, plane, width, output + c * kBins);
    }
  }
  for (; c + GROUP <= to; c += GROUP) PoolPlanes<GROUP>(table, input + c * plane, plane, width, output + c * kBins, pixels);
  for (; c < to; ++c) PoolPlanes<1>(table, input + c * plane, plane, width, output + c * kBins, pixels);
}

// ---- one roi, channels [from, to)

void Pool(const Table& table, const Pyramid& pyramid, float* output, int64_t from, int64_t to, float* pixels) {
  constexpr int64_t kBins = OUTPUT_HEIGHT * OUTPUT_WIDTH;
  if (table.image < 0) {
    for (int64_t c = from; c < to; ++c)
      for (int64_t bin = 0; bin < kBins; ++bin) output[LAYOUT == LAYOUT_NHWC ? bin * C + c : c * kBins + bin] = 0;
    return;
  }
  const Map& map = pyramid.level[table.level];
  const float* image = map.pixels + table.image * (C * map.h * map.w);
  if constexpr (LAYOUT == LAYOUT_NHWC)
    PoolNhwc(table, image, map.w, output, from, to, pixels);
  else
    PoolNchw(table, image, map.h * map.w, map.w, output, from, to, pixels);
}

// Rois by feature map, image, band of rows and column, so that neighbours meet the same pixels: keys[i] ends in the number of a roi.
void Arrange(const float* rois, const int64_t* batch_indices, int64_t r, uint64_t* keys) {
  for (int64_t i = 0; i < r; ++i) {
    const float* box = rois + i * (BATCH_IN_ROIS ? 5 : 4);
    const double image = BATCH_IN_ROIS ? double(*box++) : double(batch_indices[i]);
    const int32_t level = LevelOf(box);
    const auto cell = [=](double at, double pixels, double most) {  // NaN and what lies outside: 0 or the last
      const double place = at * SPATIAL_SCALE / double(1 << level) / pixels;
      return uint64_t(place > 0 ? Min(place, most) : 0.0);
    };
    keys[i] = uint64_t(level) << 60 | uint64_t(image > 0 ? Min(image, 4095.0) : 0.0) << 48 | cell(double(box[1]) + box[3], 16, 255) << 40 |
              cell(box[0], 1, 1023) << 30 | uint64_t(i);
  }
  for (int64_t gap = r / 2; gap > 0; gap = gap == 2 ? 1 : gap * 5 / 11)  // Shell's sort
    for (int64_t i = gap; i < r; ++i) {
      const uint64_t key = keys[i];
      int64_t j = i;
      for (; j >= gap && keys[j - gap] > key; j -= gap) keys[j] = keys[j - gap];
      keys[j] = key;
    }
}

void run(const float* input, const float* level1, const float* level2, const float* level3, const float* level4, const float* rois,
         const int64_t* batch_indices, float* output, int64_t n, int64_t r, const Context& context) {
  constexpr int64_t kBlock = CHANNEL_BLOCK < C ? CHANNEL_BLOCK : C, kBlocks = CeilDiv(C, kBlock);
  constexpr int64_t kTableBytes = CeilDiv(sizeof(Table), 64) * 64;
  constexpr int64_t kPixels = CeilDiv(LAYOUT == LAYOUT_NHWC ? W * LANES * GROUP : GROUP * (W + LANES), 16) * 16;
  constexpr bool kStored = TABLES == TABLES_STORED, kArranged = ORDER == ORDER_PLACE;
  constexpr double kScale = SPATIAL_SCALE;
  const Pyramid pyramid = {{{input, H, W, kScale},
                            {level1, H1, W1, kScale / 2},
                            {level2, H2, W2, kScale / 4},
                            {level3, H3, W3, kScale / 8},
                            {level4, H4, W4, kScale / 16}}};
  char* const tables = static_cast<char*>(context.workspace());
  const auto table_at = [=](int64_t i) { return reinterpret_cast<Table*>(tables + i * kTableBytes); };
  float* const pixels = reinterpret_cast<float*>(tables + (kStored ? r : TASKS) * kTableBytes);
  uint64_t* const keys = reinterpret_cast<uint64_t*>(pixels + TASKS * kPixels);
  if constexpr (kArranged) Arrange(rois, batch_indices, r, keys);
  const auto roi_at = [=](int64_t place) { return kArranged ? int64_t(keys[place] & ((1u << 30) - 1)) : place; };
  if constexpr (kStored)  // in the order of use
    context.Parallel(TASKS, [&](int task) {
      for (int64_t i = r * task / TASKS; i < r * (task + 1) / TASKS; ++i)
        MakeTable(pyramid, rois, batch_indices, roi_at(i), n, table_at(i));
    });
  context.Parallel(TASKS, [&](int task) {
    const int64_t units = r * kBlocks;
    for (int64_t unit = units * task / TASKS; unit < units * (task + 1) / TASKS; ++unit) {
      const int64_t place = unit % r, i = roi_at(place), from = unit / r * kBlock, to = Min<int64_t>(from + kBlock, C);
      Table* table = table_at(kStored ? place : task);
      if constexpr (!kStored) MakeTable(pyramid, rois, batch_indices, i, n, table);
      if constexpr (kStored) Prefetch(table_at(place + 1 < r ? place + 1 : 0));
      Pool(*table, pyramid, output + i * C * (OUTPUT_HEIGHT * OUTPUT_WIDTH), from, to, pixels + task * kPixels);
    }
  });
}
