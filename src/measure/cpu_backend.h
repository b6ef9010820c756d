// The cpu backend: C++ through the builder, shared objects through the worker's "cpu" runner.
#pragma once

#include "measure/backend.h"

namespace lathe {

class CpuBackend : public Backend {
 public:
  // The builder outlives the backend.
  CpuBackend(Target target, CpuBuilder* builder) : target_(std::move(target)), builder_(builder) {}

  const Target& target() const override { return target_; }
  BuildOutcome Build(const CandidateText& text, const CancelToken* cancel) override {
    return builder_->Build(text.source, text.flags, cancel);
  }
  void Complete(JobSpec& spec) const override {
    spec.runner = "cpu";
    spec.runner_options.clear();
    spec.limit_address_space = spec.confine = true;
  }

 private:
  Target target_;
  CpuBuilder* builder_;
};

}  // namespace lathe
