// A node of an evaluated graph under an operator's rule: the workload's attributes, and the nodes behind it that it computes too.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "core/value.h"
#include "deploy/onnx_infer.h"
#include "deploy/onnx_rule.h"

namespace lathe::graph {

struct Mapped {
  NamedValues attributes;
  std::vector<std::string>
      notes;               // upper bounds and representative values that stand for unknown sizes; what a pattern asks of the deployer
  std::vector<int> fused;  // indices of nodes that the workload computes as well
};

// The error is a clause that says why the node is not this operator, or why its workload is not known.
// taken: nodes that others compute already.
Result<Mapped> MapNode(const EvaluatedGraph& graph, int node, const Rule& rule, const Operator& op, const std::set<int>& taken);

}  // namespace lathe::graph
