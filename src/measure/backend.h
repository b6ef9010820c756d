// Backend: how candidates of one kind become artifacts, and what a worker must know to run one. The cpu backend stands beside this file;
// another (OpenCL, CUDA) is a second implementation here, a branch in candidate_text.cpp, and a second Runner in the worker. Nothing else
// distinguishes them.
#pragma once

#include <map>
#include <string>

#include "core/target.h"
#include "measure/cancel_token.h"
#include "measure/candidate_text.h"
#include "measure/cpu_builder.h"

namespace lathe {

class ClockLock;

class Backend {
 public:
  virtual ~Backend() = default;
  virtual const Target& target() const = 0;
  // Thread-safe. Never fails otherwise than by the outcome's status.
  virtual BuildOutcome Build(const CandidateText& text, const CancelToken* cancel) = 0;
  // What the text leaves open: runner, device, how the worker is confined. Whatever stands there already is overwritten.
  virtual void Complete(JobSpec& spec) const = 0;
  // The lock that the workshop asked for, also where it was refused; null where none was asked for.
  virtual const ClockLock* clock_lock() const { return nullptr; }
  // What every measurement's conditions say besides.
  virtual std::map<std::string, std::string> Conditions() const { return {}; }
};

}  // namespace lathe
