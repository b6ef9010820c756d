// Where a pixel of the output lies along an axis: pixel `first` of the frame and its right or lower neighbour, which exists wherever the
// axis has two pixels; edges are weights of 0 and 1.

struct Tap {
  int64_t first;
  float weight;  // of the neighbour
};

LATHE_INLINE Tap TapAt(int64_t x, int64_t in, int64_t out) {
  const double at = COORDINATE_MODE == COORDINATE_MODE_ALIGN_CORNERS ? (out > 1 ? double(x * (in - 1)) / double(out - 1) : 0.0)
                    : COORDINATE_MODE == COORDINATE_MODE_ASYMMETRIC  ? double(x * in) / double(out)
                                                                     : double((2 * x + 1) * in - out) / double(2 * out);
  if (at <= 0 || in == 1) return {0, 0.0f};
  const int64_t first = int64_t(at);
  if (first >= in - 1) return {in - 2, 1.0f};
  return {first, float(at - double(first))};
}
