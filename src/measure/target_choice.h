// What a user means by --target: "cpu", "opencl" or "cuda" (the first device), "opencl:1" (the second), "cuda/sm_87" (no device: to build
// for).
#pragma once

#include <string>

#include "core/result.h"
#include "core/target.h"
#include "measure/workshop.h"

namespace lathe {

// Fails where it is none of these, whatever devices there are.
Status CheckTargetChoice(const std::string& choice);

// For Workshop and LocalMeasurer. Empty for "cpu", which is what they take unless told otherwise.
Result<Workshop::BackendFactory> BackendFor(const std::string& choice);

// The same as a Target, for what only asks and never measures: `lathe space`.
Result<Target> TargetFor(const std::string& choice, int threads);

}  // namespace lathe
