// Writes a kernel library: a directory of C++ sources that builds with a plain CMake, on the target or for it, without Lathe.
//
//     include/lathe_kernels.h     the C interface: one create/run/destroy per operator, status codes, what matched and why
//     include/lathe_kernels.hpp   the same as C++ classes
//     src/                        kernels, one fallback per operator and dtype, dispatch, a small thread pool
//     test/                       holds every kernel against the fallback
//     report.json                 what was tuned, where, when and how much it gained
//     CMakeLists.txt              library lathe_kernels::lathe_kernels, found with find_package once installed
//
// The same plan gives the same bytes.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "core/result.h"
#include "deploy/library_plan.h"

namespace lathe {

// Path within the library -> content.
using LibraryFiles = std::map<std::string, std::string>;

// For cpu targets; GPUs have gpu_library.h.
Result<LibraryFiles> GenerateLibrary(const TemplateLibrary& library, const LibraryPlan& plan);

// Replaces what an earlier call wrote into `out`; refuses a directory that holds anything else.
Status WriteLibrary(const LibraryFiles& files, const std::filesystem::path& out);

}  // namespace lathe
