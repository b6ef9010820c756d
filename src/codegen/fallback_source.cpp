#include "codegen/fallback_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "codegen/c_literal.h"
#include "codegen/cpu_unit.h"
#include "codegen/macros.h"
#include "space/evaluate.h"

namespace lathe {
namespace {

std::vector<const Attribute*> DTypeAttributes(const Operator& op) {
  std::set<std::string> used;
  for (const auto& [name, tensor] : op.manifest()["tensors"].items()) used.insert(tensor["dtype"].get<std::string>());
  std::vector<const Attribute*> attributes;
  for (const Attribute& attribute : op.attributes())
    if (attribute.type == AttributeType::kChoice && used.count(attribute.name) > 0) attributes.push_back(&attribute);
  return attributes;
}

const char* FactType(const Attribute& attribute) { return attribute.type == AttributeType::kFloat ? "double" : "int64_t"; }

// A reference reads its attributes through a thread-local pointer; the tasks it starts must see the same one.
constexpr const char* kFactsAcrossThreads = R"(
struct FactsTask {{
  const {0}* facts;
  void (*body)(void*, int32_t);
  void* arg;
}};
struct FactsPool {{
  const {0}* facts;
  const lathe_parallel* host;
}};
void RunWithFacts(void* pool, int32_t tasks, void (*body)(void*, int32_t), void* arg) {{
  const FactsPool* self = static_cast<const FactsPool*>(pool);
  FactsTask task = {{self->facts, body, arg}};
  self->host->run(self->host->pool, tasks, [](void* given, int32_t index) {{
    const FactsTask* mine = static_cast<const FactsTask*>(given);
    lathe_candidate::lathe_facts = mine->facts;
    mine->body(mine->arg, index);
  }}, &task);
}}
)";

}  // namespace

std::function<CppExpression(const std::string&)> FactNames(const Operator& op, const std::string& facts,
                                                           const std::map<std::string, bool>& whole) {
  return [&op, facts, whole](const std::string& name) -> CppExpression {
    for (const Attribute& attribute : op.attributes()) {
      if (attribute.name != name) continue;
      if (attribute.type != AttributeType::kChoice) return {fmt::format("{}->{}", facts, name), attribute.type != AttributeType::kFloat};
      // The struct counts an attribute's own choices from 1; expressions count over the whole operator.
      std::string text = "0";
      for (size_t i = attribute.choices.size(); i > 0; --i)
        text = fmt::format("({}->{} == {} ? {} : {})", facts, name, i, op.ChoiceNumber(attribute.choices[i - 1]), text);
      return {text, true};
    }
    if (const auto derived = whole.find(name); derived != whole.end()) return {fmt::format("{}->{}", facts, name), derived->second};
    return {fmt::format("{}", op.ChoiceNumber(name)), true};
  };
}

std::vector<DTypeChoice> DTypeChoices(const Operator& op) {
  std::vector<DTypeChoice> combinations = {{}};
  for (const Attribute* attribute : DTypeAttributes(op)) {
    std::vector<DTypeChoice> longer;
    for (const DTypeChoice& combination : combinations)
      for (const std::string& choice : attribute->choices) {
        longer.push_back(combination);
        longer.back().emplace_back(attribute->name, choice);
      }
    combinations = std::move(longer);
  }
  return combinations;
}

Result<std::string> FactsStruct(const Operator& op, const std::string& prefix) {
  Result<std::map<std::string, bool>> whole = WholeDerived(op);
  if (!whole) return whole.error();
  std::string text = fmt::format("typedef struct {}_{}_facts {{\n", prefix, op.name());
  for (const Attribute& attribute : op.attributes()) text += fmt::format("  {} {};\n", FactType(attribute), attribute.name);
  for (const std::string& name : op.derived_names()) text += fmt::format("  {} {};\n", whole->at(name) ? "int64_t" : "double", name);
  return text + fmt::format("}} {}_{}_facts;\n", prefix, op.name());
}

Result<std::string> FactsFunctions(const Operator& op, const std::string& prefix) {
  Result<std::map<std::string, bool>> whole = WholeDerived(op);
  if (!whole) return whole.error();
  const std::string type = fmt::format("{}_{}_facts", prefix, op.name());
  const auto names = FactNames(op, "facts", *whole);
  std::string text = fmt::format("const char* {}_{}_bad_attribute(const {}* facts) {{\n", prefix, op.name(), type);
  for (const Attribute& attribute : op.attributes()) {
    const std::string value = "facts->" + attribute.name;
    std::vector<std::string> wrong;
    if (attribute.type == AttributeType::kChoice) wrong.push_back(fmt::format("{0} < 1 || {0} > {1}", value, attribute.choices.size()));
    if (attribute.type == AttributeType::kBool) wrong.push_back(fmt::format("{0} != 0 && {0} != 1", value));
    if (attribute.minimum) wrong.push_back(fmt::format("!((double){} >= {})", value, *attribute.minimum));
    if (attribute.maximum) wrong.push_back(fmt::format("!((double){} <= {})", value, *attribute.maximum));
    for (const std::string& condition : wrong)
      text += fmt::format("  if ({}) return \"attribute '{}' is out of range\";\n", condition, attribute.name);
  }
  text += fmt::format("  (void)facts;\n  return nullptr;\n}}\nvoid {}_{}_derive({}* facts) {{\n  (void)facts;\n", prefix, op.name(), type);
  for (const std::string& name : op.derived_names()) {
    Result<CppExpression> cpp = ExpressionToCpp(ExpressionTextOf(op.manifest()["derived"][name]), names);
    if (!cpp) return cpp.error();
    text += fmt::format("  facts->{} = {}({});\n", name, whole->at(name) ? "(int64_t)" : "", cpp->text);
  }
  text += fmt::format("}}\nconst char* {}_{}_broken_rule(const {}* facts) {{\n  (void)facts;\n", prefix, op.name(), type);
  if (op.manifest().contains("valid"))
    for (const auto& rule : op.manifest()["valid"]) {
      Result<CppExpression> cpp = ExpressionToCpp(ExpressionTextOf(rule["require"]), names);
      if (!cpp) return cpp.error();
      text += fmt::format(
          "  if (!(({}) != 0)) return {};\n", cpp->text,
          CLiteral(fmt::format("the workload breaks the rule: {} ({})", ExpressionTextOf(rule["require"]), rule.value("why", ""))));
    }
  return text + "  return nullptr;\n}\n";
}

Result<std::string> FallbackSource(const TemplateLibrary& library, const Operator& op, const DTypeChoice& dtypes, const std::string& prefix,
                                   const std::string& header, const std::string& symbol) {
  Result<std::map<std::string, bool>> whole = WholeDerived(op);
  if (!whole) return whole.error();
  const std::string type = fmt::format("{}_{}_facts", prefix, op.name());

  Macros macros;
  for (const Attribute& attribute : op.attributes()) {
    if (attribute.dynamic) continue;
    if (const Value* dtype = Find(dtypes, attribute.name)) {
      macros.Add(attribute.name, *dtype, attribute.choices);
      continue;
    }
    macros.AddChoices(attribute.name, attribute.choices);
    macros.Define(Capitals(attribute.name),
                  fmt::format("({}lathe_facts->{})", attribute.type == AttributeType::kFloat ? "" : "(int)", attribute.name));
  }
  for (const std::string& name : op.DerivedFromStatic())
    macros.Define(Capitals(name), fmt::format("({}lathe_facts->{})", whole->at(name) ? "(int)" : "", name));

  // Shapes do not matter here, dtypes do.
  CpuUnit unit{op, {}, {}, symbol};
  for (const auto& [name, spec] : op.manifest()["tensors"].items()) {
    TensorShape tensor;
    tensor.name = name;
    tensor.role = spec["role"] == "in" ? TensorRole::kIn : spec["role"] == "constant" ? TensorRole::kConstant : TensorRole::kOut;
    std::string dtype = spec["dtype"];
    if (const Value* chosen = Find(dtypes, dtype)) dtype = ToString(*chosen);
    const std::optional<DType> parsed = ParseDType(dtype);
    if (!parsed)
      return Error{ErrorCode::kInvalidInput, fmt::format("operator '{}', tensor '{}': '{}' is not a dtype", op.name(), name, dtype)};
    tensor.dtype = *parsed;
    unit.tensors.push_back(tensor);
  }
  const std::string before = fmt::format("thread_local const {}* lathe_facts;\n", type);
  std::string glue = fmt::format("namespace {{{}}}\n", fmt::format(fmt::runtime(kFactsAcrossThreads), type));
  glue += fmt::format(
      "extern \"C\" int {}run(const {}* facts, const lathe_call* given) {{\n"
      "  FactsPool pool = {{facts, given->parallel}};\n"
      "  const lathe_parallel parallel = {{&pool, given->parallel->threads, RunWithFacts}};\n"
      "  const lathe_call with_facts = {{given->tensors, given->dynamic, given->workspace, &parallel}};\n"
      "  const lathe_call* call = &with_facts;\n"
      "  lathe_candidate::lathe_facts = facts;\n"
      "  return ({}, lathe_prelude::Done());\n}}\n",
      symbol, type, RunCall(unit, "call"));
  if (op.makes_inputs())
    glue += fmt::format(
        "extern \"C\" void {}make_inputs(const {}* facts, const lathe_call* call, uint64_t seed) {{\n"
        "  lathe_candidate::lathe_facts = facts;\n  {};\n}}\n",
        symbol, type, MakeInputsCall(unit, "call"));
  const std::string unit_text = CpuSource(library, unit, macros.text(), before, op.name() + "/reference.cpp", op.reference_source(), glue);
  return fmt::format("#include \"{}\"\n{}", header, unit_text);
}

}  // namespace lathe
