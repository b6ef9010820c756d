// The order in which a graph's nodes can be computed.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "core/result.h"
#include "deploy/onnx_graph.h"

namespace lathe::graph {

// Indices into `nodes`: the file's own order where that is a possible one, as ONNX demands, else the nearest. Bodies count with what they
// capture. Fails on a cycle and on a value that two nodes make, naming them.
Result<std::vector<size_t>> ComputingOrder(const std::vector<Node>& nodes);

// Names that a body takes from around it.
std::set<std::string> Captured(const Graph& body);

}  // namespace lathe::graph
