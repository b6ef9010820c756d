#include "measure/cuda_compiler.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <glob.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <sstream>

#include "measure/scratch.h"
#include "measure/subprocess.h"

namespace lathe {
namespace {
namespace fs = std::filesystem;

std::vector<std::string> Glob(const std::string& pattern) {
  glob_t found = {};
  std::vector<std::string> paths;
  if (::glob(pattern.c_str(), 0, nullptr, &found) == 0) paths.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  ::globfree(&found);
  return paths;
}

std::vector<std::string> Split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, separator);)
    if (!part.empty()) parts.push_back(part);
  return parts;
}

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

bool IsNvcc(const std::string& path) { return fs::path(path).filename() == "nvcc"; }

std::vector<std::string> Places() {
  if (const std::string given = Environment("LATHE_NVRTC"); !given.empty()) return Split(given, ':');
  std::vector<std::string> folders;
  for (const char* toolkit : {"/usr/local/cuda*/lib64", "/usr/local/cuda*/targets/*/lib", "/usr/lib/*-linux-gnu", "/usr/lib64"})
    folders.emplace_back(toolkit);
  if (const std::string home = Environment("CUDA_HOME"); !home.empty()) folders.push_back(home + "/lib64");
  for (const std::string& folder : Split(Environment("LD_LIBRARY_PATH"), ':')) folders.push_back(folder);
  std::vector<std::string> pythons = {"/usr/lib/python3*", "/usr/local/lib/python3*", Environment("HOME") + "/.local/lib/python3*"};
  if (const std::string virtual_env = Environment("VIRTUAL_ENV"); !virtual_env.empty()) pythons.push_back(virtual_env + "/lib/python3*");
  for (const std::string& python : pythons)
    for (const char* packages : {"/site-packages/nvidia/", "/dist-packages/nvidia/"})
      for (const char* wheel : {"cuda_nvrtc/lib", "cu1*/lib"}) folders.push_back(python + packages + wheel);
  std::vector<std::string> paths;
  for (const std::string& folder : folders)
    for (const std::string& path : Glob(folder + "/libnvrtc.so.[0-9]*")) paths.push_back(path);
  for (const std::string& folder : Split(Environment("PATH") + ":/usr/local/cuda/bin", ':'))
    if (::access((folder + "/nvcc").c_str(), X_OK) == 0) paths.push_back(folder + "/nvcc");
  return paths;
}

// One library under several names is one library.
std::vector<std::string> Distinct(const std::vector<std::string>& paths) {
  std::vector<std::string> distinct;
  for (const std::string& path : paths) {
    std::error_code failure;
    const fs::path real = fs::canonical(path, failure);
    const std::string name = failure ? path : real.string();
    if (std::find(distinct.begin(), distinct.end(), name) == distinct.end()) distinct.push_back(name);
  }
  return distinct;
}

std::string OutputOf(std::vector<std::string> argv) {
  Result<Scratch> scratch = Scratch::Create();
  if (!scratch) return "";
  Result<ScratchDir> directory = scratch->NewDir("cuda");
  if (!directory) return "";
  SubprocessOptions run;
  run.argv = std::move(argv);
  run.directory = directory->path();
  run.environment = {"TMPDIR=" + directory->path().string(), "LC_ALL=C"};
  run.deadline = std::chrono::seconds(60);
  run.head_bytes = 60'000;
  const Result<SubprocessResult> result = RunSubprocess(run);
  return result && result->end == SubprocessResult::End::kExited ? result->output : std::string();
}

std::optional<CudaCompiler> AskNvcc(const std::string& path) {
  CudaCompiler compiler;
  compiler.path = path;
  compiler.is_nvcc = true;
  const std::string version = OutputOf({path, "--version"}), list = OutputOf({path, "--list-gpu-code"});
  const size_t release = version.find("release ");
  if (release == std::string::npos) return std::nullopt;
  compiler.version = version.substr(release + 8, version.find_first_of(", \n", release + 8) - release - 8);
  std::istringstream words(list);
  for (std::string word; words >> word;)
    if (word.rfind("sm_", 0) == 0) compiler.architectures.push_back(word);
  return compiler;
}

std::pair<int, int> Number(const std::string& version) {
  std::pair<int, int> number = {0, 0};
  char dot = 0;
  std::istringstream(version) >> number.first >> dot >> number.second;
  return number;
}

}  // namespace

bool CudaCompiler::Knows(const std::string& architecture) const {
  // "sm_90a" is sm_90 with what only that very chip has; libraries list the plain name.
  const std::string plain = architecture.substr(0, architecture.find_last_of("0123456789") + 1);
  return std::find(architectures.begin(), architectures.end(), plain) != architectures.end();
}

std::vector<CudaCompiler> ParseCudaCompilers(const std::string& text) {
  std::vector<CudaCompiler> compilers;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string key;
    words >> key;
    if (key == "path") {
      compilers.emplace_back();
      compilers.back().path = line.substr(5);
    }
    if (compilers.empty()) continue;
    if (key == "version") words >> compilers.back().version;
    if (key == "cubin") compilers.back().makes_cubins = line != "cubin 0";
    if (key == "architectures")
      for (std::string name; words >> name;) compilers.back().architectures.push_back(name);
  }
  return compilers;
}

std::vector<CudaCompiler> ListCudaCompilers(const fs::path& worker_program) {
  std::vector<std::string> command = {worker_program.string(), "--cuda-compilers"};
  std::vector<CudaCompiler> compilers, programs;
  for (const std::string& path : Distinct(Places())) {
    if (!IsNvcc(path)) {
      command.push_back(path);
    } else if (std::optional<CudaCompiler> nvcc = AskNvcc(path)) {
      programs.push_back(std::move(*nvcc));
    }
  }
  if (command.size() > 2) compilers = ParseCudaCompilers(OutputOf(std::move(command)));
  std::stable_sort(compilers.begin(), compilers.end(),
                   [](const CudaCompiler& a, const CudaCompiler& b) { return Number(a.version) > Number(b.version); });
  compilers.insert(compilers.end(), programs.begin(), programs.end());
  return compilers;
}

Result<CudaCompiler> ChooseCudaCompiler(const std::vector<CudaCompiler>& compilers, const std::string& architecture) {
  std::string list;
  for (const CudaCompiler& compiler : compilers) {
    if (compiler.Knows(architecture)) return compiler;
    list += fmt::format("\n  {} at {}: {}", compiler.Name(), compiler.path.string(), fmt::join(compiler.architectures, " "));
  }
  return Error{
      ErrorCode::kNotFound,
      fmt::format(
          "compile for {}: no NVRTC or nvcc here knows it{}{}\n  install a CUDA toolkit, or pip install nvidia-cuda-nvrtc-cu12 (sm_50 "
          "to sm_121), and set LATHE_NVRTC to its libnvrtc.so.12 where it is not found",
          architecture, compilers.empty() ? "" : "; there are", list)};
}

}  // namespace lathe
