// Reads a constraint into a Graph. The grammar is core/expression.h's, which muParser reads; the solver has a parser of its own because it
// must see inside an expression: which part is known once which parameters are. tests/space/ holds the two against each other.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/result.h"
#include "space/solver_graph.h"

namespace lathe::solver {

// What a name stands for: a node of the graph, or nothing that anybody knows.
using NameLookup = std::function<std::optional<NodeId>(const std::string&)>;

// Fails on a syntax error or an unknown name, with the place in the text.
Result<NodeId> ParseConstraint(const std::string& text, const NameLookup& lookup, Graph& graph);

// The parts of a top-level `a && b && c`, or the constraint itself: each must hold on its own.
std::vector<NodeId> Conjuncts(const Graph& graph, NodeId constraint);

}  // namespace lathe::solver
