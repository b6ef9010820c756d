#include "measure/target_choice.h"

#include <fmt/format.h>

#include <charconv>

#include "measure/cpu_target.h"
#include "measure/opencl_backend.h"
#include "measure/opencl_target.h"

namespace lathe {
namespace {

constexpr std::string_view kOpenCl = "opencl";

// The device's number; none for the cpu.
Result<std::optional<size_t>> DeviceOf(const std::string& choice) {
  if (choice == "cpu") return std::optional<size_t>();
  if (choice == kOpenCl) return std::optional<size_t>(0);
  size_t device = 0;
  const std::string_view text = choice;
  if (text.size() > kOpenCl.size() + 1 && text.substr(0, kOpenCl.size() + 1) == "opencl:") {
    const char *begin = text.data() + kOpenCl.size() + 1, *end = text.data() + text.size();
    const auto [stopped, error] = std::from_chars(begin, end, device);
    if (error == std::errc() && stopped == end) return std::optional<size_t>(device);
  }
  return Error{ErrorCode::kInvalidInput, fmt::format("--target '{}': write cpu, opencl (the first device) or opencl:1 (another)", choice)};
}

}  // namespace

Result<Workshop::BackendFactory> BackendFor(const std::string& choice) {
  Result<std::optional<size_t>> device = DeviceOf(choice);
  if (!device) return device.error();
  return *device ? MakeOpenClBackend(**device) : Workshop::BackendFactory();
}

Result<Target> TargetFor(const std::string& choice, int threads) {
  Result<std::optional<size_t>> device = DeviceOf(choice);
  if (!device) return device.error();
  if (*device) return OpenClTarget(**device, WorkerOptions::DefaultProgram(), threads);
  return DetectCpuTarget(threads, Toolchain::Default(), "");
}

}  // namespace lathe
