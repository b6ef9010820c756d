#include "space/solver.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "space/solver_parse.h"

namespace lathe {

using solver::Graph;
using solver::Group;
using solver::LaneProgram;
using solver::Node;
using solver::NodeId;
using solver::Op;
using solver::Program;

namespace {

constexpr size_t kMaximumValues = 65536;  // an index is a uint16_t

Error Wrong(const SpaceDefinition& definition, const std::string& reason) {
  return Error{ErrorCode::kInvalidInput, fmt::format("open space '{}': {}", definition.id, reason)};
}

Status CheckParameters(const SpaceDefinition& definition) {
  std::set<std::string> names;
  if (definition.parameters.size() > kMaximumValues) return Wrong(definition, "more than 65536 parameters");
  for (const Parameter& parameter : definition.parameters) {
    if (!names.insert(parameter.name).second) return Wrong(definition, fmt::format("parameter '{}' is there twice", parameter.name));
    if (parameter.values.empty()) return Wrong(definition, fmt::format("parameter '{}' has no values", parameter.name));
    if (parameter.values.size() > kMaximumValues)
      return Wrong(definition,
                   fmt::format("parameter '{}' has {} values; at most {} fit", parameter.name, parameter.values.size(), kMaximumValues));
    std::set<Value> known;
    for (const Value& value : parameter.values)
      if (!known.insert(value).second)
        return Wrong(definition, fmt::format("parameter '{}' has the value {} twice", parameter.name, ToString(value)));
  }
  for (const Parameter& parameter : definition.parameters)
    for (const Value& value : parameter.values)
      if (const auto* choice = std::get_if<std::string>(&value); choice != nullptr && names.contains(*choice))
        return Wrong(definition,
                     fmt::format("'{}' is a value of parameter '{}' and a parameter's name; rename one", *choice, parameter.name));
  return {};
}

// Names stand for the numbers bound to them; a category nobody bound gets the next number no other category has.
void BindCategories(SpaceDefinition& definition) {
  std::set<double> taken;
  for (const Parameter& parameter : definition.parameters)
    for (const Value& value : parameter.values)
      if (const auto* choice = std::get_if<std::string>(&value))
        if (const auto bound = definition.numbers.find(*choice); bound != definition.numbers.end()) taken.insert(bound->second);
  double next = 1;
  for (const Parameter& parameter : definition.parameters)
    for (const Value& value : parameter.values) {
      const auto* choice = std::get_if<std::string>(&value);
      if (choice == nullptr || definition.numbers.contains(*choice)) continue;
      while (taken.contains(next)) ++next;
      taken.insert(next);
      definition.numbers[*choice] = next;
    }
}

double NumberOf(const Value& value, const std::map<std::string, double>& numbers) {
  if (const auto* integer = std::get_if<int64_t>(&value)) return static_cast<double>(*integer);
  if (const auto* real = std::get_if<double>(&value)) return *real;
  return numbers.at(std::get<std::string>(value));
}

}  // namespace

Result<std::unique_ptr<Space::Solver>> Space::Solver::Make(SpaceDefinition definition) {
  if (Status checked = CheckParameters(definition); !checked) return checked.error();
  BindCategories(definition);
  auto made = std::make_unique<Solver>();
  made->definition = std::move(definition);
  for (const Parameter& parameter : made->definition.parameters) {
    std::vector<double> numbers;
    for (const Value& value : parameter.values) numbers.push_back(NumberOf(value, made->definition.numbers));
    std::vector<uint16_t> domain(numbers.size());
    for (size_t i = 0; i < domain.size(); ++i) domain[i] = static_cast<uint16_t>(i);
    made->numbers.push_back(std::move(numbers));
    made->domain.push_back(std::move(domain));
  }
  if (Status parsed = made->Parse(); !parsed) return parsed.error();
  made->NarrowDomains();
  if (!made->impossible) {
    made->MakeGroups();
    made->MakeProbes();
  }
  return made;
}

Status Space::Solver::Parse() {
  graph = std::make_unique<Graph>(numbers);
  std::map<std::string, uint16_t> parameter_of;
  for (size_t p = 0; p < definition.parameters.size(); ++p) parameter_of[definition.parameters[p].name] = static_cast<uint16_t>(p);
  const solver::NameLookup lookup = [&](const std::string& name) -> std::optional<NodeId> {
    if (const auto parameter = parameter_of.find(name); parameter != parameter_of.end()) return graph->Parameter(parameter->second);
    if (const auto number = definition.numbers.find(name); number != definition.numbers.end()) return graph->Constant(number->second);
    return std::nullopt;
  };
  for (const Constraint& constraint : definition.constraints) {
    Result<NodeId> root = solver::ParseConstraint(constraint.require, lookup, *graph);
    if (!root) return root.error().In(fmt::format("open space '{}'", definition.id));
    for (NodeId conjunct : solver::Conjuncts(*graph, *root)) roots.push_back(conjunct);
  }
  return {};
}

// The values of a parameter's domain for which a constraint over nothing else holds.
std::vector<uint16_t> Space::Solver::Allowed(NodeId root, uint16_t parameter) const {
  const Program alone = solver::MakeProgram(*graph, {root}, std::vector<int>(numbers.size(), 0));
  std::vector<uint16_t> allowed;
  std::vector<double> registers, at(numbers.size(), 0);
  for (uint16_t value : domain[parameter]) {
    at[parameter] = numbers[parameter][value];
    solver::Run(alone, at, registers);
    if (solver::Holds(registers[alone.roots[0]])) allowed.push_back(value);
  }
  return allowed;
}

// Constraints over one parameter become shorter domains. That may leave one value to a parameter, and so make further constraints simpler:
// until nothing changes.
void Space::Solver::NarrowDomains() {
  for (bool changed = true; changed && !impossible;) {
    changed = false;
    std::vector<NodeId> open;
    for (NodeId root : roots) {
      const Node& node = (*graph)[root];
      if (node.op == Op::kConstant) {
        impossible = impossible || !solver::Holds(node.constant);
      } else if (node.parameters.size() > 1) {
        open.push_back(root);
      } else {
        const uint16_t p = node.parameters[0];
        std::vector<uint16_t> allowed = Allowed(root, p);
        changed = changed || allowed.size() < domain[p].size();
        domain[p] = std::move(allowed);
        impossible = impossible || domain[p].empty();
      }
    }
    roots = std::move(open);
    if (!changed || impossible) break;
    std::vector<std::vector<double>> narrowed(numbers.size());
    for (size_t p = 0; p < numbers.size(); ++p)
      for (uint16_t value : domain[p]) narrowed[p].push_back(numbers[p][value]);
    auto simpler = std::make_unique<Graph>(std::move(narrowed));
    std::vector<NodeId> copies;
    for (NodeId root : roots) {
      const NodeId copy = simpler->Copy(*graph, root);
      for (NodeId conjunct : solver::Conjuncts(*simpler, copy)) copies.push_back(conjunct);
    }
    roots = std::move(copies);
    graph = std::move(simpler);
  }
  std::sort(roots.begin(), roots.end());
  roots.erase(std::unique(roots.begin(), roots.end()), roots.end());
}

void Space::Solver::MakeGroups() {
  std::vector<size_t> leader(numbers.size());
  for (size_t p = 0; p < leader.size(); ++p) leader[p] = p;
  const auto find = [&](size_t p) {
    while (leader[p] != p) p = leader[p] = leader[leader[p]];
    return p;
  };
  for (NodeId root : roots)
    for (uint16_t p : (*graph)[root].parameters) {
      const size_t a = find(p), b = find((*graph)[root].parameters[0]);
      leader[std::max(a, b)] = std::min(a, b);
    }

  std::map<size_t, std::pair<std::vector<uint16_t>, std::vector<NodeId>>> members;
  for (NodeId root : roots) members[find((*graph)[root].parameters[0])].second.push_back(root);
  group_of.assign(numbers.size(), -1);
  place_of.assign(numbers.size(), 0);
  for (size_t p = 0; p < numbers.size(); ++p)
    if (const auto group = members.find(find(p)); group != members.end()) group->second.first.push_back(static_cast<uint16_t>(p));
  for (auto& [first, content] : members) {
    // A parameter that one value is left to joins no constraint, so none of these is fixed.
    for (size_t place = 0; place < content.first.size(); ++place) {
      group_of[content.first[place]] = static_cast<int>(groups.size());
      place_of[content.first[place]] = static_cast<int>(place);
    }
    groups.emplace_back(*graph, std::move(content.first), std::move(content.second));
  }
}

void Space::Solver::MakeProbes() {
  std::vector<int> level_of(numbers.size());
  for (size_t p = 0; p < level_of.size(); ++p) level_of[p] = static_cast<int>(p);
  program = solver::MakeProgram(*graph, roots, level_of);
  std::vector<uint32_t> itself(program.slots.size());
  for (uint32_t i = 0; i < itself.size(); ++i) itself[i] = i;
  for (size_t p = 0; p < numbers.size(); ++p) {
    std::vector<bool> changing(program.slots.size(), false);
    for (size_t i = 0; i < program.slots.size(); ++i) {
      const solver::Slot& slot = program.slots[i];
      changing[i] = slot.op == Op::kParameter && slot.parameter == p;
      for (size_t k = 0; k < slot.operand_count; ++k) changing[i] = changing[i] || changing[slot.operands[k]];
    }
    Probe probe{LaneProgram(program, graph->domains()[p], changing, itself), {}};
    for (size_t r = 0; r < roots.size(); ++r) {
      if (!changing[program.roots[r]]) continue;
      probe.lanes.Check(program.roots[r]);
      probe.constraints.push_back(r);
    }
    probes.push_back(std::move(probe));
  }
}

std::vector<double> Space::Solver::NumbersAt(const Point& point) const {
  std::vector<double> at(point.size());
  for (size_t p = 0; p < point.size(); ++p) at[p] = numbers[p][point[p]];
  return at;
}

bool Space::Solver::InDomain(size_t parameter, uint16_t value) const {
  return std::binary_search(domain[parameter].begin(), domain[parameter].end(), value);
}

}  // namespace lathe
