#include "measure/worker/cuda_tool.h"

#include <dirent.h>
#include <dlfcn.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "measure/worker/cuda_library.h"

namespace lathe::worker {
namespace {

constexpr int kFailed = 1, kMissing = 3;

int Fail(int status, const std::string& message) {
  std::fprintf(stderr, "%s\n", message.c_str());
  return status;
}

bool Write(const char* path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  return file.good();
}

// NVRTC by its documented binary interface.
struct Nvrtc {
  using Result = int;
  using Program = void*;
  Result (*Version)(int*, int*) = nullptr;
  Result (*CreateProgram)(Program*, const char*, const char*, int, const char* const*, const char* const*) = nullptr;
  Result (*CompileProgram)(Program, int, const char* const*) = nullptr;
  Result (*GetProgramLogSize)(Program, size_t*) = nullptr;
  Result (*GetProgramLog)(Program, char*) = nullptr;
  Result (*GetPTXSize)(Program, size_t*) = nullptr;
  Result (*GetPTX)(Program, char*) = nullptr;
  const char* (*GetErrorString)(Result) = nullptr;
  // Since 11.2 and 11.1.
  Result (*GetNumSupportedArchs)(int*) = nullptr;
  Result (*GetSupportedArchs)(int*) = nullptr;
  Result (*GetCUBINSize)(Program, size_t*) = nullptr;
  Result (*GetCUBIN)(Program, char*) = nullptr;

  bool MakesCubins() const { return GetCUBINSize != nullptr && GetCUBIN != nullptr; }

  bool Open(const std::string& path, std::string& error) {
    // It looks for its built-in headers by name alone, which finds those beside it only once they are loaded.
    const std::string directory = path.substr(0, path.rfind('/') + 1);
    if (DIR* listing = ::opendir(directory.empty() ? "." : directory.c_str()); listing != nullptr) {
      for (const dirent* entry = ::readdir(listing); entry != nullptr; entry = ::readdir(listing)) {
        const std::string name = entry->d_name;
        if (name.rfind("libnvrtc-builtins.so.", 0) == 0) ::dlopen((directory + name).c_str(), RTLD_NOW | RTLD_GLOBAL);
      }
      ::closedir(listing);
    }
    void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      error = std::string("open NVRTC: ") + ::dlerror();
      return false;
    }
    const auto find = [&](auto& function, const char* name) {
      function = reinterpret_cast<std::decay_t<decltype(function)>>(::dlsym(library, name));
      return function != nullptr;
    };
    find(GetNumSupportedArchs, "nvrtcGetNumSupportedArchs");
    find(GetSupportedArchs, "nvrtcGetSupportedArchs");
    find(GetCUBINSize, "nvrtcGetCUBINSize");
    find(GetCUBIN, "nvrtcGetCUBIN");
    if (find(Version, "nvrtcVersion") && find(CreateProgram, "nvrtcCreateProgram") && find(CompileProgram, "nvrtcCompileProgram") &&
        find(GetProgramLogSize, "nvrtcGetProgramLogSize") && find(GetProgramLog, "nvrtcGetProgramLog") &&
        find(GetPTXSize, "nvrtcGetPTXSize") && find(GetPTX, "nvrtcGetPTX") && find(GetErrorString, "nvrtcGetErrorString"))
      return true;
    error = "open NVRTC '" + path + "': it is not one";
    return false;
  }

  std::vector<int> Architectures() const {
    int count = 0;
    if (GetNumSupportedArchs == nullptr || GetSupportedArchs == nullptr || GetNumSupportedArchs(&count) != 0 || count <= 0)
      return {50, 52, 53, 60, 61, 62, 70, 72, 75};  // 10.2's, which cannot be asked
    std::vector<int> all(static_cast<size_t>(count));
    return GetSupportedArchs(all.data()) == 0 ? all : std::vector<int>();
  }
};

}  // namespace

int PrintCudaDevices() {
  CudaLibrary cuda;
  std::string error;
  if (!cuda.Open(error)) return Fail(kMissing, error);
  int count = 0, driver = 0;
  if (const CudaResult result = cuda.DeviceGetCount(&count); result != kCudaSuccess)
    return Fail(kMissing, "count CUDA devices: " + cuda.Failure(result));
  cuda.DriverGetVersion(&driver);
  for (int i = 0; i < count; ++i) {
    int device = 0;
    std::array<char, 256> name = {};
    if (cuda.DeviceGet(&device, i) != kCudaSuccess) continue;
    cuda.DeviceGetName(name.data(), static_cast<int>(name.size()) - 1, device);
    const auto value = [&](CudaAttribute attribute) {
      int number = 0;
      return cuda.DeviceGetAttribute(&number, attribute, device) == kCudaSuccess ? number : 0;
    };
    std::printf("name %s\ndriver %d.%d\narchitecture sm_%d%d\n", name.data(), driver / 1000, driver % 1000 / 10, value(kCapabilityMajor),
                value(kCapabilityMinor));
    for (const auto& [key, attribute] : {std::pair<const char*, CudaAttribute>{"max_work_group", kMaxItemsOfGroup},
                                         {"max_work_group_z", kMaxGroupZ},
                                         {"max_groups_yz", kMaxGridY},
                                         {"local_bytes", kLocalOfGroup},
                                         {"local_bytes_asked", kLocalOfGroupAsked},
                                         {"registers_per_group", kRegistersOfGroup},
                                         {"compute_units", kProcessors},
                                         {"subgroup", kWarpSize}})
      std::printf("%s %d\n", key, value(attribute));
    size_t memory = 0;
    if (cuda.DeviceTotalMem(&memory, device) == kCudaSuccess) std::printf("max_buffer_bytes %zu\n", memory);
    std::printf("\n");
  }
  return std::fflush(stdout) == 0 ? 0 : kFailed;
}

int PrintCudaCompilers(char** arguments) {
  for (; *arguments != nullptr; ++arguments) {
    Nvrtc nvrtc;
    std::string error;
    int major = 0, minor = 0;
    if (!nvrtc.Open(*arguments, error) || nvrtc.Version(&major, &minor) != 0) {
      std::fprintf(stderr, "%s\n", error.c_str());
      continue;
    }
    std::printf("path %s\nversion %d.%d\ncubin %d\narchitectures", *arguments, major, minor, nvrtc.MakesCubins() ? 1 : 0);
    for (const int architecture : nvrtc.Architectures()) std::printf(" sm_%d", architecture);
    std::printf("\n\n");
  }
  return std::fflush(stdout) == 0 ? 0 : kFailed;
}

int CompileCuda(char** arguments) {
  const char *path = arguments[0], *source_path = arguments[1], *output = arguments[2], *log_path = arguments[3];
  std::vector<const char*> options;
  for (char** option = arguments + 4; *option != nullptr; ++option) options.push_back(*option);
  Nvrtc nvrtc;
  std::string error;
  if (!nvrtc.Open(path, error)) return Fail(kMissing, error);
  std::ifstream file(source_path, std::ios::binary);
  const std::string source(std::istreambuf_iterator<char>(file), {});
  Nvrtc::Program program = nullptr;
  if (const int result = nvrtc.CreateProgram(&program, source.c_str(), "candidate.cu", 0, nullptr, nullptr); result != 0)
    return Fail(kFailed, std::string("error: nvrtcCreateProgram: ") + nvrtc.GetErrorString(result));
  const int compiled = nvrtc.CompileProgram(program, static_cast<int>(options.size()), options.data());
  size_t bytes = 0;
  std::string log;
  if (nvrtc.GetProgramLogSize(program, &bytes) == 0 && bytes > 1) {
    log.resize(bytes);
    nvrtc.GetProgramLog(program, log.data());
    log.resize(bytes - 1);
  }
  if (compiled != 0) {
    // Warnings may come first, by the page; what is read is the beginning.
    const size_t first = log.find("error"), line = first == std::string::npos ? 0 : log.rfind('\n', first) + 1;
    return Fail(kFailed, std::string("error: ") + nvrtc.GetErrorString(compiled) + '\n' + log.substr(line));
  }
  bytes = 0;
  const bool cubin = nvrtc.MakesCubins() && nvrtc.GetCUBINSize(program, &bytes) == 0 && bytes > 0;
  if (!cubin && nvrtc.GetPTXSize(program, &bytes) != 0) return Fail(kFailed, "error: NVRTC made nothing");
  std::string code(bytes, 0);
  if ((cubin ? nvrtc.GetCUBIN(program, code.data()) : nvrtc.GetPTX(program, code.data())) != 0)
    return Fail(kFailed, "error: NVRTC does not hand out what it made");
  if (!Write(output, code) || !Write(log_path, log)) return Fail(kFailed, std::string("write ") + output + ": disk full?");
  std::_Exit(0);
}

}  // namespace lathe::worker
