// Where CUDA C++ is compiled: an NVRTC library of this machine, or nvcc where none knows the architecture. Both run in processes of their
// own.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/result.h"

namespace lathe {

struct CudaCompiler {
  std::filesystem::path path;  // libnvrtc.so.…, or nvcc
  bool is_nvcc = false;
  std::string version;       // "12.9"
  bool makes_cubins = true;  // NVRTC before 11.1 makes PTX only
  std::vector<std::string> architectures;

  bool Knows(const std::string& architecture) const;
  // "NVRTC 12.9"
  std::string Name() const { return (is_nvcc ? "nvcc " : "NVRTC ") + version; }
};

// $LATHE_NVRTC, a list of libraries or nvcc programs with colons between them, where it is set; else those in toolkits under /usr/local, in
// the system's library folders, $LD_LIBRARY_PATH, and in the wheels nvidia-cuda-nvrtc-cu… of Python installations. Newest first, nvcc last.
std::vector<CudaCompiler> ListCudaCompilers(const std::filesystem::path& worker_program);

// The newest that knows the architecture. Fails (kNotFound) with what there is and what to do.
Result<CudaCompiler> ChooseCudaCompiler(const std::vector<CudaCompiler>& compilers, const std::string& architecture);

// For tests: what a worker prints about NVRTC libraries.
std::vector<CudaCompiler> ParseCudaCompilers(const std::string& text);

}  // namespace lathe
