#include "measure/worker/opencl_library.h"

#include <dlfcn.h>

#include <cstdlib>

namespace lathe::worker {
namespace {

void KeepDriverFilesHere() {
  const char* here = std::getenv("TMPDIR");
  if (here == nullptr || *here == 0) here = "/tmp";
  ::setenv("POCL_CACHE_DIR", here, 1);
  ::setenv("MESA_SHADER_CACHE_DIR", here, 1);
  ::setenv("CUDA_CACHE_PATH", here, 1);
  ::setenv("NEO_CACHE_DIR", here, 1);
}

}  // namespace

bool OpenClLibrary::Open(std::string& error) {
  KeepDriverFilesHere();
  void* library = ::dlopen("libOpenCL.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    error = std::string("open the OpenCL loader: ") + ::dlerror() + "; install one (Debian: ocl-icd-libopencl1) and a driver";
    return false;
  }
  const char* missing = nullptr;
#define LATHE_LOAD(name)                                                                                 \
  name = reinterpret_cast<decltype(name)>(::dlsym(library, "cl" #name)); /* NOLINT: what dlsym is for */ \
  if (name == nullptr) missing = "cl" #name;
  LATHE_OPENCL_FUNCTIONS(LATHE_LOAD)
#undef LATHE_LOAD
  if (missing == nullptr) return true;
  error = std::string("open the OpenCL loader: libOpenCL.so.1 has no ") + missing + "; version 1.2 is needed";
  return false;
}

std::vector<OpenClDevice> OpenClDevices(const OpenClLibrary& cl) {
  std::vector<OpenClDevice> all;
  cl_uint count = 0;
  if (cl.GetPlatformIDs(0, nullptr, &count) != CL_SUCCESS || count == 0) return all;
  std::vector<cl_platform_id> platforms(count);
  if (cl.GetPlatformIDs(count, platforms.data(), nullptr) != CL_SUCCESS) return all;
  for (const cl_platform_id platform : platforms) {
    cl_uint there = 0;
    if (cl.GetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 0, nullptr, &there) != CL_SUCCESS || there == 0) continue;
    std::vector<cl_device_id> devices(there);
    if (cl.GetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, there, devices.data(), nullptr) != CL_SUCCESS) continue;
    for (const cl_device_id device : devices) all.push_back({platform, device});
  }
  return all;
}

std::string OpenClErrorName(cl_int error) {
  const char* name = "error";
  switch (error) {
#define LATHE_NAME(code) \
  case code:             \
    name = #code;        \
    break;
    LATHE_NAME(CL_DEVICE_NOT_AVAILABLE)
    LATHE_NAME(CL_COMPILER_NOT_AVAILABLE)
    LATHE_NAME(CL_MEM_OBJECT_ALLOCATION_FAILURE)
    LATHE_NAME(CL_OUT_OF_RESOURCES)
    LATHE_NAME(CL_OUT_OF_HOST_MEMORY)
    LATHE_NAME(CL_BUILD_PROGRAM_FAILURE)
    LATHE_NAME(CL_MISALIGNED_SUB_BUFFER_OFFSET)
    LATHE_NAME(CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST)
    LATHE_NAME(CL_INVALID_VALUE)
    LATHE_NAME(CL_INVALID_BINARY)
    LATHE_NAME(CL_INVALID_BUILD_OPTIONS)
    LATHE_NAME(CL_INVALID_PROGRAM_EXECUTABLE)
    LATHE_NAME(CL_INVALID_KERNEL_NAME)
    LATHE_NAME(CL_INVALID_ARG_INDEX)
    LATHE_NAME(CL_INVALID_ARG_VALUE)
    LATHE_NAME(CL_INVALID_ARG_SIZE)
    LATHE_NAME(CL_INVALID_KERNEL_ARGS)
    LATHE_NAME(CL_INVALID_WORK_DIMENSION)
    LATHE_NAME(CL_INVALID_WORK_GROUP_SIZE)
    LATHE_NAME(CL_INVALID_WORK_ITEM_SIZE)
    LATHE_NAME(CL_INVALID_GLOBAL_WORK_SIZE)
    LATHE_NAME(CL_INVALID_BUFFER_SIZE)
#undef LATHE_NAME
    default:
      break;
  }
  return std::string(name) + " (" + std::to_string(error) + ')';
}

std::string DeviceText(const OpenClLibrary& cl, cl_device_id device, cl_device_info what) {
  size_t bytes = 0;
  if (cl.GetDeviceInfo(device, what, 0, nullptr, &bytes) != CL_SUCCESS || bytes == 0) return "";
  std::string text(bytes, 0);
  if (cl.GetDeviceInfo(device, what, bytes, text.data(), nullptr) != CL_SUCCESS) return "";
  return text.c_str();  // up to its zero
}

std::string PlatformText(const OpenClLibrary& cl, cl_platform_id platform, cl_platform_info what) {
  size_t bytes = 0;
  if (cl.GetPlatformInfo(platform, what, 0, nullptr, &bytes) != CL_SUCCESS || bytes == 0) return "";
  std::string text(bytes, 0);
  if (cl.GetPlatformInfo(platform, what, bytes, text.data(), nullptr) != CL_SUCCESS) return "";
  return text.c_str();
}

std::string BuildLog(const OpenClLibrary& cl, cl_program program, cl_device_id device) {
  size_t bytes = 0;
  if (cl.GetProgramBuildInfo(program, device, CL_PROGRAM_BUILD_LOG, 0, nullptr, &bytes) != CL_SUCCESS || bytes == 0) return "";
  std::string text(bytes, 0);
  if (cl.GetProgramBuildInfo(program, device, CL_PROGRAM_BUILD_LOG, bytes, text.data(), nullptr) != CL_SUCCESS) return "";
  return text.c_str();
}

}  // namespace lathe::worker
