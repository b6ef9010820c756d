// What each constraint of a space costs: for the author of a manifest who wonders why there are so few configurations, or none.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/result.h"
#include "space/space.h"

namespace lathe {

// How many points a constraint removes.
struct Removal {
  std::optional<double> points;  // absent where nothing could be counted
  double share = 0;              // of the points it was held against, 0 to 1
  bool exact = true;             // false: share, and points with it, is estimated from a sample
};

struct ConstraintDiagnosis {
  Constraint constraint;
  Removal alone;         // of all raw points, as if it were the only one
  Removal given_others;  // of the points that all others leave: what dropping it would gain
};

struct DeadValues {
  std::string parameter;
  std::vector<Value> values;  // that no valid point uses
};

struct SpaceDiagnostics {
  std::string id;
  double raw = 0;
  std::optional<uint64_t> valid;  // absent where it cannot be counted quickly
  std::vector<ConstraintDiagnosis> constraints;
  std::vector<DeadValues> dead_values;  // parameters that have some; not filled in for an empty space, where all are
  // Of an empty space: indices into `constraints`, none of which can be left out: these together leave nothing. Found by dropping one after
  // the other, the least restrictive first, so there may be a smaller set.
  std::vector<size_t> empty_because;
};

// Deterministic. Takes some tens of counts of variants of the space; each gives up after some four million partial assignments.
Result<SpaceDiagnostics> Diagnose(const Space& space);

nlohmann::ordered_json ToJson(const SpaceDiagnostics& diagnostics);

}  // namespace lathe
