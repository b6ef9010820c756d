// salient_boxes_opencl PICTURE.ppm [OUT.ppm]: salient_boxes.cpp's pipeline with the kernels on an OpenCL device, the first there is.
//
//     frame 1080x1920 ─ resize ─► 640x640 ─ stem convolution ─► 32 edge maps ─ on the host: boxes ─ NMS ─► the best ten
//
// Queue and memory are the program's; resize and convolution are enqueued one after the other, and only the maps come back. Compiled
// programs are kept in the directory where it is started.
#include <lathe_gpu_kernels.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "salience.h"

namespace {

void Check(cl_int error, const char* doing) {
  if (error != CL_SUCCESS) throw std::runtime_error(std::string(doing) + ": OpenCL error " + std::to_string(error));
}

struct Device {
  lathe_gpu_device device = {};
  cl_command_queue queue = nullptr;

  Device() {
    cl_platform_id platforms[16];
    cl_uint count = 0;
    if (clGetPlatformIDs(16, platforms, &count) == CL_SUCCESS)
      for (cl_uint i = 0; i < std::min(count, 16U) && device.device == nullptr; ++i)
        if (clGetDeviceIDs(platforms[i], CL_DEVICE_TYPE_ALL, 1, &device.device, nullptr) != CL_SUCCESS) device.device = nullptr;
    if (device.device == nullptr) throw std::runtime_error("there is no OpenCL device");
    cl_int error = CL_SUCCESS;
    device.context = clCreateContext(nullptr, 1, &device.device, nullptr, nullptr, &error);
    Check(error, "make a context");
    queue = clCreateCommandQueue(device.context, device.device, 0, &error);
    Check(error, "make a queue");
  }
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;
  ~Device() {
    if (queue != nullptr) clReleaseCommandQueue(queue);
    if (device.context != nullptr) clReleaseContext(device.context);
  }

  std::string Name() const {
    char name[256] = {};
    clGetDeviceInfo(device.device, CL_DEVICE_NAME, sizeof name - 1, name, nullptr);
    return name;
  }
};

class Memory {
 public:
  Memory(const Device& device, size_t bytes, const void* content = nullptr) {
    if (bytes == 0) return;
    cl_int error = CL_SUCCESS;
    memory_ = clCreateBuffer(device.device.context, CL_MEM_READ_WRITE, bytes, nullptr, &error);
    Check(error, "allocate");
    if (content != nullptr) Check(clEnqueueWriteBuffer(device.queue, memory_, CL_TRUE, 0, bytes, content, 0, nullptr, nullptr), "write");
  }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory() {
    if (memory_ != nullptr) clReleaseMemObject(memory_);
  }
  cl_mem get() const { return memory_; }

  template <typename T>
  std::vector<T> Read(const Device& device, size_t count) const {
    std::vector<T> values(count);
    Check(clEnqueueReadBuffer(device.queue, memory_, CL_TRUE, 0, count * sizeof(T), values.data(), 0, nullptr, nullptr), "read");
    return values;
  }

 private:
  cl_mem memory_ = nullptr;
};

// A kernel of the library, by what makes its workload unlike the others.
class Kernel {
 public:
  Kernel(const Device& device, const char* workload, const std::vector<cl_mem>& constants)
      : device_(device), index_(lathe_gpu_find(workload)) {
    if (index_ < 0) throw std::runtime_error(lathe_gpu_last_error());
    workspace_ = std::make_unique<Memory>(device, info().workspace_bytes);
    Check(lathe_gpu_create(static_cast<size_t>(index_), device.device, device.queue, constants.data(), ".", &kernel_));
  }
  Kernel(const Kernel&) = delete;
  Kernel& operator=(const Kernel&) = delete;
  ~Kernel() { lathe_gpu_destroy(kernel_); }

  const lathe_gpu_kernel_info& info() const { return lathe_gpu_kernels_table(nullptr)[index_]; }
  void Enqueue(const std::vector<cl_mem>& tensors) const {
    Check(lathe_gpu_run(kernel_, device_.queue, tensors.data(), workspace_->get()));
  }

  // The best of some runs in milliseconds, by the host's clock.
  double Time(const std::vector<cl_mem>& tensors) const {
    double best = 1e30;
    for (int i = 0; i < 10; ++i) {
      const auto begin = std::chrono::steady_clock::now();
      Enqueue(tensors);
      clFinish(device_.queue);
      best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    }
    return best * 1e3;
  }
  void Report(const char* name, const std::vector<cl_mem>& tensors) const {
    std::printf("  %-18s %8.3f ms   %s: %s\n", name, Time(tensors), info().match, info().reason);
  }

 private:
  static void Check(lathe_gpu_status status) {
    if (status != LATHE_GPU_OK) throw std::runtime_error(lathe_gpu_last_error());
  }
  const Device& device_;
  int index_;
  lathe_gpu_kernel* kernel_ = nullptr;
  std::unique_ptr<Memory> workspace_;
};

void Run(const char* file, const char* out) {
  Picture frame = Centre(ReadPpm(file), kFrameW, kFrameH);
  std::vector<float> planes(3 * kFrameH * kFrameW), boxes(kBoxes * 4), scores(kBoxes);
  ToPlanes(frame, planes.data());
  const std::vector<float> edges = EdgeFilters(), zeros(kFilters);
  constexpr size_t kMapValues = kFilters * kMap * kMap;

  const Device device;
  std::printf("%s, %dx%d, on %s:\n", file, kFrameW, kFrameH, device.Name().c_str());
  const Memory picture(device, planes.size() * 4, planes.data()), small(device, 3 * kSide * kSide * 4), maps(device, kMapValues * 4);
  const Memory weight(device, edges.size() * 4, edges.data()), bias(device, zeros.size() * 4, zeros.data());
  // Tensors in the table's order; what is absent is null.
  const std::vector<cl_mem> of_resize = {picture.get(), small.get()};
  const std::vector<cl_mem> of_stem = {small.get(), weight.get(), bias.get(), nullptr, maps.get()};
  const Kernel resize(device, "resize:h=1080,w=1920,oh=640,ow=640", of_resize), stem(device, "conv2d:h=640,w=640,c=3,k=32", of_stem);
  resize.Enqueue(of_resize);
  stem.Enqueue(of_stem);
  ProposeBoxes(maps.Read<float>(device, kMapValues).data(), boxes.data(), scores.data());

  const Memory all(device, boxes.size() * 4, boxes.data()), ranks(device, scores.size() * 4, scores.data());
  const Memory keep(device, kBoxes * 4), count(device, 4);
  const std::vector<cl_mem> of_nms = {all.get(), ranks.get(), nullptr, keep.get(), count.get()};
  const Kernel nms(device, "nms:n=8400", of_nms);
  nms.Enqueue(of_nms);
  MarkBest(frame, boxes.data(), keep.Read<int32_t>(device, kBoxes).data(), count.Read<int32_t>(device, 1)[0]);

  resize.Report("resize", of_resize);
  stem.Report("stem convolution", of_stem);
  nms.Report("nms", of_nms);
  if (out != nullptr) WritePpm(out, frame);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || argc > 3) {
    std::fprintf(stderr, "usage: salient_boxes_opencl PICTURE.ppm [OUT.ppm]\n");
    return 2;
  }
  try {
    Run(argv[1], argc == 3 ? argv[2] : nullptr);
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "salient_boxes_opencl: %s\n", failure.what());
    return 1;
  }
  return 0;
}
