#include "measure/candidate_text.h"

#include <fmt/format.h>

#include "codegen/candidate_source.h"
#include "measure/launch_list.h"
#include "measure/reference_data.h"

namespace lathe {
namespace {

Status DescribePacking(const Operator& op, const KernelTemplate& tmpl, const Candidate& candidate, const Target& target,
                       CandidateText& text) {
  Result<std::vector<TensorShape>> packed = tmpl.PackedTensors(op, candidate, target);
  if (!packed) return packed.error();
  for (const TensorShape& tensor : *packed) {
    const bool is_packed = tmpl.packs() && tensor.present && tmpl.manifest()["packed"].contains(tensor.name);
    text.spec.packed_bytes.push_back(is_packed ? tensor.bytes() : 0);
  }
  return {};
}

Status DescribeLaunches(const Operator& op, const KernelTemplate& tmpl, const Candidate& candidate, const Target& target,
                        CandidateText& text) {
  for (const bool prepares : {true, false}) {
    Result<std::vector<Launch>> launches = prepares ? tmpl.PrepareLaunches(op, candidate, target) : tmpl.Launches(op, candidate, target);
    if (!launches) return launches.error();
    for (const Launch& launch : *launches)
      text.spec.runner_options +=
          LaunchLine({prepares, launch.kernel, launch.global, launch.local, launch.arguments, launch.dynamic_local_bytes});
  }
  return {};
}

}  // namespace

Result<CandidateText> RenderCandidate(const TemplateLibrary& library, const Candidate& candidate, const Target& target) {
  Result<CandidateParts> found = FindParts(library, candidate);
  if (!found) return found.error();
  const auto& [op, tmpl] = *found;
  CandidateText text;
  Result<std::vector<TensorShape>> tensors = tmpl->Tensors(*op, candidate.workload);
  if (!tensors) return tensors.error();
  text.spec.tensors = std::move(*tensors);
  Result<size_t> workspace = tmpl->WorkspaceBytes(*op, candidate, target);
  if (!workspace) return workspace.error();
  text.spec.workspace_bytes = *workspace;
  if (Status described = DescribePacking(*op, *tmpl, candidate, target, text); !described) return described.error();
  if (target.backend != "cpu")
    if (Status described = DescribeLaunches(*op, *tmpl, candidate, target, text); !described) return described.error();
  if (target.backend == "opencl") text.flags = {"-cl-std=CL1.2"};
  for (std::string& flag : tmpl->Flags(target.backend)) text.flags.push_back(std::move(flag));
  Result<std::string> source = CandidateSource(library, candidate, target);
  if (!source) return source.error().In("generate the source of " + candidate.Key());
  text.source = std::move(*source);
  return text;
}

Result<ReferenceText> RenderReference(const TemplateLibrary& library, const Workload& workload) {
  ReferenceText text;
  text.key = workload.Key();
  Result<const Operator*> op = library.FindOperator(workload.operator_name);
  if (!op) return op.error();
  Result<std::vector<TensorShape>> tensors = (*op)->Tensors(workload);
  if (!tensors) return tensors.error();
  text.tensors = std::move(*tensors);
  Result<std::vector<int64_t>> dynamic = DynamicValues(**op, workload);
  if (!dynamic) return dynamic.error();
  text.dynamic = std::move(*dynamic);
  Result<std::string> source = ReferenceSource(library, workload);
  if (!source) return source.error();
  text.source = std::move(*source);
  text.makes_inputs = (*op)->makes_inputs();
  return text;
}

}  // namespace lathe
