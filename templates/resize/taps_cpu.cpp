// Resize of any mode. Along each axis an output pixel is a weighted sum of TAPS_X or TAPS_Y neighbouring pixels that all exist: what lies
// beyond the edge is the edge's pixel, so its weight is added to that one's. A plane is an image (nhwc) or one channel of it (nchw).
//
//   vertical_first    TAPS_Y input rows -> sum [W*PIXEL], along memory; output row <- its columns
//   horizontal_first  each input row -> [OW*PIXEL], kept in a ring of TAPS_Y rows; output row <- their sum. Made once where output rows
//                     share input rows
//   direct            output row <- all TAPS_Y*TAPS_X taps of each value

constexpr int64_t ROW_IN = W * PIXEL, ROW_OUT = OW * PIXEL;

// Keys' kernel at a distance of x pixels.
LATHE_INLINE double Cubic(double x) {
  const double a = CUBIC_A;
  x = fabs(x);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0.0;
}

// The first of `taps` pixels that output pixel `x` of an axis needs, and their weights.
int64_t TapsAt(int64_t x, int64_t in, int64_t out, double scale, int taps, float* weights) {
  for (int t = 0; t < taps; ++t) weights[t] = 0;
  if constexpr (MODE == MODE_AREA) {
    const int64_t first = Min<int64_t>(x * in / out, in - taps);
    for (int64_t t = 0; t < taps; ++t) {
      const int64_t covered = Min((first + t + 1) * out, (x + 1) * in) - Max((first + t) * out, x * in);
      weights[t] = float(double(Max<int64_t>(covered, 0)) / double(in));
    }
    return first;
  }
  double at = scale > 0 ? (double(x) + 0.5) / scale - 0.5 : double((2 * x + 1) * in - out) / double(2 * out);
  if (COORDINATE_MODE == COORDINATE_MODE_ALIGN_CORNERS) at = out > 1 ? double(x * (in - 1)) / double(out - 1) : 0.0;
  if (COORDINATE_MODE == COORDINATE_MODE_ASYMMETRIC) at = scale > 0 ? double(x) / scale : double(x * in) / double(out);
  if (COORDINATE_MODE == COORDINATE_MODE_PYTORCH_HALF_PIXEL && out == 1) at = 0;
  const int64_t before = int64_t(floor(at)) - 1, first = Min(Max<int64_t>(before, 0), in - taps);
  for (int64_t t = 0; t < 4; ++t) {
    const int64_t pixel = Min(Max<int64_t>(before + t, 0), in - 1);
    weights[pixel - first] += float(Cubic(at - double(before + t)));
  }
  return first;
}

LATHE_INLINE void Assign(float value, float* to) { *to = value; }
LATHE_INLINE void Assign(float value, uint8_t* to) { *to = uint8_t(int32_t(Min(Max(value + 0.5f, 0.0f), 255.0f))); }

template <typename To>
LATHE_INLINE void StoreReal(To* to, Vec<float, LANES> value) {
  if constexpr (sizeof(To) == 1)
    Store<To, LANES>(to, Convert<To, float, LANES>(Min(Max(value + 0.5f, Vec<float, LANES>{}), Broadcast<float, LANES>(255.0f))));
  else
    Store<To, LANES>(to, value);
}

struct Columns {
  const int32_t* first;  // in values of a row
  const float* weights;  // [OW, TAPS_X]
};

// output <- sum over rows[t], `count` values each
template <typename From, typename To>
void SumRows(const From* const* rows, const float* weights, int64_t count, To* output) {
  int64_t i = 0;
  for (; i + LANES <= count; i += LANES) {
    Vec<float, LANES> sum = {};
    for (int t = 0; t < TAPS_Y; ++t) sum += Convert<float, From, LANES>(Load<From, LANES>(rows[t] + i)) * weights[t];
    StoreReal(output + i, sum);
  }
  for (; i < count; ++i) {
    float sum = 0;
    for (int t = 0; t < TAPS_Y; ++t) sum += float(rows[t][i]) * weights[t];
    Assign(sum, output + i);
  }
}

template <typename From, typename To>
void ResizeRow(const From* row, const Columns& columns, To* output) {
  for (int64_t x = 0; x < OW; ++x) {
    const From* from = row + columns.first[x];
    const float* weights = columns.weights + x * TAPS_X;
    for (int64_t k = 0; k < PIXEL; ++k) {
      float sum = 0;
      for (int t = 0; t < TAPS_X; ++t) sum += float(from[t * PIXEL + k]) * weights[t];
      Assign(sum, output + x * PIXEL + k);
    }
  }
}

void ResizeDirectly(const input_t* const* rows, const float* row_weights, const Columns& columns, output_t* output) {
  for (int64_t x = 0; x < OW; ++x) {
    const float* weights = columns.weights + x * TAPS_X;
    for (int64_t k = 0; k < PIXEL; ++k) {
      float sum = 0;
      for (int y = 0; y < TAPS_Y; ++y) {
        const input_t* from = rows[y] + columns.first[x] + k;
        float across = 0;
        for (int t = 0; t < TAPS_X; ++t) across += float(from[t * PIXEL]) * weights[t];
        sum += across * row_weights[y];
      }
      Assign(sum, output + x * PIXEL + k);
    }
  }
}

// One task's rows [begin, end) out of all planes' output rows; `buffer` is its own.
void ResizeRows(const input_t* input, output_t* output, int64_t begin, int64_t end, const Columns& columns, float* buffer) {
  constexpr int64_t kRingRow = CeilDiv(ROW_OUT, 16) * 16;
  int64_t held[TAPS_Y];  // horizontal_first: the input row in each place of the ring
  for (int t = 0; t < TAPS_Y; ++t) held[t] = -1;
  for (int64_t i = begin; i < end; ++i) {
    float weights[TAPS_Y];
    const int64_t first = i / OH * H + TapsAt(i % OH, H, OH, SCALE_H, TAPS_Y, weights);
    output_t* const out = output + i * ROW_OUT;
    if constexpr (ALGORITHM == ALGORITHM_HORIZONTAL_FIRST) {
      const float* rows[TAPS_Y];
      for (int64_t t = 0; t < TAPS_Y; ++t) {
        const int64_t place = (first + t) % TAPS_Y;
        float* const row = buffer + place * kRingRow;
        if (held[place] != first + t) ResizeRow(input + (first + t) * ROW_IN, columns, row);
        held[place] = first + t;
        rows[t] = row;
      }
      SumRows(rows, weights, ROW_OUT, out);
    } else {
      const input_t* rows[TAPS_Y];
      for (int64_t t = 0; t < TAPS_Y; ++t) rows[t] = input + (first + t) * ROW_IN;
      if constexpr (ALGORITHM == ALGORITHM_DIRECT) {
        ResizeDirectly(rows, weights, columns, out);
      } else {
        SumRows(rows, weights, ROW_IN, buffer);
        ResizeRow(buffer, columns, out);
      }
    }
  }
}

void run(const input_t* input, output_t* output, int64_t n, const Context& context) {
  int32_t* const first = static_cast<int32_t*>(context.workspace());
  float* const weights = reinterpret_cast<float*>(first + CeilDiv(OW, 16) * 16);
  for (int64_t x = 0; x < OW; ++x) first[x] = int32_t(TapsAt(x, W, OW, SCALE_W, TAPS_X, weights + x * TAPS_X) * PIXEL);
  const Columns columns = {first, weights};
  constexpr int64_t kBuffer =
      ALGORITHM == ALGORITHM_VERTICAL_FIRST ? CeilDiv(ROW_IN, 16) * 16 : int64_t(TAPS_Y) * (CeilDiv(ROW_OUT, 16) * 16);
  float* const buffers = weights + CeilDiv(OW, 16) * 16 * TAPS_X;
  const int64_t rows = n * (LAYOUT == LAYOUT_NHWC ? 1 : C) * OH;
  context.Parallel(TASKS, [&](int task) {
    float* const buffer = ALGORITHM == ALGORITHM_DIRECT ? nullptr : buffers + task * kBuffer;
    ResizeRows(input, output, rows * task / TASKS, rows * (task + 1) / TASKS, columns, buffer);
  });
}
