// An operator's dispatcher: which kernel answers a call, how large its tensors are, and what the answer rests on.
#include <fmt/format.h>

#include "codegen/c_literal.h"
#include "codegen/expression_to_cpp.h"
#include "codegen/fallback_source.h"
#include "codegen/macros.h"
#include "deploy/library_files.h"
#include "deploy/library_operator.h"
#include "space/evaluate.h"

namespace lathe {

// bool IsPresent(const facts*, int) and size_t TensorBytes(const facts*, int): what the manifest says of tensors at run time.
Result<std::string> LibraryOperator::TensorBytes() const {
  Result<std::map<std::string, bool>> whole = WholeDerived(op_);
  if (!whole) return whole.error();
  const auto names = FactNames(op_, "facts", *whole);
  std::string present =
      fmt::format("bool IsPresent(const lathe_{}_facts* facts, int tensor) {{\n  (void)facts;\n  switch (tensor) {{\n", op_.name());
  std::string text = fmt::format(
      "size_t TensorBytes(const lathe_{}_facts* facts, int tensor) {{\n  if (!IsPresent(facts, tensor)) return 0;\n  switch (tensor) {{\n",
      op_.name());
  const std::vector<TensorFacts> tensors = TensorsOf();
  for (size_t i = 0; i < tensors.size(); ++i) {
    const auto& spec = *tensors[i].spec;
    text += fmt::format("    case {}: {{  // {}\n", i, tensors[i].name);
    if (spec.contains("when")) {
      Result<CppExpression> when = ExpressionToCpp(ExpressionTextOf(spec["when"]), names);
      if (!when) return when.error();
      present += fmt::format("    case {}: return ({}) != 0;\n", i, when->text);
    }
    const auto product = [&](const nlohmann::ordered_json& extents) -> Result<std::string> {
      std::string factors = "1.0";
      for (const auto& extent : extents) {
        Result<CppExpression> cpp = ExpressionToCpp(ExpressionTextOf(extent), names);
        if (!cpp) return cpp.error();
        factors += " * " + cpp->text;
      }
      return factors;
    };
    const auto& shape = spec["shape"];
    text += "      double elements = 0;\n";
    if (shape.is_object()) {
      const std::string by = shape["by"];
      for (const auto& [choice, extents] : shape.items()) {
        if (choice == "by") continue;
        Result<std::string> factors = product(extents);
        if (!factors) return factors.error();
        text += fmt::format("      if (facts->{} == {}) elements = {};\n", by, ChoiceEnumerator(by, choice), *factors);
      }
    } else {
      Result<std::string> factors = product(shape);
      if (!factors) return factors.error();
      text += fmt::format("      elements = {};\n", *factors);
    }
    const std::string dtype = spec["dtype"];
    if (const std::optional<DType> fixed = ParseDType(dtype)) {
      text += fmt::format("      return lathe_bytes(elements * {});\n    }}\n", SizeOf(*fixed));
      continue;
    }
    text += "      size_t bytes = 0;\n";
    for (const Attribute& attribute : op_.attributes())
      if (attribute.name == dtype)
        for (const std::string& choice : attribute.choices)
          if (const std::optional<DType> parsed = ParseDType(choice))
            text += fmt::format("      if (facts->{} == {}) bytes = {};\n", dtype, ChoiceEnumerator(dtype, choice), SizeOf(*parsed));
    text += "      return lathe_bytes(elements * (double)bytes);\n    }\n";
  }
  return present + "    default: return true;\n  }\n}\n\n" + text + "    default: return 0;\n  }\n}\n";
}

// The manifest's own expression over the call's facts: scratch memory may grow with what varies at run time. Empty where the kernel needs
// none.
Result<std::string> LibraryOperator::WorkspaceFunction(size_t kernel, const KernelTemplate& tmpl) const {
  if (!tmpl.manifest().contains("workspace")) return std::string();
  const Candidate& candidate = *kernels_[kernel].candidate;
  Result<std::map<std::string, double>> numbers = tmpl.Numbers(op_, candidate.workload, target_, candidate.config);
  if (!numbers) return numbers.error();
  Result<std::map<std::string, bool>> whole = WholeDerived(op_);
  if (!whole) return whole.error();
  const auto of_facts = FactNames(op_, "facts", *whole);
  Result<CppExpression> bytes = ExpressionToCpp(ExpressionTextOf(tmpl.manifest()["workspace"]), [&](const std::string& name) {
    if (Find(candidate.workload.attributes, name) != nullptr || whole->count(name) > 0) return of_facts(name);
    return CppExpression{fmt::format("{}", numbers->at(name)), false};  // a parameter, a limit of the target, a choice
  });
  if (!bytes) return bytes.error();
  return fmt::format("size_t Workspace{}(const lathe_{}_facts* facts) {{\n  (void)facts;\n  return lathe_bytes(ceil({}));\n}}\n", kernel,
                     op_.name(), bytes->text);
}

Result<std::string> LibraryOperator::Entries(std::string& externs, std::string& functions) const {
  std::string rows;
  const size_t tensor_count = TensorsOf().size();
  for (size_t i = 0; i < kernels_.size(); ++i) {
    const PlannedKernel& kernel = kernels_[i];
    if (!kernel.candidate) continue;
    const KernelTemplate& tmpl = **library_.FindTemplate(op_.name() + '/' + kernel.candidate->template_name);
    Result<std::vector<TensorShape>> packed = tmpl.PackedTensors(op_, *kernel.candidate, target_);
    if (!packed) return packed.error();
    Result<std::string> workspace = WorkspaceFunction(i, tmpl);
    if (!workspace) return workspace.error();
    functions += *workspace;
    std::string packed_bytes;
    for (size_t t = 0; t < tensor_count; ++t) {
      const bool packs = tmpl.packs() && tmpl.manifest()["packed"].contains((*packed)[t].name) && (*packed)[t].present;
      packed_bytes += (t == 0 ? "" : ", ") + std::to_string(packs ? (*packed)[t].bytes() : 0);
    }
    externs += fmt::format("int {}lathe_run(const lathe_call* call);\n", KernelSymbol(i));
    if (tmpl.packs()) externs += fmt::format("void {}lathe_prepare(const void* const* plain, void* const* packed);\n", KernelSymbol(i));
    rows += fmt::format("    {{{}, {}, {},\n     {}lathe_run, {}, {}, {{{}}}}},\n", WorkloadInitialiser(kernel.workload),
                        MatchEnumerator(kernel.match), CLiteral(kernel.reason), KernelSymbol(i),
                        tmpl.packs() ? KernelSymbol(i) + "lathe_prepare" : "nullptr",
                        workspace->empty() ? "nullptr" : fmt::format("Workspace{}", i), packed_bytes);
  }
  return rows;
}

// A statement that adds the attribute to a workload's text.
std::string LibraryOperator::PrintOf(const Attribute& attribute) const {
  const std::string& name = attribute.name;
  if (attribute.type == AttributeType::kChoice) {
    std::string text;
    for (const std::string& choice : attribute.choices)
      text += fmt::format("  if (facts->{0} == {1}) add(\"{0}\", {2});\n", name, ChoiceEnumerator(name, choice), CLiteral(choice));
    return text;
  }
  const bool real = attribute.type == AttributeType::kFloat;
  return fmt::format("  snprintf(number, sizeof number, \"{1}\", ({2})facts->{0}), add(\"{0}\", number);\n", name, real ? "%.9g" : "%lld",
                     real ? "double" : "long long");
}

// A statement that adds the attribute to `differences` where two workloads differ in it.
std::string LibraryOperator::DifferenceOf(const Attribute& attribute) const {
  const std::string& name = attribute.name;
  if (attribute.type != AttributeType::kChoice)
    return fmt::format("  if (asked.{0} != tuned.{0}) differences.Add(\"{0}\", asked.{0}, tuned.{0});\n", name);
  std::string choices;  // their enumerators count from 1
  for (const std::string& choice : attribute.choices) choices += ", " + CLiteral(choice);
  return fmt::format(
      "  static const char* const choices_of_{0}[] = {{\"\"{1}}};\n"
      "  if (asked.{0} != tuned.{0}) differences.Add(\"{0}\", choices_of_{0}[asked.{0}], choices_of_{0}[tuned.{0}]);\n",
      name, choices);
}

Result<std::string> LibraryOperator::Dispatch() const {
  const std::string& op = op_.name();
  const std::vector<TensorFacts> tensors = TensorsOf();
  Result<std::string> facts_functions = FactsFunctions(op_, kLibraryPrefix);
  if (!facts_functions) return facts_functions.error();
  Result<std::string> tensor_bytes = TensorBytes();
  if (!tensor_bytes) return tensor_bytes.error();
  std::string externs;
  std::string workspaces;
  Result<std::string> entries = Entries(externs, workspaces);
  if (!entries) return entries.error();

  const std::vector<DTypeChoice> dtypes = DTypeChoices(op_);
  std::string fallbacks;
  for (size_t d = 0; d < dtypes.size(); ++d) {
    externs += fmt::format("int lathe_{0}_fallback{1}_run(const lathe_{0}_facts* facts, const lathe_call* call);\n", op, d);
    std::string condition = "true";
    for (const auto& [name, value] : dtypes[d])
      condition += fmt::format(" && facts->{} == {}", name, ChoiceEnumerator(name, std::get<std::string>(value)));
    fallbacks += fmt::format("  if ({}) return lathe_{}_fallback{}_run;\n", condition, op, d);
  }
  std::string same_static = "true", distance = "0.0", differences, print_workload, dynamic_values, defaults;
  size_t dynamic_count = 0;
  for (const Attribute& attribute : op_.attributes()) {
    if (attribute.dynamic) {
      distance += fmt::format(" + fabs(log(((double)a.{0} + 0.5) / ((double)b.{0} + 0.5)))", attribute.name);
      dynamic_values += fmt::format("{}kernel->facts.{}", dynamic_count++ == 0 ? "" : ", ", attribute.name);
    } else {
      same_static += fmt::format(" && a.{0} == b.{0}", attribute.name);
    }
    differences += DifferenceOf(attribute);
    print_workload += PrintOf(attribute);
    std::string value = "0";
    if (attribute.default_value) {
      const auto* choice = std::get_if<std::string>(&*attribute.default_value);
      value = choice != nullptr ? ChoiceEnumerator(attribute.name, *choice) : ToString(*attribute.default_value);
    } else if (!attribute.tuned_at.empty()) {
      value = std::to_string(attribute.tuned_at.front());
    }
    defaults += (defaults.empty() ? "" : ", ") + value;
  }
  std::string constants, is_constant = "false", run_tensors, checks, tensor_texts;
  for (size_t t = 0; t < tensors.size(); ++t) {
    const std::string when = WhenText(op_, *tensors[t].spec);
    tensor_texts += fmt::format("{}{{{}, {}}}", t == 0 ? "" : ", ", CLiteral(tensors[t].name), when.empty() ? "nullptr" : CLiteral(when));
    if (tensors[t].role == TensorRole::kConstant) {
      constants += fmt::format("  plain[{}] = {};\n", t, tensors[t].name);
      is_constant += fmt::format(" || tensor == {}", t);
      run_tensors += fmt::format("{}kernel->constants[{}]", t == 0 ? "" : ", ", t);
      continue;
    }
    // An empty one is null to a kernel, whatever the caller gives.
    run_tensors += fmt::format("{}kernel->bytes[{}] == 0 ? nullptr : const_cast<void*>(static_cast<const void*>({}))", t == 0 ? "" : ", ",
                               t, tensors[t].name);
    checks += fmt::format(
        "  if (const lathe_status bad = CheckPresence(&kernel->facts, {2}, kernel->bytes[{2}], {1}); bad != LATHE_OK) return bad;\n"
        "  if (const lathe_status bad = lathe_check_alignment(\"{0}\", \"{1}\", {1}, kernel->bytes[{2}]); bad != LATHE_OK) return bad;\n",
        op, tensors[t].name, t);
  }
  // Constants are copies of the handle's own.
  for (size_t out = 0; out < tensors.size(); ++out)
    for (size_t t = 0; t < tensors.size() && tensors[out].role == TensorRole::kOut; ++t)
      if (tensors[t].role == TensorRole::kIn || (tensors[t].role == TensorRole::kOut && t < out))
        checks += fmt::format(
            "  if (const lathe_status bad = lathe_check_apart(\"{0}\", \"{1}\", {1}, kernel->bytes[{2}], \"{3}\", {3}, "
            "kernel->bytes[{4}]); bad != LATHE_OK) return bad;\n",
            op, tensors[t].name, t, tensors[out].name, out);
  return FilledLibraryFile("dispatch.cpp", {
                                               {"@OP@", op},
                                               {"@TENSORS@", std::to_string(tensors.size())},
                                               {"@EXPRESSION_HELPERS@", kExpressionHelpers},
                                               {"@EXTERNS@", externs},
                                               {"@FACTS_FUNCTIONS@", *facts_functions},
                                               {"@WORKSPACES@", workspaces},
                                               {"@TENSOR_BYTES@", *tensor_bytes},
                                               {"@TENSOR_TEXTS@", tensor_texts},
                                               {"@PRINT_WORKLOAD@", print_workload},
                                               {"@ENTRIES@", *entries},
                                               {"@FALLBACKS@", fallbacks},
                                               {"@SAME_STATIC@", same_static},
                                               {"@DISTANCE@", distance},
                                               {"@DIFFERENCES@", differences},
                                               {"@DEFAULTS@", defaults},
                                               {"@CREATE_ARGUMENTS@", Arguments(true, true)},
                                               {"@RUN_ARGUMENTS@", Arguments(false, true)},
                                               {"@CONSTANTS@", constants},
                                               {"@IS_CONSTANT@", is_constant},
                                               {"@RUN_TENSORS@", run_tensors},
                                               {"@CHECKS@", checks},
                                               {"@DYNAMIC@", dynamic_count == 0 ? "0" : dynamic_values},
                                           });
}

}  // namespace lathe
