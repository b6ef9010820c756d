// Journal: where the tuning driver writes what happened and asks what is known. The tuning log in db/ implements it; tests keep it in
// memory.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/measurement.h"
#include "core/result.h"
#include "core/target.h"

namespace lathe {

// One invocation of the tuner.
struct RunInfo {
  std::string id;          // unique; a resumed run keeps its own
  std::string command;     // as the user gave it
  nlohmann::json options;  // strategy, seed, budgets, versions
  Target target;
};

// That something was measured: one workload, one target, one version of a template.
struct Relative {
  Workload workload;
  Target target;
  std::string template_hash;
  size_t measurements = 0;
};

class Journal {
 public:
  virtual ~Journal() = default;
  virtual Status BeginRun(const RunInfo& run) = 0;
  // Durable on return: a reported measurement survives kill -9.
  virtual Status Record(const std::string& run_id, const std::vector<Measurement>& measurements) = 0;
  // Everything measured for this workload by this template version on this target, newest last; board_lost left out.
  virtual Result<std::vector<Measurement>> History(const Workload& workload, const std::string& template_name,
                                                   const std::string& template_hash, const Target& target) = 0;
  // For whom there is a History of this template, under any circumstances. A journal may know none.
  virtual Result<std::vector<Relative>> Relatives(const std::string& /*operator_name*/, const std::string& /*template_name*/) {
    return std::vector<Relative>{};
  }
  virtual Status EndRun(const std::string& run_id, const std::string& state) = 0;  // "finished", "stopped", "failed: …"
};

}  // namespace lathe
