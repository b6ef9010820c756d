#include "measure/target_choice.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "measure/cpu_target.h"
#include "measure/cuda_backend.h"
#include "measure/cuda_target.h"
#include "measure/opencl_backend.h"
#include "measure/opencl_target.h"

namespace lathe {
namespace {

struct Choice {
  std::string backend = "cpu";
  size_t device = 0;
  std::string architecture;  // instead of a device
};

Result<Choice> ReadChoice(const std::string& text) {
  Choice choice;
  if (text == "cpu") return choice;
  for (const std::string backend : {"opencl", "cuda"}) {
    choice.backend = backend;
    if (text == backend) return choice;
    const std::string rest = text.substr(std::min(text.size(), backend.size() + 1));
    if (rest.empty() || text.compare(0, backend.size(), backend) != 0) continue;
    if (text[backend.size()] == '/' && backend == "cuda") {
      choice.architecture = rest;
      return choice;
    }
    const auto [stopped, error] = std::from_chars(rest.data(), rest.data() + rest.size(), choice.device);
    if (text[backend.size()] == ':' && error == std::errc() && stopped == rest.data() + rest.size()) return choice;
  }
  return Error{
      ErrorCode::kInvalidInput,
      fmt::format("'{}' is no target: write cpu, opencl or cuda (the first device), opencl:1 (another), or cuda/sm_87 (to build for)",
                  text)};
}

}  // namespace

Status CheckTargetChoice(const std::string& choice) {
  Result<Choice> read = ReadChoice(choice);
  if (!read) return read.error();
  if (read->architecture.empty()) return {};
  Result<Target> target = CudaTargetWithoutDevice(read->architecture);
  return target ? Status() : target.error();
}

Result<Workshop::BackendFactory> BackendFor(const std::string& choice) {
  Result<Choice> read = ReadChoice(choice);
  if (!read) return read.error();
  if (!read->architecture.empty()) return MakeCudaBuildBackend(read->architecture);
  if (read->backend == "cuda") return MakeCudaBackend(read->device);
  return read->backend == "opencl" ? MakeOpenClBackend(read->device) : Workshop::BackendFactory();
}

Result<Target> TargetFor(const std::string& choice, int threads) {
  Result<Choice> read = ReadChoice(choice);
  if (!read) return read.error();
  if (!read->architecture.empty()) return CudaTargetWithoutDevice(read->architecture);
  if (read->backend == "cuda") return CudaTarget(read->device, WorkerOptions::DefaultProgram());
  if (read->backend == "opencl") return OpenClTarget(read->device, WorkerOptions::DefaultProgram(), threads);
  return DetectCpuTarget(threads, Toolchain::Default(), "");
}

}  // namespace lathe
