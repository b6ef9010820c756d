// The OpenCL devices of this machine, as Targets. Asked of a worker, so that drivers, which start threads and may crash, are never loaded
// into this process.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/result.h"
#include "core/target.h"

namespace lathe {

// In the loader's order: an index into this is what "opencl:1" names. Architectures read "pocl-cpu", "nvidia-gpu". Limits: those of every
// GPU target (docs/gpu-dialect.md), and on a CPU threads, which then is how many the driver gets to use.
// Fails (kNotFound) when there is no device, no loader, or the worker was built without OpenCL; the message says what to do.
Result<std::vector<Target>> ListOpenClTargets(const std::filesystem::path& worker_program, int threads);

// One of them. Fails (kNotFound) with a list of those there are.
Result<Target> OpenClTarget(size_t device, const std::filesystem::path& worker_program, int threads);

// What the worker prints about its devices: blocks of "key value" lines. For tests, too.
Result<std::vector<Target>> ParseOpenClDevices(const std::string& text, int threads);

}  // namespace lathe
