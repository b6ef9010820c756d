#include "codegen/candidate_source.h"

#include <fmt/format.h>

#include "codegen/cpu_unit.h"
#include "codegen/macros.h"

namespace lathe {

Result<CandidateParts> FindParts(const TemplateLibrary& library, const Candidate& candidate) {
  Result<const Operator*> op = library.FindOperator(candidate.workload.operator_name);
  if (!op) return op.error();
  Result<const KernelTemplate*> tmpl = library.FindTemplate(candidate.workload.operator_name + '/' + candidate.template_name);
  if (!tmpl) return tmpl.error();
  return CandidateParts{*op, *tmpl};
}

Result<std::string> CandidateSource(const TemplateLibrary& library, const Candidate& candidate, const Target& target,
                                    const SourceOptions& options) {
  Result<CandidateParts> parts = FindParts(library, candidate);
  if (!parts) return parts.error();
  const auto& [op, tmpl] = *parts;
  Result<Macros> macros = WorkloadMacros(*op, candidate.workload);
  if (!macros) return macros.error();
  AddConfigMacros(*tmpl, candidate.config, *macros);

  if (tmpl->backend() != "cpu")
    return fmt::format("{}\n{}\n#line 1 \"{}\"\n{}", library.Prelude("gpu.h"), macros->text(), tmpl->source_name(), tmpl->source());

  Result<std::vector<TensorShape>> plain = op->Tensors(candidate.workload);
  if (!plain) return plain.error();
  Result<std::vector<TensorShape>> packed = tmpl->PackedTensors(*op, candidate, target);
  if (!packed) return packed.error();
  const CpuUnit unit{*op, *packed, *plain, options.symbol_prefix};
  std::string glue = RunGlue(unit);
  if (tmpl->packs()) glue += PrepareGlue(unit, *tmpl);
  return CpuSource(library, unit, macros->text(), "", tmpl->source_name(), tmpl->source(), glue);
}

Result<std::string> ReferenceSource(const TemplateLibrary& library, const Workload& workload, const SourceOptions& options) {
  Result<const Operator*> op = library.FindOperator(workload.operator_name);
  if (!op) return op.error();
  Result<Macros> macros = WorkloadMacros(**op, workload);
  if (!macros) return macros.error();
  Result<std::vector<TensorShape>> tensors = (*op)->Tensors(workload);
  if (!tensors) return tensors.error();
  const CpuUnit unit{**op, *tensors, *tensors, options.symbol_prefix};
  std::string glue = RunGlue(unit);
  if ((*op)->makes_inputs()) glue += MakeInputsGlue(unit);
  return CpuSource(library, unit, macros->text(), "", workload.operator_name + "/reference.cpp", (*op)->reference_source(), glue);
}

}  // namespace lathe
