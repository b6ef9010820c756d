// Holds every kernel to its operator's reference, on the first OpenCL device.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

#include "lathe_abi.h"
#include "lathe_gpu_kernels.h"

struct TestTensor {
  double low, high;
  int integers;
  int exact;
  double relative, absolute;
};
struct TestCase {
  int (*reference)(const lathe_call*);
  void (*make_inputs)(const lathe_call*, uint64_t);
  const int64_t* dynamic;
  const TestTensor* tensors;
};
@EXTERNS@
@TABLES@
static const TestCase kCases[] = {
@CASES@};

using Bytes = std::vector<unsigned char>;

static float HalfToFloat(uint16_t half) {
  const int exponent = half >> 10 & 31, fraction = half & 1023;
  const float magnitude = exponent == 0    ? std::ldexp(static_cast<float>(fraction), -24)
                          : exponent == 31 ? (fraction != 0 ? NAN : INFINITY)
                                           : std::ldexp(static_cast<float>(fraction + 1024), exponent - 25);
  return (half & 0x8000) != 0 ? -magnitude : magnitude;
}

static uint16_t FloatToHalf(float value) {
  // Of the numbers that tests use: no infinities, rounded to nearest by searching the neighbours.
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  const float magnitude = std::fabs(value);
  uint16_t low = 0, high = 0x7bff;
  while (low < high) {
    const auto middle = static_cast<uint16_t>((low + high + 1) / 2);
    if (HalfToFloat(middle) <= magnitude)
      low = middle;
    else
      high = static_cast<uint16_t>(middle - 1);
  }
  return static_cast<uint16_t>(sign | low);
}

template <typename T>
static double At(const Bytes& bytes, size_t i) {
  T value;
  std::memcpy(&value, bytes.data() + i * sizeof value, sizeof value);
  return static_cast<double>(value);
}

static size_t SizeOf(const char* dtype) { return dtype[1] == '8' ? 1 : dtype[1] == '1' ? 2 : dtype[1] == '3' ? 4 : 8; }

static double Number(const char* dtype, const Bytes& bytes, size_t i) {
  if (std::strcmp(dtype, "f32") == 0) return At<float>(bytes, i);
  if (std::strcmp(dtype, "f64") == 0) return At<double>(bytes, i);
  if (std::strcmp(dtype, "u8") == 0) return At<uint8_t>(bytes, i);
  if (std::strcmp(dtype, "i8") == 0) return At<int8_t>(bytes, i);
  if (std::strcmp(dtype, "i32") == 0) return At<int32_t>(bytes, i);
  if (std::strcmp(dtype, "i64") == 0) return At<int64_t>(bytes, i);
  uint16_t half;
  std::memcpy(&half, bytes.data() + 2 * i, 2);
  return HalfToFloat(half);
}

static void Fill(const TestTensor& tensor, const char* dtype, Bytes& bytes, std::mt19937_64& random) {
  std::uniform_real_distribution<double> real(tensor.low, tensor.high);
  std::uniform_int_distribution<int64_t> whole(static_cast<int64_t>(tensor.low), static_cast<int64_t>(tensor.high));
  const auto put = [&](size_t i, auto value) { std::memcpy(bytes.data() + i * sizeof value, &value, sizeof value); };
  for (size_t i = 0; i < bytes.size() / SizeOf(dtype); ++i) {
    const double value = tensor.integers != 0 ? static_cast<double>(whole(random)) : real(random);
    if (std::strcmp(dtype, "f32") == 0) put(i, static_cast<float>(value));
    else if (std::strcmp(dtype, "f64") == 0) put(i, value);
    else if (std::strcmp(dtype, "u8") == 0) put(i, static_cast<uint8_t>(value));
    else if (std::strcmp(dtype, "i8") == 0) put(i, static_cast<int8_t>(value));
    else if (std::strcmp(dtype, "i32") == 0) put(i, static_cast<int32_t>(value));
    else if (std::strcmp(dtype, "i64") == 0) put(i, static_cast<int64_t>(value));
    else put(i, FloatToHalf(static_cast<float>(value)));
  }
}

static void OneAfterTheOther(void*, int32_t tasks, void (*body)(void*, int32_t), void* arg) {
  for (int32_t task = 0; task < tasks; ++task) body(arg, task);
}

static bool Check(size_t index, lathe_gpu_device device, cl_command_queue queue) {
  const lathe_gpu_kernel_info& info = lathe_gpu_kernels_table(nullptr)[index];
  const TestCase& test = kCases[index];
  std::mt19937_64 random(index + 1);
  std::vector<Bytes> host(info.tensor_count), expected(info.tensor_count);
  std::vector<cl_mem> memory(info.tensor_count);
  std::vector<void*> pointers(info.tensor_count);
  for (size_t i = 0; i < info.tensor_count; ++i) {
    host[i].resize((info.tensors[i].bytes + 63) / 64 * 64);
    if (info.tensors[i].role != 'o' && test.make_inputs == nullptr) Fill(test.tensors[i], info.tensors[i].dtype, host[i], random);
    pointers[i] = info.tensors[i].bytes > 0 ? host[i].data() : nullptr;
  }
  const lathe_parallel alone = {nullptr, 1, OneAfterTheOther};
  const lathe_call call = {pointers.data(), test.dynamic, nullptr, &alone};
  if (test.make_inputs != nullptr) test.make_inputs(&call, 1);
  for (size_t i = 0; i < info.tensor_count; ++i) {
    if (info.tensors[i].bytes == 0) continue;
    memory[i] = clCreateBuffer(device.context, CL_MEM_READ_WRITE, info.tensors[i].bytes, nullptr, nullptr);
    clEnqueueWriteBuffer(queue, memory[i], CL_TRUE, 0, info.tensors[i].bytes, host[i].data(), 0, nullptr, nullptr);
  }
  cl_mem workspace = info.workspace_bytes > 0 ? clCreateBuffer(device.context, CL_MEM_READ_WRITE, info.workspace_bytes, nullptr, nullptr) : nullptr;
  lathe_gpu_kernel* kernel = nullptr;
  bool good = lathe_gpu_create(index, device, queue, memory.data(), ".", &kernel) == LATHE_GPU_OK;
  for (int run = 0; good && run < 2; ++run) good = lathe_gpu_run(kernel, queue, memory.data(), workspace) == LATHE_GPU_OK;
  const int finished = good ? clFinish(queue) : 0;
  if (!good || finished != CL_SUCCESS) {
    std::printf("FAILED %s: %s (%d)\n", info.workload, good ? "the device gave up" : lathe_gpu_last_error(), finished);
    return false;
  }
  std::vector<cl_mem> in_place = memory;
  for (size_t i = 0; i < info.tensor_count; ++i)
    for (size_t k = 0; k < info.tensor_count; ++k)
      if (info.tensors[i].role == 'o' && info.tensors[k].role == 'i' && memory[k] != nullptr) in_place[i] = memory[k];
  if (lathe_gpu_run(kernel, queue, in_place.data(), workspace) != LATHE_GPU_INVALID_ARGUMENT) {
    std::printf("FAILED %s: an output in an input's memory was not refused\n", info.workload);
    return false;
  }
  if (test.reference(&call) != 0) return false;
  for (size_t i = 0; good && i < info.tensor_count; ++i) {
    if (info.tensors[i].role != 'o' || info.tensors[i].bytes == 0) continue;
    Bytes actual(info.tensors[i].bytes);
    clEnqueueReadBuffer(queue, memory[i], CL_TRUE, 0, actual.size(), actual.data(), 0, nullptr, nullptr);
    const char* dtype = info.tensors[i].dtype;
    const size_t count = actual.size() / SizeOf(dtype);
    double largest = 0;
    for (size_t k = 0; k < count; ++k) largest = std::max(largest, std::fabs(Number(dtype, host[i], k)));
    const double allowed = test.tensors[i].exact != 0 ? 0 : std::max(test.tensors[i].absolute, test.tensors[i].relative * largest);
    for (size_t k = 0; good && k < count; ++k) {
      const double want = Number(dtype, host[i], k), got = Number(dtype, actual, k);
      good = want == got || std::fabs(want - got) <= allowed;
      if (!good) std::printf("FAILED %s: %s[%zu] is %g, the reference has %g\n", info.workload, info.tensors[i].name, k, got, want);
    }
  }
  if (good) std::printf("ok     %s  %s %s\n", info.workload, info.template_name, info.match);
  lathe_gpu_destroy(kernel);
  for (cl_mem each : memory)
    if (each != nullptr) clReleaseMemObject(each);
  if (workspace != nullptr) clReleaseMemObject(workspace);
  return good;
}

int main() {
  cl_platform_id platforms[16];
  cl_uint platform_count = 0;
  lathe_gpu_device device = {};
  if (clGetPlatformIDs(16, platforms, &platform_count) == CL_SUCCESS)
    for (cl_uint i = 0; i < platform_count && i < 16 && device.device == nullptr; ++i)
      if (clGetDeviceIDs(platforms[i], CL_DEVICE_TYPE_ALL, 1, &device.device, nullptr) != CL_SUCCESS) device.device = nullptr;
  if (device.device == nullptr) {
    std::puts("skipped: there is no OpenCL device");
    return 77;
  }
  device.context = clCreateContext(nullptr, 1, &device.device, nullptr, nullptr, nullptr);
  const cl_command_queue queue = clCreateCommandQueue(device.context, device.device, 0, nullptr);
  size_t count = 0, bad = 0;
  lathe_gpu_kernels_table(&count);
  for (size_t i = 0; i < count; ++i) bad += Check(i, device, queue) ? 0 : 1;
  std::printf("%zu kernels, %zu wrong\n", count, bad);
  return bad == 0 ? 0 : 1;
}
