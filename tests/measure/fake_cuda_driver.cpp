// A CUDA driver without a GPU: memory is the host's, and the kernels of the template packed_gpu are here as functions. It notes every call,
// and fails where it is told to. Through the environment, since the worker opens it (LATHE_CUDA_DRIVER):
//   LATHE_FAKE_CUDA_LOG    file that each call's name is appended to
//   LATHE_FAKE_CUDA_FAIL   "NAME=CODE": the call of that name returns the code
//   LATHE_FAKE_CUDA_SLEEP  "NAME=MILLISECONDS": the call of that name takes so long
//   LATHE_FAKE_CUDA_N      the workload's n, which real kernels have compiled in
#include <time.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

using Kernel = void (*)(int x, int y, void** arguments);

int N() {
  const char* text = std::getenv("LATHE_FAKE_CUDA_N");
  return text == nullptr ? 1000 : std::atoi(text);
}

template <typename T>
T At(void** arguments, int i) {
  T value;
  std::memcpy(&value, arguments[i], sizeof value);
  return value;
}

void Pack(int x, int, void** a) {
  if (x >= N()) return;
  At<float*>(a, 1)[2 * x] = At<float*>(a, 0)[x];
  At<float*>(a, 1)[2 * x + 1] = 1;
}

void Twice(int x, int y, void** a) {
  if (x < N() && y < At<int>(a, 4)) At<float*>(a, 5)[y * N() + x] = 2 * At<float*>(a, 0)[y * N() + x];
}

void Add(int x, int y, void** a) {
  if (x >= N() || y >= At<int>(a, 4) || x % At<int>(a, 7) != At<int>(a, 6)) return;
  const float* packed = At<float*>(a, 1);
  At<float*>(a, 3)[y * N() + x] = packed[2 * x] * packed[2 * x + 1] + At<float*>(a, 5)[y * N() + x];
}

// The number behind "NAME=" in that variable; 0 where it has another name.
int Told(const char* variable, const char* name) {
  const char* text = std::getenv(variable);
  const size_t length = std::strlen(name);
  return text != nullptr && std::strncmp(text, name, length) == 0 && text[length] == '=' ? std::atoi(text + length + 1) : 0;
}

int Note(const char* name, const char* more = "") {
  if (const char* path = std::getenv("LATHE_FAKE_CUDA_LOG"); path != nullptr)
    if (std::FILE* file = std::fopen(path, "a"); file != nullptr) {
      std::fprintf(file, "%s%s%s\n", name, *more == 0 ? "" : " ", more);
      std::fclose(file);
    }
  ::usleep(static_cast<useconds_t>(1000 * Told("LATHE_FAKE_CUDA_SLEEP", name)));
  return Told("LATHE_FAKE_CUDA_FAIL", name);
}

double Now() {
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

}  // namespace

extern "C" {

int cuInit(unsigned) { return Note("cuInit"); }
int cuDriverGetVersion(int* version) {
  *version = 12040;
  return Note("cuDriverGetVersion");
}
int cuGetErrorName(int result, const char** name) {
  *name = result == 209   ? "CUDA_ERROR_NO_BINARY_FOR_GPU"
          : result == 701 ? "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"
          : result == 2   ? "CUDA_ERROR_OUT_OF_MEMORY"
                          : "CUDA_ERROR_OF_A_KIND";
  return 0;
}
int cuDeviceGetCount(int* count) {
  *count = 1;
  return Note("cuDeviceGetCount");
}
int cuDeviceGet(int* device, int number) {
  *device = number;
  return Note("cuDeviceGet");
}
int cuDeviceGetName(char* name, int bytes, int) {
  std::snprintf(name, static_cast<size_t>(bytes), "Fake Nano");
  return Note("cuDeviceGetName");
}
int cuDeviceGetAttribute(int* value, int attribute, int) {
  switch (attribute) {
    case 1:
      *value = 1024;
      break;
    case 12:
      *value = 32768;
      break;
    case 75:
      *value = 5;
      break;
    case 76:
      *value = 3;
      break;
    default:
      *value = 0;
  }
  return Note("cuDeviceGetAttribute");
}
int cuDeviceTotalMem_v2(size_t* bytes, int) {
  *bytes = size_t{4} << 30;
  return Note("cuDeviceTotalMem_v2");
}
int cuDeviceGetPCIBusId(char* id, int bytes, int) {
  std::snprintf(id, static_cast<size_t>(bytes), "0000:01:00.0");
  return Note("cuDeviceGetPCIBusId");
}
int cuDevicePrimaryCtxRetain(void** context, int) {
  static int only;
  *context = &only;
  return Note("cuDevicePrimaryCtxRetain");
}
int cuCtxSetCurrent(void*) { return Note("cuCtxSetCurrent"); }
int cuCtxGetDevice(int* device) {
  *device = 0;
  return Note("cuCtxGetDevice");
}
int cuMemAlloc_v2(unsigned long long* address, size_t bytes) {
  *address = reinterpret_cast<unsigned long long>(std::aligned_alloc(512, (bytes + 511) / 512 * 512));
  return Note("cuMemAlloc_v2");
}
int cuMemFree_v2(unsigned long long address) {
  std::free(reinterpret_cast<void*>(address));
  return Note("cuMemFree_v2");
}
int cuModuleUnload(void*) { return Note("cuModuleUnload"); }
int cuMemsetD8Async(unsigned long long address, unsigned char value, size_t bytes, void*) {
  std::memset(reinterpret_cast<void*>(address), value, bytes);
  return Note("cuMemsetD8Async");
}
int cuMemcpyHtoD_v2(unsigned long long to, const void* from, size_t bytes) {
  std::memcpy(reinterpret_cast<void*>(to), from, bytes);
  return Note("cuMemcpyHtoD_v2");
}
int cuMemcpyDtoH_v2(void* to, unsigned long long from, size_t bytes) {
  std::memcpy(to, reinterpret_cast<const void*>(from), bytes);
  return Note("cuMemcpyDtoH_v2");
}
int cuModuleLoadData(void** module, const void* image) {
  *module = const_cast<void*>(image);
  if (std::memcmp(image, "\177ELF", 4) != 0 && std::memcmp(image, "//", 2) != 0) return 200;  // a cubin, or PTX as NVRTC begins it
  return Note("cuModuleLoadData");
}
int cuModuleGetFunction(void** function, void*, const char* name) {
  Kernel kernel = std::strcmp(name, "pack") == 0    ? &Pack
                  : std::strcmp(name, "twice") == 0 ? &Twice
                  : std::strcmp(name, "add") == 0   ? &Add
                                                    : nullptr;
  *function = reinterpret_cast<void*>(kernel);
  Note("cuModuleGetFunction", name);
  return kernel == nullptr ? 500 : 0;
}
int cuFuncSetAttribute(void*, int, int) { return Note("cuFuncSetAttribute"); }
int cuStreamCreate(void** stream, unsigned) {
  static int only;
  *stream = &only;
  return Note("cuStreamCreate");
}
int cuStreamSynchronize(void*) { return Note("cuStreamSynchronize"); }
int cuEventCreate(void** event, unsigned) {
  *event = new double(0);
  return Note("cuEventCreate");
}
int cuEventRecord(void* event, void*) {
  *static_cast<double*>(event) = Now();
  return Note("cuEventRecord");
}
int cuEventElapsedTime(float* milliseconds, void* first, void* last) {
  *milliseconds = static_cast<float>(1e3 * (*static_cast<double*>(last) - *static_cast<double*>(first)));
  // A clock that ticks ten thousand times too fast.
  if (Note("cuEventElapsedTime") == 1) *milliseconds *= 10000;
  return 0;
}
int cuLaunchKernel(void* function, unsigned groups_x, unsigned groups_y, unsigned, unsigned items_x, unsigned items_y, unsigned, unsigned,
                   void*, void** arguments, void**) {
  const auto kernel = reinterpret_cast<Kernel>(function);
  for (unsigned y = 0; y < groups_y * items_y; ++y)
    for (unsigned x = 0; x < groups_x * items_x; ++x) kernel(static_cast<int>(x), static_cast<int>(y), arguments);
  return Note("cuLaunchKernel", kernel == &Pack ? "pack" : kernel == &Twice ? "twice" : "add");
}

// The management library (LATHE_NVML), of the same device.
int nvmlInit_v2() { return Note("nvmlInit_v2"); }
int nvmlDeviceGetHandleByPciBusId_v2(const char* id, void** device) {
  static int only;
  *device = &only;
  return std::strcmp(id, "0000:01:00.0") == 0 ? Note("nvmlDeviceGetHandleByPciBusId_v2") : 6;
}
int nvmlDeviceGetClockInfo(void*, int which, unsigned* mhz) {
  *mhz = which == 1 ? 921 : 1600;
  return Note("nvmlDeviceGetClockInfo");
}
int nvmlDeviceGetTemperature(void*, int, unsigned* celsius) {
  *celsius = 41;
  return Note("nvmlDeviceGetTemperature");
}
int nvmlDeviceGetMaxClockInfo(void*, int, unsigned* mhz) {
  *mhz = 1300;
  return Note("nvmlDeviceGetMaxClockInfo");
}
int nvmlDeviceSetGpuLockedClocks(void*, unsigned least, unsigned most) {
  return Note("nvmlDeviceSetGpuLockedClocks", (std::to_string(least) + ' ' + std::to_string(most)).c_str());
}
int nvmlDeviceResetGpuLockedClocks(void*) { return Note("nvmlDeviceResetGpuLockedClocks"); }
const char* nvmlErrorString(int code) { return code == 4 ? "Insufficient Permissions" : "Some Error"; }
// Told to fail, it tells the code as the reasons instead.
int nvmlDeviceGetCurrentClocksThrottleReasons(void*, unsigned long long* reasons) {
  *reasons = static_cast<unsigned long long>(Note("nvmlDeviceGetCurrentClocksThrottleReasons"));
  return 0;
}
}
