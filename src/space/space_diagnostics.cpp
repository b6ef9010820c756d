#include "space/space_diagnostics.h"

#include <algorithm>
#include <random>

namespace lathe {
namespace {

constexpr uint64_t kCountLimit = uint64_t{1} << 22;  // partial assignments; up to some 200 ms
constexpr int kDraws = 4000;                         // an estimated share is good to about two in a hundred
constexpr uint64_t kSeed = 1;

Result<Space> With(const Space& space, const std::vector<size_t>& constraints) {
  SpaceDefinition definition = space.definition();
  definition.constraints.clear();
  for (size_t index : constraints) definition.constraints.push_back(space.constraints()[index]);
  return Space::Create(std::move(definition));
}

std::vector<size_t> AllBut(size_t count, size_t left_out) {
  std::vector<size_t> indices;
  for (size_t i = 0; i < count; ++i)
    if (i != left_out) indices.push_back(i);
  return indices;
}

// What `after` removed of `before`: one constraint more.
Removal Removed(const Space& before, std::optional<double> points_before, const Space& after, std::optional<double> points_after) {
  Removal removal;
  if (points_before && points_after) {
    removal.points = *points_before - *points_after;
    removal.share = *points_before > 0 ? *removal.points / *points_before : 0;
    return removal;
  }
  removal.exact = false;
  std::mt19937_64 random(kSeed);
  int drawn = 0, removed = 0;
  for (; drawn < kDraws; ++drawn) {
    const std::optional<Point> point = before.Sample(random);
    if (!point) break;
    removed += after.IsValid(*point) ? 0 : 1;
  }
  if (drawn > 0) removal.share = static_cast<double>(removed) / drawn;
  if (points_before) removal.points = removal.share * *points_before;
  return removal;
}

std::optional<double> Count(const Space& space) {
  const std::optional<uint64_t> count = space.CountValid(kCountLimit);
  return count ? std::optional(static_cast<double>(*count)) : std::nullopt;
}

// Values that turn up in a sample are alive; the rest is asked for one by one.
Result<std::vector<DeadValues>> FindDeadValues(const Space& space) {
  const std::vector<Parameter>& parameters = space.parameters();
  std::vector<std::vector<bool>> alive;
  for (const Parameter& parameter : parameters) alive.emplace_back(parameter.values.size(), false);
  std::mt19937_64 random(kSeed);
  for (int i = 0; i < kDraws; ++i)
    if (const std::optional<Point> point = space.Sample(random))
      for (size_t p = 0; p < point->size(); ++p) alive[p][(*point)[p]] = true;

  std::vector<DeadValues> dead;
  for (size_t p = 0; p < parameters.size(); ++p) {
    DeadValues found{parameters[p].name, {}};
    for (size_t value = 0; value < parameters[p].values.size(); ++value) {
      if (alive[p][value]) continue;
      SpaceDefinition only = space.definition();
      only.parameters[p].values = {parameters[p].values[value]};
      const Result<Space> restricted = Space::Create(std::move(only));
      if (!restricted) return restricted.error();
      if (!restricted->First()) found.values.push_back(parameters[p].values[value]);
    }
    if (!found.values.empty()) dead.push_back(std::move(found));
  }
  return dead;
}

// Drops what is not needed for emptiness, the least restrictive first.
Result<std::vector<size_t>> WhyEmpty(const Space& space, const std::vector<ConstraintDiagnosis>& constraints) {
  std::vector<size_t> by_share = AllBut(constraints.size(), constraints.size());
  std::stable_sort(by_share.begin(), by_share.end(),
                   [&](size_t a, size_t b) { return constraints[a].alone.share < constraints[b].alone.share; });
  std::vector<size_t> needed = AllBut(constraints.size(), constraints.size());
  for (size_t candidate : by_share) {
    std::vector<size_t> rest;
    std::copy_if(needed.begin(), needed.end(), std::back_inserter(rest), [&](size_t index) { return index != candidate; });
    const Result<Space> without = With(space, rest);
    if (!without) return without.error();
    if (!without->First()) needed = std::move(rest);
  }
  return needed;
}

nlohmann::ordered_json ToJson(const Removal& removal) {
  nlohmann::ordered_json json;
  json["points"] = removal.points ? nlohmann::ordered_json(*removal.points) : nlohmann::ordered_json();
  json["share"] = removal.share;
  json["exact"] = removal.exact;
  return json;
}

}  // namespace

Result<SpaceDiagnostics> Diagnose(const Space& space) {
  SpaceDiagnostics diagnostics;
  diagnostics.id = space.id();
  diagnostics.raw = space.raw_size();
  diagnostics.valid = space.CountValid(kCountLimit);
  const std::optional<double> valid = Count(space);

  const Result<Space> raw = With(space, {});
  if (!raw) return raw.error();
  for (size_t i = 0; i < space.constraints().size(); ++i) {
    const Result<Space> alone = With(space, {i});
    if (!alone) return alone.error();
    const Result<Space> others = With(space, AllBut(space.constraints().size(), i));
    if (!others) return others.error();
    ConstraintDiagnosis diagnosis;
    diagnosis.constraint = space.constraints()[i];
    diagnosis.alone = Removed(*raw, space.raw_size(), *alone, Count(*alone));
    diagnosis.given_others = Removed(*others, Count(*others), space, valid);
    diagnostics.constraints.push_back(std::move(diagnosis));
  }

  const bool empty = diagnostics.valid ? *diagnostics.valid == 0 : !space.First();
  if (empty) {
    Result<std::vector<size_t>> why = WhyEmpty(space, diagnostics.constraints);
    if (!why) return why.error();
    diagnostics.empty_because = *std::move(why);
  } else {
    Result<std::vector<DeadValues>> dead = FindDeadValues(space);
    if (!dead) return dead.error();
    diagnostics.dead_values = *std::move(dead);
  }
  return diagnostics;
}

nlohmann::ordered_json ToJson(const SpaceDiagnostics& diagnostics) {
  nlohmann::ordered_json json;
  json["id"] = diagnostics.id;
  json["raw"] = diagnostics.raw;
  json["valid"] = diagnostics.valid ? nlohmann::ordered_json(*diagnostics.valid) : nlohmann::ordered_json();
  json["constraints"] = nlohmann::ordered_json::array();
  for (const ConstraintDiagnosis& diagnosis : diagnostics.constraints) {
    nlohmann::ordered_json entry;
    entry["require"] = diagnosis.constraint.require;
    if (!diagnosis.constraint.why.empty()) entry["why"] = diagnosis.constraint.why;
    entry["removes_alone"] = ToJson(diagnosis.alone);
    entry["removes_given_others"] = ToJson(diagnosis.given_others);
    json["constraints"].push_back(std::move(entry));
  }
  json["dead_values"] = nlohmann::ordered_json::object();
  for (const DeadValues& dead : diagnostics.dead_values)
    for (const Value& value : dead.values) json["dead_values"][dead.parameter].push_back(nlohmann::ordered_json(ToJson(value)));
  json["empty_because"] = nlohmann::ordered_json::array();
  for (size_t index : diagnostics.empty_because) json["empty_because"].push_back(diagnostics.constraints[index].constraint.require);
  return json;
}

}  // namespace lathe
