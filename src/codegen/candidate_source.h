// The one translation unit that a candidate, or an operator's reference, is built from: prelude, macros, source, glue.
#pragma once

#include <string>

#include "core/candidate.h"
#include "core/result.h"
#include "core/target.h"
#include "space/template_library.h"

namespace lathe {

// The operator and the template a candidate names.
struct CandidateParts {
  const Operator* op;
  const KernelTemplate* tmpl;
};
Result<CandidateParts> FindParts(const TemplateLibrary& library, const Candidate& candidate);

struct SourceOptions {
  // Prefixed to the exported names (lathe_run, lathe_prepare, …), so that a kernel library can hold many.
  std::string symbol_prefix;
};

// C++ for the cpu backend, OpenCL C for opencl. The candidate must be valid in its space.
Result<std::string> CandidateSource(const TemplateLibrary& library, const Candidate& candidate, const Target& target,
                                    const SourceOptions& options = {});
// The reference of a normalised workload: C++, exporting lathe_run and, where the operator makes its inputs, lathe_make_inputs.
Result<std::string> ReferenceSource(const TemplateLibrary& library, const Workload& workload, const SourceOptions& options = {});

}  // namespace lathe
