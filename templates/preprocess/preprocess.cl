// Camera preprocessing: each work item makes PX pixels of PY rows, all three planes of each, from the frame's bytes to the network's f32 or f16.
//   dimension 0: along an output row     dimension 1: down the rows, PY side by side in an item     dimension 2: frames
//
//   STORE   vector   an item's pixels lie side by side, so that each plane gets them as one vector
//           strided  they lie WX apart: neighbouring items store neighbouring values
//   TAPS    where a column or row lies in the frame: each item works it out, or the group does so once and keeps it in local memory
//   SOURCE  bytes    a pixel's two neighbours in a frame row are six loads of a byte
//           words    they are three aligned loads of four bytes, and shifts
//           staged   the group first copies what its pixels need of each frame row to local memory, in words side by side
// NV12 frames have no pixels of three bytes: luma and the half as large chroma are sampled each on its own, then made into colours.
// Positions are quotients of whole numbers, as in resize: no double is needed, and a constant divisor costs no division.

#if H < 16384 && W < 16384 && OH < 16384 && OW < 16384
typedef uint whole_t;  // wide enough for twice input times output extent
#else
typedef ulong whole_t;
#endif

#if DTYPE == DTYPE_F16
typedef half stored_t;
#define STORE1(x, p) vstore_half(x, 0, p)
#define STORE2(v, p) vstorea_half2(v, 0, p)
#define STORE4(v, p) vstorea_half4(v, 0, p)
#else
typedef float stored_t;
#define STORE1(x, p) (*(p) = (x))
#define STORE2(v, p) (*(GLOBAL float2*)(p) = (v))
#define STORE4(v, p) (*(GLOBAL float4*)(p) = (v))
#endif

#define COLUMNS (WX * PX)  // of a group
#define ROWS (WY * PY)
// Words that COLUMNS neighbouring pixels need of a frame row, wherever it begins: positions spread by at most W/(RW - 1) for each.
#define SPREAD (RW > 2 ? RW - 1 : 1)
#define SPAN ((COLUMNS * W + SPREAD - 1) / SPREAD + 3)
#define STAGE_WORDS ((3 * (SPAN < W ? SPAN : W) + 6) / 4 + 1)
#if FORMAT == FORMAT_NV12
#define FRAME_BYTES ((size_t)H * W / 2 * 3)
#else
#define FRAME_BYTES ((size_t)H * W * 3)
#endif
#define FRAME_WORDS ((int)(FRAME_BYTES / 4))

typedef struct {
  int first;     // pixel
  int second;    // its neighbour
  float weight;  // of the neighbour
  int inside;    // 0: in a bar
} Tap;

DEVICE Tap TapAt(int x, int in, int out) {
  Tap tap;
  tap.inside = x >= 0 && x < out;
  const whole_t at = (whole_t)clamp(x, 0, out - 1);
  whole_t over, under;  // position = over/under, below 0 counting as 0
#if COORDINATE_MODE == COORDINATE_MODE_ALIGN_CORNERS
  over = out > 1 ? at * (whole_t)(in - 1) : 0;
  under = out > 1 ? (whole_t)(out - 1) : 1;
#elif COORDINATE_MODE == COORDINATE_MODE_ASYMMETRIC
  over = at * (whole_t)in;
  under = (whole_t)out;
#else
  over = (2 * at + 1) * (whole_t)in;
  over = over > (whole_t)out ? over - (whole_t)out : 0;
  under = 2 * (whole_t)out;
#endif
  const whole_t whole = over / under;
  tap.first = min((int)whole, in - 1);
  tap.second = min((int)whole + 1, in - 1);
  tap.weight = tap.second == tap.first ? 0.0f : (float)(uint)(over - whole * under) / (float)(uint)under;
  return tap;
}

typedef struct {
  float left[3], right[3];
} Pair;  // two neighbours of a frame row

DEVICE Pair BytePair(GLOBAL const uchar* row, const Tap column) {
  Pair pair;
  UNROLL
  for (int k = 0; k < 3; ++k) pair.left[k] = (float)row[3 * column.first + k], pair.right[k] = (float)row[3 * column.second + k];
  return pair;
}

// The frame as words; `at`: the left pixel's first byte. Where there is no right pixel its weight is 0, and any bytes do.
DEVICE Pair WordPair(GLOBAL const uint* frame, int at) {
  const int word = at >> 2, shift = (at & 3) * 8;
  const uint a = frame[word], b = frame[min(word + 1, FRAME_WORDS - 1)], c = frame[min(word + 2, FRAME_WORDS - 1)];
  const uint low = (uint)(((ulong)b << 32 | a) >> shift), high = (uint)(((ulong)c << 32 | b) >> shift);
  Pair pair;
  pair.left[0] = (float)(low & 255), pair.left[1] = (float)(low >> 8 & 255), pair.left[2] = (float)(low >> 16 & 255);
  pair.right[0] = (float)(low >> 24), pair.right[1] = (float)(high & 255), pair.right[2] = (float)(high >> 8 & 255);
  return pair;
}

// `row`: where a frame row begins within a stage; `left`: the stage's first pixel.
DEVICE Pair StagedPair(LOCAL const uchar* row, int left, const Tap column) {
  Pair pair;
  UNROLL
  for (int k = 0; k < 3; ++k) {
    pair.left[k] = (float)row[3 * (column.first - left) + k];
    pair.right[k] = (float)row[3 * (column.second - left) + k];
  }
  return pair;
}

#if FORMAT == FORMAT_NV12
// Byte `channel` of an image of `width` pixels of `channels` bytes, between them.
DEVICE float ByteBetween(GLOBAL const uchar* image, int width, int channels, int channel, const Tap row, const Tap column) {
  GLOBAL const uchar* top = image + row.first * width * channels + channel;
  GLOBAL const uchar* bottom = image + row.second * width * channels + channel;
  const int left = column.first * channels, right = column.second * channels;
  const float above = mix((float)top[left], (float)top[right], column.weight);
  const float below = mix((float)bottom[left], (float)bottom[right], column.weight);
  return mix(above, below, row.weight);
}

// Blue, green and red where luma and chroma are to be sampled.
DEVICE void ColourAt(GLOBAL const uchar* frame, const Tap row, const Tap column, const Tap chroma_row, const Tap chroma_column,
                     float* colour) {
  const float kr = MATRIX == MATRIX_BT601 ? 0.299f : 0.2126f, kb = MATRIX == MATRIX_BT601 ? 0.114f : 0.0722f, kg = 1.0f - kr - kb;
  const float spread = FULL_RANGE ? 1.0f : 255.0f / 224.0f;
  GLOBAL const uchar* chroma = frame + (size_t)H * W;
  const float luma = (ByteBetween(frame, W, 1, 0, row, column) - (FULL_RANGE ? 0.0f : 16.0f)) * (FULL_RANGE ? 1.0f : 255.0f / 219.0f);
  const float blue = (ByteBetween(chroma, W / 2, 2, 0, chroma_row, chroma_column) - 128.0f) * spread;
  const float red = (ByteBetween(chroma, W / 2, 2, 1, chroma_row, chroma_column) - 128.0f) * spread;
  colour[0] = clamp(luma + 2.0f * (1.0f - kb) * blue, 0.0f, 255.0f);
  colour[1] = clamp(luma - 2.0f * kb * (1.0f - kb) / kg * blue - 2.0f * kr * (1.0f - kr) / kg * red, 0.0f, 255.0f);
  colour[2] = clamp(luma + 2.0f * (1.0f - kr) * red, 0.0f, 255.0f);
}
#endif

KERNEL GROUP_SIZE(WX, WY, 1) void preprocess(GLOBAL const uchar* RESTRICT input, GLOBAL stored_t* RESTRICT output, int n) {
  const int item_x = (int)get_local_id(0), item_y = (int)get_local_id(1), item = item_y * WX + item_x;
  const int group_x = (int)get_group_id(0) * COLUMNS, group_y = (int)get_group_id(1) * ROWS;
  GLOBAL const uchar* frame = input + get_global_id(2) * FRAME_BYTES;
  GLOBAL stored_t* planes = output + get_global_id(2) * ((size_t)OH * OW * 3);

#if TAPS == TAPS_LOCAL
  LOCAL_ARRAY(Tap, column_taps, COLUMNS);
  LOCAL_ARRAY(Tap, row_taps, ROWS);
  for (int i = item; i < COLUMNS; i += WX * WY) column_taps[i] = TapAt(group_x + i - LEFT, W, RW);
  for (int i = item; i < ROWS; i += WX * WY) row_taps[i] = TapAt(group_y + i - TOP, H, RH);
  barrier(CLK_LOCAL_MEM_FENCE);
#define COLUMN_TAP(i) column_taps[i]
#define ROW_TAP(i) row_taps[i]
#else
#define COLUMN_TAP(i) TapAt(group_x + (i) - LEFT, W, RW)
#define ROW_TAP(i) TapAt(group_y + (i) - TOP, H, RH)
#endif

#if SOURCE == SOURCE_STAGED
  LOCAL_ARRAY(uint, stage, ROWS * 2 * STAGE_WORDS);
  // Pixels outside the frame as it is shown take the taps of its edge, so these hold for a group with bars, too.
  const int stage_left = TapAt(group_x - LEFT, W, RW).first, stage_right = TapAt(group_x + COLUMNS - 1 - LEFT, W, RW).second;
  for (int i = item; i < ROWS * 2 * STAGE_WORDS; i += WX * WY) {
    const int row = i / STAGE_WORDS, word = i % STAGE_WORDS;
    const Tap tap = ROW_TAP(row >> 1);
    const int pixels = (row & 1 ? tap.second : tap.first) * W;
    const int at = ((pixels + stage_left) * 3 >> 2) + word;
    if (tap.inside && 4 * at < (pixels + stage_right) * 3 + 3) stage[i] = ((GLOBAL const uint*)frame)[at];
  }
  barrier(CLK_LOCAL_MEM_FENCE);
#endif

  const float mean[3] = {MEAN0, MEAN1, MEAN2}, scale[3] = {SCALE0, SCALE1, SCALE2};
  float offset[3];
  UNROLL
  for (int p = 0; p < 3; ++p) offset[p] = -mean[p] * scale[p];
#if STORE == STORE_VECTOR
#define WITHIN(i) (item_x * PX + (i))
#else
#define WITHIN(i) (item_x + (i) * WX)
#endif

  for (int j = 0; j < PY; ++j) {
    const int in_group = item_y * PY + j, y = group_y + in_group;
    if (y >= OH) break;
    const Tap row = ROW_TAP(in_group);
    float values[3][PX];
    UNROLL
    for (int i = 0; i < PX; ++i) {
      const Tap column = COLUMN_TAP(WITHIN(i));
      const bool inside = row.inside && column.inside;
#if FORMAT == FORMAT_NV12
      float colour[3] = {0.0f, 0.0f, 0.0f};
      if (inside) ColourAt(frame, row, column, TapAt(y - TOP, H / 2, RH), TapAt(group_x + WITHIN(i) - LEFT, W / 2, RW), colour);
#else
      Pair top, bottom;
      if (inside) {
#if SOURCE == SOURCE_STAGED
        LOCAL const uchar* staged = (LOCAL const uchar*)(stage + in_group * 2 * STAGE_WORDS);
        top = StagedPair(staged + ((row.first * W + stage_left) * 3 & 3), stage_left, column);
        bottom = StagedPair(staged + 4 * STAGE_WORDS + ((row.second * W + stage_left) * 3 & 3), stage_left, column);
#elif SOURCE == SOURCE_WORDS
        top = WordPair((GLOBAL const uint*)frame, (row.first * W + column.first) * 3);
        bottom = WordPair((GLOBAL const uint*)frame, (row.second * W + column.first) * 3);
#else
        top = BytePair(frame + (size_t)row.first * (W * 3), column);
        bottom = BytePair(frame + (size_t)row.second * (W * 3), column);
#endif
      }
#endif
      UNROLL
      for (int p = 0; p < 3; ++p) {
        const int k = SWAP ? 2 - p : p;
        float value = PAD_VALUE;
        if (inside) {
#if FORMAT == FORMAT_NV12
          value = colour[k];
#else
          const float above = mix(top.left[k], top.right[k], column.weight), below = mix(bottom.left[k], bottom.right[k], column.weight);
          value = mix(above, below, row.weight);
#endif
        }
        values[p][i] = mad(value, scale[p], offset[p]);
      }
    }
    GLOBAL stored_t* out = planes + (size_t)y * OW + group_x;
    UNROLL
    for (int p = 0; p < 3; ++p, out += (size_t)OH * OW) {
#if STORE == STORE_VECTOR
      if (group_x + item_x * PX >= OW) continue;  // OW is a multiple of PX: all or none
#if PX % 4 == 0
      UNROLL
      for (int i = 0; i < PX; i += 4)
        STORE4(make_float4(values[p][i], values[p][i + 1], values[p][i + 2], values[p][i + 3]), out + item_x * PX + i);
#else
      STORE2(make_float2(values[p][0], values[p][1]), out + item_x * PX);
#endif
#else
      UNROLL
      for (int i = 0; i < PX; ++i)
        if (group_x + WITHIN(i) < OW) STORE1(values[p][i], out + WITHIN(i));
#endif
    }
  }
}
