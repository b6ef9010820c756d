#include "codegen/candidate_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

namespace lathe {
namespace {

std::string Capitals(std::string name) {
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return name;
}

// One #define each; a name out of a list becomes a number with names: LAYOUT_NHWC, LAYOUT_NCHW, LAYOUT.
class Macros {
 public:
  void Add(const std::string& name, const Value& value, const std::vector<std::string>& choices) {
    const std::string macro = Capitals(name);
    const auto* chosen = std::get_if<std::string>(&value);
    if (chosen == nullptr) {
      Define(macro, ToString(value));
      return;
    }
    for (size_t i = 0; i < choices.size(); ++i) Define(macro + '_' + Capitals(choices[i]), std::to_string(i + 1));
    Define(macro, macro + '_' + Capitals(*chosen));
  }
  const std::string& text() const { return text_; }

 private:
  void Define(const std::string& macro, const std::string& value) { text_ += fmt::format("#define {} {}\n", macro, value); }
  std::string text_;
};

// Static attributes and the derived values that no dynamic one enters.
Result<Macros> WorkloadMacros(const Operator& op, const Workload& workload) {
  Macros macros;
  for (const Attribute& attribute : op.attributes()) {
    const Value* value = Find(workload.attributes, attribute.name);
    if (value == nullptr)
      return Error{ErrorCode::kInternal,
                   fmt::format("generate source for '{}': attribute '{}' has no value", workload.Key(), attribute.name)};
    if (!attribute.dynamic) macros.Add(attribute.name, *value, attribute.choices);
  }
  Result<std::map<std::string, double>> numbers = op.Numbers(workload);
  if (!numbers) return numbers.error();
  for (const std::string& name : op.DerivedFromStatic()) {
    const double value = numbers->at(name);
    const bool whole = value == static_cast<double>(static_cast<int64_t>(value));
    macros.Add(name, whole ? Value(static_cast<int64_t>(value)) : Value(value), {});
  }
  return macros;
}

void AddConfigMacros(const KernelTemplate& tmpl, const Config& config, Macros& macros) {
  for (const auto& [name, value] : config) {
    std::vector<std::string> choices;
    const auto& parameter = tmpl.manifest()["parameters"][name];
    if (parameter.contains("values"))
      for (const auto& choice : parameter["values"])
        if (choice.is_string()) choices.push_back(choice);
    macros.Add(name, value, choices);
  }
}

std::string WithAbi(const TemplateLibrary& library) {
  std::string prelude = library.Prelude("cpu.h");
  for (const auto& [line, text] :
       {std::pair<std::string, std::string>("#include \"abi.h\"\n", library.Prelude("abi.h")), {"#pragma once\n", "\n"}})
    if (const size_t at = prelude.find(line); at != std::string::npos) prelude.replace(at, line.size(), text);
  return prelude;
}

std::string PointerArgument(const TensorShape& tensor, bool writable, size_t index, const char* array) {
  return fmt::format("static_cast<{}{}*>({}[{}])", writable ? "" : "const ", CppName(tensor.dtype), array, index);
}

// What a source and its glue share: which tensors it takes, under which exported names.
struct CpuUnit {
  const Operator& op;
  std::vector<TensorShape> tensors;  // as the kernel takes them
  std::vector<TensorShape> plain;    // as the caller has them
  std::string prefix;
};

std::string RunGlue(const CpuUnit& unit) {
  std::string arguments;
  for (size_t i = 0; i < unit.tensors.size(); ++i)
    arguments += PointerArgument(unit.tensors[i], unit.tensors[i].role == TensorRole::kOut, i, "call->tensors") + ", ";
  size_t dynamic = 0;
  for (const Attribute& attribute : unit.op.attributes())
    if (attribute.dynamic) arguments += fmt::format("call->dynamic[{}], ", dynamic++);
  return fmt::format(
      "extern \"C\" __attribute__((visibility(\"default\"))) int {}lathe_run(const lathe_call* call) {{\n"
      "  return (lathe_candidate::run({}lathe_prelude::Context(call)), lathe_prelude::Done());\n}}\n",
      unit.prefix, arguments);
}

std::string PrepareGlue(const CpuUnit& unit, const KernelTemplate& tmpl) {
  std::string plain, packed;
  for (size_t i = 0; i < unit.tensors.size(); ++i) {
    if (unit.tensors[i].role != TensorRole::kConstant) continue;
    plain += (plain.empty() ? "" : ", ") + PointerArgument(unit.plain[i], false, i, "plain");
    if (tmpl.manifest()["packed"].contains(unit.tensors[i].name)) packed += ", " + PointerArgument(unit.tensors[i], true, i, "packed");
  }
  return fmt::format(
      "extern \"C\" __attribute__((visibility(\"default\"))) void {}lathe_prepare(const void* const* plain, void* const* packed) {{\n"
      "  lathe_candidate::prepare({}{});\n}}\n",
      unit.prefix, plain, packed);
}

std::string MakeInputsGlue(const CpuUnit& unit) {
  std::string arguments;
  for (size_t i = 0; i < unit.tensors.size(); ++i)
    if (unit.tensors[i].role != TensorRole::kOut) arguments += PointerArgument(unit.tensors[i], true, i, "call->tensors") + ", ";
  size_t dynamic = 0;
  for (const Attribute& attribute : unit.op.attributes())
    if (attribute.dynamic) arguments += fmt::format("call->dynamic[{}], ", dynamic++);
  return fmt::format(
      "extern \"C\" __attribute__((visibility(\"default\"))) void {}lathe_make_inputs(const lathe_call* call, uint64_t seed) {{\n"
      "  lathe_candidate::make_inputs({}seed);\n}}\n",
      unit.prefix, arguments);
}

std::string CpuSource(const TemplateLibrary& library, const CpuUnit& unit, const std::string& macros, const std::string& source_name,
                      const std::string& source, const std::string& glue) {
  std::string types;
  for (const TensorShape& tensor : unit.tensors) types += fmt::format("typedef {} {}_t;\n", CppName(tensor.dtype), tensor.name);
  // Two unnamed namespaces: kernels of one library, built for different machines, must never share an inline function.
  return fmt::format(
      "#line 1 \"prelude/cpu.h\"\n{}\n{}\nnamespace {{\nnamespace lathe_candidate {{\nusing namespace lathe_prelude;\n{}"
      "#line 1 \"{}\"\n{}\n#line 1 \"glue of {} (its run() must take the tensors in order, the dynamic attributes, the context)\"\n"
      "}}  // namespace lathe_candidate\n}}  // namespace\n{}",
      WithAbi(library), macros, types, source_name, source, source_name, glue);
}

}  // namespace

Result<std::string> CandidateSource(const TemplateLibrary& library, const Candidate& candidate, const Target& target,
                                    const SourceOptions& options) {
  Result<const Operator*> op = library.FindOperator(candidate.workload.operator_name);
  if (!op) return op.error();
  Result<const KernelTemplate*> tmpl = library.FindTemplate(candidate.workload.operator_name + '/' + candidate.template_name);
  if (!tmpl) return tmpl.error();
  Result<Macros> macros = WorkloadMacros(**op, candidate.workload);
  if (!macros) return macros.error();
  AddConfigMacros(**tmpl, candidate.config, *macros);

  if ((*tmpl)->backend() != "cpu")
    return fmt::format("{}\n{}\n#line 1 \"{}\"\n{}", library.Prelude("gpu.h"), macros->text(), (*tmpl)->source_name(), (*tmpl)->source());

  Result<std::vector<TensorShape>> plain = (*op)->Tensors(candidate.workload);
  if (!plain) return plain.error();
  Result<std::vector<TensorShape>> packed = (*tmpl)->PackedTensors(**op, candidate, target);
  if (!packed) return packed.error();
  const CpuUnit unit{**op, *packed, *plain, options.symbol_prefix};
  std::string glue = RunGlue(unit);
  if ((*tmpl)->packs()) glue += PrepareGlue(unit, **tmpl);
  return CpuSource(library, unit, macros->text(), (*tmpl)->source_name(), (*tmpl)->source(), glue);
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
  return CpuSource(library, unit, macros->text(), workload.operator_name + "/reference.cpp", (*op)->reference_source(), glue);
}

}  // namespace lathe
