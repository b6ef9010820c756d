// Backend: how candidates of one kind become artifacts, and what a worker must know to run one. The cpu backend stands beside this file;
// another (OpenCL, CUDA) is a second implementation here and a second Runner in the worker. Nothing else distinguishes them.
#pragma once

#include <string>
#include <vector>

#include "core/candidate.h"
#include "core/result.h"
#include "core/target.h"
#include "measure/cancel_token.h"
#include "measure/cpu_builder.h"
#include "space/operator.h"

namespace lathe {

// What a worker is told beyond the workload's tensors.
struct JobSpec {
  std::string runner;                // the worker's Runner: "cpu"
  std::vector<TensorShape> tensors;  // as the operator states them, with the template's tolerances
  std::vector<size_t> packed_bytes;  // indexed like tensors; 0 where the kernel takes the plain one
  size_t workspace_bytes = 0;
  std::string runner_options;       // text of the runner's own: launch geometry, device index
  bool limit_address_space = true;  // false where a driver reserves huge ranges
  bool confine = true;              // false where a driver needs files, processes or sockets
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual const Target& target() const = 0;
  // Thread-safe. Never fails otherwise than by the outcome's status.
  virtual BuildOutcome Build(const Candidate& candidate, const CancelToken* cancel) = 0;
  // Thread-safe. Fails when the candidate is not one of this library's and target's.
  virtual Result<JobSpec> JobFor(const Candidate& candidate) = 0;
};

}  // namespace lathe
