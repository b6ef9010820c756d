// CudaLibrary: the driver, opened at run time, and the few of its functions that measuring takes. Their declarations are our own, after
// CUDA's documented binary interface, so that neither building nor starting a worker needs a toolkit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace lathe::worker {

using CudaResult = int;
using CudaAddress = unsigned long long;
constexpr CudaResult kCudaSuccess = 0, kCudaOutOfMemory = 2, kCudaOutOfResources = 701;

enum CudaAttribute : int {
  kMaxItemsOfGroup = 1,
  kMaxGroupZ = 4,
  kMaxGridY = 6,
  kLocalOfGroup = 8,
  kWarpSize = 10,
  kRegistersOfGroup = 12,
  kProcessors = 16,
  kCapabilityMajor = 75,
  kCapabilityMinor = 76,
  kLocalOfGroupAsked = 97,
};
constexpr int kMaxDynamicLocal = 8;  // a function's attribute

struct CudaLibrary {
  // $LATHE_CUDA_DRIVER, or libcuda.so.1. False: `error` says why.
  bool Open(std::string& error);
  std::string Failure(CudaResult result) const;  // nothing on success, else "CUDA_ERROR_… (701)"

  // name here, symbol in the library, parameters
#define LATHE_CUDA_FUNCTIONS(X)                                                    \
  X(Init, "cuInit", (unsigned))                                                    \
  X(DriverGetVersion, "cuDriverGetVersion", (int*))                                \
  X(GetErrorName, "cuGetErrorName", (CudaResult, const char**))                    \
  X(DeviceGetCount, "cuDeviceGetCount", (int*))                                    \
  X(DeviceGet, "cuDeviceGet", (int*, int))                                         \
  X(DeviceGetName, "cuDeviceGetName", (char*, int, int))                           \
  X(DeviceGetAttribute, "cuDeviceGetAttribute", (int*, int, int))                  \
  X(DeviceTotalMem, "cuDeviceTotalMem_v2", (size_t*, int))                         \
  X(DeviceGetPciBusId, "cuDeviceGetPCIBusId", (char*, int, int))                   \
  X(DevicePrimaryCtxRetain, "cuDevicePrimaryCtxRetain", (void**, int))             \
  X(CtxSetCurrent, "cuCtxSetCurrent", (void*))                                     \
  X(MemAlloc, "cuMemAlloc_v2", (CudaAddress*, size_t))                             \
  X(MemsetD8Async, "cuMemsetD8Async", (CudaAddress, unsigned char, size_t, void*)) \
  X(MemcpyHtoD, "cuMemcpyHtoD_v2", (CudaAddress, const void*, size_t))             \
  X(MemcpyDtoH, "cuMemcpyDtoH_v2", (void*, CudaAddress, size_t))                   \
  X(ModuleLoadData, "cuModuleLoadData", (void**, const void*))                     \
  X(ModuleGetFunction, "cuModuleGetFunction", (void**, void*, const char*))        \
  X(FuncSetAttribute, "cuFuncSetAttribute", (void*, int, int))                     \
  X(StreamCreate, "cuStreamCreate", (void**, unsigned))                            \
  X(StreamSynchronize, "cuStreamSynchronize", (void*))                             \
  X(EventCreate, "cuEventCreate", (void**, unsigned))                              \
  X(EventRecord, "cuEventRecord", (void*, void*))                                  \
  X(EventElapsedTime, "cuEventElapsedTime", (float*, void*, void*))                \
  X(LaunchKernel, "cuLaunchKernel", (void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void*, void**, void**))
#define LATHE_DECLARE(name, symbol, parameters) CudaResult(*name) parameters = nullptr;
  LATHE_CUDA_FUNCTIONS(LATHE_DECLARE)
#undef LATHE_DECLARE
};

}  // namespace lathe::worker
