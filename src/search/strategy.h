// Strategy: proposes points of one space, observes what came back; knows nothing of boards, compilers or SQL.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/result.h"
#include "costmodel/feature_function.h"
#include "space/space.h"

namespace lathe {

struct Observation {
  Point point;
  bool ok = false;
  double objective = std::numeric_limits<double>::infinity();  // lower is better; infinity unless ok
};

class Strategy {
 public:
  virtual ~Strategy() = default;
  // Up to `count` points that were never proposed before, nor observed; fewer when the space runs out of them, none when it is exhausted.
  virtual std::vector<Point> Propose(size_t count) = 0;
  // In any order, in any grouping; may include points it never proposed (a resumed run, a transfer).
  virtual void Observe(const std::vector<Observation>& observations) = 0;
  // By how much the next proposal is expected to shorten the best objective, as a fraction of it; nullopt from a strategy that cannot tell.
  virtual std::optional<double> ExpectedGain() const { return std::nullopt; }
};

using StrategyOptions = std::map<std::string, std::string>;

struct StrategyContext {
  const Space* space = nullptr;  // outlives the strategy
  FeatureFunction features;      // of the manifest; may be empty
  uint64_t seed = 0;
  size_t budget = 200;      // trials to expect: cooling and the size of a start go by it; nothing ends there
  StrategyOptions options;  // each strategy's own, stated at its class; an unknown name or value is an error
};

// "random", "grid", "annealing", "genetic", "model"; an error lists them.
Result<std::unique_ptr<Strategy>> MakeStrategy(const std::string& name, const StrategyContext& context);
std::vector<std::string> StrategyNames();

}  // namespace lathe
