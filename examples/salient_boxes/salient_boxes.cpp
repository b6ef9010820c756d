// salient_boxes PICTURE.ppm [OUT.ppm]: finds what stands out of a 1080p picture, with the kernels tuned for a one-stage detector.
//
//     frame 1080x1920 ─ resize ─► 640x640 ─ stem convolution ─► 32 edge maps ─ centre against surround ─► 8400 boxes ─ NMS ─► the best ten
//
// There are no trained weights here: the stem's are edge filters in 16 directions, the scores say how much more edge energy a box holds than
// its surround. The kernels are those the detector would run, of the same shapes; each stage says which kernel answered and how long it took,
// next to the library's portable fallback.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <lathe_kernels.hpp>
#include <memory>

#include "picture.h"

namespace {

constexpr int kFrameW = 1920, kFrameH = 1080, kSide = 640, kMap = 320, kFilters = 32, kWindow = 6, kBoxes = 8400;

// 64-byte aligned memory, as kernels want it.
template <typename T>
class Buffer {
 public:
  explicit Buffer(size_t count) : data_(static_cast<T*>(lathe_alloc(count * sizeof(T)))) {
    if (data_ == nullptr) throw std::bad_alloc();
    std::memset(data_.get(), 0, count * sizeof(T));
  }
  T* data() { return data_.get(); }
  T& operator[](size_t i) { return data_.get()[i]; }

 private:
  struct Free {
    void operator()(T* memory) const { lathe_free(memory); }
  };
  std::unique_ptr<T, Free> data_;
};

double BestOf(int runs, const std::function<void()>& run) {
  double best = 1e30;
  for (int i = 0; i < runs; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    run();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  return best * 1e3;
}

// Runs the tuned kernel and, for comparison, the portable fallback of the same call; the tuned one's output stays.
template <typename Kernel, typename Make, typename Run>
void Stage(const char* name, const Make& make, const Run& run) {
  static const char* const kMatches[] = {"exact", "nearest", "fallback"};
  Kernel fallback = make(LATHE_FORCE_FALLBACK);
  const double slow = BestOf(1, [&] { run(fallback); });
  Kernel tuned = make(0);
  const double fast = BestOf(20, [&] { run(tuned); });
  std::printf("  %-18s %8.3f ms   fallback %9.3f ms   %6.1fx   %s: %s\n", name, fast, slow, slow / fast, kMatches[tuned.match()], tuned.reason());
}

// [32, 3, 6, 6]: smoothed derivatives of brightness in 16 directions, each in both signs.
void MakeEdgeFilters(Buffer<float>& weight) {
  for (int k = 0; k < kFilters; ++k) {
    const double angle = 2 * M_PI * k / kFilters;
    for (int y = 0; y < kWindow; ++y)
      for (int x = 0; x < kWindow; ++x) {
        const double dx = x - 2.5, dy = y - 2.5;
        const double along = dx * std::cos(angle) + dy * std::sin(angle);
        const double value = along * std::exp(-(dx * dx + dy * dy) / 4.5);
        for (int c = 0; c < 3; ++c) weight[static_cast<size_t>(((k * 3 + c) * kWindow + y) * kWindow + x)] = static_cast<float>(value / 3);
      }
  }
}

// Sums over rectangles of the strongest response at each pixel.
class EnergySums {
 public:
  explicit EnergySums(Buffer<float>& maps) : sums_((kMap + 1) * (kMap + 1), 0.0) {
    for (int y = 0; y < kMap; ++y)
      for (int x = 0; x < kMap; ++x) {
        float strongest = 0;
        for (int k = 0; k < kFilters; ++k) strongest = std::max(strongest, maps[static_cast<size_t>((k * kMap + y) * kMap + x)]);
        sums_[At(y + 1, x + 1)] = strongest + sums_[At(y, x + 1)] + sums_[At(y + 1, x)] - sums_[At(y, x)];
      }
  }
  double Mean(int x0, int y0, int x1, int y1) const {
    x0 = std::clamp(x0, 0, kMap - 1), y0 = std::clamp(y0, 0, kMap - 1), x1 = std::clamp(x1, x0 + 1, kMap), y1 = std::clamp(y1, y0 + 1, kMap);
    return (sums_[At(y1, x1)] - sums_[At(y0, x1)] - sums_[At(y1, x0)] + sums_[At(y0, x0)]) / ((x1 - x0) * (y1 - y0));
  }

 private:
  static size_t At(int y, int x) { return static_cast<size_t>(y * (kMap + 1) + x); }
  std::vector<double> sums_;
};

// The detector's 8400 places: cells of 8, 16 and 32 pixels, a box of three cells around each; score: inside less surround.
void ProposeBoxes(const EnergySums& energy, Buffer<float>& boxes, Buffer<float>& scores) {
  size_t box = 0;
  for (const int cell : {8, 16, 32})
    for (int y = 0; y < kSide / cell; ++y)
      for (int x = 0; x < kSide / cell; ++x, ++box) {
        const int cx = x * cell + cell / 2, cy = y * cell + cell / 2, half = 3 * cell / 2;
        const float corners[4] = {static_cast<float>(cx - half), static_cast<float>(cy - half), static_cast<float>(cx + half), static_cast<float>(cy + half)};
        std::copy(corners, corners + 4, boxes.data() + box * 4);
        const auto mean = [&](int reach) { return energy.Mean((cx - reach) / 2, (cy - reach) / 2, (cx + reach) / 2, (cy + reach) / 2); };
        scores[box] = static_cast<float>(mean(half) - mean(2 * half));
      }
}

void Run(const char* file, const char* out) {
  Picture frame = Centre(ReadPpm(file), kFrameW, kFrameH);
  Buffer<float> planes(3 * kFrameH * kFrameW), small(3 * kSide * kSide), weight(kFilters * 3 * kWindow * kWindow), bias(kFilters);
  Buffer<float> maps(kFilters * kMap * kMap), boxes(kBoxes * 4), scores(kBoxes);
  Buffer<int32_t> keep(kBoxes), count(1);
  for (int c = 0; c < 3; ++c)
    for (int i = 0; i < kFrameH * kFrameW; ++i)
      planes[static_cast<size_t>(c * kFrameH * kFrameW + i)] = static_cast<float>(frame.rgb[static_cast<size_t>(i * 3 + c)]) / 255;
  MakeEdgeFilters(weight);
  std::printf("%s, %dx%d, one thread:\n", file, kFrameW, kFrameH);

  lathe_resize_workload resize = lathe_resize_defaults();
  resize.c = 3, resize.h = kFrameH, resize.w = kFrameW, resize.oh = kSide, resize.ow = kSide;
  resize.layout = LATHE_RESIZE_LAYOUT_NCHW, resize.dtype = LATHE_RESIZE_DTYPE_F32;
  Stage<lathe::Resize>(
      "resize", [&](uint32_t flags) { return lathe::Resize(resize, flags); },
      [&](lathe::Resize& kernel) { kernel.Run(planes.data(), small.data()); });

  lathe_conv2d_workload stem = lathe_conv2d_defaults();
  stem.h = kSide, stem.w = kSide, stem.c = 3, stem.k = kFilters, stem.r = kWindow, stem.s = kWindow, stem.stride_h = 2, stem.stride_w = 2;
  stem.pad_top = stem.pad_left = stem.pad_bottom = stem.pad_right = 2;
  stem.bias = 1, stem.layout = LATHE_CONV2D_LAYOUT_NCHW, stem.activation = LATHE_CONV2D_ACTIVATION_SILU;
  Stage<lathe::Conv2d>(
      "stem convolution", [&](uint32_t flags) { return lathe::Conv2d(stem, weight.data(), bias.data(), flags); },
      [&](lathe::Conv2d& kernel) { kernel.Run(small.data(), maps.data()); });

  ProposeBoxes(EnergySums(maps), boxes, scores);

  lathe_nms_workload nms = lathe_nms_defaults();
  nms.n = kBoxes, nms.max_out = kBoxes, nms.iou_threshold = 0.45;
  Stage<lathe::Nms>(
      "nms", [&](uint32_t flags) { return lathe::Nms(nms, flags); },
      [&](lathe::Nms& kernel) { kernel.Run(boxes.data(), scores.data(), nullptr, keep.data(), count.data()); });

  std::printf("  %d of %d boxes kept; the best:", count[0], kBoxes);
  for (int i = 0; i < std::min<int32_t>(10, count[0]); ++i) {
    const float* box = boxes.data() + keep[static_cast<size_t>(i)] * 4;
    const auto x = [](float v) { return static_cast<int>(v * kFrameW / kSide); };
    const auto y = [](float v) { return static_cast<int>(v * kFrameH / kSide); };
    DrawBox(frame, x(box[0]), y(box[1]), x(box[2]), y(box[3]), i == 0 ? 8 : 4);
    std::printf(" (%d,%d)-(%d,%d)", x(box[0]), y(box[1]), x(box[2]), y(box[3]));
  }
  std::printf("\n");
  if (out != nullptr) WritePpm(out, frame);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || argc > 3) {
    std::fprintf(stderr, "usage: salient_boxes PICTURE.ppm [OUT.ppm]\n");
    return 2;
  }
  try {
    Run(argv[1], argc == 3 ? argv[2] : nullptr);
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "salient_boxes: %s\n", failure.what());
    return 1;
  }
  return 0;
}
