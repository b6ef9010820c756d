#include "measure/opencl_target.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <sstream>

#include "measure/scratch.h"
#include "measure/subprocess.h"

namespace lathe {
namespace {

constexpr double kUnknownLimit = 2147483647;  // OpenCL cannot be asked: registers; or has no such limit: groups

// "Portable Computing Language" -> "pocl". Unknown ones keep their first word in lower case.
std::string FamilyOf(const std::string& platform) {
  for (const auto& [start, family] : {std::pair<const char*, const char*>{"Portable Computing Language", "pocl"},
                                      {"NVIDIA", "nvidia"},
                                      {"AMD", "amd"},
                                      {"Intel", "intel"},
                                      {"ARM", "arm"},
                                      {"QUALCOMM", "qualcomm"}})
    if (platform.rfind(start, 0) == 0) return family;
  std::string family;
  for (const char c : platform.substr(0, platform.find(' ')))
    if (std::isalnum(static_cast<unsigned char>(c)) != 0) family += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return family.empty() ? "unknown" : family;
}

Target TargetOf(const std::map<std::string, std::string>& device, int threads) {
  const auto text = [&](const char* key) {
    const auto found = device.find(key);
    return found == device.end() ? std::string() : found->second;
  };
  const auto number = [&](const char* key) { return std::strtod(text(key).c_str(), nullptr); };
  Target target;
  target.backend = "opencl";
  target.architecture = FamilyOf(text("platform")) + '-' + (text("type").empty() ? "accelerator" : text("type"));
  target.name = text("name");
  for (const char* limit : {"max_work_group", "local_bytes", "max_buffer_bytes", "images", "max_image_width", "max_image_height",
                            "compute_units", "vector_bytes", "fp16"})
    target.limits[limit] = number(limit);
  const double most_z = number("max_work_group_z");
  target.limits["max_work_group_z"] = most_z > 0 ? most_z : target.limits["max_work_group"];
  for (const char* unlimited : {"max_groups_yz", "registers_per_group", "registers_per_item"}) target.limits[unlimited] = kUnknownLimit;
  target.limits["local_bytes_asked"] = target.limits["local_bytes"];
  target.limits["subgroup"] = 1;
  for (const char* cuda_only : {"dp4a", "tensor_cores", "async_copy", "compute_capability"}) target.limits[cuda_only] = 0;
  if (text("type") == "cpu") target.limits["threads"] = threads;
  for (const char* key : {"platform_version", "device_version", "driver_version"}) target.fingerprint[key] = text(key);
  return target;
}

}  // namespace

Result<std::vector<Target>> ParseOpenClDevices(const std::string& text, int threads) {
  std::vector<Target> targets;
  std::map<std::string, std::string> device;
  std::istringstream lines(text + '\n');
  for (std::string line; std::getline(lines, line);) {
    if (!line.empty()) {
      const size_t space = std::min(line.find(' '), line.size());
      device[line.substr(0, space)] = space < line.size() ? line.substr(space + 1) : "";
      continue;
    }
    // A driver may chatter on the same stream; only a block with all of it is a device.
    if (device.count("platform") > 0 && device.count("name") > 0 && device.count("usable") > 0)
      targets.push_back(TargetOf(device, threads));
    device.clear();
  }
  if (targets.empty())
    return Error{ErrorCode::kNotFound, "find an OpenCL device: no driver offers one; install a driver (for CPUs, Debian: pocl-opencl-icd)"};
  return targets;
}

Result<std::vector<Target>> ListOpenClTargets(const std::filesystem::path& worker_program, int threads) {
  Result<Scratch> scratch = Scratch::Create();
  if (!scratch) return scratch.error();
  Result<ScratchDir> directory = scratch->NewDir("opencl");
  if (!directory) return directory.error();
  SubprocessOptions run;
  run.argv = {worker_program.string(), "--opencl-devices"};
  run.directory = directory->path();
  run.environment = {"TMPDIR=" + directory->path().string(), fmt::format("POCL_MAX_PTHREAD_COUNT={}", threads)};
  run.deadline = std::chrono::seconds(60);
  run.head_bytes = 60'000;
  Result<SubprocessResult> result = RunSubprocess(run);
  if (!result) return result.error().In("list OpenCL devices");
  using End = SubprocessResult::End;
  if (result->end == End::kDeadline) return Error{ErrorCode::kUnavailable, "list OpenCL devices: a driver did not answer for 60 s"};
  if (result->end != End::kExited)
    return Error{ErrorCode::kUnavailable,
                 fmt::format("list OpenCL devices: a driver ended with {}: {}", SignalName(result->code), result->output)};
  while (!result->output.empty() && result->output.back() == '\n' && result->code != 0) result->output.pop_back();
  if (result->code != 0) return Error{ErrorCode::kNotFound, result->output};
  return ParseOpenClDevices(result->output, threads);
}

Result<Target> OpenClTarget(size_t device, const std::filesystem::path& worker_program, int threads) {
  Result<std::vector<Target>> targets = ListOpenClTargets(worker_program, threads);
  if (!targets) return targets.error();
  if (device < targets->size()) return std::move((*targets)[device]);
  std::string list;
  for (size_t i = 0; i < targets->size(); ++i)
    list += fmt::format("\n  opencl:{}  {} {}", i, (*targets)[i].architecture, (*targets)[i].name);
  return Error{ErrorCode::kNotFound, fmt::format("find OpenCL device {}: there are only{}", device, list)};
}

}  // namespace lathe
