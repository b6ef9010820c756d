// ROI align. Whether a sample lies inside, and its bilinear weights, are products of a vertical and a horizontal part, so a bin is
//     sum over its row taps (y, v) and column taps (x, u) of  v*u * input[y, x]
// and one list of taps for each axis serves every channel. 1/samples is part of the row taps' weights. Positions are computed in double.
//
//   direct     that double sum
//   separable  row of bins -> pixels [the roi's columns] by its row taps, then pixels -> bins by the column taps. nchw: the first step runs
//              along memory, where direct can only pick single values. nhwc: columns that several bins share are summed once.
//
// The work is r rois times blocks of CHANNEL_BLOCK channels, block by block, so that a block's part of the feature map stays in the cache.

struct Tap {
  int32_t at;  // row or column
  float weight;
};

constexpr int64_t MostTaps(int64_t extent, int64_t bins) {
  // Adaptive: no more than two samples a pixel, or one a bin; two taps each.
  return SAMPLING_RATIO > 0 ? 2 * SAMPLING_RATIO * bins : 4 * extent + 2 * bins + 8;
}

// The taps of one roi.
struct Table {
  int64_t image;                                                         // -1: the roi gives zeros
  int32_t left, right;                                                   // columns that taps touch: [left, right)
  int32_t columns;                                                       // how many of `column` there are
  int32_t row_begin[OUTPUT_HEIGHT + 1], column_begin[OUTPUT_WIDTH + 1];  // bin b has taps [begin[b], begin[b + 1])
  Tap row_taps[MostTaps(H, OUTPUT_HEIGHT)], column_taps[MostTaps(W, OUTPUT_WIDTH)];
  int32_t column[W];  // the columns that taps touch, rising
};

// Taps along one axis of a roi that reaches `from` .. `to`; each weight also times the result of its grid: 1/samples of a bin, or 0.
void MakeTaps(double from, double to, int64_t bins, int64_t extent, Tap* taps, int32_t* begin) {
  const double shift = ALIGNED ? 0.5 : 0.0, start = from * SPATIAL_SCALE - shift;
  double size = to * SPATIAL_SCALE - shift - start;
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

void MakeTable(const float* rois, const int64_t* batch_indices, int64_t i, int64_t n, Table* table) {
  const float* box = rois + i * (BATCH_IN_ROIS ? 5 : 4);
  const double image = BATCH_IN_ROIS ? double(*box++) : double(batch_indices[i]);
  bool known = image >= 0 && image < double(n);
  for (int k = 0; k < 4; ++k) known = known && fabs(double(box[k]) * SPATIAL_SCALE) < 1e6;
  table->image = known ? int64_t(image) : -1;
  if (!known) return;
  MakeTaps(box[1], box[3], OUTPUT_HEIGHT, H, table->row_taps, table->row_begin);
  MakeTaps(box[0], box[2], OUTPUT_WIDTH, W, table->column_taps, table->column_begin);
  if (ALGORITHM == ALGORITHM_DIRECT) return;
  const int32_t taps = table->column_begin[OUTPUT_WIDTH];
  table->left = W, table->right = 0;
  for (int32_t t = 0; t < taps; ++t) {
    table->left = Min(table->left, table->column_taps[t].at);
    table->right = Max(table->right, table->column_taps[t].at + 1);
  }
  table->columns = 0;
  if (LAYOUT == LAYOUT_NCHW || taps == 0) return;
  for (int32_t x = table->left; x < table->right; ++x) table->column[x] = 0;
  for (int32_t t = 0; t < taps; ++t) table->column[table->column_taps[t].at] = 1;
  for (int32_t x = table->left; x < table->right; ++x)
    if (table->column[x]) table->column[table->columns++] = x;
}

// ---- nhwc: VECTORS vectors of N channels. input: the image's [H, W, C] from the first of them; output: the roi's [bins, C] likewise.

template <int N, int VECTORS>
void PoolChannels(const Table& table, const float* input, float* output, float* pixels) {
  typedef Vec<float, N> Value;
  for (int by = 0; by < OUTPUT_HEIGHT; ++by) {
    const Tap *row_begin = table.row_taps + table.row_begin[by], *row_end = table.row_taps + table.row_begin[by + 1];
    if constexpr (ALGORITHM == ALGORITHM_SEPARABLE) {
      for (int32_t i = 0; i < table.columns; ++i) {
        const int64_t x = table.column[i];
        Value sum[VECTORS] = {};
        for (const Tap* row = row_begin; row != row_end; ++row)
          for (int v = 0; v < VECTORS; ++v) sum[v] += Load<float, N>(input + (row->at * W + x) * C + v * N) * row->weight;
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
            const float* pixel = input + (row->at * W + tap->at) * C;
            const float weight = row->weight * tap->weight;
            for (int v = 0; v < VECTORS; ++v) sum[v] += Load<float, N>(pixel + v * N) * weight;
          }
      }
      for (int v = 0; v < VECTORS; ++v) Store<float, N>(output + (by * OUTPUT_WIDTH + bx) * C + v * N, sum[v]);
    }
  }
}

void PoolNhwc(const Table& table, const float* input, float* output, int64_t from, int64_t to, float* pixels) {
  int64_t c = from;
  for (; c + GROUP * LANES <= to; c += GROUP * LANES) PoolChannels<LANES, GROUP>(table, input + c, output + c, pixels);
  for (; c + LANES <= to; c += LANES) PoolChannels<LANES, 1>(table, input + c, output + c, pixels);
  if (c < to && to - from >= LANES) {  // the last vector overlaps the one before
    PoolChannels<LANES, 1>(table, input + to - LANES, output + to - LANES, pixels);
    return;
  }
  for (; c < to; ++c) PoolChannels<1, 1>(table, input + c, output + c, pixels);
}

// ---- nchw: PLANES channels. input: the first one's [H, W]; output: the first one's [bins].

template <int PLANES>
void PoolPlanes(const Table& table, const float* input, float* output, float* pixels) {
  constexpr int64_t kPlane = int64_t(H) * W, kBins = OUTPUT_HEIGHT * OUTPUT_WIDTH, kPixels = W + LANES;
  for (int by = 0; by < OUTPUT_HEIGHT; ++by) {
    const Tap *row_begin = table.row_taps + table.row_begin[by], *row_end = table.row_taps + table.row_begin[by + 1];
    if constexpr (ALGORITHM == ALGORITHM_SEPARABLE) {
      typedef Vec<float, LANES> Value;
      for (int64_t x = table.left; x < table.right; x += LANES) {
        if (W < LANES || x + LANES > W) {
          if (W >= LANES) {
            x = W - LANES;  // the last vector overlaps the one before
          } else {
            for (int p = 0; p < PLANES; ++p)
              for (int64_t column = table.left; column < table.right; ++column) {
                float sum = 0;
                for (const Tap* row = row_begin; row != row_end; ++row) sum += input[p * kPlane + row->at * W + column] * row->weight;
                pixels[p * kPixels + column] = sum;
              }
            break;
          }
        }
        Value sum[PLANES] = {};
        for (const Tap* row = row_begin; row != row_end; ++row)
          for (int p = 0; p < PLANES; ++p) sum[p] += Load<float, LANES>(input + p * kPlane + row->at * W + x) * row->weight;
        for (int p = 0; p < PLANES; ++p) Store<float, LANES>(pixels + p * kPixels + x, sum[p]);
      }
    }
    for (int bx = 0; bx < OUTPUT_WIDTH; ++bx) {
      const Tap *begin = table.column_taps + table.column_begin[bx], *end = table.column_taps + table.column_begin[bx + 1];
      float sum[PLANES] = {};
      if constexpr (ALGORITHM == ALGORITHM_SEPARABLE) {
        for (const Tap* tap = begin; tap != end; ++tap)
          for (int p = 0; p < PLANES; ++p) sum[p] += pixels[p * kPixels + tap->at] * tap->weight;
      } else {
        for (const Tap* row = row_begin; row != row_end; ++row)
          for (const Tap* tap = begin; tap != end; ++tap) {
            const float* pixel = input + row->at * W + tap->at;
            const float weight = row->weight * tap->weight;
            for (int p = 0; p < PLANES; ++p) sum[p] += pixel[p * kPlane] * weight;
          }
      }
      for (int p = 0; p < PLANES; ++p) output[p * kBins + by * OUTPUT_WIDTH + bx] = sum[p];
    }
  }
}

void PoolNchw(const Table& table, const float* input, float* output, int64_t from, int64_t to, float* pixels) {
  constexpr int64_t kPlane = int64_t(H) * W, kBins = OUTPUT_HEIGHT * OUTPUT_WIDTH;
  int64_t c = from;
  for (; c + GROUP <= to; c += GROUP) PoolPlanes<GROUP>(table, input + c * kPlane, output + c * kBins, pixels);
  for (; c < to; ++c) PoolPlanes<1>(table, input + c * kPlane, output + c * kBins, pixels);
}

// ---- one roi, channels [from, to)

void Pool(const Table& table, const float* input, float* output, int64_t from, int64_t to, float* pixels) {
  constexpr int64_t kBins = OUTPUT_HEIGHT * OUTPUT_WIDTH;
  if (table.image < 0) {
    for (int64_t c = from; c < to; ++c)
      for (int64_t bin = 0; bin < kBins; ++bin) output[LAYOUT == LAYOUT_NHWC ? bin * C + c : c * kBins + bin] = 0;
    return;
  }
  const float* image = input + table.image * (int64_t(C) * H * W);
  if constexpr (LAYOUT == LAYOUT_NHWC)
    PoolNhwc(table, image, output, from, to, pixels);
  else
    PoolNchw(table, image, output, from, to, pixels);
}

void run(const float* input, const float* rois, const int64_t* batch_indices, float* output, int64_t n, int64_t r, const Context& context) {
  constexpr int64_t kBlock = CHANNEL_BLOCK < C ? CHANNEL_BLOCK : C, kBlocks = CeilDiv(C, kBlock);
  constexpr int64_t kTableBytes = CeilDiv(sizeof(Table), 64) * 64;
  constexpr int64_t kPixels = CeilDiv(LAYOUT == LAYOUT_NHWC ? W * LANES * GROUP : GROUP * (W + LANES), 16) * 16;
  constexpr bool kStored = TABLES == TABLES_STORED;
  char* const tables = static_cast<char*>(context.workspace());
  const auto table_at = [=](int64_t i) { return reinterpret_cast<Table*>(tables + i * kTableBytes); };
  float* const pixels = reinterpret_cast<float*>(tables + (kStored ? r : TASKS) * kTableBytes);
  if constexpr (kStored)
    context.Parallel(TASKS, [&](int task) {
      for (int64_t i = r * task / TASKS; i < r * (task + 1) / TASKS; ++i) MakeTable(rois, batch_indices, i, n, table_at(i));
    });
  context.Parallel(TASKS, [&](int task) {
    const int64_t units = r * kBlocks;
    for (int64_t unit = units * task / TASKS; unit < units * (task + 1) / TASKS; ++unit) {
      const int64_t i = unit % r, from = unit / r * kBlock, to = Min<int64_t>(from + kBlock, C);
      Table* table = table_at(kStored ? i : task);
      if constexpr (!kStored) MakeTable(rois, batch_indices, i, n, table);
      Pool(*table, input, output + i * C * (OUTPUT_HEIGHT * OUTPUT_WIDTH), from, to, pixels + task * kPixels);
    }
  });
}
