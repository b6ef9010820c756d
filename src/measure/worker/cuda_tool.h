// What a worker does with CUDA besides measuring; as with OpenCL (opencl_tool.h), so that neither drivers nor compilers are ever loaded
// into the tuner's process. Each returns the process's exit status, 0 for success.
#pragma once

namespace lathe::worker {

// One block of "key value" lines for each device, an empty line after each; see cuda_target.cpp for the keys.
int PrintCudaDevices();

// arguments: paths of NVRTC libraries, a null at the end. A block "path", "version 12.9", "cubin 1", "architectures sm_50 sm_52 …" for each
// one that can be opened.
int PrintCudaCompilers(char** arguments);

// arguments: LIBRARY SOURCE OUTPUT LOG OPTIONS…, a null at the end. OUTPUT becomes a cubin, or PTX from a library that makes no cubins; LOG
// what the compiler and ptxas said.
int CompileCuda(char** arguments);

}  // namespace lathe::worker
