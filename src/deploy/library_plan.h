// LibraryPlan: which kernel answers each workload of a deployment, and why that one. Pure decision; the files are written in
// kernel_library.h.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
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

// Best first.
enum class Match {
  kExact,     // this very workload was tuned
  kNearest,   // the config of the nearest tuned workload, built for this one
  kUntuned,   // the first valid config of the first template that computes it, the author's own choice
  kFallback,  // the reference with run-time attributes: right, portable, slow; GPU libraries have none
  kNone,      // nothing: no GPU template computes it, and the library leaves it out
};
const char* ToString(Match match);  // "exact", "nearest", "untuned", "fallback", "none"

struct PlannedKernel {
  Workload workload;
  int64_t count = 1;  // how often the model runs it
  Match match = Match::kFallback;
  std::string reason;                  // a sentence, for the report and the running program
  std::optional<Candidate> candidate;  // of the first three
  std::optional<Winner> origin;        // the measurement it rests on; of the first two
};

struct LibraryPlan {
  Target target;
  std::vector<PlannedKernel> kernels;
};

struct WantedWorkload {
  Workload workload;  // normalised
  int64_t count = 1;
  std::set<std::string> failed = {};  // Candidate::Key() of those that were measured on the target and do not work
};

// The first valid config of the first template that computes the workload on the target; none where none does. Fails where none does
// and one cannot tell, for the target lacks a limit that it asks for. A template whose first config is among `failed` is passed over.
Result<std::optional<Candidate>> FirstCandidate(const TemplateLibrary& library, const Workload& workload, const Target& target,
                                                const std::set<std::string>& failed = {});

// `winners` hold one entry a tuned workload, of current templates only. Nearest means: same operator, same choices but for those of the
// operator's epilogue, smallest sum of |log ratios| over the numbers and of a small step for each difference in the epilogue, and the
// config is valid in the new workload's space. What is known to fail is taken neither way.
Result<LibraryPlan> PlanLibrary(const TemplateLibrary& library, const Target& target, const std::vector<WantedWorkload>& wanted,
                                const std::vector<Winner>& winners);

nlohmann::json ToJson(const LibraryPlan& plan);
// For the library's README: a row a kernel, and why those that are not exact are what they are.
std::string MarkdownTable(const LibraryPlan& plan);

}  // namespace lathe
