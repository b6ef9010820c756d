// An NVRTC that compiles nothing: whatever the source, out comes the cubin that $LATHE_FAKE_CUBIN names, with a log as ptxas writes it. A
// source with the line "#error fail" fails; $LATHE_FAKE_NVRTC_SLEEP makes it take so many seconds. Each call's options go to
// $LATHE_FAKE_CUDA_LOG.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>

namespace {
std::string source, text, cubin;
constexpr char kPtx[] = "// PTX\n.version 6.4\n";
}  // namespace

extern "C" {

int nvrtcVersion(int* major, int* minor) {
  *major = 12;
  *minor = 9;
  return 0;
}
const char* nvrtcGetErrorString(int) { return "NVRTC_ERROR_COMPILATION"; }
int nvrtcGetNumSupportedArchs(int* count) {
  *count = 2;
  return 0;
}
int nvrtcGetSupportedArchs(int* all) {
  all[0] = 53;
  all[1] = 87;
  return 0;
}
int nvrtcCreateProgram(void** program, const char* given, const char*, int, const char* const*, const char* const*) {
  source = given;
  *program = &source;
  return 0;
}
int nvrtcCompileProgram(void*, int count, const char* const* options) {
  if (const char* log = std::getenv("LATHE_FAKE_CUDA_LOG"); log != nullptr) {
    std::ofstream file(log, std::ios::app);
    file << "compile";
    for (int i = 0; i < count; ++i) file << ' ' << options[i];
    file << '\n';
  }
  if (const char* seconds = std::getenv("LATHE_FAKE_NVRTC_SLEEP"); seconds != nullptr) ::sleep(static_cast<unsigned>(std::atoi(seconds)));
  if (const char* error = std::getenv("LATHE_FAKE_NVRTC_ERROR"); error != nullptr) {
    text = std::string("candidate.cu(3): warning #177-D: function \"f\" was declared but never referenced\n") + error + '\n';
    return 6;
  }
  const char* path = std::getenv("LATHE_FAKE_CUBIN");
  std::ifstream file(path == nullptr ? "" : path, std::ios::binary);
  cubin.assign(std::istreambuf_iterator<char>(file), {});
  text =
      "ptxas info    : Function properties for add\n    16 bytes stack frame, 12 bytes spill stores, 8 bytes spill loads\n"
      "ptxas info    : Used 14 registers, 408 bytes cmem[0]\n";
  return 0;
}
int nvrtcGetProgramLogSize(void*, size_t* bytes) {
  *bytes = text.size() + 1;
  return 0;
}
int nvrtcGetProgramLog(void*, char* to) {
  std::memcpy(to, text.c_str(), text.size() + 1);
  return 0;
}
int nvrtcGetPTXSize(void*, size_t* bytes) {
  *bytes = sizeof kPtx;
  return 0;
}
int nvrtcGetPTX(void*, char* to) {
  std::memcpy(to, kPtx, sizeof kPtx);
  return 0;
}
#ifndef LATHE_FAKE_PTX_ONLY  // as before 11.1
int nvrtcGetCUBINSize(void*, size_t* bytes) {
  *bytes = cubin.size();
  return 0;
}
int nvrtcGetCUBIN(void*, char* to) {
  std::memcpy(to, cubin.data(), cubin.size());
  return 0;
}
#endif
}
