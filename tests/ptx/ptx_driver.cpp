// libptx_driver.so: a CUDA driver for one device that is not there. Kernels are interpreted by ptx_machine.h, on the calling thread, when
// they are launched. Through the environment, since workers and kernel libraries open it by name (LATHE_CUDA_DRIVER):
//   LATHE_PTX_DEVICE  the device's architecture: sm_53, sm_87 (which is what stands here otherwise)
//   LATHE_PTX_LOG     file that findings go to; else the standard error
//   LATHE_PTX_COUNTS  file that each launch's memory sectors and bank conflicts are appended to (access_counts.h)
//   LATHE_PTX_GLOBAL_INIT  1: reads of global memory that neither the host nor a kernel wrote are findings, too. Not by itself, for
//                     winograd_gpu multiplies rows of its workspace that nobody fills, and uses none of the products
#include <time.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>

#include "access_counts.h"
#include "measure/cuda_architecture.h"
#include "ptx_machine.h"

namespace {

using lathe::ptx::Findings;
using lathe::ptx::Grid;
using lathe::ptx::Kernel;

enum Code : int {
  kSuccess = 0,
  kInvalidValue = 1,
  kOutOfMemory = 2,
  kNoDevice = 100,
  kInvalidDevice = 101,
  kInvalidPtx = 218,
  kInvalidHandle = 400,
  kNotFound = 500,
};

struct Function {
  const Kernel* kernel = nullptr;
  uint64_t most_dynamic = 0;  // bytes of shared memory that a launch may add
};

struct LoadedModule {
  std::unique_ptr<lathe::ptx::Module> module;
  std::map<std::string, Function> functions;
};

struct Driver {
  std::mutex mutex;  // everything below but `broken`
  lathe::CudaArchitecture architecture;
  std::string name;
  lathe::ptx::DeviceMemory memory;
  Findings findings;
  std::set<LoadedModule*> modules;
  std::atomic<int> broken = 0;  // by a kernel: every later call that waits says so
};

Driver& TheDriver() {
  static Driver driver;
  return driver;
}

constexpr uint64_t kStaticSharedBytes = 48 * 1024;  // a block gets so much without asking

double Now() {
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

void Say(const std::string& text) { TheDriver().findings.Tell(text + '\n'); }

int Attribute(int attribute) {
  const lathe::CudaArchitecture& device = TheDriver().architecture;
  switch (attribute) {
    case 1:  // threads of a block
    case 2:  // in x
    case 3:  // in y
      return 1024;
    case 4:  // in z
      return 64;
    case 5:  // blocks of a grid in x
      return 2147483647;
    case 6:
    case 7:
      return 65535;
    case 8:
      return static_cast<int>(kStaticSharedBytes);
    case 10:
      return 32;
    case 12:
      return static_cast<int>(device.registers_per_group);
    case 16:
      return static_cast<int>(device.processors);
    case 75:
      return device.capability / 10;
    case 76:
      return device.capability % 10;
    case 97:
      return static_cast<int>(device.local_per_group);
    default:
      return -1;
  }
}

// What a driver refuses before anything runs; empty where it would launch.
std::string WhyNot(const Function& function, const Grid& grid, unsigned dynamic) {
  const Kernel& kernel = *function.kernel;
  uint64_t threads = 1;
  for (size_t i = 0; i < 3; ++i) {
    threads *= grid.threads[i];
    if (grid.threads[i] == 0 || grid.blocks[i] == 0) return "an empty grid";
    if (i > 0 && grid.blocks[i] > 65535) return "more than 65535 blocks in dimension " + std::to_string(i);
    if (kernel.exact_threads && grid.threads[i] != kernel.most_threads[i]) return "other than the kernel's .reqntid";
  }
  if (threads > 1024 || grid.threads[2] > 64) return "more than 1024 threads a block, or 64 in dimension 2";
  const uint64_t most = uint64_t{kernel.most_threads[0]} * kernel.most_threads[1] * kernel.most_threads[2];
  if (most > 0 && threads > most) return "more threads than the kernel's .maxntid, " + std::to_string(most);
  if (kernel.shared_bytes > kStaticSharedBytes) return "more than 48 KiB of declared shared memory";
  if (kernel.shared_bytes + dynamic > std::max(kStaticSharedBytes, kernel.shared_bytes + function.most_dynamic))
    return std::to_string(kernel.shared_bytes + dynamic) + " bytes of shared memory, without having asked for more than 48 KiB";
  return "";
}

}  // namespace

extern "C" {

int cuInit(unsigned) {
  const char* asked = std::getenv("LATHE_PTX_DEVICE");
  const std::string name = asked == nullptr || *asked == 0 ? "sm_87" : asked;
  const auto found = lathe::FindCudaArchitecture(name);
  if (!found) {
    Say("start ptx_driver: LATHE_PTX_DEVICE is '" + name + "', which is no architecture that is known");
    return kNoDevice;
  }
  TheDriver().architecture = *found;
  TheDriver().name = "PTX interpreter";
  return kSuccess;
}
int cuDriverGetVersion(int* version) {
  *version = 13000;
  return kSuccess;
}
int cuGetErrorName(int result, const char** name) {
  switch (result) {
    case kInvalidValue:
      *name = "CUDA_ERROR_INVALID_VALUE";
      break;
    case kOutOfMemory:
      *name = "CUDA_ERROR_OUT_OF_MEMORY";
      break;
    case kNoDevice:
      *name = "CUDA_ERROR_NO_DEVICE";
      break;
    case kInvalidPtx:
      *name = "CUDA_ERROR_INVALID_PTX";
      break;
    case kNotFound:
      *name = "CUDA_ERROR_NOT_FOUND";
      break;
    case lathe::ptx::kIllegalAddress:
      *name = "CUDA_ERROR_ILLEGAL_ADDRESS";
      break;
    case lathe::ptx::kMisalignedAddress:
      *name = "CUDA_ERROR_MISALIGNED_ADDRESS";
      break;
    case lathe::ptx::kLaunchTimeout:
      *name = "CUDA_ERROR_LAUNCH_TIMEOUT";
      break;
    case lathe::ptx::kLaunchFailed:
      *name = "CUDA_ERROR_LAUNCH_FAILED";
      break;
    default:
      *name = "CUDA_ERROR_UNKNOWN";
  }
  return kSuccess;
}
int cuDeviceGetCount(int* count) {
  *count = 1;
  return kSuccess;
}
int cuDeviceGet(int* device, int number) {
  *device = number;
  return number == 0 ? kSuccess : kInvalidDevice;
}
int cuDeviceGetName(char* name, int bytes, int) {
  std::snprintf(name, static_cast<size_t>(bytes), "%s", TheDriver().name.c_str());
  return kSuccess;
}
int cuDeviceGetAttribute(int* value, int attribute, int) {
  *value = Attribute(attribute);
  return *value < 0 ? kInvalidValue : kSuccess;
}
int cuDeviceTotalMem_v2(size_t* bytes, int) {
  *bytes = size_t{4} << 30;
  return kSuccess;
}
int cuDeviceGetPCIBusId(char* id, int bytes, int) {
  std::snprintf(id, static_cast<size_t>(bytes), "0000:00:00.0");
  return kSuccess;
}
int cuDevicePrimaryCtxRetain(void** context, int) {
  *context = &TheDriver();
  return kSuccess;
}
int cuDevicePrimaryCtxRelease_v2(int) { return kSuccess; }
int cuCtxSetCurrent(void*) { return kSuccess; }
int cuCtxGetDevice(int* device) {
  *device = 0;
  return kSuccess;
}
int cuCtxSynchronize() { return TheDriver().broken; }

int cuMemAlloc_v2(unsigned long long* address, size_t bytes) {
  const std::lock_guard lock(TheDriver().mutex);
  if (bytes == 0) return kInvalidValue;
  *address = TheDriver().memory.Allocate(bytes);
  return *address == 0 ? kOutOfMemory : kSuccess;
}
int cuMemFree_v2(unsigned long long address) {
  const std::lock_guard lock(TheDriver().mutex);
  return address == 0 || TheDriver().memory.Free(address) ? kSuccess : kInvalidValue;
}

int cuMemsetD8Async(unsigned long long address, unsigned char value, size_t bytes, void*) {
  const std::lock_guard lock(TheDriver().mutex);
  if (bytes > 0 && TheDriver().memory.Find(address, bytes) == nullptr) return kInvalidValue;
  std::memset(reinterpret_cast<void*>(address), value, bytes);
  TheDriver().memory.MarkUnwritten(address, bytes);
  return kSuccess;
}
int cuMemcpyHtoD_v2(unsigned long long to, const void* from, size_t bytes) {
  const std::lock_guard lock(TheDriver().mutex);
  if (bytes > 0 && TheDriver().memory.Find(to, bytes) == nullptr) return kInvalidValue;
  std::memcpy(reinterpret_cast<void*>(to), from, bytes);
  TheDriver().memory.MarkWritten(to, bytes);
  return TheDriver().broken;
}
int cuMemcpyDtoH_v2(void* to, unsigned long long from, size_t bytes) {
  const std::lock_guard lock(TheDriver().mutex);
  if (bytes > 0 && TheDriver().memory.Find(from, bytes) == nullptr) return kInvalidValue;
  std::memcpy(to, reinterpret_cast<const void*>(from), bytes);
  return TheDriver().broken;
}
int cuMemcpyHtoDAsync_v2(unsigned long long to, const void* from, size_t bytes, void*) { return cuMemcpyHtoD_v2(to, from, bytes); }
int cuMemcpyDtoHAsync_v2(void* to, unsigned long long from, size_t bytes, void*) { return cuMemcpyDtoH_v2(to, from, bytes); }

int cuModuleLoadData(void** module, const void* image) {
  const std::lock_guard lock(TheDriver().mutex);
  if (std::memcmp(image, "\177ELF", 4) == 0) {
    Say("load a module: this is a cubin, and here PTX is interpreted; compile with libptx_nvrtc.so");
    return kInvalidPtx;
  }
  lathe::Result<std::unique_ptr<lathe::ptx::Module>> loaded = lathe::ptx::LoadModule(static_cast<const char*>(image));
  if (!loaded) {
    Say(loaded.error().message);
    return kInvalidPtx;
  }
  // "sm_87" runs on itself and on what is newer.
  const std::string& target = (*loaded)->target;
  if (target.rfind("sm_", 0) != 0 || std::atoi(target.c_str() + 3) > TheDriver().architecture.capability) {
    Say("load a module: it is for " + target + ", the device is sm_" + std::to_string(TheDriver().architecture.capability));
    return kInvalidPtx;
  }
  auto whole = std::make_unique<LoadedModule>();
  whole->module = std::move(*loaded);
  for (const lathe::ptx::Variable& variable : whole->module->variables)
    TheDriver().memory.Add(reinterpret_cast<uint64_t>(variable.memory.get()), variable.bytes, variable.read_only);
  for (const auto& [name, kernel] : whole->module->kernels) whole->functions[name] = {&kernel, 0};
  *module = whole.get();
  TheDriver().modules.insert(whole.release());
  return kSuccess;
}
int cuModuleUnload(void* module) {
  const std::lock_guard lock(TheDriver().mutex);
  auto* loaded = static_cast<LoadedModule*>(module);
  if (TheDriver().modules.erase(loaded) == 0) return kInvalidHandle;
  for (const lathe::ptx::Variable& variable : loaded->module->variables)
    TheDriver().memory.Free(reinterpret_cast<uint64_t>(variable.memory.get()));
  delete loaded;
  return kSuccess;
}
int cuModuleGetFunction(void** function, void* module, const char* name) {
  const std::lock_guard lock(TheDriver().mutex);
  auto* loaded = static_cast<LoadedModule*>(module);
  const auto found = loaded->functions.find(name);
  if (found == loaded->functions.end()) return kNotFound;
  *function = &found->second;
  return kSuccess;
}
int cuFuncSetAttribute(void* function, int attribute, int value) {
  constexpr int kMaxDynamicShared = 8;
  auto* of = static_cast<Function*>(function);
  if (attribute != kMaxDynamicShared || value < 0) return kInvalidValue;
  const std::lock_guard lock(TheDriver().mutex);
  if (of->kernel->shared_bytes + static_cast<uint64_t>(value) > TheDriver().architecture.local_per_group) return kInvalidValue;
  of->most_dynamic = static_cast<uint64_t>(value);
  return kSuccess;
}

int cuStreamCreate(void** stream, unsigned) {
  static int only;
  *stream = &only;
  return kSuccess;
}
int cuStreamDestroy_v2(void*) { return kSuccess; }
int cuStreamSynchronize(void*) { return TheDriver().broken; }
int cuEventCreate(void** event, unsigned) {
  *event = new double(0);
  return kSuccess;
}
int cuEventDestroy_v2(void* event) {
  delete static_cast<double*>(event);
  return kSuccess;
}
int cuEventRecord(void* event, void*) {
  *static_cast<double*>(event) = Now();
  return TheDriver().broken;
}
int cuEventSynchronize(void*) { return TheDriver().broken; }
int cuEventElapsedTime(float* milliseconds, void* first, void* last) {
  *milliseconds = static_cast<float>(1e3 * (*static_cast<double*>(last) - *static_cast<double*>(first)));
  return TheDriver().broken;
}

int cuLaunchKernel(void* function, unsigned blocks_x, unsigned blocks_y, unsigned blocks_z, unsigned threads_x, unsigned threads_y,
                   unsigned threads_z, unsigned dynamic, void*, void** arguments, void**) {
  const std::lock_guard lock(TheDriver().mutex);
  if (TheDriver().broken != 0) return TheDriver().broken;
  const auto* of = static_cast<const Function*>(function);
  Grid grid;
  grid.kernel = of->kernel;
  grid.blocks = {blocks_x, blocks_y, blocks_z};
  grid.threads = {threads_x, threads_y, threads_z};
  grid.shared_bytes = of->kernel->shared_bytes + dynamic;
  grid.memory = &TheDriver().memory;
  grid.findings = &TheDriver().findings;
  std::optional<lathe::ptx::AccessCounts> counts;
  if (const char* path = std::getenv("LATHE_PTX_COUNTS"); path != nullptr) grid.counts = &counts.emplace(path);
  const char* global_init = std::getenv("LATHE_PTX_GLOBAL_INIT");
  grid.tells_unwritten_global = global_init != nullptr && std::string(global_init) == "1";
  grid.parameters.resize(of->kernel->parameter_bytes);
  if (const std::string why = WhyNot(*of, grid, dynamic); !why.empty()) {
    Say("launch kernel '" + of->kernel->name + "': " + why);
    return kInvalidValue;
  }
  for (size_t i = 0; i < of->kernel->parameters.size(); ++i) {
    const Kernel::Parameter& parameter = of->kernel->parameters[i];
    std::memcpy(grid.parameters.data() + parameter.offset, arguments[i], parameter.bytes);
  }
  TheDriver().broken = lathe::ptx::RunGrid(grid);
  return kSuccess;
}
}
