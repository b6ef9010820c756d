#include "measure/cuda_target.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <sstream>

#include "measure/cuda_architecture.h"
#include "measure/scratch.h"
#include "measure/subprocess.h"

namespace lathe {

Result<Target> CudaTargetWithoutDevice(const std::string& architecture) {
  const std::optional<CudaArchitecture> known = FindCudaArchitecture(architecture);
  if (!known)
    return Error{ErrorCode::kNotFound,
                 fmt::format("CUDA architecture '{}' is not known; there are: {}", architecture, fmt::join(CudaArchitectureNames(), ", "))};
  return Target{"cuda", architecture, architecture, CudaLimits(*known), {}};
}

Result<std::vector<Target>> ParseCudaDevices(const std::string& text) {
  std::vector<Target> targets;
  std::map<std::string, std::string> device;
  std::istringstream lines(text + '\n');
  for (std::string line; std::getline(lines, line);) {
    if (!line.empty()) {
      const size_t space = std::min(line.find(' '), line.size());
      device[line.substr(0, space)] = space < line.size() ? line.substr(space + 1) : "";
      continue;
    }
    if (device.count("name") > 0 && device.count("architecture") > 0) {
      Result<Target> target = CudaTargetWithoutDevice(device["architecture"]);
      if (!target) return target.error().In(fmt::format("read CUDA device '{}'", device["name"]));
      target->name = device["name"];
      for (const char* limit : {"max_work_group", "max_work_group_z", "max_groups_yz", "local_bytes", "local_bytes_asked",
                                "registers_per_group", "compute_units", "subgroup", "max_buffer_bytes"})
        if (const double value = std::strtod(device[limit].c_str(), nullptr); value > 0) target->limits[limit] = value;
      target->fingerprint["driver"] = device["driver"];
      targets.push_back(std::move(*target));
    }
    device.clear();
  }
  if (targets.empty()) return Error{ErrorCode::kNotFound, "find a CUDA device: the driver offers none"};
  return targets;
}

Result<std::vector<Target>> ListCudaTargets(const std::filesystem::path& worker_program) {
  Result<Scratch> scratch = Scratch::Create();
  if (!scratch) return scratch.error();
  Result<ScratchDir> directory = scratch->NewDir("cuda");
  if (!directory) return directory.error();
  SubprocessOptions run;
  run.argv = {worker_program.string(), "--cuda-devices"};
  run.directory = directory->path();
  run.environment = {"TMPDIR=" + directory->path().string()};
  run.deadline = std::chrono::seconds(60);
  run.head_bytes = 60'000;
  Result<SubprocessResult> result = RunSubprocess(run);
  if (!result) return result.error().In("list CUDA devices");
  using End = SubprocessResult::End;
  if (result->end != End::kExited)
    return Error{ErrorCode::kUnavailable,
                 fmt::format("list CUDA devices: the driver {}: {}",
                             result->end == End::kDeadline ? "did not answer for 60 s" : "ended the process", result->output)};
  while (!result->output.empty() && result->output.back() == '\n' && result->code != 0) result->output.pop_back();
  if (result->code != 0) return Error{ErrorCode::kNotFound, result->output};
  return ParseCudaDevices(result->output);
}

Result<Target> CudaTarget(size_t device, const std::filesystem::path& worker_program) {
  Result<std::vector<Target>> targets = ListCudaTargets(worker_program);
  if (!targets) return targets.error();
  if (device < targets->size()) return std::move((*targets)[device]);
  std::string list;
  for (size_t i = 0; i < targets->size(); ++i) list += fmt::format("\n  cuda:{}  {} {}", i, (*targets)[i].architecture, (*targets)[i].name);
  return Error{ErrorCode::kNotFound, fmt::format("find CUDA device {}: there are only{}", device, list)};
}

}  // namespace lathe
