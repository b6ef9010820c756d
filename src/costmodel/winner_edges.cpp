#include "costmodel/winner_edges.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

namespace lathe {
namespace {

// Places in the parameter's list, by number.
std::vector<size_t> ByNumber(const Space& space, size_t parameter) {
  std::vector<size_t> order(space.parameters()[parameter].values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return space.Number(parameter, a) < space.Number(parameter, b); });
  return order;
}

bool IsNamed(const Parameter& parameter) {
  return std::any_of(parameter.values.begin(), parameter.values.end(),
                     [](const Value& value) { return std::holds_alternative<std::string>(value); });
}

// The number that would come next in a list that ends with `edge` and has `inner` before it: by their ratio where that is whole, else by
// their difference. None where a list of whole numbers from 1 up would have to go below 1.
std::optional<int64_t> Beyond(int64_t inner, int64_t edge) {
  const bool positive = inner > 0 && edge > 0;
  int64_t next = 2 * edge - inner;
  if (positive && edge % inner == 0) next = edge * (edge / inner);
  if (positive && inner % edge == 0) next = edge % (inner / edge) == 0 ? edge / (inner / edge) : 0;
  if (edge >= 0 && next < (edge < inner ? 1 : 0)) return std::nullopt;
  return next;
}

// Whether the winner could have the next number beyond its list's edge, were it listed.
Result<bool> CouldGoOn(const Space& space, const Point& winner, size_t parameter, size_t inner) {
  const std::vector<Value>& values = space.parameters()[parameter].values;
  const auto* edge = std::get_if<int64_t>(&values[winner[parameter]]);
  const auto* before = std::get_if<int64_t>(&values[inner]);
  if (edge == nullptr || before == nullptr) return true;  // of fractions nothing is known
  const std::optional<int64_t> beyond = Beyond(*before, *edge);
  if (!beyond) return false;
  SpaceDefinition definition = space.definition();
  Point further = winner;
  further[parameter] = static_cast<uint16_t>(values.size());
  definition.parameters[parameter].values.emplace_back(*beyond);
  Result<Space> wider = Space::Create(std::move(definition));
  if (!wider) return wider.error();
  return wider->IsValid(further);
}

std::vector<Point> Steps(const Space& space, const Point& winner, size_t parameter) {
  std::vector<Point> steps;
  const auto step = [&](size_t value) {
    steps.push_back(winner);
    steps.back()[parameter] = static_cast<uint16_t>(value);
  };
  if (IsNamed(space.parameters()[parameter])) {
    for (size_t v = 0; v < space.parameters()[parameter].values.size(); ++v) {
      if (v != winner[parameter]) step(v);
    }
    return steps;
  }
  const std::vector<size_t> order = ByNumber(space, parameter);
  const auto at = static_cast<size_t>(std::find(order.begin(), order.end(), winner[parameter]) - order.begin());
  if (at > 0) step(order[at - 1]);
  if (at + 1 < order.size()) step(order[at + 1]);
  return steps;
}

}  // namespace

Result<WinnerEdges> EdgesOf(const Space& space, const TimeModel& model, const Point& winner) {
  WinnerEdges edges;
  const double log_seconds = model.LogSeconds(winner);
  for (size_t p = 0; p < winner.size(); ++p) {
    const Parameter& parameter = space.parameters()[p];
    if (IsNamed(parameter) || parameter.values.size() < 3) continue;
    const std::vector<size_t> order = ByNumber(space, p);
    const bool smallest = order.front() == winner[p], largest = order.back() == winner[p];
    if (!smallest && !largest) continue;
    Point inner = winner;
    inner[p] = static_cast<uint16_t>(largest ? order[order.size() - 2] : order[1]);
    Result<bool> goes_on = CouldGoOn(space, winner, p, inner[p]);
    if (!goes_on) return goes_on.error();
    if (!*goes_on) continue;
    edges.values.push_back({p, largest, std::expm1(model.LogSeconds(inner) - log_seconds)});
  }
  std::stable_sort(edges.values.begin(), edges.values.end(), [](const EdgeValue& a, const EdgeValue& b) { return a.lead > b.lead; });

  // Each constraint as a space of its own says whom it refuses.
  std::vector<Space> alone;
  for (const Constraint& constraint : space.constraints()) {
    SpaceDefinition definition = space.definition();
    definition.constraints = {constraint};
    Result<Space> one = Space::Create(std::move(definition));
    if (!one) return one.error();
    alone.push_back(*std::move(one));
  }
  std::vector<EdgeConstraint> found(alone.size());
  for (size_t p = 0; p < winner.size(); ++p) {
    for (const Point& step : Steps(space, winner, p)) {
      size_t refusing = 0, last = 0;
      for (size_t c = 0; c < alone.size(); ++c) {
        if (alone[c].IsValid(step)) continue;
        ++refusing;
        last = c;
      }
      if (refusing != 1) continue;
      const double promise = -std::expm1(model.LogSeconds(step) - log_seconds);
      EdgeConstraint& edge = found[last];
      if (edge.forbids++ == 0 || promise > edge.promise) {
        edge.promise = promise;
        edge.best = step;
      }
      edge.constraint = last;
    }
  }
  for (EdgeConstraint& edge : found) {
    if (edge.forbids > 0) edges.constraints.push_back(std::move(edge));
  }
  std::stable_sort(edges.constraints.begin(), edges.constraints.end(),
                   [](const EdgeConstraint& a, const EdgeConstraint& b) { return a.promise > b.promise; });
  return edges;
}

}  // namespace lathe
