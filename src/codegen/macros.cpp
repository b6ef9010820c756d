#include "codegen/macros.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "codegen/expression_to_cpp.h"
#include "space/evaluate.h"

namespace lathe {

std::string Capitals(std::string name) {
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return name;
}

void Macros::Define(const std::string& macro, const std::string& text) { text_ += fmt::format("#define {} {}\n", macro, text); }

void Macros::AddChoices(const std::string& name, const std::vector<std::string>& choices) {
  for (size_t i = 0; i < choices.size(); ++i) Define(Capitals(name) + '_' + Capitals(choices[i]), std::to_string(i + 1));
}

void Macros::Add(const std::string& name, const Value& value, const std::vector<std::string>& choices) {
  AddChoices(name, choices);
  const auto* chosen = std::get_if<std::string>(&value);
  Define(Capitals(name), chosen != nullptr ? Capitals(name) + '_' + Capitals(*chosen) : ToString(value));
}

Result<std::map<std::string, bool>> WholeDerived(const Operator& op) {
  std::map<std::string, bool> whole;
  for (const Attribute& attribute : op.attributes()) whole[attribute.name] = attribute.type != AttributeType::kFloat;
  std::map<std::string, bool> derived;
  for (const std::string& name : op.derived_names()) {
    Result<CppExpression> cpp = ExpressionToCpp(ExpressionTextOf(op.manifest()["derived"][name]), [&](const std::string& used) {
      const auto known = whole.find(used);
      return CppExpression{used, known == whole.end() || known->second};  // what is no attribute is a choice's number
    });
    if (!cpp) return cpp.error().In(fmt::format("operator '{}', derived '{}'", op.name(), name));
    whole[name] = derived[name] = cpp->whole;
  }
  return derived;
}

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
  Result<std::map<std::string, bool>> whole = WholeDerived(op);
  if (!whole) return whole.error();
  for (const std::string& name : op.DerivedFromStatic()) {
    const double value = numbers->at(name);
    macros.Add(name, whole->at(name) ? Value(static_cast<int64_t>(value)) : Value(value), {});
  }
  return macros;
}

void AddConfigMacros(const KernelTemplate& tmpl, const Config& config, Macros& macros) {
  for (const auto& [name, value] : config) {
    if (tmpl.IsLaunchOnly(name)) continue;
    std::vector<std::string> choices;
    const auto& parameter = tmpl.manifest()["parameters"][name];
    if (parameter.contains("values"))
      for (const auto& choice : parameter["values"])
        if (choice.is_string()) choices.push_back(choice);
    macros.Add(name, value, choices);
  }
}

}  // namespace lathe
