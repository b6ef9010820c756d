// Space: the valid configurations of a template for a workload on a target: parameters, and constraints between them.
//
// A point names one value of each parameter by its place in that parameter's list, so strategies and cost models need not know what values
// are. Nothing here enumerates the raw product: 10^12 raw points open in milliseconds.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "core/candidate.h"
#include "core/result.h"
#include "core/value.h"

namespace lathe {

struct Parameter {
  std::string name;
  std::vector<Value> values;  // in the manifest's order, numbers ascending where the manifest gives a range
  std::string meaning;
};

struct Constraint {
  std::string require;  // an expression over parameters; what does not vary is bound already
  std::string why;
};

// What is left open and what holds it together; every other name in a constraint is bound in `numbers`.
struct SpaceDefinition {
  std::string id;
  std::vector<Parameter> parameters;
  std::vector<Constraint> constraints;
  std::map<std::string, double> numbers;  // attributes, limits, choice names
};

// point[i] is an index into parameters()[i].values.
using Point = std::vector<uint16_t>;

// Safe to use from several threads.
class Space {
 public:
  // An error names the constraint and the reason (a name nobody knows, a parameter without values). A constraint holds where it is a finite number
  // other than zero: where it divides by zero it does not. Names of categories that `numbers` does not bind get numbers of their own, from 1.
  static Result<Space> Create(SpaceDefinition definition);
  Space(Space&&) noexcept;
  Space& operator=(Space&&) noexcept;
  ~Space();

  const SpaceDefinition& definition() const;
  const std::string& id() const;
  const std::vector<Parameter>& parameters() const;
  const std::vector<Constraint>& constraints() const;

  double raw_size() const;  // a product; may pass 2^64
  // Exact. Cheap for spaces that the constraints cut into independent groups; nullopt when more than `limit` partial assignments would be
  // visited.
  std::optional<uint64_t> CountValid(uint64_t limit = uint64_t{1} << 28) const;

  // False too for what is no point of this space: a wrong number of parameters, an index beyond a list.
  bool IsValid(const Point& point) const;
  // The first valid point in the order of the parameters' lists: the "untuned" config. Nullopt when the space is empty.
  std::optional<Point> First() const;
  // Uniform over the valid points; nullopt when there is none. Groups too large to count are sampled by rejection, which is uniform too;
  // solver_group.h says what happens where even that finds nothing.
  std::optional<Point> Sample(std::mt19937_64& random) const;
  // Every valid point that differs from `point` in one parameter, by parameter, then in the order of its list.
  std::vector<Point> Neighbours(const Point& point) const;
  // Calls `visit` for each valid point, the last parameter changing fastest, until it returns false.
  void ForEach(const std::function<bool(const Point&)>& visit) const;

  // A point's place in the raw product, and back; index < raw_size(). Only for spaces of fewer than 2^64 raw points.
  uint64_t IndexOf(const Point& point) const;
  Point PointAt(uint64_t index) const;

  Config ConfigAt(const Point& point) const;
  // Fails when a parameter is missing, unknown, or has a value that is not in its list. Does not check constraints.
  Result<Point> PointOf(const Config& config) const;
  // The number an expression sees for a parameter's value.
  double Number(size_t parameter, size_t value) const;

 private:
  struct Solver;
  explicit Space(std::unique_ptr<Solver> solver);
  std::unique_ptr<Solver> solver_;
};

// Reads the neutral format of recorded and brute-forced spaces: {"id", "parameters": [names], "values": {name: [..]}, "constraints":
// [text], "fixed_parameters": {name: number}?}.
Result<SpaceDefinition> SpaceDefinitionFromJson(const nlohmann::json& json);

}  // namespace lathe
