// Holds every kernel to its operator's reference, on the device that gpu_test_device.h opens. Exit status 77: there is none. Generated.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "gpu_test_device.h"
#include "lathe_abi.h"

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

// On the device, released with this.
struct Memory {
  TestDevice& device;
  std::vector<lathe_gpu_memory> of;  // one a tensor, then the workspace; null where it has no bytes

  explicit Memory(TestDevice& on) : device(on) {}
  ~Memory() {
    for (const lathe_gpu_memory each : of)
      if (each != lathe_gpu_memory{}) device.Free(each);
  }
  bool Add(size_t bytes) {
    of.push_back(bytes > 0 ? device.Allocate(bytes) : lathe_gpu_memory{});
    return bytes == 0 || of.back() != lathe_gpu_memory{};
  }
};

static bool Failed(const lathe_gpu_kernel_info& info, const std::string& why) {
  std::printf("FAILED %s: %s\n", info.workload, why.c_str());
  return false;
}

// What must be refused is: an output in an input's memory, a tensor that is missing, one that the workload does not have.
static std::string WronglyTaken(lathe_gpu_kernel* kernel, const lathe_gpu_kernel_info& info, lathe_gpu_queue queue, const Memory& memory) {
  const auto refuses = [&](const std::vector<lathe_gpu_memory>& tensors) {
    return lathe_gpu_run(kernel, queue, tensors.data(), memory.of.back()) == LATHE_GPU_INVALID_ARGUMENT;
  };
  for (size_t i = 0; i < info.tensor_count; ++i) {
    std::vector<lathe_gpu_memory> tensors = memory.of;
    if (info.tensors[i].role == 'c') continue;  // a packed one needs no entry
    if (info.tensors[i].bytes > 0) {
      tensors[i] = {};
      if (!refuses(tensors)) return std::string("without '") + info.tensors[i].name + "' it was not refused";
    }
    for (size_t k = 0; k < info.tensor_count; ++k) {
      if (info.tensors[i].role != 'o' || info.tensors[i].bytes == 0 || info.tensors[k].role != 'i' || info.tensors[k].bytes == 0) continue;
      tensors[i] = memory.of[k];
      if (!refuses(tensors)) return "an output in an input's memory was not refused";
    }
  }
  return "";
}

// Where the device's results are not the reference's, which are in `host`.
static std::string Difference(const lathe_gpu_kernel_info& info, const TestCase& test, const std::vector<Bytes>& host, const Memory& memory) {
  for (size_t i = 0; i < info.tensor_count; ++i) {
    if (info.tensors[i].role != 'o' || info.tensors[i].bytes == 0) continue;
    Bytes actual(info.tensors[i].bytes);
    if (const int error = memory.device.Read(memory.of[i], actual.data(), actual.size()); error != 0) return "read: error " + std::to_string(error);
    const char* dtype = info.tensors[i].dtype;
    const size_t count = actual.size() / SizeOf(dtype);
    double largest = 0;
    for (size_t k = 0; k < count; ++k) largest = std::max(largest, std::fabs(Number(dtype, host[i], k)));
    const double allowed = test.tensors[i].exact != 0 ? 0 : std::max(test.tensors[i].absolute, test.tensors[i].relative * largest);
    for (size_t k = 0; k < count; ++k) {
      const double want = Number(dtype, host[i], k), got = Number(dtype, actual, k);
      if (want == got || std::fabs(want - got) <= allowed) continue;
      char text[200];
      std::snprintf(text, sizeof text, "%s[%zu] is %g, the reference has %g", info.tensors[i].name, k, got, want);
      return text;
    }
  }
  return "";
}

static bool Check(size_t index, TestDevice& device) {
  const lathe_gpu_kernel_info& info = lathe_gpu_kernels_table(nullptr)[index];
  const TestCase& test = kCases[index];
  std::mt19937_64 random(index + 1);
  std::vector<Bytes> host(info.tensor_count);
  std::vector<void*> pointers(info.tensor_count);
  for (size_t i = 0; i < info.tensor_count; ++i) {
    host[i].resize((info.tensors[i].bytes + 63) / 64 * 64);
    if (info.tensors[i].role != 'o' && test.make_inputs == nullptr) Fill(test.tensors[i], info.tensors[i].dtype, host[i], random);
    pointers[i] = info.tensors[i].bytes > 0 ? host[i].data() : nullptr;
  }
  const lathe_parallel alone = {nullptr, 1, OneAfterTheOther};
  const lathe_call call = {pointers.data(), test.dynamic, nullptr, &alone};
  if (test.make_inputs != nullptr) test.make_inputs(&call, 1);

  Memory memory(device);
  for (size_t i = 0; i < info.tensor_count; ++i) {
    if (!memory.Add(info.tensors[i].bytes)) return Failed(info, "the device has no memory for its tensors");
    if (info.tensors[i].bytes > 0)
      if (const int error = device.Write(memory.of[i], host[i].data(), info.tensors[i].bytes); error != 0)
        return Failed(info, "write its tensors: error " + std::to_string(error));
  }
  if (!memory.Add(info.workspace_bytes)) return Failed(info, "the device has no memory for its workspace");
  lathe_gpu_kernel* kernel = nullptr;
  if (lathe_gpu_create(index, device.device, device.queue, memory.of.data(), ".", &kernel) != LATHE_GPU_OK) return Failed(info, lathe_gpu_last_error());
  std::string wrong;
  for (int run = 0; wrong.empty() && run < 2; ++run)  // twice: a workspace holds anything
    if (lathe_gpu_run(kernel, device.queue, memory.of.data(), memory.of.back()) != LATHE_GPU_OK) wrong = lathe_gpu_last_error();
  if (const int error = device.Finish(); wrong.empty() && error != 0) wrong = "the device gave up: error " + std::to_string(error);
  if (wrong.empty() && test.reference(&call) != 0) wrong = "the reference refuses it";
  if (wrong.empty()) wrong = Difference(info, test, host, memory);
  if (wrong.empty()) wrong = WronglyTaken(kernel, info, device.queue, memory);
  device.Finish();
  lathe_gpu_destroy(kernel);
  if (!wrong.empty()) return Failed(info, wrong);
  std::printf("ok     %s  %s %s\n", info.workload, info.template_name, info.match);
  return true;
}

int main() {
  TestDevice device;
  if (const std::string none = device.Open(); !none.empty()) {
    std::printf("skipped: %s\n", none.c_str());
    return 77;
  }
  std::printf("on %s\n", device.name.c_str());
  size_t count = 0, bad = 0;
  lathe_gpu_kernels_table(&count);
  for (size_t i = 0; i < count; ++i) bad += Check(i, device) ? 0 : 1;
  std::printf("%zu kernels, %zu wrong\n", count, bad);
  return bad == 0 ? 0 : 1;
}
