// Whether an operator's reference also compiles as the portable fallback of a kernel library, where its attributes are variables instead of
// macros: `if (KIND == KIND_LINEAR)` works as both, `#if KIND == KIND_LINEAR` and an array of extent C do not.
#pragma once

#include <vector>

#include "core/measurement.h"
#include "core/result.h"
#include "space/template_library.h"

namespace lathe {

struct FallbackCheck {
  size_t compiled = 0;                // one for each combination of dtypes
  std::vector<Measurement> failures;  // build_error of "reference as fallback"
};
// An error when there is no compiler to ask.
Result<FallbackCheck> CheckFallback(const TemplateLibrary& library, const Operator& op);

}  // namespace lathe
