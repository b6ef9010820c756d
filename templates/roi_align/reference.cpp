// roi_align: output[roi, bin] is the mean of bilinear samples spread evenly over the bin.
//   input: [n, C, H, W] or [n, H, W, C], the finest of LEVELS feature maps; level1 .. level4: the further ones, or null
//   rois: [r, 4] x1 y1 x2 y2, or [r, 5] image first   batch_indices: [r] or null
//   output: [r, C, OUTPUT_HEIGHT, OUTPUT_WIDTH] or [r, OUTPUT_HEIGHT, OUTPUT_WIDTH, C]

struct Span {  // a roi along one axis, in pixels of the feature map
  double start, bin;
  int64_t grid;  // samples of a bin
};

double Value(float value) { return value; }
double Value(uint16_t half) { return HalfToFloat(half); }
void Assign(double value, float* to) { *to = float(value); }
void Assign(double value, uint16_t* half) { *half = FloatToHalf(float(value)); }

struct Level {
  const input_t* pixels;
  int64_t h, w;
  double scale;
};

// Comparing areas instead of taking a logarithm: 4^-1e-6 is 1 - 1.3863e-6.
int LevelOf(const float* box) {
  const double area = (double(box[2]) - box[0]) * (double(box[3]) - box[1]);
  int level = 0;
  for (int k = 1; k < LEVELS; ++k)
    if (area >= CANONICAL_SIZE * CANONICAL_SIZE * pow(4.0, k - CANONICAL_LEVEL) * (1 - 1.3863e-6)) level = k;
  return level;
}

Span SpanOf(double from, double to, int64_t bins, double scale) {
  const double shift = ALIGNED ? 0.5 : 0.0;
  const double start = from * scale - shift;
  double size = to * scale - shift - start;
  if (!ALIGNED) size = Max(size, 1.0);
  const double bin = size / double(bins);
  return {start, bin, SAMPLING_RATIO > 0 ? int64_t(SAMPLING_RATIO) : int64_t(ceil(bin))};
}

double SampleAt(const Span& span, int64_t bin, int64_t i) {
  return span.start + double(bin) * span.bin + (double(i) + 0.5) * span.bin / double(span.grid);
}

// The feature map of one image and channel between its pixels.
double Bilinear(const Level& map, int64_t image, int64_t channel, double y, double x) {
  const int64_t h = map.h, w = map.w;
  const auto pixel = [&](int64_t row, int64_t column) {
    return Value(map.pixels[LAYOUT == LAYOUT_NHWC ? ((image * h + row) * w + column) * C + channel
                                                  : ((image * C + channel) * h + row) * w + column]);
  };
  if (y < -1 || y > double(h) || x < -1 || x > double(w)) return 0;
  y = Min(Max(y, 0.0), double(h - 1));
  x = Min(Max(x, 0.0), double(w - 1));
  const int64_t top = int64_t(y), left = int64_t(x), bottom = Min<int64_t>(top + 1, h - 1), right = Min<int64_t>(left + 1, w - 1);
  const double fy = y - double(top), fx = x - double(left);
  return (1 - fy) * ((1 - fx) * pixel(top, left) + fx * pixel(top, right)) +
         fy * ((1 - fx) * pixel(bottom, left) + fx * pixel(bottom, right));
}

void run(const input_t* input, const input_t* level1, const input_t* level2, const input_t* level3, const input_t* level4,
         const float* rois, const int64_t* batch_indices, output_t* output, int64_t n, int64_t r, const Context&) {
  const double scale = SPATIAL_SCALE;
  const Level pyramid[5] = {{input, H, W, scale},
                            {level1, H1, W1, scale / 2},
                            {level2, H2, W2, scale / 4},
                            {level3, H3, W3, scale / 8},
                            {level4, H4, W4, scale / 16}};
  for (int64_t i = 0; i < r; ++i) {
    const float* roi = rois + i * (BATCH_IN_ROIS ? 5 : 4);
    const double image = BATCH_IN_ROIS ? double(roi[0]) : double(batch_indices[i]);
    const float* box = roi + (BATCH_IN_ROIS ? 1 : 0);
    bool known = image >= 0 && image < double(n);
    for (int k = 0; k < 4; ++k) known = known && fabs(double(box[k]) * scale) < 1e6;
    const Level& map = pyramid[known ? LevelOf(box) : 0];
    Span down = {0, 0, 0}, across = {0, 0, 0};
    if (known) down = SpanOf(box[1], box[3], OUTPUT_HEIGHT, map.scale), across = SpanOf(box[0], box[2], OUTPUT_WIDTH, map.scale);
    for (int64_t channel = 0; channel < C; ++channel)
      for (int64_t by = 0; by < OUTPUT_HEIGHT; ++by)
        for (int64_t bx = 0; bx < OUTPUT_WIDTH; ++bx) {
          double sum = 0;
          for (int64_t iy = 0; iy < down.grid; ++iy)
            for (int64_t ix = 0; ix < across.grid; ++ix)
              sum += Bilinear(map, int64_t(image), channel, SampleAt(down, by, iy), SampleAt(across, bx, ix));
          const double samples = double(Max<int64_t>(down.grid, 0) * Max<int64_t>(across.grid, 0));
          Assign(samples > 0 ? sum / samples : 0.0,
                 output + (LAYOUT == LAYOUT_NHWC ? ((i * OUTPUT_HEIGHT + by) * OUTPUT_WIDTH + bx) * C + channel
                                                 : ((i * C + channel) * OUTPUT_HEIGHT + by) * OUTPUT_WIDTH + bx));
        }
  }
}

// ---- inputs: feature maps of noise; proposals as a detector makes them: some 110 units across, here and there one that leaves the image

double NextUniform(uint64_t* state) {  // [0, 1); splitmix64
  uint64_t z = (*state += 0x9E3779B97F4A7C15u);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return double((z ^ (z >> 31)) >> 11) / 9007199254740992.0;
}
double NextJitter(uint64_t* state) {  // close to normal, variance 1
  double sum = -6;
  for (int i = 0; i < 12; ++i) sum += NextUniform(state);
  return sum;
}

void make_inputs(input_t* input, input_t* level1, input_t* level2, input_t* level3, input_t* level4, float* rois, int64_t* batch_indices,
                 int64_t n, int64_t r, uint64_t seed) {
  uint64_t state = seed;
  input_t* const maps[5] = {input, level1, level2, level3, level4};
  const int64_t pixels[5] = {H * W, H1 * W1, H2 * W2, H3 * W3, H4 * W4};
  for (int k = 0; k < LEVELS; ++k)
    for (int64_t i = 0; i < n * C * pixels[k]; ++i) Assign(2 * NextUniform(&state) - 1, maps[k] + i);
  const double width = W / double(SPATIAL_SCALE), height = H / double(SPATIAL_SCALE);
  for (int64_t i = 0; i < r; ++i) {
    const double size = Max(12.0, 110 * exp(0.85 * NextJitter(&state))), aspect = exp(0.4 * NextJitter(&state));
    const double w = Min(size * sqrt(aspect), 0.98 * width), h = Min(size / sqrt(aspect), 0.98 * height);
    double x = NextUniform(&state) * (width - w), y = NextUniform(&state) * (height - h);
    if (NextUniform(&state) < 0.05) x -= 0.7 * w, y += 0.7 * h;
    float* box = rois + i * (BATCH_IN_ROIS ? 5 : 4);
    const int64_t image = int64_t(NextUniform(&state) * double(n));
    if (BATCH_IN_ROIS)
      *box++ = float(image);
    else
      batch_indices[i] = image;
    box[0] = float(x), box[1] = float(y), box[2] = float(x + w), box[3] = float(y + h);
  }
}
