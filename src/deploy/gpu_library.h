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

// What a device loads for a candidate: the text that OpenCL compiles, or a cubin.
using ProgramOf = std::function<Result<std::string>(const Candidate& candidate)>;

// Every planned kernel without a candidate gets the first valid config of the first template that applies; what none computes is left out,
// and the report says so and why.
Result<LibraryFiles> GenerateGpuLibrary(const TemplateLibrary& library, LibraryPlan plan, const ProgramOf& program_of);

// The first valid config of the first template that computes the workload on the target; none where none does. Fails where none does
// and one cannot tell, for the target lacks a limit that it asks for.
Result<std::optional<Candidate>> FirstCandidate(const TemplateLibrary& library, const Workload& workload, const Target& target);

}  // namespace lathe
