// preprocess: output plane c at (y, x) is (v - MEANc)*SCALEc, v the frame's channel there, or PAD_VALUE in the bars.
//   input: [n, H, W, 3], or nv12 [n, H*3/2, W]   output: [n, 3, OH, OW]; the frame is shown at rows TOP .. TOP + RH and columns LEFT ..
//   LEFT + RW

// Where pixel `x` of an axis of `in` pixels shown as `out` lies.
double Coordinate(int64_t x, int64_t in, int64_t out) {
  if (COORDINATE_MODE == COORDINATE_MODE_ALIGN_CORNERS) return out > 1 ? double(x * (in - 1)) / double(out - 1) : 0.0;
  if (COORDINATE_MODE == COORDINATE_MODE_ASYMMETRIC) return double(x * in) / double(out);
  return double((2 * x + 1) * in - out) / double(2 * out);
}

int64_t Clamp(int64_t i, int64_t extent) { return i < 0 ? 0 : i >= extent ? extent - 1 : i; }

// Channel `channel` of an image [h, w, channels] between its pixels.
double Bilinear(const uint8_t* image, int64_t h, int64_t w, int64_t channels, int64_t channel, double y, double x) {
  const auto pixel = [&](int64_t row, int64_t column) {
    return double(image[(Clamp(row, h) * w + Clamp(column, w)) * channels + channel]);
  };
  const int64_t top = int64_t(floor(y)), left = int64_t(floor(x));
  const double fy = y - double(top), fx = x - double(left);
  return (1 - fy) * ((1 - fx) * pixel(top, left) + fx * pixel(top, left + 1)) +
         fy * ((1 - fx) * pixel(top + 1, left) + fx * pixel(top + 1, left + 1));
}

// Channel B, G or R of an NV12 frame where pixel (y, x) of the shown frame lies.
double Colour(const uint8_t* frame, int64_t channel, int64_t y, int64_t x) {
  const uint8_t* chroma = frame + H * W;
  const double at_y = Coordinate(y, H / 2, RH), at_x = Coordinate(x, W / 2, RW);
  const double luma =
      (Bilinear(frame, H, W, 1, 0, Coordinate(y, H, RH), Coordinate(x, W, RW)) - (FULL_RANGE ? 0 : 16)) * (FULL_RANGE ? 1 : 255.0 / 219);
  const double blue = (Bilinear(chroma, H / 2, W / 2, 2, 0, at_y, at_x) - 128) * (FULL_RANGE ? 1 : 255.0 / 224);
  const double red = (Bilinear(chroma, H / 2, W / 2, 2, 1, at_y, at_x) - 128) * (FULL_RANGE ? 1 : 255.0 / 224);
  const double kr = MATRIX == MATRIX_BT601 ? 0.299 : 0.2126, kb = MATRIX == MATRIX_BT601 ? 0.114 : 0.0722, kg = 1 - kr - kb;
  const double value = channel == 0   ? luma + 2 * (1 - kb) * blue
                       : channel == 2 ? luma + 2 * (1 - kr) * red
                                      : luma - 2 * kb * (1 - kb) / kg * blue - 2 * kr * (1 - kr) / kg * red;
  return Min(Max(value, 0.0), 255.0);
}

void Assign(double value, float* to) { *to = float(value); }
void Assign(double value, uint16_t* half) { *half = FloatToHalf(float(value)); }

void run(const uint8_t* input, output_t* output, int64_t n, const Context&) {
  const double mean[3] = {double(MEAN0), double(MEAN1), double(MEAN2)}, scale[3] = {double(SCALE0), double(SCALE1), double(SCALE2)};
  for (int64_t image = 0; image < n; ++image)
    for (int64_t plane = 0; plane < 3; ++plane)
      for (int64_t y = 0; y < OH; ++y)
        for (int64_t x = 0; x < OW; ++x) {
          double value = PAD_VALUE;
          if (y >= TOP && y < TOP + RH && x >= LEFT && x < LEFT + RW) {
            const int64_t channel = SWAP ? 2 - plane : plane;
            if (FORMAT == FORMAT_NV12)
              value = Colour(input + image * (H * 3 / 2) * W, channel, y - TOP, x - LEFT);
            else
              value = Bilinear(input + image * H * W * 3, H, W, 3, channel, Coordinate(y - TOP, H, RH), Coordinate(x - LEFT, W, RW));
          }
          Assign((value - mean[plane]) * scale[plane], output + ((image * 3 + plane) * OH + y) * OW + x);
        }
}
