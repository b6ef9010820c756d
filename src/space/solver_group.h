// Group: parameters that constraints tie together, directly or through others. Groups do not know of each other, so their counts multiply.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <vector>

#include "space/solver_graph.h"
#include "space/solver_walk.h"

namespace lathe::solver {

class Group {
 public:
  // `parameters` ascending; `roots`: the constraints over them. The graph must outlive the group.
  Group(const Graph& graph, std::vector<uint16_t> parameters, std::vector<NodeId> roots)
      : graph_(graph), parameters_(std::move(parameters)), roots_(std::move(roots)) {}

  const std::vector<uint16_t>& parameters() const { return parameters_; }

  // As Walk::Count.
  std::optional<double> Count(uint64_t limit, uint64_t& visits);

  // Uniform over the group's valid assignments; choice[i] is an index into the domain of parameters()[i]. False when there are none.
  // Exactly uniform wherever the group can be counted within 2^25 steps, or one in some thousand raw points is valid (rejection). Beyond
  // that, a random descent that never takes a dead end: always a valid assignment, but not each with the same chance. The way of sampling
  // is a property of the group, not of what was asked of it before: a seed gives the same samples whenever it is used.
  bool Sample(std::mt19937_64& random, std::vector<uint16_t>& choice);

  // The walk in the parameters' own order, for looking ahead while listing points.
  Walk& Listed();

 private:
  enum class Sampling { kUndecided, kEmpty, kByCount, kByRejection, kByDescent };

  Walk& Counted();
  Sampling DecideSampling();
  void SampleByCount(std::mt19937_64& random, std::vector<uint16_t>& choice);
  bool SampleByRejection(std::mt19937_64& random, int attempts, std::vector<uint16_t>& choice);
  bool SampleByDescent(std::mt19937_64& random, std::vector<uint16_t>& choice);

  const Graph& graph_;
  std::vector<uint16_t> parameters_;
  std::vector<NodeId> roots_;
  std::shared_ptr<Walk> counted_, listed_;  // made when first needed; one and the same when both orders are
  std::optional<double> count_;
  uint64_t failed_limit_ = 0;  // Count() gave up at this limit
  uint64_t visits_ = 0;        // of all Count() together
  Sampling sampling_ = Sampling::kUndecided;
};

}  // namespace lathe::solver
