// The first CUDA device, through the driver that the library itself opens: libcuda.so.1, or what $LATHE_CUDA_DRIVER names. Generated.
#include <dlfcn.h>

#include <cstdlib>
#include <type_traits>

#include "gpu_test_device.h"

namespace {

struct Driver {
  int (*Init)(unsigned) = nullptr;
  int (*DeviceGetCount)(int*) = nullptr;
  int (*DeviceGet)(int*, int) = nullptr;
  int (*DeviceGetName)(char*, int, int) = nullptr;
  int (*DevicePrimaryCtxRetain)(void**, int) = nullptr;
  int (*CtxSetCurrent)(void*) = nullptr;
  int (*StreamCreate)(void**, unsigned) = nullptr;
  int (*StreamSynchronize)(void*) = nullptr;
  int (*MemAlloc)(unsigned long long*, size_t) = nullptr;
  int (*MemFree)(unsigned long long) = nullptr;
  int (*MemcpyHtoD)(unsigned long long, const void*, size_t) = nullptr;
  int (*MemcpyDtoH)(void*, unsigned long long, size_t) = nullptr;

  // What is missing; empty where nothing is.
  std::string Open() {
    const char* given = std::getenv("LATHE_CUDA_DRIVER");
    const char* path = given != nullptr && *given != 0 ? given : "libcuda.so.1";
    void* library = ::dlopen(path, RTLD_NOW);
    if (library == nullptr) return std::string("no CUDA driver: ") + ::dlerror();
    const char* missing = nullptr;
    const auto find = [&](auto& function, const char* name) {
      function = reinterpret_cast<std::decay_t<decltype(function)>>(::dlsym(library, name));
      if (function == nullptr) missing = name;
    };
    find(Init, "cuInit");
    find(DeviceGetCount, "cuDeviceGetCount");
    find(DeviceGet, "cuDeviceGet");
    find(DeviceGetName, "cuDeviceGetName");
    find(DevicePrimaryCtxRetain, "cuDevicePrimaryCtxRetain");
    find(CtxSetCurrent, "cuCtxSetCurrent");
    find(StreamCreate, "cuStreamCreate");
    find(StreamSynchronize, "cuStreamSynchronize");
    find(MemAlloc, "cuMemAlloc_v2");
    find(MemFree, "cuMemFree_v2");
    find(MemcpyHtoD, "cuMemcpyHtoD_v2");
    find(MemcpyDtoH, "cuMemcpyDtoH_v2");
    return missing == nullptr ? "" : std::string("no CUDA driver: ") + path + " has no function " + missing;
  }
};

Driver cuda;

}  // namespace

std::string TestDevice::Open() {
  if (std::string missing = cuda.Open(); !missing.empty()) return missing;
  int count = 0, number = 0, error = cuda.Init(0);
  if (error == 0) error = cuda.DeviceGetCount(&count);
  if (error != 0 || count == 0) return "no CUDA device: the driver says error " + std::to_string(error);
  void* context = nullptr;
  error = cuda.DeviceGet(&number, 0);
  if (error == 0) error = cuda.DevicePrimaryCtxRetain(&context, number);
  if (error == 0) error = cuda.CtxSetCurrent(context);
  if (error == 0) error = cuda.StreamCreate(&queue, 1);
  char text[256] = "";
  if (error == 0) error = cuda.DeviceGetName(text, sizeof text - 1, number);
  name = text;
  return error == 0 ? "" : "no context and stream on the CUDA device: error " + std::to_string(error);
}

lathe_gpu_memory TestDevice::Allocate(size_t bytes) {
  lathe_gpu_memory memory = 0;
  return cuda.MemAlloc(&memory, bytes) == 0 ? memory : 0;
}
void TestDevice::Free(lathe_gpu_memory memory) { cuda.MemFree(memory); }
int TestDevice::Write(lathe_gpu_memory memory, const void* from, size_t bytes) {
  const int error = Finish();
  return error != 0 ? error : cuda.MemcpyHtoD(memory, from, bytes);
}
int TestDevice::Read(lathe_gpu_memory memory, void* to, size_t bytes) {
  const int error = Finish();
  return error != 0 ? error : cuda.MemcpyDtoH(to, memory, bytes);
}
int TestDevice::Finish() { return cuda.StreamSynchronize(queue); }
