// LibraryPlan: which kernel answers each workload of a deployment, and why that one. Pure decision; the files are written in
// kernel_library.h.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/candidate.h"
#include "core/result.h"
#include "core/target.h"
#include "space/template_library.h"

namespace lathe {

// The best config the log knows of one workload, with where it comes from.
struct Winner {
  Candidate candidate;
  double seconds = 0;
  double untuned_seconds = 0;  // of the first valid config, 0 when unknown
  Target target;               // where it was measured
  std::string run_id;
  int64_t finished_unix_ms = 0;
};

enum class Match {
  kExact,     // this very workload was tuned
  kNearest,   // the config of the nearest tuned workload, built for this one
  kFallback,  // the reference with run-time attributes: right, portable, slow; on a GPU the first valid config of a template
};
const char* ToString(Match match);  // "exact", "nearest", "fallback"

struct PlannedKernel {
  Workload workload;
  int64_t count = 1;  // how often the model runs it
  Match match = Match::kFallback;
  std::string reason;                  // a sentence, for the report and the running program
  std::optional<Candidate> candidate;  // none for a fallback, but on a GPU
  std::optional<Winner> origin;        // the measurement it rests on
};

struct LibraryPlan {
  Target target;
  std::vector<PlannedKernel> kernels;
};

struct WantedWorkload {
  Workload workload;  // normalised
  int64_t count = 1;
};

// `winners` hold one entry a tuned workload, of current templates only. Nearest means: same operator, same choices and truth values,
// smallest sum of |log ratios| over the numbers, and the config is valid in the new workload's space.
Result<LibraryPlan> PlanLibrary(const TemplateLibrary& library, const Target& target, const std::vector<WantedWorkload>& wanted,
                                const std::vector<Winner>& winners);

nlohmann::json ToJson(const LibraryPlan& plan);

}  // namespace lathe
