// Resize: each work item makes PX pixels of PY rows, CHANNELS of their channels, from COUNT_Y x COUNT_X neighbours each: two along an axis
// for bilinear, four for bicubic, what a pixel covers for area, one for nearest.
//   dimension 0: along a row, the groups of a pixel's channels fastest, so that neighbouring items read and write side by side
//   dimension 1: PY rows each     dimension 2: planes: an image (nhwc, PIXEL = C), or one channel of it (nchw, PIXEL = 1)
// Where there are fewer groups down the rows than it takes, each goes on with the rows that lie all groups' rows further down: columns'
// positions and weights are worked out once for all of them.
//
//   SPREAD       an item's pixels lie side by side (0), or WX apart (1): neighbouring items then store neighbouring pixels
//   LOAD_BYTES   a tap's channels are loaded so many bytes at a time, STORE_BYTES likewise; 0: value by value
//   TABLES       where pixels lie and what their taps weigh is worked out by each item, or by the group once, kept in local memory
//   ARITHMETIC   fixed: whole-number weights that add up to 2048 along each axis, as OpenCV has them for bytes
//
// Positions are quotients of whole numbers, rounded as the reference rounds them; no double is needed, and a constant divisor costs no
// division. Taps beyond the image stand for the pixel of its edge.

#if DTYPE == DTYPE_U8
typedef uchar value_t;
#define VALUES_PER_WORD 4
#elif DTYPE == DTYPE_F16
typedef ushort value_t;  // its bits: neither language computes with halves everywhere
#define VALUES_PER_WORD 2
#else
typedef float value_t;
#define VALUES_PER_WORD 1
#endif

// Whole numbers wide enough for four times input times output extent.
#if H < 16384 && W < 16384 && OH < 16384 && OW < 16384
typedef uint whole_t;
#else
typedef ulong whole_t;
#endif

#if ARITHMETIC == ARITHMETIC_FIXED
typedef int number_t;  // weights times 2048
#else
typedef float number_t;
#endif

#if MODE == MODE_AREA
#define COUNT_X TAPS_X
#define COUNT_Y TAPS_Y
#elif MODE == MODE_BICUBIC
#define COUNT_X 4
#define COUNT_Y 4
#elif MODE == MODE_BILINEAR
#define COUNT_X 2
#define COUNT_Y 2
#else
#define COUNT_X 1
#define COUNT_Y 1
#endif
#if COUNT_X <= 4 && COUNT_Y <= 4
#define UNROLL_TAPS UNROLL
#else
#define UNROLL_TAPS
#endif

#define GROUPS (PIXEL / CHANNELS)                        // work items that share a pixel
#define SLOTS ((WX + GROUPS - 1) / GROUPS + 1)           // items along a row of a group that do not, at most
#if PIXEL == CHANNELS && SPREAD == 0
#define RUN (PX * CHANNELS)                              // values side by side in an item's output row
#define RUNS 1
#else
#define RUN CHANNELS
#define RUNS PX
#endif

typedef struct {
  int first;
  number_t weights[COUNT_X];
} Column;
typedef struct {
  int first;
  number_t weights[COUNT_Y];
} Row;

#if MODE == MODE_BICUBIC
// Keys' kernel at a distance of 1 + x and of x.
DEVICE float CubicFar(float x) {
  const float a = (float)CUBIC_A;
  x += 1.0f;
  return ((a * x - 5.0f * a) * x + 8.0f * a) * x - 4.0f * a;
}
DEVICE float CubicNear(float x) {
  const float a = (float)CUBIC_A;
  return ((a + 2.0f) * x - (a + 3.0f)) * x * x + 1.0f;
}
#endif

// Output pixel `at` along an axis: the first tap's pixel, and what all of them weigh.
DEVICE int MakeTaps(int at, int extent_in, int extent_out, int count, number_t* weights) {
  const whole_t x = (whole_t)at, in = (whole_t)extent_in, out = (whole_t)extent_out;
#if MODE == MODE_AREA
  // In units of 1/out: pixel p covers [p*out, (p + 1)*out), the output pixel [x*in, (x + 1)*in).
  const whole_t begin = x * in, end = begin + in, first = begin / out;
  for (int k = 0; k < count; ++k) {
    const whole_t from = max(begin, (first + (whole_t)k) * out), to = min(end, (first + (whole_t)k + 1) * out);
    weights[k] = to > from ? (float)(uint)(to - from) / (float)(uint)in : 0.0f;
  }
  return (int)first;
#else
  whole_t over, under;  // position = over/under - 1
#if COORDINATE_MODE == COORDINATE_MODE_ALIGN_CORNERS
  under = out > 1 ? out - 1 : 1;
  over = under + (out > 1 ? x * (in - 1) : 0);
#elif COORDINATE_MODE == COORDINATE_MODE_ASYMMETRIC
  under = out;
  over = under + x * in;
#else
  under = 2 * out;
  over = (2 * x + 1) * in + out;
#if COORDINATE_MODE == COORDINATE_MODE_PYTORCH_HALF_PIXEL
  if (out == 1) over = under;
#endif
#endif
#if MODE == MODE_NEAREST
  over = over > under ? over - under : 0;  // below 0 is pixel 0 anyway
#if NEAREST_MODE == NEAREST_MODE_ROUND_PREFER_FLOOR
  over = (2 * over + under - 1) / (2 * under);
#elif NEAREST_MODE == NEAREST_MODE_ROUND_PREFER_CEIL
  over = (2 * over + under) / (2 * under);
#elif NEAREST_MODE == NEAREST_MODE_FLOOR
  over = over / under;
#else
  over = (over + under - 1) / under;
#endif
  weights[0] = 1;
  return (int)min(over, in - 1);
#else
  const whole_t whole = over / under;
  const float right = (float)(uint)(over - whole * under) / (float)(uint)under;
#if MODE == MODE_BICUBIC
  weights[0] = CubicFar(right), weights[1] = CubicNear(right), weights[2] = CubicNear(1.0f - right), weights[3] = CubicFar(1.0f - right);
  return (int)whole - 2;
#elif ARITHMETIC == ARITHMETIC_FIXED
  weights[1] = (int)(right * 2048.0f + 0.5f), weights[0] = 2048 - weights[1];
  return (int)whole - 1;
#else
  weights[0] = 1.0f - right, weights[1] = right;
  return (int)whole - 1;
#endif
#endif
#endif
}

DEVICE Column ColumnAt(int x) {
  Column column;
  column.first = MakeTaps(min(x, OW - 1), W, OW, COUNT_X, column.weights);
  return column;
}
DEVICE Row RowAt(int y) {
  Row row;
  row.first = MakeTaps(min(y, OH - 1), H, OH, COUNT_Y, row.weights);
  return row;
}

// ---- values and words

#if DTYPE == DTYPE_F16
DEVICE float FloatOf(ushort bits) { return vload_half(0, (const half*)&bits); }
DEVICE ushort HalfOf(float value) {
  ushort bits;
  vstore_half(value, 0, (half*)&bits);
  return bits;
}
#define NUMBER(value) FloatOf(value)
#define UNPACK(word, k) FloatOf((ushort)((word) >> 16 * (k)))
#define PACK(values) ((uint)(values)[0] | (uint)(values)[1] << 16)
#elif DTYPE == DTYPE_U8
#define NUMBER(value) ((number_t)(value))
#define UNPACK(word, k) ((number_t)((word) >> 8 * (k) & 255u))
#define PACK(values) ((uint)(values)[0] | (uint)(values)[1] << 8 | (uint)(values)[2] << 16 | (uint)(values)[3] << 24)
#else
#define NUMBER(value) (value)
#define UNPACK(word, k) as_float(word)
#define PACK(values) as_uint((values)[0])
#endif

// CHANNELS neighbouring values.
DEVICE void LoadValues(GLOBAL const value_t* from, number_t* values) {
#if LOAD_BYTES == 0
  UNROLL
  for (int k = 0; k < CHANNELS; ++k) values[k] = NUMBER(from[k]);
#else
  uint words[CHANNELS / VALUES_PER_WORD];
  UNROLL
  for (int i = 0; i < CHANNELS / VALUES_PER_WORD; i += LOAD_BYTES / 4) {
#if LOAD_BYTES == 16
    const uint4 four = *(GLOBAL const uint4*)(from + i * VALUES_PER_WORD);
    words[i] = four.x, words[i + 1] = four.y, words[i + 2] = four.z, words[i + 3] = four.w;
#elif LOAD_BYTES == 8
    const uint2 two = *(GLOBAL const uint2*)(from + i * VALUES_PER_WORD);
    words[i] = two.x, words[i + 1] = two.y;
#else
    words[i] = *(GLOBAL const uint*)(from + i * VALUES_PER_WORD);
#endif
  }
  UNROLL
  for (int k = 0; k < CHANNELS; ++k) values[k] = UNPACK(words[k / VALUES_PER_WORD], k % VALUES_PER_WORD);
#endif
}

#if STORE_BYTES > 0
// A run of an item's output row.
DEVICE void StoreRun(const value_t* values, GLOBAL value_t* to) {
  UNROLL
  for (int i = 0; i < RUN; i += STORE_BYTES / 4 * VALUES_PER_WORD) {
#if STORE_BYTES == 16
    *(GLOBAL uint4*)(to + i) = make_uint4(PACK(values + i), PACK(values + i + VALUES_PER_WORD), PACK(values + i + 2 * VALUES_PER_WORD),
                                          PACK(values + i + 3 * VALUES_PER_WORD));
#elif STORE_BYTES == 8
    *(GLOBAL uint2*)(to + i) = make_uint2(PACK(values + i), PACK(values + i + VALUES_PER_WORD));
#else
    *(GLOBAL uint*)(to + i) = PACK(values + i);
#endif
  }
}
#endif

DEVICE value_t ValueOf(number_t sum) {
#if ARITHMETIC == ARITHMETIC_FIXED
  return (uchar)((sum + (1 << 21)) >> 22);
#elif DTYPE == DTYPE_U8
  return (uchar)clamp(sum + 0.5f, 0.0f, 255.0f);
#elif DTYPE == DTYPE_F16
  return HalfOf(sum);
#else
  return sum;
#endif
}

KERNEL GROUP_SIZE(WX, WY, 1) void resize(GLOBAL const value_t* RESTRICT input, GLOBAL value_t* RESTRICT output, int n) {
  const int across = (int)get_global_id(0), group = across % GROUPS, slot = across / GROUPS;
#if SPREAD
  const int x0 = slot / WX * (WX * PX) + slot % WX;  // GROUPS is 1
#define X_STEP WX
#else
  const int x0 = slot * PX;
#define X_STEP 1
#endif
  const size_t plane = get_global_id(2);
  input += plane * ((size_t)H * W * PIXEL) + group * CHANNELS;
  output += plane * ((size_t)OH * OW * PIXEL) + group * CHANNELS;

#if TABLES == TABLES_LOCAL
  LOCAL_ARRAY(Column, column_table, SLOTS * PX);
  LOCAL_ARRAY(Row, row_table, WY * PY);
  const int item = (int)get_local_id(1) * WX + (int)get_local_id(0), first_slot = (int)get_group_id(0) * WX / GROUPS;
  for (int i = item; i < SLOTS * PX; i += WX * WY) column_table[i] = ColumnAt(first_slot * PX + i);
#define COLUMN(i) column_table[x0 + (i) * X_STEP - first_slot * PX]
#define ROW(y) row_table[(y) - first_y]
#else
  Column columns[PX];
  UNROLL
  for (int i = 0; i < PX; ++i) columns[i] = ColumnAt(x0 + i * X_STEP);
#define COLUMN(i) columns[i]
#define ROW(y) RowAt(y)
#endif

  for (int first_y = (int)get_group_id(1) * (WY * PY); first_y < OH; first_y += (int)get_num_groups(1) * (WY * PY)) {
#if TABLES == TABLES_LOCAL
    barrier(CLK_LOCAL_MEM_FENCE);  // what stands there may still be in use
    for (int i = item; i < WY * PY; i += WX * WY) row_table[i] = RowAt(first_y + i);
    barrier(CLK_LOCAL_MEM_FENCE);
#endif
    const int y0 = first_y + (int)get_local_id(1) * PY, end = x0 < OW ? min(y0 + PY, OH) : 0;
    for (int y = y0; y < end; ++y) {
      const Row row = ROW(y);
      number_t sums[PX * CHANNELS];
      UNROLL
      for (int i = 0; i < PX * CHANNELS; ++i) sums[i] = 0;
      UNROLL_TAPS
      for (int ky = 0; ky < COUNT_Y; ++ky) {
        GLOBAL const value_t* line = input + (size_t)clamp(row.first + ky, 0, H - 1) * ((size_t)W * PIXEL);
        UNROLL
        for (int i = 0; i < PX; ++i) {
          number_t across_sums[CHANNELS];
          UNROLL
          for (int k = 0; k < CHANNELS; ++k) across_sums[k] = 0;
          UNROLL_TAPS
          for (int kx = 0; kx < COUNT_X; ++kx) {
            number_t values[CHANNELS];
            LoadValues(line + clamp(COLUMN(i).first + kx, 0, W - 1) * PIXEL, values);
            const number_t weight = COLUMN(i).weights[kx];
            UNROLL
            for (int k = 0; k < CHANNELS; ++k) across_sums[k] += values[k] * weight;
          }
          UNROLL
          for (int k = 0; k < CHANNELS; ++k) sums[i * CHANNELS + k] += across_sums[k] * row.weights[ky];
        }
      }
      value_t values[PX * CHANNELS];
      UNROLL
      for (int i = 0; i < PX * CHANNELS; ++i) values[i] = ValueOf(sums[i]);

      GLOBAL value_t* out = output + ((size_t)y * OW + x0) * PIXEL;
#if STORE_BYTES > 0
      if (x0 + (PX - 1) * X_STEP < OW) {
        UNROLL
        for (int r = 0; r < RUNS; ++r) StoreRun(values + r * RUN, out + r * (X_STEP * PIXEL));
        continue;
      }
#endif
      UNROLL
      for (int i = 0; i < PX; ++i)
        if (x0 + i * X_STEP < OW)
          for (int k = 0; k < CHANNELS; ++k) out[i * (X_STEP * PIXEL) + k] = values[i * CHANNELS + k];
    }
  }
}
