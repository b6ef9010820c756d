// output[n, y, x, k] = act(residual[n, y, x, k] + bias[k] + sum over r, s, c of input[n, y*STRIDE_H + r*DILATION_H - PAD_TOP, x*STRIDE_W +
// s*DILATION_W - PAD_LEFT, c] * weight[k, r, s, c]) where c runs over the channels of k's group and pixels outside the image are zero.
//
// Sums are kept in double for a few pixels and a few output channels at a time, and a piece of the weights is turned so that the output
// channels lie side by side: the innermost loop then is vector code, because this also has to run once on real layers of 80 GFLOP.

double Activated(double value) {
  if (ACTIVATION == ACTIVATION_RELU) return Max(value, 0.0);
  if (ACTIVATION == ACTIVATION_RELU6) return Min(Max(value, 0.0), 6.0);
  if (ACTIVATION == ACTIVATION_SILU) return value / (1.0 + exp(-value));
  return value;
}

int64_t InputAt(int64_t image, int64_t y, int64_t x, int64_t c) {
  return LAYOUT == LAYOUT_NHWC ? ((image * H + y) * W + x) * C + c : ((image * C + c) * H + y) * W + x;
}
int64_t WeightAt(int64_t k, int64_t r, int64_t s, int64_t c) {
  return LAYOUT == LAYOUT_NHWC ? ((k * R + r) * S + s) * CG + c : ((k * CG + c) * R + r) * S + s;
}
int64_t OutputAt(int64_t image, int64_t y, int64_t x, int64_t k) {
  return LAYOUT == LAYOUT_NHWC ? ((image * OH + y) * OW + x) * K + k : ((image * K + k) * OH + y) * OW + x;
}

double Value(float value) { return value; }
double Value(uint16_t half) { return HalfToFloat(half); }
void Assign(double value, float* to) { *to = float(value); }
void Assign(double value, uint16_t* half) { *half = FloatToHalf(float(value)); }

constexpr int kPixels = 32, kOutputs = 32, kInputs = 64;  // of one row, of one group, of that group

// One row of the output, pixels [x0, x0 + pixels), output channels [k0, k0 + outputs) of one group.
void Block(const input_t* input, const weight_t* weight, const bias_t* bias, const residual_t* residual, output_t* output, int64_t image,
           int64_t y, int64_t x0, int64_t pixels, int64_t k0, int64_t outputs) {
  const int64_t c_begin = k0 / KG * CG;
  double sum[kPixels][kOutputs];
  double turned[kInputs][kOutputs];  // [c, k] of the weights at one (r, s); zero where there are fewer output channels
  for (int64_t x = 0; x < pixels; ++x)
    for (int64_t k = 0; k < kOutputs; ++k) sum[x][k] = bias != nullptr && k < outputs ? Value(bias[k0 + k]) : 0.0;

  for (int64_t r = 0; r < R; ++r) {
    const int64_t in_y = y * STRIDE_H + r * DILATION_H - PAD_TOP;
    if (in_y < 0 || in_y >= H) continue;
    for (int64_t s = 0; s < S; ++s) {
      for (int64_t c0 = 0; c0 < CG; c0 += kInputs) {
        const int64_t inputs = Min<int64_t>(kInputs, CG - c0);
        for (int64_t k = 0; k < kOutputs; ++k)
          for (int64_t c = 0; c < inputs; ++c) turned[c][k] = k < outputs ? Value(weight[WeightAt(k0 + k, r, s, c0 + c)]) : 0.0;
        for (int64_t x = 0; x < pixels; ++x) {
          const int64_t in_x = (x0 + x) * STRIDE_W + s * DILATION_W - PAD_LEFT;
          if (in_x < 0 || in_x >= W) continue;
          for (int64_t c = 0; c < inputs; ++c) {
            const double value = Value(input[InputAt(image, in_y, in_x, c_begin + c0 + c)]);
            for (int k = 0; k < kOutputs; ++k) sum[x][k] += value * turned[c][k];
          }
        }
      }
    }
  }
  for (int64_t x = 0; x < pixels; ++x)
    for (int64_t k = 0; k < outputs; ++k) {
      const int64_t at = OutputAt(image, y, x0 + x, k0 + k);
      Assign(Activated(sum[x][k] + (residual != nullptr ? Value(residual[at]) : 0.0)), output + at);
    }
}

void run(const input_t* input, const weight_t* weight, const bias_t* bias, const residual_t* residual, output_t* output, int64_t n,
         const Context& context) {
  context.Parallel(static_cast<int>(n * OH), [&](int row) {
    const int64_t image = row / OH, y = row % OH;
    for (int64_t x0 = 0; x0 < OW; x0 += kPixels)
      for (int64_t group = 0; group < GROUPS; ++group)
        for (int64_t k = 0; k < KG; k += kOutputs)
          Block(input, weight, bias, residual, output, image, y, x0, Min<int64_t>(kPixels, OW - x0), group * KG + k,
                Min<int64_t>(kOutputs, KG - k));
  });
}
