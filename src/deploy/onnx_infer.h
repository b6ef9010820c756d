// Partial evaluation of a graph: one walk in order, where each node's values are folded or its shapes inferred (onnx_rules.h) before its
// readers are reached. So a Resize sees the sizes that Shape, Slice and Concat make for it, and the nodes behind it see its shape.
//
// If with a known condition becomes the branch it takes, else both branches are walked. Bodies of loops are walked once, with what is
// known of the values they capture. Functions of the model are spelled out. The result is flat.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/result.h"
#include "deploy/onnx_graph.h"
#include "deploy/onnx_rules.h"

namespace lathe::graph {

// Shapes that the user gives: of a graph input or any other value by its name, or {size} for a named dimension such as "batch".
using ShapeOverrides = std::map<std::string, std::vector<int64_t>>;

struct GraphValue {
  std::string name;
  Known known;
  std::vector<int> readers;  // indices into EvaluatedGraph::nodes, once for each time it is read
  bool constant = false;     // known before deployment: an initializer, or computed from such alone; its value need not be at hand
  bool leaves = false;       // an output of the model or of a body: somebody else reads it too
};

struct EvaluatedNode {
  const Node* node = nullptr;
  int64_t opset = 0;
  std::vector<int> inputs, outputs;  // indices into EvaluatedGraph::values; -1: absent
  bool folded = false;               // every output's value is known: nothing is left to compute
  std::string within;                // "the body of Loop 'x'": empty in the main graph
};

struct EvaluatedGraph {
  std::shared_ptr<const Model> model;           // owns most nodes
  std::shared_ptr<std::deque<Node>> instances;  // owns nodes of functions, their attributes filled in
  std::vector<GraphValue> values;
  std::vector<EvaluatedNode> nodes;  // in an order of computation
  Symbols symbols;
};

// Fails on a graph that is none: a cycle, a value made twice, a value nobody makes; and on an override that names nothing in it or
// contradicts a declared rank. A shape that stays unknown is no failure: the value says why.
Result<EvaluatedGraph> Evaluate(Model model, const ShapeOverrides& overrides);

}  // namespace lathe::graph
