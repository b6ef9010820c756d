#include "codegen/cpu_unit.h"

#include <fmt/format.h>

namespace lathe {
namespace {

std::string WithAbi(const TemplateLibrary& library) {
  std::string prelude = library.Prelude("cpu.h");
  const std::pair<std::string, std::string> replacements[] = {{"#include \"abi.h\"\n", library.Prelude("abi.h")}, {"#pragma once\n", "\n"}};
  for (const auto& [line, text] : replacements)
    if (const size_t at = prelude.find(line); at != std::string::npos) prelude.replace(at, line.size(), text);
  return prelude;
}

std::string Pointer(const TensorShape& tensor, bool writable, size_t index, const std::string& array) {
  return fmt::format("static_cast<{}{}*>({}[{}])", writable ? "" : "const ", CppName(tensor.dtype), array, index);
}

std::string DynamicArguments(const Operator& op, const std::string& call) {
  std::string arguments;
  size_t dynamic = 0;
  for (const Attribute& attribute : op.attributes())
    if (attribute.dynamic) arguments += fmt::format("{}->dynamic[{}], ", call, dynamic++);
  return arguments;
}

constexpr const char* kExported = "extern \"C\" __attribute__((visibility(\"default\")))";

}  // namespace

std::string RunCall(const CpuUnit& unit, const std::string& call) {
  std::string arguments;
  for (size_t i = 0; i < unit.tensors.size(); ++i)
    arguments += Pointer(unit.tensors[i], unit.tensors[i].role == TensorRole::kOut, i, call + "->tensors") + ", ";
  return fmt::format("lathe_candidate::run({}{}lathe_prelude::Context({}))", arguments, DynamicArguments(unit.op, call), call);
}

std::string MakeInputsCall(const CpuUnit& unit, const std::string& call) {
  std::string arguments;
  for (size_t i = 0; i < unit.tensors.size(); ++i)
    if (unit.tensors[i].role != TensorRole::kOut) arguments += Pointer(unit.tensors[i], true, i, call + "->tensors") + ", ";
  return fmt::format("lathe_candidate::make_inputs({}{}seed)", arguments, DynamicArguments(unit.op, call));
}

std::string RunGlue(const CpuUnit& unit) {
  return fmt::format("{} int {}lathe_run(const lathe_call* call) {{\n  return ({}, lathe_prelude::Done());\n}}\n", kExported, unit.prefix,
                     RunCall(unit, "call"));
}

std::string MakeInputsGlue(const CpuUnit& unit) {
  return fmt::format("{} void {}lathe_make_inputs(const lathe_call* call, uint64_t seed) {{\n  {};\n}}\n", kExported, unit.prefix,
                     MakeInputsCall(unit, "call"));
}

std::string PrepareGlue(const CpuUnit& unit, const KernelTemplate& tmpl) {
  std::string plain, packed;
  for (size_t i = 0; i < unit.tensors.size(); ++i) {
    if (unit.tensors[i].role != TensorRole::kConstant) continue;
    plain += (plain.empty() ? "" : ", ") + Pointer(unit.plain[i], false, i, "plain");
    if (tmpl.manifest()["packed"].contains(unit.tensors[i].name)) packed += ", " + Pointer(unit.tensors[i], true, i, "packed");
  }
  return fmt::format("{} void {}lathe_prepare(const void* const* plain, void* const* packed) {{\n  lathe_candidate::prepare({}{});\n}}\n",
                     kExported, unit.prefix, plain, packed);
}

std::string CpuSource(const TemplateLibrary& library, const CpuUnit& unit, const std::string& macros, const std::string& before,
                      const std::string& source_name, const std::string& source, const std::string& glue) {
  std::string types;
  for (const TensorShape& tensor : unit.tensors) types += fmt::format("typedef {} {}_t;\n", CppName(tensor.dtype), tensor.name);
  // Unnamed namespaces: kernels of one library, built for different machines, must never share an inline function.
  return fmt::format(
      "#line 1 \"prelude/cpu.h\"\n{}\n{}\nnamespace {{\nnamespace lathe_candidate {{\nusing namespace lathe_prelude;\n{}{}"
      "#line 1 \"{}\"\n{}\n#line 1 \"glue of {} (its run() takes the tensors in order, the dynamic attributes, the context)\"\n"
      "}}  // namespace lathe_candidate\n}}  // namespace\n{}",
      WithAbi(library), macros, types, before, source_name, source, source_name, glue);
}

}  // namespace lathe
