// A kernel library for a GPU target: sources of OpenCL programs, or cubins, in a table that one small runtime launches from. Queue, memory
// and workspace are the caller's. See library_files/gpu_kernels.h for its interface.
//
// The same plan and programs give the same bytes.
#pragma once

#include <functional>
#include <string>

#include "core/result.h"
#include "deploy/kernel_library.h"
#include "deploy/library_plan.h"

namespace lathe {

// What a device loads for a candidate.
struct GpuProgram {
  std::string content;        // the text that OpenCL compiles, a cubin, or PTX
  std::string compiler = {};  // "NVRTC 12.9"; empty where the device's driver compiles
};
using ProgramOf = std::function<Result<GpuProgram>(const Candidate& candidate)>;

// What the plan has no candidate for is left out.
Result<LibraryFiles> GenerateGpuLibrary(const TemplateLibrary& library, const LibraryPlan& plan, const ProgramOf& program_of);

}  // namespace lathe
