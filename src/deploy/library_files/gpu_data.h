// What the generated table says of each kernel beyond what is public.
#pragma once

#include <cstdarg>
#include <cstdio>

#include "lathe_gpu_kernels.h"

struct LatheLaunch {
  const char* kernel;
  int dimensions;
  size_t global[3], local[3];
  unsigned dynamic_local_bytes;
  int argument_count;
  const int* arguments;
};

struct LatheKernelData {
  const unsigned char* program;  // OpenCL C, or a cubin
  size_t program_bytes;
  const char* program_key;  // content address
  const char* flags;
  const size_t* packed_bytes;       // one a tensor
  const char* const* absent_unless;  // one a tensor: of one that the workload does not have, in which workloads it is there; else null
  int dynamic_count;
  const int* dynamic;  // values of the attributes that a kernel takes as arguments
  int prepare_count, run_count;
  const LatheLaunch *prepare, *run;
};

extern const LatheKernelData lathe_gpu_data[];
extern const lathe_gpu_kernel_info lathe_gpu_infos[];
extern const size_t lathe_gpu_count;
extern const char* const lathe_gpu_architecture;  // what the programs were built for, "sm_87"; OpenCL's driver builds them itself

// What of a driver gpu_library.cpp needs; gpu_opencl.cpp and gpu_cuda.cpp have it. Programs and kernels are the driver's handles.
lathe_gpu_status lathe_gpu_load(size_t index, lathe_gpu_device device, const char* cache, void** program);
lathe_gpu_status lathe_gpu_find_kernel(void* program, const LatheLaunch& launch, void** kernel);
lathe_gpu_status lathe_gpu_allocate(lathe_gpu_device device, size_t bytes, lathe_gpu_memory* memory);
// Enqueues; `values` are pointers to a kernel's arguments, of so many `bytes` each.
lathe_gpu_status lathe_gpu_launch(void* kernel, const LatheLaunch& launch, lathe_gpu_queue queue, size_t count, const void* const* values,
                                  const size_t* bytes);
// Whether two tensors share memory, as far as their handles tell.
bool lathe_gpu_overlap(lathe_gpu_memory a, size_t a_bytes, lathe_gpu_memory b, size_t b_bytes);
void lathe_gpu_free(lathe_gpu_memory memory);
void lathe_gpu_release_kernel(void* kernel);
void lathe_gpu_unload(void* program);

lathe_gpu_status lathe_gpu_fail(lathe_gpu_status status, const char* format, ...) __attribute__((format(printf, 2, 3)));
