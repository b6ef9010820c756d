// libptx_nvrtc.so: the NVRTC that $LATHE_PTX_NVRTC names, seen as one that makes PTX only, as those before CUDA 11.1 do. Every call is
// handed on; nvrtcGetCUBIN is missing, so Lathe keeps the PTX and gives it to the driver, which here is libptx_driver.so.
#include <dirent.h>
#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <string>

namespace {

constexpr int kInternalError = 11;

// Null: there is none, which was said on the standard error.
void* Nvrtc() {
  static void* const library = []() -> void* {
    const char* path = std::getenv("LATHE_PTX_NVRTC");
    if (path == nullptr || *path == 0) {
      std::fprintf(stderr, "open NVRTC behind ptx_nvrtc: LATHE_PTX_NVRTC is not set; let it name a libnvrtc.so.12 or .13\n");
      return nullptr;
    }
    // The built-in headers' library is looked for by name alone; once loaded it is found.
    const std::string whole = path, directory = whole.substr(0, whole.rfind('/') + 1);
    if (DIR* listing = ::opendir(directory.empty() ? "." : directory.c_str()); listing != nullptr) {
      for (const dirent* entry = ::readdir(listing); entry != nullptr; entry = ::readdir(listing)) {
        const std::string name = entry->d_name;
        if (name.rfind("libnvrtc-builtins.so.", 0) == 0) ::dlopen((directory + name).c_str(), RTLD_NOW | RTLD_GLOBAL);
      }
      ::closedir(listing);
    }
    void* opened = ::dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (opened == nullptr) std::fprintf(stderr, "open NVRTC behind ptx_nvrtc: %s\n", ::dlerror());
    return opened;
  }();
  return library;
}

template <typename... Parameters>
int Call(const char* name, Parameters... parameters) {
  using Function = int (*)(Parameters...);
  const auto function = Nvrtc() == nullptr ? nullptr : reinterpret_cast<Function>(::dlsym(Nvrtc(), name));
  return function == nullptr ? kInternalError : function(parameters...);
}

}  // namespace

extern "C" {

using nvrtcProgram = void*;

int nvrtcVersion(int* major, int* minor) { return Call("nvrtcVersion", major, minor); }
int nvrtcGetNumSupportedArchs(int* count) { return Call("nvrtcGetNumSupportedArchs", count); }
int nvrtcGetSupportedArchs(int* all) { return Call("nvrtcGetSupportedArchs", all); }
int nvrtcCreateProgram(nvrtcProgram* program, const char* source, const char* name, int count, const char* const* headers,
                       const char* const* include_names) {
  return Call("nvrtcCreateProgram", program, source, name, count, headers, include_names);
}
int nvrtcDestroyProgram(nvrtcProgram* program) { return Call("nvrtcDestroyProgram", program); }
int nvrtcCompileProgram(nvrtcProgram program, int count, const char* const* options) {
  return Call("nvrtcCompileProgram", program, count, options);
}
int nvrtcGetProgramLogSize(nvrtcProgram program, size_t* bytes) { return Call("nvrtcGetProgramLogSize", program, bytes); }
int nvrtcGetProgramLog(nvrtcProgram program, char* log) { return Call("nvrtcGetProgramLog", program, log); }
int nvrtcGetPTXSize(nvrtcProgram program, size_t* bytes) { return Call("nvrtcGetPTXSize", program, bytes); }
int nvrtcGetPTX(nvrtcProgram program, char* ptx) { return Call("nvrtcGetPTX", program, ptx); }
const char* nvrtcGetErrorString(int error) {
  using Function = const char* (*)(int);
  const auto function = Nvrtc() == nullptr ? nullptr : reinterpret_cast<Function>(::dlsym(Nvrtc(), "nvrtcGetErrorString"));
  return function == nullptr ? "NVRTC is not there" : function(error);
}
}
