// The first OpenCL device of the first platform that has one. Generated.
#include "gpu_test_device.h"

std::string TestDevice::Open() {
  cl_platform_id platforms[16];
  cl_uint platform_count = 0;
  if (clGetPlatformIDs(16, platforms, &platform_count) == CL_SUCCESS)
    for (cl_uint i = 0; i < platform_count && i < 16 && device.device == nullptr; ++i)
      if (clGetDeviceIDs(platforms[i], CL_DEVICE_TYPE_ALL, 1, &device.device, nullptr) != CL_SUCCESS) device.device = nullptr;
  if (device.device == nullptr) return "no OpenCL device";
  char text[256] = "";
  clGetDeviceInfo(device.device, CL_DEVICE_NAME, sizeof text - 1, text, nullptr);
  name = text;
  cl_int error = CL_SUCCESS;
  device.context = clCreateContext(nullptr, 1, &device.device, nullptr, nullptr, &error);
  if (error == CL_SUCCESS) queue = clCreateCommandQueue(device.context, device.device, 0, &error);
  return error == CL_SUCCESS ? "" : "no context and queue on the OpenCL device " + name + ": error " + std::to_string(error);
}

lathe_gpu_memory TestDevice::Allocate(size_t bytes) { return clCreateBuffer(device.context, CL_MEM_READ_WRITE, bytes, nullptr, nullptr); }
void TestDevice::Free(lathe_gpu_memory memory) { clReleaseMemObject(memory); }
int TestDevice::Write(lathe_gpu_memory memory, const void* from, size_t bytes) {
  return clEnqueueWriteBuffer(queue, memory, CL_TRUE, 0, bytes, from, 0, nullptr, nullptr);
}
int TestDevice::Read(lathe_gpu_memory memory, void* to, size_t bytes) {
  return clEnqueueReadBuffer(queue, memory, CL_TRUE, 0, bytes, to, 0, nullptr, nullptr);
}
int TestDevice::Finish() { return clFinish(queue); }
