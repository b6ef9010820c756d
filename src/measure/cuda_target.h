// CUDA targets: the devices of this machine, asked of a worker, and architectures without a device, for which one can build.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/result.h"
#include "core/target.h"

namespace lathe {

// In the driver's order. Fails (kNotFound) when there is no driver or no device; the message says what to do.
Result<std::vector<Target>> ListCudaTargets(const std::filesystem::path& worker_program);
Result<Target> CudaTarget(size_t device, const std::filesystem::path& worker_program);
// Limits by the table of cuda_architecture.h; called after its architecture. Fails with the names there are.
Result<Target> CudaTargetWithoutDevice(const std::string& architecture);

// What the worker prints about its devices. For tests, too.
Result<std::vector<Target>> ParseCudaDevices(const std::string& text);

}  // namespace lathe
