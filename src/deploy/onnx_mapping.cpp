#include "deploy/onnx_mapping.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "deploy/onnx_names.h"

namespace lathe::graph {
namespace {

Error Bad(const std::string& why) { return {ErrorCode::kInvalidInput, why}; }

const lathe::Attribute& AttributeOf(const Operator& op, const std::string& name) {
  const auto& all = op.attributes();
  return *std::find_if(all.begin(), all.end(), [&](const auto& attribute) { return attribute.name == name; });  // ReadRules made sure
}

Result<Value> Convert(double number, const lathe::Attribute& to) {
  switch (to.type) {
    case AttributeType::kFloat:
      return Value(number);
    case AttributeType::kBool:
      return Value(int64_t{number != 0});
    case AttributeType::kChoice:
      return Bad(fmt::format("'{}' is a choice, and the rule gives it the number {}", to.name, number));
    case AttributeType::kInt:
      break;
  }
  if (number != std::floor(number) || std::abs(number) > 9e15)
    return Bad(fmt::format("'{}' would be {}, which is no integer", to.name, number));
  return Value(static_cast<int64_t>(number));
}

// "h" -> a value; a note where the graph does not fix it.
Result<Value> Evaluate(const Names& names, const Setting& setting, const lathe::Attribute& to, std::vector<std::string>& notes) {
  if (setting.literal) return *setting.literal;
  if (!setting.by.empty()) {
    Result<std::string> text = names.Text(setting.by);
    if (!text) return text.error();
    const auto found = setting.table.find(*text);
    if (found == setting.table.end()) return Bad(fmt::format("{} '{}' is not supported", setting.by, *text));
    return Value(found->second);
  }
  for (const auto& [when, value] : setting.cases) {
    if (when) {
      Result<Finding> holds = names.Evaluate(*when);
      if (!holds) return holds.error();
      if (holds->number == 0) continue;
    }
    return Evaluate(names, *value, to, notes);
  }
  if (!setting.expression) return Bad(fmt::format("no case of '{}' holds", to.name));
  bool open = false;
  Result<Finding> found = names.Evaluate(*setting.expression, &open);
  if (!found && open && to.dynamic && !to.tuned_at.empty()) {
    notes.push_back(fmt::format("{}={} stands for a size known only at run time ({})", to.name, to.tuned_at[0], found.error().message));
    return Value(to.tuned_at[0]);
  }
  if (!found) return found.error();
  if (!found->bounded.empty()) notes.push_back(fmt::format("{}={} is an upper bound of {}", to.name, found->number, found->bounded));
  return Convert(found->number, to);
}

// Looks for a rule's patterns behind its node.
class Fuser {
 public:
  Fuser(const EvaluatedGraph& graph, const Operator& op, const Rule& rule, int node, const std::set<int>& taken_by_others)
      : graph_(graph), op_(op), rule_(rule), taken_by_others_(taken_by_others), taken_{node} {}

  // Rebinds the rule's first output as patterns match; returns what they set, in their order.
  std::vector<std::pair<std::string, Value>> Run(Names& names, std::vector<std::string>& notes) {
    std::vector<std::pair<std::string, Value>> set;
    std::set<std::string> decided;
    for (const Fusion& fusion : rule_.fuse) {
      if (std::any_of(fusion.set.begin(), fusion.set.end(), [&](const auto& one) { return decided.contains(one.first); })) continue;
      if (fusion.when) {
        Result<Finding> holds = names.Evaluate(*fusion.when);
        if (!holds || holds->number == 0) continue;
      }
      Names bound = names;
      std::vector<int> nodes;
      if (!Match(fusion, bound, nodes)) continue;
      std::vector<std::pair<std::string, Value>> values;
      std::vector<std::string> own_notes;
      bool complete = true;
      for (const auto& [name, setting] : fusion.set) {
        Result<Value> value = Evaluate(bound, setting, AttributeOf(op_, name), own_notes);
        complete &= static_cast<bool>(value);
        if (value) values.emplace_back(name, *value);
      }
      if (!complete) continue;
      for (auto& [name, value] : values) {
        decided.insert(name);
        set.emplace_back(name, value);
      }
      taken_.insert(taken_.end(), nodes.begin(), nodes.end());
      notes.insert(notes.end(), own_notes.begin(), own_notes.end());
      if (!fusion.note.empty()) notes.push_back(fusion.note);
      names.BindTensor(rule_.outputs[0], *bound.Tensor(fusion.result));
    }
    return set;
  }

  std::vector<int> fused() const { return {taken_.begin() + 1, taken_.end()}; }

 private:
  const GraphValue& Value_(int value) const { return graph_.values[static_cast<size_t>(value)]; }

  bool Match(const Fusion& fusion, Names& bound, std::vector<int>& nodes) const {
    std::vector<int> between;  // tensors that disappear into the workload
    if (const std::optional<int> start = bound.Tensor(rule_.outputs[0]); start && *start >= 0) between.push_back(*start);
    std::set<std::string> known = {rule_.outputs[0]};
    for (const FusedNode& pattern : fusion.nodes) {
      const std::optional<int> node = FindNode(pattern, known, bound, nodes);
      if (!node) return false;
      nodes.push_back(*node);
      const EvaluatedNode& found = graph_.nodes[static_cast<size_t>(*node)];
      for (size_t i = 0; i < pattern.outputs.size() && i < found.outputs.size(); ++i) {
        if (found.outputs[i] < 0) continue;
        if (pattern.outputs[i] != fusion.result) between.push_back(found.outputs[i]);
        known.insert(pattern.outputs[i]);
      }
    }
    const std::optional<int> result = bound.Tensor(fusion.result);
    if (!result || *result < 0) return false;
    // Nobody else may read what is no longer there.
    return std::all_of(between.begin(), between.end(), [&](int value) {
      const auto& readers = Value_(value).readers;
      return !Value_(value).leaves && std::all_of(readers.begin(), readers.end(), [&](int reader) { return Contains(nodes, reader); });
    });
  }

  // The node that reads one of the pattern's known tensors in the pattern's way; binds what it names.
  std::optional<int> FindNode(const FusedNode& pattern, const std::set<std::string>& known, Names& bound,
                              const std::vector<int>& used) const {
    for (const std::string& name : pattern.inputs) {
      if (!known.contains(name)) continue;
      const std::optional<int> tensor = bound.Tensor(name);
      if (!tensor || *tensor < 0) continue;
      for (int reader : Value_(*tensor).readers) {
        if (Contains(used, reader) || Contains(taken_, reader) || taken_by_others_.contains(reader)) continue;
        const EvaluatedNode& node = graph_.nodes[static_cast<size_t>(reader)];
        if (node.node->op != pattern.op || node.node->domain != pattern.domain) continue;
        for (const bool swapped : {false, true}) {
          if (swapped && !pattern.any_order) continue;
          std::vector<int> inputs = node.inputs;
          if (swapped) std::reverse(inputs.begin(), inputs.end());
          if (Names trial = bound.At(*node.node); Fits(pattern, known, node, inputs, trial)) {
            bound = trial;
            return reader;
          }
        }
      }
    }
    return std::nullopt;
  }

  bool Fits(const FusedNode& pattern, const std::set<std::string>& known, const EvaluatedNode& node, const std::vector<int>& inputs,
            Names& trial) const {
    for (size_t i = 0; i < std::max(inputs.size(), pattern.inputs.size()); ++i) {
      const int value = i < inputs.size() ? inputs[i] : -1;
      if (i >= pattern.inputs.size() || pattern.inputs[i].empty()) continue;
      if (known.contains(pattern.inputs[i])) {
        if (trial.Tensor(pattern.inputs[i]) != value) return false;
      } else {
        // What disappears is not there to be read under another name: in Add(Y, Y) no second tensor is added to Y.
        if (std::any_of(known.begin(), known.end(), [&](const std::string& name) { return value >= 0 && trial.Tensor(name) == value; }))
          return false;
        trial.BindTensor(pattern.inputs[i], value);
      }
    }
    for (size_t i = 0; i < pattern.outputs.size(); ++i)
      if (!pattern.outputs[i].empty()) trial.BindTensor(pattern.outputs[i], i < node.outputs.size() ? node.outputs[i] : -1);
    if (!pattern.require) return true;
    Result<Finding> holds = trial.Evaluate(*pattern.require);
    return holds && holds->number != 0;
  }

  static bool Contains(const std::vector<int>& list, int what) { return std::find(list.begin(), list.end(), what) != list.end(); }

  const EvaluatedGraph& graph_;
  const Operator& op_;
  const Rule& rule_;
  const std::set<int>& taken_by_others_;
  std::vector<int> taken_;
};

}  // namespace

Result<Mapped> MapNode(const EvaluatedGraph& graph, int node, const Rule& rule, const Operator& op, const std::set<int>& taken) {
  const EvaluatedNode& evaluated = graph.nodes[static_cast<size_t>(node)];
  Names names(graph, *evaluated.node, rule.defaults);
  for (size_t i = 0; i < rule.inputs.size(); ++i) names.BindTensor(rule.inputs[i], i < evaluated.inputs.size() ? evaluated.inputs[i] : -1);
  for (size_t i = 0; i < rule.outputs.size(); ++i)
    names.BindTensor(rule.outputs[i], i < evaluated.outputs.size() ? evaluated.outputs[i] : -1);
  names.BindNumber("opset", {static_cast<double>(evaluated.opset), ""});
  for (const Requirement& requirement : rule.require) {
    Result<Finding> holds = names.Evaluate(requirement.require);
    if (!holds) return holds.error();
    if (holds->number == 0) return Bad(requirement.why);
  }
  for (const auto& [name, expression] : rule.let) {
    Result<Finding> found = names.Evaluate(expression);
    if (!found) return found.error();
    names.BindNumber(name, *found);
  }
  Mapped mapped;
  for (const auto& [name, setting] : rule.attributes) {
    Result<Value> value = Evaluate(names, setting, AttributeOf(op, name), mapped.notes);
    if (!value) return value.error();
    mapped.attributes.emplace_back(name, *value);
  }
  Fuser fuser(graph, op, rule, node, taken);
  for (auto& [name, value] : fuser.Run(names, mapped.notes)) {
    const auto before =
        std::find_if(mapped.attributes.begin(), mapped.attributes.end(), [&](const auto& one) { return one.first == name; });
    if (before == mapped.attributes.end())
      mapped.attributes.emplace_back(name, value);
    else
      before->second = value;
  }
  mapped.fused = fuser.fused();
  return mapped;
}

}  // namespace lathe::graph
