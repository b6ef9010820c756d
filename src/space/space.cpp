#include "space/space.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <mutex>
#include <set>

#include "space/solver_graph.h"
#include "space/solver_group.h"
#include "space/solver_parse.h"
#include "space/solver_program.h"

namespace lathe {

using solver::Graph;
using solver::Group;
using solver::LaneProgram;
using solver::Node;
using solver::NodeId;
using solver::Op;
using solver::Program;
using solver::Walk;

namespace {

constexpr size_t kMaximumValues = 65536;  // an index is a uint16_t

Error Wrong(const SpaceDefinition& definition, const std::string& reason) {
  return Error{ErrorCode::kInvalidInput, fmt::format("open space '{}': {}", definition.id, reason)};
}

// A config read back from text may hold 2 where the list says 2.0.
bool SameValue(const Value& a, const Value& b) {
  const auto number = [](const Value& value) -> std::optional<double> {
    if (const auto* integer = std::get_if<int64_t>(&value)) return static_cast<double>(*integer);
    if (const auto* real = std::get_if<double>(&value)) return *real;
    return std::nullopt;
  };
  if (a.index() == b.index()) return a == b;
  return number(a) && number(b) && *number(a) == *number(b);
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

// What a change of one parameter touches: the sub-expressions above it and the constraints they end in.
struct Probe {
  LaneProgram lanes;
  std::vector<size_t> constraints;  // indices into Solver::roots
};

}  // namespace

struct Space::Solver {
  SpaceDefinition definition;
  std::vector<std::vector<double>> numbers;   // by parameter, by value
  std::vector<std::vector<uint16_t>> domain;  // by parameter: the values that constraints over it alone allow, ascending
  bool impossible = false;                    // a constraint over one or no parameter already empties the space
  std::unique_ptr<Graph> graph;               // over the domains' numbers
  std::vector<NodeId> roots;                  // the constraints over two and more parameters
  std::vector<int> group_of, place_of;        // by parameter: its group (-1: free) and its place there
  Program program;                            // all roots, parameters in their own order
  std::vector<Probe> probes;                  // by parameter

  mutable std::mutex mutex;  // guards what the groups remember
  mutable std::vector<Group> groups;

  Status Parse();
  void NarrowDomains();
  void MakeGroups();
  void MakeProbes();
  std::vector<double> NumbersAt(const Point& point) const;
  bool InDomain(size_t parameter, uint16_t value) const {
    return std::binary_search(domain[parameter].begin(), domain[parameter].end(), value);
  }

  // Lists points in the order of the parameters, never entering what cannot be completed.
  class Lister;
};

Status Space::Solver::Parse() {
  std::vector<std::vector<double>> all(numbers);
  graph = std::make_unique<Graph>(std::move(all));
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
        std::vector<int> level_of(numbers.size(), 0);
        const Program alone = solver::MakeProgram(*graph, {root}, level_of);
        LaneProgram lanes(alone, graph->domains()[p], std::vector<bool>(alone.slots.size(), true), {});
        lanes.Check(alone.roots[0]);
        LaneProgram::Scratch scratch;
        lanes.Run(nullptr, scratch);
        std::vector<uint16_t> allowed;
        for (size_t i = 0; i < domain[p].size(); ++i) {
          const double number = numbers[p][domain[p][i]];
          const auto lane = std::find(graph->domains()[p].begin(), graph->domains()[p].end(), number) - graph->domains()[p].begin();
          if (scratch.alive[static_cast<size_t>(lane)]) allowed.push_back(domain[p][i]);
        }
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

class Space::Solver::Lister {
 public:
  Lister(const Solver& solver, const std::function<bool(const Point&)>& visit)
      : solver_(solver), visit_(visit), point_(solver.numbers.size()), scratch_(solver.numbers.size()) {
    const std::lock_guard lock(solver.mutex);
    for (Group& group : solver.groups) {
      Walk& walk = group.Listed();
      walks_.push_back(&walk);
      states_.emplace_back();
      for (size_t level = 0; level <= walk.levels(); ++level) states_.back().emplace_back(walk.state_width(level));
    }
  }

  void Run() {
    for (size_t g = 0; g < walks_.size(); ++g)
      if (!Alive(g, 0)) return;
    From(0);
  }

 private:
  bool Alive(size_t group, size_t level) {
    if (level == walks_[group]->levels()) return true;
    const std::lock_guard lock(solver_.mutex);
    return walks_[group]->Alive(level, states_[group][level].data());
  }

  // False once the visitor has had enough.
  bool From(size_t parameter) {
    if (parameter == point_.size()) return visit_(point_);
    const std::vector<uint16_t>& domain = solver_.domain[parameter];
    if (solver_.group_of[parameter] < 0) {
      for (uint16_t value : domain) {
        point_[parameter] = value;
        if (!From(parameter + 1)) return false;
      }
      return true;
    }
    const size_t group = static_cast<size_t>(solver_.group_of[parameter]), level = static_cast<size_t>(solver_.place_of[parameter]);
    const Walk& walk = *walks_[group];
    const double* state = states_[group][level].data();
    Walk::Scratch& scratch = scratch_[parameter];
    walk.Step(level, state, scratch);
    for (size_t i = 0; i < domain.size(); ++i) {
      if (!scratch.alive[i]) continue;
      walk.Next(level, state, scratch, i, states_[group][level + 1].data());
      if (!Alive(group, level + 1)) continue;
      point_[parameter] = domain[i];
      if (!From(parameter + 1)) return false;
    }
    return true;
  }

  const Solver& solver_;
  const std::function<bool(const Point&)>& visit_;
  Point point_;
  std::vector<Walk*> walks_;                              // by group
  std::vector<std::vector<std::vector<double>>> states_;  // by group, by level
  std::vector<Walk::Scratch> scratch_;                    // by parameter
};

Space::Space(std::unique_ptr<Solver> solver) : solver_(std::move(solver)) {}
Space::Space(Space&&) noexcept = default;
Space& Space::operator=(Space&&) noexcept = default;
Space::~Space() = default;

Result<Space> Space::Create(SpaceDefinition definition) {
  if (Status checked = CheckParameters(definition); !checked) return checked.error();
  auto solver = std::make_unique<Solver>();
  BindCategories(definition);
  solver->definition = std::move(definition);
  for (const Parameter& parameter : solver->definition.parameters) {
    std::vector<double> numbers;
    for (const Value& value : parameter.values) numbers.push_back(NumberOf(value, solver->definition.numbers));
    std::vector<uint16_t> domain(numbers.size());
    for (size_t i = 0; i < domain.size(); ++i) domain[i] = static_cast<uint16_t>(i);
    solver->numbers.push_back(std::move(numbers));
    solver->domain.push_back(std::move(domain));
  }
  if (Status parsed = solver->Parse(); !parsed) return parsed.error();
  solver->NarrowDomains();
  if (!solver->impossible) {
    solver->MakeGroups();
    solver->MakeProbes();
  }
  return Space(std::move(solver));
}

const SpaceDefinition& Space::definition() const { return solver_->definition; }
const std::string& Space::id() const { return solver_->definition.id; }
const std::vector<Parameter>& Space::parameters() const { return solver_->definition.parameters; }
const std::vector<Constraint>& Space::constraints() const { return solver_->definition.constraints; }

double Space::raw_size() const {
  double size = 1;
  for (const Parameter& parameter : parameters()) size *= static_cast<double>(parameter.values.size());
  return size;
}

std::optional<uint64_t> Space::CountValid(uint64_t limit) const {
  if (solver_->impossible) return 0;
  const std::lock_guard lock(solver_->mutex);
  constexpr double kExactInteger = 9007199254740992.0;  // 2^53
  std::vector<uint64_t> factors;
  for (size_t p = 0; p < solver_->domain.size(); ++p)
    if (solver_->group_of[p] < 0) factors.push_back(solver_->domain[p].size());
  bool unknown = false;
  uint64_t visits = 0;
  for (Group& group : solver_->groups) {
    const std::optional<double> count = group.Count(limit - std::min(limit, visits), visits);
    if (count && *count == 0) return 0;  // whatever the others are
    unknown = unknown || !count || *count > kExactInteger;
    if (!unknown) factors.push_back(static_cast<uint64_t>(*count));
  }
  if (unknown) return std::nullopt;
  uint64_t product = 1;
  for (uint64_t factor : factors)
    if (__builtin_mul_overflow(product, factor, &product)) return std::nullopt;
  return product;
}

bool Space::IsValid(const Point& point) const {
  if (solver_->impossible || point.size() != parameters().size()) return false;
  for (size_t p = 0; p < point.size(); ++p)
    if (!solver_->InDomain(p, point[p])) return false;
  std::vector<double> registers;
  solver::Run(solver_->program, solver_->NumbersAt(point), registers);
  return std::all_of(solver_->program.roots.begin(), solver_->program.roots.end(),
                     [&](uint32_t root) { return solver::Holds(registers[root]); });
}

std::optional<Point> Space::First() const {
  std::optional<Point> first;
  ForEach([&](const Point& point) {
    first = point;
    return false;
  });
  return first;
}

std::optional<Point> Space::Sample(std::mt19937_64& random) const {
  if (solver_->impossible) return std::nullopt;
  Point point(parameters().size());
  for (size_t p = 0; p < point.size(); ++p)
    if (solver_->group_of[p] < 0) {
      const std::vector<uint16_t>& domain = solver_->domain[p];
      point[p] = domain[std::uniform_int_distribution<size_t>(0, domain.size() - 1)(random)];
    }
  const std::lock_guard lock(solver_->mutex);
  std::vector<uint16_t> choice;
  for (Group& group : solver_->groups) {
    if (!group.Sample(random, choice)) return std::nullopt;
    for (size_t i = 0; i < choice.size(); ++i) point[group.parameters()[i]] = solver_->domain[group.parameters()[i]][choice[i]];
  }
  return point;
}

std::vector<Point> Space::Neighbours(const Point& point) const {
  std::vector<Point> neighbours;
  if (solver_->impossible || point.size() != parameters().size()) return neighbours;
  size_t outside = 0;  // parameters whose value can never be valid
  for (size_t p = 0; p < point.size(); ++p) {
    if (point[p] >= solver_->numbers[p].size()) return neighbours;
    outside += solver_->InDomain(p, point[p]) ? 0 : 1;
  }
  std::vector<double> registers;
  solver::Run(solver_->program, solver_->NumbersAt(point), registers);
  size_t broken = 0;
  for (uint32_t root : solver_->program.roots) broken += solver::Holds(registers[root]) ? 0 : 1;

  LaneProgram::Scratch scratch;
  for (size_t p = 0; p < point.size(); ++p) {
    const Probe& probe = solver_->probes[p];
    // Changing one parameter must mend everything that is broken.
    size_t mendable = 0;
    if (broken > 0)
      for (size_t r : probe.constraints) mendable += solver::Holds(registers[solver_->program.roots[r]]) ? 0 : 1;
    if (mendable < broken || outside > (solver_->InDomain(p, point[p]) ? 0u : 1u)) continue;
    probe.lanes.Run(registers.data(), scratch);
    for (size_t i = 0; i < solver_->domain[p].size(); ++i) {
      const uint16_t value = solver_->domain[p][i];
      if (!scratch.alive[i] || value == point[p]) continue;
      neighbours.push_back(point);
      neighbours.back()[p] = value;
    }
  }
  return neighbours;
}

void Space::ForEach(const std::function<bool(const Point&)>& visit) const {
  if (!solver_->impossible) Solver::Lister(*solver_, visit).Run();
}

uint64_t Space::IndexOf(const Point& point) const {
  uint64_t index = 0;
  for (size_t p = 0; p < point.size(); ++p) index = index * solver_->numbers[p].size() + point[p];
  return index;
}

Point Space::PointAt(uint64_t index) const {
  Point point(parameters().size());
  for (size_t p = point.size(); p-- > 0;) {
    point[p] = static_cast<uint16_t>(index % solver_->numbers[p].size());
    index /= solver_->numbers[p].size();
  }
  return point;
}

Config Space::ConfigAt(const Point& point) const {
  Config config;
  for (size_t p = 0; p < point.size(); ++p) config.emplace_back(parameters()[p].name, parameters()[p].values[point[p]]);
  return config;
}

Result<Point> Space::PointOf(const Config& config) const {
  const auto wrong = [&](const std::string& reason) {
    return Error{ErrorCode::kInvalidInput, fmt::format("find config '{}' in space '{}': {}", ToString(config), id(), reason)};
  };
  for (const auto& [name, value] : config) {
    const auto named = [&wanted = name](const Parameter& parameter) { return parameter.name == wanted; };
    if (std::none_of(parameters().begin(), parameters().end(), named)) return wrong(fmt::format("there is no parameter '{}'", name));
  }
  Point point;
  for (const Parameter& parameter : parameters()) {
    const Value* value = Find(config, parameter.name);
    if (value == nullptr) return wrong(fmt::format("parameter '{}' is missing", parameter.name));
    const auto place = std::find_if(parameter.values.begin(), parameter.values.end(),
                                    [&](const Value& candidate) { return SameValue(candidate, *value); });
    if (place == parameter.values.end()) return wrong(fmt::format("{} is not a value of '{}'", ToString(*value), parameter.name));
    point.push_back(static_cast<uint16_t>(place - parameter.values.begin()));
  }
  return point;
}

double Space::Number(size_t parameter, size_t value) const { return solver_->numbers[parameter][value]; }

}  // namespace lathe
