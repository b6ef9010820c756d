// Workload: an operator with every attribute fixed. Two workloads are the same task exactly when their keys are equal.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "core/value.h"

namespace lathe {

struct Workload {
  std::string operator_name;
  NamedValues attributes;  // sorted by name; complete once an Operator has normalised it

  // "conv2d:activation=relu,bias=1,c=64,…": canonical, reads back with ParseWorkload.
  std::string Key() const;

  friend bool operator==(const Workload& a, const Workload& b) { return a.Key() == b.Key(); }
};

// {"operator": "conv2d", "workload": {"h": 56, …}}
nlohmann::json ToJson(const Workload& workload);
Result<Workload> WorkloadFromJson(const nlohmann::json& json);
// The text of Key(), "conv2d:h=56,w=56" with attributes left to their defaults, or "conv2d h=56,w=56" as tables print it.
Result<Workload> ParseWorkload(const std::string& text);

}  // namespace lathe
