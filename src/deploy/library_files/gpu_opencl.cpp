// OpenCL 1.2 for gpu_library.cpp.
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <string>

#include "gpu_data.h"

namespace {

lathe_gpu_status Failed(const char* doing, cl_int error) { return lathe_gpu_fail(LATHE_GPU_DEVICE_ERROR, "%s: OpenCL error %d", doing, error); }

std::string DeviceText(cl_device_id device, cl_device_info what) {
  size_t bytes = 0;
  clGetDeviceInfo(device, what, 0, nullptr, &bytes);
  std::string text(bytes, 0);
  clGetDeviceInfo(device, what, bytes, &text[0], nullptr);
  return text.c_str();
}

// A compiled program is the device's and its driver's: both are part of the file's name.
std::string CacheFile(const char* cache, const LatheKernelData& data, cl_device_id device) {
  if (cache == nullptr) return "";
  uint64_t sum = 0xcbf29ce484222325;  // FNV-1a
  for (const char c : DeviceText(device, CL_DEVICE_NAME) + DeviceText(device, CL_DEVICE_VERSION) + DeviceText(device, CL_DRIVER_VERSION))
    sum = (sum ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  char name[64];
  std::snprintf(name, sizeof name, "/%.16s-%016llx.bin", data.program_key, static_cast<unsigned long long>(sum));
  return cache + std::string(name);
}

cl_program FromCache(const std::string& file, cl_context context, cl_device_id device, const char* flags) {
  std::ifstream in(file, std::ios::binary);
  const std::string binary(std::istreambuf_iterator<char>(in), {});
  if (binary.empty()) return nullptr;
  const auto* bytes = reinterpret_cast<const unsigned char*>(binary.data());
  const size_t length = binary.size();
  cl_int error = CL_SUCCESS;
  const cl_program program = clCreateProgramWithBinary(context, 1, &device, &length, &bytes, nullptr, &error);
  if (error != CL_SUCCESS) return nullptr;
  if (clBuildProgram(program, 1, &device, flags, nullptr, nullptr) == CL_SUCCESS) return program;
  clReleaseProgram(program);  // a driver that does not take its own binary back: compile again
  return nullptr;
}

void ToCache(const std::string& file, cl_program program) {
  size_t bytes = 0;
  if (clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof bytes, &bytes, nullptr) != CL_SUCCESS || bytes == 0) return;
  std::string binary(bytes, 0);
  char* at = &binary[0];
  if (clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof at, &at, nullptr) != CL_SUCCESS) return;
  const std::string beside = file + '.' + std::to_string(::getpid());
  std::ofstream out(beside, std::ios::binary);
  out << binary;
  out.close();
  if (out.good()) std::rename(beside.c_str(), file.c_str());
}

}  // namespace

lathe_gpu_status lathe_gpu_load(size_t index, lathe_gpu_device device, const char* cache, void** program) {
  const LatheKernelData& data = lathe_gpu_data[index];
  const std::string file = CacheFile(cache, data, device.device);
  cl_program made = file.empty() ? nullptr : FromCache(file, device.context, device.device, data.flags);
  *program = made;
  if (made != nullptr) return LATHE_GPU_OK;
  const char* text = reinterpret_cast<const char*>(data.program);
  cl_int error = CL_SUCCESS;
  *program = made = clCreateProgramWithSource(device.context, 1, &text, &data.program_bytes, &error);
  if (error != CL_SUCCESS) return Failed("create a program", error);
  error = clBuildProgram(made, 1, &device.device, data.flags, nullptr, nullptr);
  if (error != CL_SUCCESS) {
    std::string log(600, 0);
    clGetProgramBuildInfo(made, device.device, CL_PROGRAM_BUILD_LOG, log.size(), &log[0], nullptr);
    return lathe_gpu_fail(LATHE_GPU_BUILD_FAILED, "build the program of %s: OpenCL error %d: %s", lathe_gpu_infos[index].workload, error, log.c_str());
  }
  if (!file.empty()) ToCache(file, made);
  return LATHE_GPU_OK;
}

lathe_gpu_status lathe_gpu_find_kernel(void* program, const LatheLaunch& launch, void** kernel) {
  cl_int error = CL_SUCCESS;
  *kernel = clCreateKernel(static_cast<cl_program>(program), launch.kernel, &error);
  return error == CL_SUCCESS ? LATHE_GPU_OK : Failed(launch.kernel, error);
}

lathe_gpu_status lathe_gpu_allocate(lathe_gpu_device device, size_t bytes, lathe_gpu_memory* memory) {
  cl_int error = CL_SUCCESS;
  *memory = clCreateBuffer(device.context, CL_MEM_READ_WRITE, bytes, nullptr, &error);
  return error == CL_SUCCESS ? LATHE_GPU_OK : Failed("allocate a packed constant", error);
}

lathe_gpu_status lathe_gpu_launch(void* kernel, const LatheLaunch& launch, lathe_gpu_queue queue, size_t count, const void* const* values,
                                  const size_t* bytes) {
  const auto made = static_cast<cl_kernel>(kernel);
  for (size_t i = 0; i < count; ++i)
    if (const cl_int error = clSetKernelArg(made, static_cast<cl_uint>(i), bytes[i], values[i]); error != CL_SUCCESS)
      return Failed("pass arguments", error);
  const cl_int error = clEnqueueNDRangeKernel(queue, made, static_cast<cl_uint>(launch.dimensions), nullptr, launch.global, launch.local, 0, nullptr,
                                              nullptr);
  return error == CL_SUCCESS ? LATHE_GPU_OK : Failed(launch.kernel, error);
}

bool lathe_gpu_overlap(lathe_gpu_memory a, size_t, lathe_gpu_memory b, size_t) { return a == b; }
void lathe_gpu_free(lathe_gpu_memory memory) { clReleaseMemObject(memory); }
void lathe_gpu_release_kernel(void* kernel) { clReleaseKernel(static_cast<cl_kernel>(kernel)); }
void lathe_gpu_unload(void* program) { clReleaseProgram(static_cast<cl_program>(program)); }
