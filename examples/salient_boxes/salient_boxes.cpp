// salient_boxes PICTURE.ppm [OUT.ppm]: finds what stands out of a 1080p picture, with the kernels tuned for a one-stage detector.
//
//     frame 1080x1920 ─ resize ─► 640x640 ─ stem convolution ─► 32 edge maps ─ centre against surround ─► 8400 boxes ─ NMS ─► the best ten
//
// There are no trained weights here: the stem's are edge filters in 16 directions, the scores say how much more edge energy a box holds than
// its surround. The kernels are those the detector would run, of the same shapes; each stage says which kernel answered and how long it took,
// next to the library's portable fallback.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <lathe_kernels.hpp>
#include <memory>

#include "salience.h"

namespace {

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
  static const char* const kMatches[] = {"exact", "nearest", "untuned", "fallback"};
  Kernel fallback = make(LATHE_FORCE_FALLBACK);
  const double slow = BestOf(1, [&] { run(fallback); });
  Kernel tuned = make(0);
  const double fast = BestOf(20, [&] { run(tuned); });
  std::printf("  %-18s %8.3f ms   fallback %9.3f ms   %6.1fx   %s: %s\n", name, fast, slow, slow / fast, kMatches[tuned.match()], tuned.reason());
}

void Run(const char* file, const char* out) {
  Picture frame = Centre(ReadPpm(file), kFrameW, kFrameH);
  const std::vector<float> edges = EdgeFilters();
  Buffer<float> planes(3 * kFrameH * kFrameW), small(3 * kSide * kSide), weight(kFilters * 3 * kWindow * kWindow), bias(kFilters);
  Buffer<float> maps(kFilters * kMap * kMap), boxes(kBoxes * 4), scores(kBoxes);
  Buffer<int32_t> keep(kBoxes), count(1);
  ToPlanes(frame, planes.data());
  std::copy(edges.begin(), edges.end(), weight.data());
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
      [&](lathe::Conv2d& kernel) { kernel.Run(small.data(), nullptr, maps.data()); });

  ProposeBoxes(maps.data(), boxes.data(), scores.data());

  lathe_nms_workload nms = lathe_nms_defaults();
  nms.n = kBoxes, nms.max_out = kBoxes, nms.iou_threshold = 0.45;
  Stage<lathe::Nms>(
      "nms", [&](uint32_t flags) { return lathe::Nms(nms, flags); },
      [&](lathe::Nms& kernel) { kernel.Run(boxes.data(), scores.data(), nullptr, keep.data(), count.data()); });

  MarkBest(frame, boxes.data(), keep.data(), count[0]);
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
