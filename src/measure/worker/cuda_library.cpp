#include "measure/worker/cuda_library.h"

#include <dlfcn.h>

#include <cstdlib>

namespace lathe::worker {

bool CudaLibrary::Open(std::string& error) {
  const char* given = std::getenv("LATHE_CUDA_DRIVER");
  const char* name = given != nullptr && *given != 0 ? given : "libcuda.so.1";
  void* library = ::dlopen(name, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    error = std::string("open the CUDA driver: ") + ::dlerror() + "; install NVIDIA's driver, or compile only: --build-only";
    return false;
  }
#define LATHE_FIND(function, symbol, parameters)                                            \
  function = reinterpret_cast<decltype(function)>(::dlsym(library, symbol));                \
  if (function == nullptr) {                                                                \
    error = std::string("open the CUDA driver '") + name + "': it has no function " symbol; \
    return false;                                                                           \
  }
  LATHE_CUDA_FUNCTIONS(LATHE_FIND)
#undef LATHE_FIND
  if (const CudaResult result = Init(0); result != kCudaSuccess) {
    error = "start the CUDA driver: " + Failure(result);
    return false;
  }
  return true;
}

std::string CudaLibrary::Failure(CudaResult result) const {
  if (result == kCudaSuccess) return "";
  const char* name = nullptr;
  if (GetErrorName(result, &name) != kCudaSuccess || name == nullptr) name = "error";
  return std::string(name) + " (" + std::to_string(result) + ')';
}

}  // namespace lathe::worker
