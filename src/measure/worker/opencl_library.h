// OpenClLibrary: the loader, opened at run time, and the few of its functions that measuring takes. Nothing is linked: a worker starts on a
// machine without OpenCL, and a driver is loaded only into workers that use it, never into the tuner's own process.
#pragma once

#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>

#include <string>
#include <vector>

namespace lathe::worker {

struct OpenClLibrary {
  // Where a driver keeps files of its own (compiled kernels), it keeps them below $TMPDIR, which goes with the worker. Once a process,
  // before any thread is there. False: `error` says why.
  bool Open(std::string& error);

#define LATHE_OPENCL_FUNCTIONS(X)                                                                                                      \
  X(GetPlatformIDs)                                                                                                                    \
  X(GetPlatformInfo) X(GetDeviceIDs) X(GetDeviceInfo) X(CreateContext) X(CreateCommandQueue) X(CreateBuffer) X(CreateSubBuffer)        \
      X(CreateProgramWithSource) X(CreateProgramWithBinary) X(BuildProgram) X(GetProgramInfo) X(GetProgramBuildInfo)                   \
          X(CreateKernelsInProgram) X(CreateKernel) X(GetKernelInfo) X(GetKernelWorkGroupInfo) X(SetKernelArg) X(EnqueueNDRangeKernel) \
              X(EnqueueReadBuffer) X(EnqueueWriteBuffer) X(EnqueueFillBuffer) X(Finish) X(GetEventInfo) X(GetEventProfilingInfo)       \
                  X(ReleaseEvent)
#define LATHE_DECLARE(name) decltype(&::cl##name) name = nullptr;
  LATHE_OPENCL_FUNCTIONS(LATHE_DECLARE)
#undef LATHE_DECLARE
};

struct OpenClDevice {
  cl_platform_id platform;
  cl_device_id device;
};

// Every device of every platform, in the loader's order: an index into this is a device's number. Empty when there is none.
std::vector<OpenClDevice> OpenClDevices(const OpenClLibrary& cl);

// "CL_OUT_OF_RESOURCES (-5)"
std::string OpenClErrorName(cl_int error);

std::string DeviceText(const OpenClLibrary& cl, cl_device_id device, cl_device_info what);
std::string PlatformText(const OpenClLibrary& cl, cl_platform_id platform, cl_platform_info what);
template <typename T>
T DeviceValue(const OpenClLibrary& cl, cl_device_id device, cl_device_info what) {
  T value = {};
  if (cl.GetDeviceInfo(device, what, sizeof value, &value, nullptr) != CL_SUCCESS) return {};
  return value;
}

// What the compiler said about a program on a device.
std::string BuildLog(const OpenClLibrary& cl, cl_program program, cl_device_id device);

}  // namespace lathe::worker
