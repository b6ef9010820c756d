// Strategy: proposes points of one space, observes what came back; knows nothing of boards, compilers or SQL.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "core/result.h"
#include "space/space.h"

namespace lathe {

struct Observation {
  Point point;
  bool ok = false;
  double objective = std::numeric_limits<double>::infinity();  // lower is better; infinity unless ok
  std::map<std::string, double> build_facts;
};

class Strategy {
 public:
  virtual ~Strategy() = default;
  // Up to `count` points that were never proposed before, nor observed; fewer when the space runs out of them, none when it is exhausted.
  virtual std::vector<Point> Propose(size_t count) = 0;
  // In any order, in any grouping; may include points it never proposed (a resumed run, a transfer).
  virtual void Observe(const std::vector<Observation>& observations) = 0;
};

// Feature expressions of a manifest, evaluated for a point; may be empty.
using FeatureFunction = std::function<std::vector<double>(const Point&)>;

struct StrategyContext {
  const Space* space = nullptr;  // outlives the strategy
  FeatureFunction features;
  uint64_t seed = 0;
};

// "random", "grid", "annealing", "genetic", "model"; an error lists them.
Result<std::unique_ptr<Strategy>> MakeStrategy(const std::string& name, const StrategyContext& context);
std::vector<std::string> StrategyNames();

}  // namespace lathe
