#include "space/space.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>

#include "space/solver.h"

namespace lathe {

using solver::Group;
using solver::LaneProgram;
using solver::Walk;

namespace {

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

}  // namespace

// Lists points in the order of the parameters, never entering what cannot be completed.
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
  Result<std::unique_ptr<Solver>> solver = Solver::Make(std::move(definition));
  if (!solver) return solver.error();
  return Space(*std::move(solver));
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
    const Solver::Probe& probe = solver_->probes[p];
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
