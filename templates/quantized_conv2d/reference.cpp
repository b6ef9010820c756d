// The sum is taken in 64 bits from the bytes themselves, scaled in double and rounded to the nearest whole number, halves to even.

int64_t InputAt(int64_t image, int64_t y, int64_t x, int64_t c) {
  return LAYOUT == LAYOUT_NHWC ? ((image * H + y) * W + x) * C + c : ((image * C + c) * H + y) * W + x;
}
int64_t WeightAt(int64_t k, int64_t r, int64_t s, int64_t c) {
  return LAYOUT == LAYOUT_NHWC ? ((k * R + r) * S + s) * CG + c : ((k * CG + c) * R + r) * S + s;
}
int64_t OutputAt(int64_t image, int64_t y, int64_t x, int64_t k) {
  return LAYOUT == LAYOUT_NHWC ? ((image * OH + y) * OW + x) * K + k : ((image * K + k) * OH + y) * OW + x;
}

int64_t Sum(const uint8_t* input, const int8_t* weight, int64_t image, int64_t y, int64_t x, int64_t k) {
  int64_t sum = 0;
  for (int64_t r = 0; r < R; ++r) {
    const int64_t in_y = y * STRIDE_H + r * DILATION_H - PAD_TOP;
    if (in_y < 0 || in_y >= H) continue;
    for (int64_t s = 0; s < S; ++s) {
      const int64_t in_x = x * STRIDE_W + s * DILATION_W - PAD_LEFT;
      if (in_x < 0 || in_x >= W) continue;
      const uint8_t* pixel = input + InputAt(image, in_y, in_x, k / KG * CG);
      const int8_t* factor = weight + WeightAt(k, r, s, 0);
      const int64_t next_pixel = LAYOUT == LAYOUT_NHWC ? 1 : H * W, next_factor = LAYOUT == LAYOUT_NHWC ? 1 : R * S;
      // The zero point stays out of the products: g++ 12 takes those with byte - 128 for products of unsigned bytes.
      int32_t products = 0, factors = 0;
      for (int64_t c = 0; c < CG; ++c) {
        products += pixel[c * next_pixel] * factor[c * next_factor];
        factors += factor[c * next_factor];
      }
      sum += products - int64_t(INPUT_ZERO_POINT) * factors;
    }
  }
  return sum;
}

void run(const uint8_t* input, const int8_t* weight, const int32_t* bias, const float* scale, uint8_t* output, int64_t n,
         const Context& context) {
  context.Parallel(static_cast<int>(n * OH), [&](int row) {
    const int64_t image = row / OH, y = row % OH;
    for (int64_t x = 0; x < OW; ++x)
      for (int64_t k = 0; k < K; ++k) {
        const int64_t sum = Sum(input, weight, image, y, x, k) + (bias != nullptr ? bias[k] : 0);
        const double level = rint(double(sum) * double(scale[k])) + double(OUTPUT_ZERO_POINT);
        const double lowest = ACTIVATION == ACTIVATION_RELU ? double(OUTPUT_ZERO_POINT) : 0.0;
        output[OutputAt(image, y, x, k)] = uint8_t(Min(Max(level, lowest), 255.0));
      }
  });
}

// All bytes in images and weights. With them a sum has a standard deviation of some 74*74*sqrt(CG*R*S); the scales bring that to 40 levels,
// give or take a half, so that few outputs are cut off and none are all alike.
void make_inputs(uint8_t* input, int8_t* weight, int32_t* bias, float* scale, int64_t n, uint64_t seed) {
  uint64_t state = seed;
  const auto next = [&state] {
    state += 0x9E3779B97F4A7C15u;
    uint64_t z = (state ^ state >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
  };
  for (int64_t i = 0; i < n * H * W * C; ++i) input[i] = uint8_t(next());
  for (int64_t i = 0; i < K * R * S * CG; ++i) weight[i] = int8_t(next());
  const double deviation = 74.0 * 74.0 * sqrt(double(CG * R * S));
  for (int64_t k = 0; k < K; ++k) {
    const double part = double(next() >> 11) * 0x1p-53;
    if (bias != nullptr) bias[k] = int32_t((2.0 * part - 1.0) * deviation);
    scale[k] = float((0.5 + double(next() >> 11) * 0x1p-53) * 40.0 / deviation);
  }
}
