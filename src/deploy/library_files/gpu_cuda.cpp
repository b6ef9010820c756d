// CUDA's driver interface for gpu_library.cpp. It is opened at run time: the program that links this starts without a GPU, too. The context that is
// current when a function is called is the one that is used.
#include <dlfcn.h>

#include <cstdlib>
#include <string>
#include <type_traits>

#include "gpu_data.h"

namespace {

struct Driver {
  int (*ModuleLoadData)(void**, const void*) = nullptr;
  int (*ModuleUnload)(void*) = nullptr;
  int (*ModuleGetFunction)(void**, void*, const char*) = nullptr;
  int (*FuncSetAttribute)(void*, int, int) = nullptr;
  int (*MemAlloc)(unsigned long long*, size_t) = nullptr;
  int (*MemFree)(unsigned long long) = nullptr;
  int (*LaunchKernel)(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void*, void**, void**) = nullptr;
  // For messages alone.
  int (*GetErrorName)(int, const char**) = nullptr;
  int (*CtxGetDevice)(int*) = nullptr;
  int (*DeviceGetAttribute)(int*, int, int) = nullptr;
  std::string missing;  // empty where nothing is

  Driver() {
    const char* given = std::getenv("LATHE_CUDA_DRIVER");
    const char* path = given != nullptr && *given != 0 ? given : "libcuda.so.1";
    void* library = ::dlopen(path, RTLD_NOW);
    if (library == nullptr) {
      missing = ::dlerror();
      return;
    }
    const auto find = [&](auto& function, const char* name) {
      function = reinterpret_cast<std::decay_t<decltype(function)>>(::dlsym(library, name));
      return function != nullptr;
    };
    const auto need = [&](auto& function, const char* name) {
      if (!find(function, name)) missing = std::string(path) + " has no function " + name;
    };
    need(ModuleLoadData, "cuModuleLoadData");
    need(ModuleUnload, "cuModuleUnload");
    need(ModuleGetFunction, "cuModuleGetFunction");
    need(FuncSetAttribute, "cuFuncSetAttribute");
    need(MemAlloc, "cuMemAlloc_v2");
    need(MemFree, "cuMemFree_v2");
    need(LaunchKernel, "cuLaunchKernel");
    find(GetErrorName, "cuGetErrorName");
    find(CtxGetDevice, "cuCtxGetDevice");
    find(DeviceGetAttribute, "cuDeviceGetAttribute");
  }
};

const Driver& Cuda() {
  static const Driver driver;
  return driver;
}

// "CUDA_ERROR_NO_BINARY_FOR_GPU (209)"
std::string ErrorText(int error) {
  const char* name = nullptr;
  if (Cuda().GetErrorName == nullptr || Cuda().GetErrorName(error, &name) != 0 || name == nullptr) name = "CUDA error";
  return std::string(name) + " (" + std::to_string(error) + ')';
}

lathe_gpu_status Failed(const char* doing, int error) {
  return lathe_gpu_fail(LATHE_GPU_DEVICE_ERROR, "%s: %s", doing, ErrorText(error).c_str());
}

// "sm_53", of the current context's device; empty where there is none.
std::string DeviceArchitecture() {
  constexpr int kCapabilityMajor = 75, kCapabilityMinor = 76;
  int device = 0, major = 0, minor = 0;
  if (Cuda().CtxGetDevice == nullptr || Cuda().DeviceGetAttribute == nullptr || Cuda().CtxGetDevice(&device) != 0 ||
      Cuda().DeviceGetAttribute(&major, kCapabilityMajor, device) != 0 || Cuda().DeviceGetAttribute(&minor, kCapabilityMinor, device) != 0)
    return "";
  return "sm_" + std::to_string(major) + std::to_string(minor);
}

}  // namespace

lathe_gpu_status lathe_gpu_load(size_t index, lathe_gpu_device, const char*, void** program) {
  if (!Cuda().missing.empty())
    return lathe_gpu_fail(LATHE_GPU_DEVICE_ERROR, "lathe_gpu_create: there is no CUDA driver: %s", Cuda().missing.c_str());
  const int error = Cuda().ModuleLoadData(program, lathe_gpu_data[index].program);
  if (error == 0) return LATHE_GPU_OK;
  *program = nullptr;
  constexpr int kNoContext = 201;
  const std::string device = DeviceArchitecture(), built = lathe_gpu_architecture;
  std::string why = ErrorText(error);
  if (error == kNoContext) why += "; make a context current first";
  else if (!device.empty() && device != built)
    why += "; it was built for " + built + ", and this device is " + device + ": generate the library with --target cuda/" + device;
  return lathe_gpu_fail(LATHE_GPU_BUILD_FAILED, "lathe_gpu_create: load the program of %s: %s", lathe_gpu_infos[index].workload, why.c_str());
}

lathe_gpu_status lathe_gpu_find_kernel(void* program, const LatheLaunch& launch, void** kernel) {
  constexpr int kMaxDynamicLocal = 8;
  int error = Cuda().ModuleGetFunction(kernel, program, launch.kernel);
  if (error == 0 && launch.dynamic_local_bytes > 0)
    error = Cuda().FuncSetAttribute(*kernel, kMaxDynamicLocal, static_cast<int>(launch.dynamic_local_bytes));
  return error == 0 ? LATHE_GPU_OK : Failed(launch.kernel, error);
}

lathe_gpu_status lathe_gpu_allocate(lathe_gpu_device, size_t bytes, lathe_gpu_memory* memory) {
  const int error = Cuda().MemAlloc(memory, bytes);
  return error == 0 ? LATHE_GPU_OK : Failed("allocate a packed constant", error);
}

lathe_gpu_status lathe_gpu_launch(void* kernel, const LatheLaunch& launch, lathe_gpu_queue queue, size_t, const void* const* values, const size_t*) {
  unsigned groups[3] = {1, 1, 1}, items[3] = {1, 1, 1};
  for (int i = 0; i < launch.dimensions; ++i) {
    items[i] = static_cast<unsigned>(launch.local[i]);
    groups[i] = static_cast<unsigned>(launch.global[i] / launch.local[i]);
  }
  const int error = Cuda().LaunchKernel(kernel, groups[0], groups[1], groups[2], items[0], items[1], items[2], launch.dynamic_local_bytes, queue,
                                        const_cast<void**>(values), nullptr);
  return error == 0 ? LATHE_GPU_OK : Failed(launch.kernel, error);
}

bool lathe_gpu_overlap(lathe_gpu_memory a, size_t a_bytes, lathe_gpu_memory b, size_t b_bytes) { return a < b + b_bytes && b < a + a_bytes; }
void lathe_gpu_free(lathe_gpu_memory memory) { Cuda().MemFree(memory); }
void lathe_gpu_release_kernel(void*) {}
void lathe_gpu_unload(void* program) { Cuda().ModuleUnload(program); }
