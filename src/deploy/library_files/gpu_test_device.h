// The device that gpu_test.cpp runs on, opened at run time; gpu_test_opencl.cpp and gpu_test_cuda.cpp have it. Generated.
#pragma once

#include <string>

#include "lathe_gpu_kernels.h"

struct TestDevice {
  std::string name;
  lathe_gpu_device device = {};
  lathe_gpu_queue queue = nullptr;

  // Why there is nothing to test on; empty where there is.
  std::string Open();
  // Null where there is no such memory.
  lathe_gpu_memory Allocate(size_t bytes);
  void Free(lathe_gpu_memory memory);
  // The driver's own error numbers; 0: fine. These wait.
  int Write(lathe_gpu_memory memory, const void* from, size_t bytes);
  int Read(lathe_gpu_memory memory, void* to, size_t bytes);
  int Finish();
};
