// resize: output[y, x] is the input at (Coordinate(y), Coordinate(x)), from the nearest pixel, from the four or the sixteen around it, or
// the mean of the area that the output pixel covers.
//   input: [n, H, W, C] or [n, C, H, W]   output: [n, OH, OW, C] or [n, C, OH, OW]

// Where output pixel `x` lies on an axis of `in` pixels shown as `out`. Without a scale each case is one division of whole numbers.
double Coordinate(int64_t x, int64_t in, int64_t out, double scale) {
  if (COORDINATE_MODE == COORDINATE_MODE_ALIGN_CORNERS) return out > 1 ? double(x * (in - 1)) / double(out - 1) : 0.0;
  if (COORDINATE_MODE == COORDINATE_MODE_ASYMMETRIC) return scale > 0 ? double(x) / scale : double(x * in) / double(out);
  if (COORDINATE_MODE == COORDINATE_MODE_PYTORCH_HALF_PIXEL && out == 1) return 0.0;
  return scale > 0 ? (double(x) + 0.5) / scale - 0.5 : double((2 * x + 1) * in - out) / double(2 * out);
}

int64_t Clamp(int64_t i, int64_t extent) { return i < 0 ? 0 : i >= extent ? extent - 1 : i; }

int64_t Nearest(double at, int64_t extent) {
  double pixel = ceil(at - 0.5);  // round_prefer_floor
  if (NEAREST_MODE == NEAREST_MODE_ROUND_PREFER_CEIL) pixel = floor(at + 0.5);
  if (NEAREST_MODE == NEAREST_MODE_FLOOR) pixel = floor(at);
  if (NEAREST_MODE == NEAREST_MODE_CEIL) pixel = ceil(at);
  return Clamp(int64_t(pixel), extent);
}

double Value(float value) { return value; }
double Value(uint8_t value) { return value; }
double Value(uint16_t half) { return HalfToFloat(half); }
void Assign(double value, uint16_t* half) { *half = FloatToHalf(float(value)); }
void Assign(double value, float* to) { *to = float(value); }
void Assign(double value, uint8_t* to) { *to = uint8_t(Min(Max(floor(value + 0.5), 0.0), 255.0)); }

// Keys' kernel at a distance of x pixels.
double Cubic(double x) {
  const double a = CUBIC_A;
  x = fabs(x);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0.0;
}

// Sum over an axis: term(pixel)*weight for what output pixel `x` needs of it.
template <typename Term>
double AlongAxis(int64_t x, int64_t in, int64_t out, double scale, const Term& term) {
  double sum = 0;
  if (MODE == MODE_AREA) {  // in units of 1/out: pixel i is [i*out, (i + 1)*out), the area [x*in, (x + 1)*in)
    for (int64_t i = x * in / out; i < in && i * out < (x + 1) * in; ++i)
      sum += double(Min((i + 1) * out, (x + 1) * in) - Max(i * out, x * in)) / double(in) * term(i);
    return sum;
  }
  const double at = Coordinate(x, in, out, scale);
  if (MODE == MODE_NEAREST) return term(Nearest(at, in));
  const int64_t first = int64_t(floor(at));
  const double fraction = at - double(first);
  if (MODE == MODE_BILINEAR) return (1 - fraction) * term(Clamp(first, in)) + fraction * term(Clamp(first + 1, in));
  for (int64_t i = -1; i < 3; ++i) sum += Cubic(fraction - double(i)) * term(Clamp(first + i, in));
  return sum;
}

void run(const input_t* input, output_t* output, int64_t n, const Context&) {
  for (int64_t image = 0; image < n; ++image)
    for (int64_t channel = 0; channel < C; ++channel) {
      const auto pixel = [&](int64_t y, int64_t x) {
        return Value(LAYOUT == LAYOUT_NHWC ? input[((image * H + y) * W + x) * C + channel]
                                           : input[((image * C + channel) * H + y) * W + x]);
      };
      for (int64_t y = 0; y < OH; ++y)
        for (int64_t x = 0; x < OW; ++x) {
          output_t* to =
              output + (LAYOUT == LAYOUT_NHWC ? ((image * OH + y) * OW + x) * C + channel : ((image * C + channel) * OH + y) * OW + x);
          Assign(AlongAxis(y, H, OH, SCALE_H,
                           [&](int64_t row) { return AlongAxis(x, W, OW, SCALE_W, [&](int64_t column) { return pixel(row, column); }); }),
                 to);
        }
    }
}
