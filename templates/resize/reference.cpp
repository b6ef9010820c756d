// resize: output[y, x] is the input at (Coordinate(y), Coordinate(x)), from the nearest pixel or from the four around it.
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

void Assign(double value, float* to) { *to = float(value); }
void Assign(double value, uint8_t* to) { *to = uint8_t(floor(value + 0.5)); }

void run(const input_t* input, output_t* output, int64_t n, const Context&) {
  for (int64_t image = 0; image < n; ++image)
    for (int64_t channel = 0; channel < C; ++channel) {
      const auto pixel = [&](int64_t y, int64_t x) {
        return double(LAYOUT == LAYOUT_NHWC ? input[((image * H + y) * W + x) * C + channel]
                                            : input[((image * C + channel) * H + y) * W + x]);
      };
      for (int64_t y = 0; y < OH; ++y)
        for (int64_t x = 0; x < OW; ++x) {
          output_t* to =
              output + (LAYOUT == LAYOUT_NHWC ? ((image * OH + y) * OW + x) * C + channel : ((image * C + channel) * OH + y) * OW + x);
          const double at_y = Coordinate(y, H, OH, SCALE_H), at_x = Coordinate(x, W, OW, SCALE_W);
          if (MODE == MODE_NEAREST) {
            Assign(pixel(Nearest(at_y, H), Nearest(at_x, W)), to);
            continue;
          }
          const int64_t y0 = int64_t(floor(at_y)), x0 = int64_t(floor(at_x));
          const double fy = at_y - double(y0), fx = at_x - double(x0);
          const int64_t top = Clamp(y0, H), bottom = Clamp(y0 + 1, H), left = Clamp(x0, W), right = Clamp(x0 + 1, W);
          Assign((1 - fy) * ((1 - fx) * pixel(top, left) + fx * pixel(top, right)) +
                     fy * ((1 - fx) * pixel(bottom, left) + fx * pixel(bottom, right)),
                 to);
        }
    }
}
