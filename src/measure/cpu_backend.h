// The cpu backend: C++ through the builder, shared objects through the worker's "cpu" runner.
#pragma once

#include <memory>

#include "measure/backend.h"
#include "space/template_library.h"

namespace lathe {

class CpuBackend : public Backend {
 public:
  // All outlive the backend.
  CpuBackend(const TemplateLibrary* library, Target target, CpuBuilder* builder)
      : library_(library), target_(std::move(target)), builder_(builder) {}

  const Target& target() const override { return target_; }
  BuildOutcome Build(const Candidate& candidate, const CancelToken* cancel) override;
  Result<JobSpec> JobFor(const Candidate& candidate) override;

 private:
  const TemplateLibrary* library_;
  Target target_;
  CpuBuilder* builder_;
};

}  // namespace lathe
