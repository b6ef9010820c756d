// Resize: each work item makes PX neighbouring pixels of PY rows, CHANNELS of their channels, all taps at once.
//   dimension 0: along a row, the groups of a pixel's channels fastest, so that neighbouring items read and write side by side
//   dimension 1: PY rows each     dimension 2: planes: an image (nhwc, PIXEL = C), or one channel of it (nchw, PIXEL = 1)
//
// Positions are quotients of whole numbers, rounded as resize_cpu rounds them; no double is needed, and a constant divisor costs no division.

#if DTYPE == DTYPE_U8
typedef uchar value_t;
#define TO_VALUE(real) ((uchar)((real) + 0.5f))
#else
typedef float value_t;
#define TO_VALUE(real) (real)
#endif

// Whole numbers wide enough for four times input times output extent.
#if H < 16384 && W < 16384 && OH < 16384 && OW < 16384
typedef uint whole_t;
#else
typedef ulong whole_t;
#endif

#define GROUPS (PIXEL / CHANNELS)                        // work items that share a pixel
#if PIXEL == CHANNELS
#define RUN (PX * CHANNELS)                              // values side by side in an item's output row
#define RUNS 1
#else
#define RUN CHANNELS
#define RUNS PX
#endif

// The widest vector that cuts a run into equal parts.
#if RUN % 16 == 0
#define LOAD vload16
#define STORE vstore16
#define WIDTH 16
#elif RUN % 8 == 0
#define LOAD vload8
#define STORE vstore8
#define WIDTH 8
#elif RUN % 4 == 0
#define LOAD vload4
#define STORE vstore4
#define WIDTH 4
#elif RUN % 3 == 0
#define LOAD vload3
#define STORE vstore3
#define WIDTH 3
#else
#define LOAD vload2
#define STORE vstore2
#define WIDTH 2
#endif

typedef struct {
  int first;     // pixel
  int second;    // its neighbour
  float weight;  // of the neighbour
} Tap;

DEVICE Tap TapAt(whole_t x, whole_t in, whole_t out) {
  whole_t over, under;  // position = over/under, below 0 counting as 0
#if COORDINATE_MODE == COORDINATE_MODE_ALIGN_CORNERS
  over = out > 1 ? x * (in - 1) : 0;
  under = out > 1 ? out - 1 : 1;
#elif COORDINATE_MODE == COORDINATE_MODE_ASYMMETRIC
  over = x * in;
  under = out;
#else
  over = (2 * x + 1) * in;
  over = over > out ? over - out : 0;
  under = 2 * out;
#if COORDINATE_MODE == COORDINATE_MODE_PYTORCH_HALF_PIXEL
  if (out == 1) over = 0;
#endif
#endif
  Tap tap;
#if MODE == MODE_NEAREST
#if NEAREST_MODE == NEAREST_MODE_ROUND_PREFER_FLOOR
  over = (2 * over + under - 1) / (2 * under);
#elif NEAREST_MODE == NEAREST_MODE_ROUND_PREFER_CEIL
  over = (2 * over + under) / (2 * under);
#elif NEAREST_MODE == NEAREST_MODE_FLOOR
  over = over / under;
#else
  over = (over + under - 1) / under;
#endif
  tap.first = tap.second = (int)min(over, in - 1);
  tap.weight = 0.0f;
#else
  const whole_t whole = over / under;
  tap.first = (int)min(whole, in - 1);
  tap.second = (int)min(whole + 1, in - 1);
  tap.weight = (float)(over - whole * under) / (float)under;
#endif
  return tap;
}

KERNEL GROUP_SIZE(WX, WY, 1) void resize(GLOBAL const value_t* input, GLOBAL value_t* output, int n) {
  const int across = (int)get_global_id(0), group = across % GROUPS, x0 = across / GROUPS * PX, y0 = (int)get_global_id(1) * PY;
  if (x0 >= OW || y0 >= OH) return;
  const size_t plane = get_global_id(2);
  input += plane * ((size_t)H * W * PIXEL) + group * CHANNELS;
  output += plane * ((size_t)OH * OW * PIXEL) + group * CHANNELS;

  Tap columns[PX];
  for (int i = 0; i < PX; ++i) columns[i] = TapAt(min(x0 + i, OW - 1), W, OW);

  for (int j = 0; j < PY && y0 + j < OH; ++j) {
    const Tap row = TapAt(y0 + j, H, OH);
    GLOBAL const value_t* top = input + (size_t)row.first * (W * PIXEL);
    GLOBAL const value_t* bottom = input + (size_t)row.second * (W * PIXEL);
    value_t values[PX * CHANNELS];
    for (int i = 0; i < PX; ++i) {
      const int left = columns[i].first * PIXEL, right = columns[i].second * PIXEL;
      for (int k = 0; k < CHANNELS; ++k) {
#if MODE == MODE_NEAREST
        values[i * CHANNELS + k] = top[left + k];
#else
        const float a = mix((float)top[left + k], (float)top[right + k], columns[i].weight);
        const float b = mix((float)bottom[left + k], (float)bottom[right + k], columns[i].weight);
        values[i * CHANNELS + k] = TO_VALUE(mix(a, b, row.weight));
#endif
      }
    }
    GLOBAL value_t* out = output + ((size_t)(y0 + j) * OW + x0) * PIXEL;
#if VECTOR
    if (x0 + PX <= OW) {
      for (int r = 0; r < RUNS; ++r)
        for (int part = 0; part < RUN; part += WIDTH) {
          STORE(LOAD(0, values + r * RUN + part), 0, out + r * PIXEL + part);
        }
      continue;
    }
#endif
    for (int i = 0; i < PX && x0 + i < OW; ++i)
      for (int k = 0; k < CHANNELS; ++k) out[i * PIXEL + k] = values[i * CHANNELS + k];
  }
}
