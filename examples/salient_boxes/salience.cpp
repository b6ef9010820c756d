#include "salience.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace {

// Sums over rectangles of the strongest response at each pixel.
class EnergySums {
 public:
  explicit EnergySums(const float* maps) : sums_((kMap + 1) * (kMap + 1), 0.0) {
    for (int y = 0; y < kMap; ++y)
      for (int x = 0; x < kMap; ++x) {
        float strongest = 0;
        for (int k = 0; k < kFilters; ++k) strongest = std::max(strongest, maps[(k * kMap + y) * kMap + x]);
        sums_[At(y + 1, x + 1)] = strongest + sums_[At(y, x + 1)] + sums_[At(y + 1, x)] - sums_[At(y, x)];
      }
  }
  double Mean(int x0, int y0, int x1, int y1) const {
    x0 = std::clamp(x0, 0, kMap - 1), y0 = std::clamp(y0, 0, kMap - 1), x1 = std::clamp(x1, x0 + 1, kMap),
    y1 = std::clamp(y1, y0 + 1, kMap);
    return (sums_[At(y1, x1)] - sums_[At(y0, x1)] - sums_[At(y1, x0)] + sums_[At(y0, x0)]) / ((x1 - x0) * (y1 - y0));
  }

 private:
  static size_t At(int y, int x) { return static_cast<size_t>(y * (kMap + 1) + x); }
  std::vector<double> sums_;
};

}  // namespace

void ToPlanes(const Picture& frame, float* planes) {
  const size_t pixels = frame.rgb.size() / 3;
  for (size_t c = 0; c < 3; ++c)
    for (size_t i = 0; i < pixels; ++i) planes[c * pixels + i] = static_cast<float>(frame.rgb[i * 3 + c]) / 255;
}

std::vector<float> EdgeFilters() {
  std::vector<float> weight;
  for (int k = 0; k < kFilters; ++k) {
    const double angle = 2 * M_PI * k / kFilters;
    for (int c = 0; c < 3; ++c)
      for (int y = 0; y < kWindow; ++y)
        for (int x = 0; x < kWindow; ++x) {
          const double dx = x - 2.5, dy = y - 2.5;
          const double along = dx * std::cos(angle) + dy * std::sin(angle);
          weight.push_back(static_cast<float>(along * std::exp(-(dx * dx + dy * dy) / 4.5) / 3));
        }
  }
  return weight;
}

void ProposeBoxes(const float* maps, float* boxes, float* scores) {
  const EnergySums energy(maps);
  for (const int cell : {8, 16, 32})
    for (int y = 0; y < kSide / cell; ++y)
      for (int x = 0; x < kSide / cell; ++x) {
        const int cx = x * cell + cell / 2, cy = y * cell + cell / 2, half = 3 * cell / 2;
        for (const int corner : {cx - half, cy - half, cx + half, cy + half}) *boxes++ = static_cast<float>(corner);
        const auto mean = [&](int reach) { return energy.Mean((cx - reach) / 2, (cy - reach) / 2, (cx + reach) / 2, (cy + reach) / 2); };
        *scores++ = static_cast<float>(mean(half) - mean(2 * half));
      }
}

void MarkBest(Picture& frame, const float* boxes, const int32_t* keep, int count) {
  std::printf("  %d of %d boxes kept; the best:", count, kBoxes);
  const auto x = [](float v) { return static_cast<int>(v * kFrameW / kSide); };
  const auto y = [](float v) { return static_cast<int>(v * kFrameH / kSide); };
  for (int i = 0; i < std::min(10, count); ++i) {
    const float* box = boxes + keep[i] * 4;
    DrawBox(frame, x(box[0]), y(box[1]), x(box[2]), y(box[3]), i == 0 ? 8 : 4);
    std::printf(" (%d,%d)-(%d,%d)", x(box[0]), y(box[1]), x(box[2]), y(box[3]));
  }
  std::printf("\n");
}
