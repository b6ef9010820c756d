// Kernels through CUDA's driver interface, which is opened at run time: the program that links this starts without a GPU, too. The context that is
// current when a function is called is the one that is used.
#include <dlfcn.h>

#include <cstdlib>
#include <string>
#include <vector>

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
  bool open = false;

  Driver() {
    const char* given = std::getenv("LATHE_CUDA_DRIVER");
    void* library = ::dlopen(given != nullptr ? given : "libcuda.so.1", RTLD_NOW);
    if (library == nullptr) return;
    const auto find = [&](auto& function, const char* name) {
      function = reinterpret_cast<std::decay_t<decltype(function)>>(::dlsym(library, name));
      return function != nullptr;
    };
    open = find(ModuleLoadData, "cuModuleLoadData") && find(ModuleUnload, "cuModuleUnload") && find(ModuleGetFunction, "cuModuleGetFunction") &&
           find(FuncSetAttribute, "cuFuncSetAttribute") && find(MemAlloc, "cuMemAlloc_v2") && find(MemFree, "cuMemFree_v2") &&
           find(LaunchKernel, "cuLaunchKernel");
  }
};

const Driver& Cuda() {
  static const Driver driver;
  return driver;
}

struct Step {
  void* function;
  const LatheLaunch* launch;
};

lathe_gpu_status Failed(const char* doing, int error) { return lathe_gpu_fail(LATHE_GPU_DEVICE_ERROR, "%s: CUDA error %d", doing, error); }

}  // namespace

struct lathe_gpu_kernel {
  size_t index = 0;
  void* module = nullptr;
  std::vector<Step> prepare, run;
  std::vector<unsigned long long> packed;
  std::vector<unsigned long long> memory;  // of a run's tensors, and
  std::vector<void*> arguments;            // a launch's, here so that running allocates nothing
};

namespace {

lathe_gpu_status FindKernels(lathe_gpu_kernel& handle, const LatheLaunch* launches, int count, std::vector<Step>& steps) {
  for (int i = 0; i < count; ++i) {
    steps.push_back({nullptr, &launches[i]});
    int error = Cuda().ModuleGetFunction(&steps.back().function, handle.module, launches[i].kernel);
    constexpr int kMaxDynamicLocal = 8;
    if (error == 0 && launches[i].dynamic_local_bytes > 0)
      error = Cuda().FuncSetAttribute(steps.back().function, kMaxDynamicLocal, static_cast<int>(launches[i].dynamic_local_bytes));
    if (error != 0) return Failed(launches[i].kernel, error);
  }
  return LATHE_GPU_OK;
}

lathe_gpu_status Enqueue(lathe_gpu_kernel& handle, const Step& step, void* stream, std::vector<unsigned long long>& memory, const int* numbers,
                         int count, unsigned long long workspace) {
  std::vector<void*>& arguments = handle.arguments;
  arguments.clear();
  for (unsigned long long& each : memory) arguments.push_back(&each);
  for (int i = 0; i < count; ++i) arguments.push_back(const_cast<int*>(&numbers[i]));
  if (workspace != 0) arguments.push_back(&workspace);
  for (int i = 0; i < step.launch->argument_count; ++i) arguments.push_back(const_cast<int*>(&step.launch->arguments[i]));
  unsigned groups[3] = {1, 1, 1}, items[3] = {1, 1, 1};
  for (int i = 0; i < step.launch->dimensions; ++i) {
    items[i] = static_cast<unsigned>(step.launch->local[i]);
    groups[i] = static_cast<unsigned>(step.launch->global[i] / step.launch->local[i]);
  }
  const int error = Cuda().LaunchKernel(step.function, groups[0], groups[1], groups[2], items[0], items[1], items[2],
                                        step.launch->dynamic_local_bytes, stream, arguments.data(), nullptr);
  return error == 0 ? LATHE_GPU_OK : Failed(step.launch->kernel, error);
}

lathe_gpu_status Pack(lathe_gpu_kernel& handle, void* stream, const unsigned long long* constants) {
  const LatheKernelData& data = lathe_gpu_data[handle.index];
  const lathe_gpu_kernel_info& info = lathe_gpu_infos[handle.index];
  std::vector<unsigned long long> memory;
  for (size_t i = 0; i < info.tensor_count; ++i)
    if (info.tensors[i].role == 'c') memory.push_back(info.tensors[i].bytes > 0 && constants != nullptr ? constants[i] : 0);
  for (size_t i = 0; i < info.tensor_count; ++i) {
    if (data.packed_bytes[i] == 0) continue;
    if (const int error = Cuda().MemAlloc(&handle.packed[i], data.packed_bytes[i]); error != 0)
      return Failed("allocate a packed constant", error);
    memory.push_back(handle.packed[i]);
  }
  for (const Step& step : handle.prepare)
    if (const lathe_gpu_status bad = Enqueue(handle, step, stream, memory, nullptr, 0, 0); bad != LATHE_GPU_OK) return bad;
  return LATHE_GPU_OK;
}

}  // namespace

extern "C" lathe_gpu_status lathe_gpu_create(size_t index, lathe_gpu_device, lathe_gpu_queue queue, const lathe_gpu_memory* constants, const char*,
                                             lathe_gpu_kernel** kernel) {
  if (kernel != nullptr) *kernel = nullptr;
  if (kernel == nullptr || index >= lathe_gpu_count) return lathe_gpu_fail(LATHE_GPU_INVALID_ARGUMENT, "lathe_gpu_create: no kernel %zu", index);
  if (!Cuda().open) return lathe_gpu_fail(LATHE_GPU_DEVICE_ERROR, "lathe_gpu_create: there is no CUDA driver (libcuda.so.1)");
  auto* made = new lathe_gpu_kernel;
  made->index = index;
  made->packed.resize(lathe_gpu_infos[index].tensor_count);
  made->memory.resize(lathe_gpu_infos[index].tensor_count);
  made->arguments.reserve(128);
  const LatheKernelData& data = lathe_gpu_data[index];
  lathe_gpu_status status = LATHE_GPU_OK;
  if (const int error = Cuda().ModuleLoadData(&made->module, data.program); error != 0)
    status = lathe_gpu_fail(LATHE_GPU_BUILD_FAILED, "load the cubin of %s: CUDA error %d; it is for one architecture alone",
                            lathe_gpu_infos[index].workload, error);
  if (status == LATHE_GPU_OK) status = FindKernels(*made, data.prepare, data.prepare_count, made->prepare);
  if (status == LATHE_GPU_OK) status = FindKernels(*made, data.run, data.run_count, made->run);
  if (status == LATHE_GPU_OK) status = Pack(*made, queue, constants);
  if (status == LATHE_GPU_OK)
    *kernel = made;
  else
    lathe_gpu_destroy(made);
  return status;
}

extern "C" lathe_gpu_status lathe_gpu_run(lathe_gpu_kernel* kernel, lathe_gpu_queue queue, const lathe_gpu_memory* tensors,
                                          lathe_gpu_memory workspace) {
  if (kernel == nullptr || tensors == nullptr) return lathe_gpu_fail(LATHE_GPU_INVALID_ARGUMENT, "lathe_gpu_run: a null pointer");
  const LatheKernelData& data = lathe_gpu_data[kernel->index];
  const lathe_gpu_kernel_info& info = lathe_gpu_infos[kernel->index];
  if (info.workspace_bytes > 0 && workspace == 0)
    return lathe_gpu_fail(LATHE_GPU_INVALID_ARGUMENT, "lathe_gpu_run: %s needs a workspace of %zu bytes", info.workload, info.workspace_bytes);
  std::vector<unsigned long long>& memory = kernel->memory;
  for (size_t i = 0; i < info.tensor_count; ++i)
    memory[i] = kernel->packed[i] != 0 ? kernel->packed[i] : info.tensors[i].bytes > 0 ? tensors[i] : 0;
  for (const Step& step : kernel->run)
    if (const lathe_gpu_status bad =
            Enqueue(*kernel, step, queue, memory, data.dynamic, data.dynamic_count, info.workspace_bytes > 0 ? workspace : 0);
        bad != LATHE_GPU_OK)
      return bad;
  return LATHE_GPU_OK;
}

extern "C" void lathe_gpu_destroy(lathe_gpu_kernel* kernel) {
  if (kernel == nullptr) return;
  for (const unsigned long long memory : kernel->packed)
    if (memory != 0) Cuda().MemFree(memory);
  if (kernel->module != nullptr) Cuda().ModuleUnload(kernel->module);
  delete kernel;
}
