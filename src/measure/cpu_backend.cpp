#include "measure/cpu_backend.h"

#include <fmt/format.h>

#include "codegen/candidate_source.h"

namespace lathe {
BuildOutcome CpuBackend::Build(const Candidate& candidate, const CancelToken* cancel) {
  const auto failed = [](const Error& error) { return BuildOutcome{MeasureStatus::kBuildError, error.message, {}, 0}; };
  Result<CandidateParts> found = FindParts(*library_, candidate);
  if (!found) return failed(found.error());
  Result<std::string> source = CandidateSource(*library_, candidate, target_);
  if (!source) return failed(source.error().In("generate the source of " + candidate.Key()));
  return builder_->Build(*source, found->tmpl->flags(), cancel);
}

Result<JobSpec> CpuBackend::JobFor(const Candidate& candidate) {
  Result<CandidateParts> found = FindParts(*library_, candidate);
  if (!found) return found.error();
  const auto& [op, tmpl] = *found;
  JobSpec spec;
  spec.runner = "cpu";
  Result<std::vector<TensorShape>> tensors = tmpl->Tensors(*op, candidate.workload);
  if (!tensors) return tensors.error();
  Result<std::vector<TensorShape>> packed = tmpl->PackedTensors(*op, candidate, target_);
  if (!packed) return packed.error();
  Result<size_t> workspace = tmpl->WorkspaceBytes(*op, candidate, target_);
  if (!workspace) return workspace.error();
  for (const TensorShape& tensor : *packed) {
    const bool is_packed = tmpl->packs() && tensor.present && tmpl->manifest()["packed"].contains(tensor.name);
    spec.packed_bytes.push_back(is_packed ? tensor.bytes() : 0);
  }
  spec.tensors = std::move(*tensors);
  spec.workspace_bytes = *workspace;
  return spec;
}

}  // namespace lathe
