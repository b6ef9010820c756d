// What the names in a rule's expressions stand for at one node of a graph: X.2, sizes.value.3, strides.0, mode.is.linear.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/expression.h"
#include "core/result.h"
#include "deploy/onnx_infer.h"

namespace lathe::graph {

// A number, and how it came about when the graph alone does not fix it.
struct Finding {
  double number = 0;
  std::string bounded;  // the graph only gives an upper bound; this says of what
};

class Names {
 public:
  Names(const EvaluatedGraph& graph, const Node& node, const std::map<std::string, Attribute>& defaults)
      : graph_(&graph), node_(&node), defaults_(&defaults) {}

  // value: an index into the graph's values, or -1 for an input that is absent.
  void BindTensor(const std::string& name, int value) { tensors_[name] = value; }
  void BindNumber(const std::string& name, Finding finding) { numbers_[name] = std::move(finding); }
  std::optional<int> Tensor(const std::string& name) const;
  // Attributes are this node's from now on; returns a copy, so that a pattern that fails leaves nothing behind.
  Names At(const Node& node) const;

  // The error is a clause that says why there is no number. `open`, where given, is set when the number is a dimension that is open
  // and has no bound: whoever asks may have a value of his own for it.
  Result<Finding> Find(const std::string& name, bool* open = nullptr) const;
  Result<Finding> Evaluate(const Expression& expression, bool* open = nullptr) const;
  // A text attribute, or the element type behind X.dtype.
  Result<std::string> Text(const std::string& name) const;

 private:
  Result<Finding> OfTensor(const std::string& tensor, int value, const std::string& what, bool* open) const;
  const Attribute* FindAttribute(const std::string& name) const;

  const EvaluatedGraph* graph_;
  const Node* node_;
  const std::map<std::string, Attribute>* defaults_;
  std::map<std::string, int> tensors_;
  std::map<std::string, Finding> numbers_;
};

}  // namespace lathe::graph
