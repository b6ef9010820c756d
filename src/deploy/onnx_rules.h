// What one node makes of its inputs: values of small tensors where they can be computed, else types and shapes.
//
// Three sources, tried in this order by the evaluator (onnx_infer.h):
//   FoldNode       computes small tensors. Sizes and scales that a graph computes from Shape, Slice, Cast and Concat become constants here,
//                  element by element: one open dimension does not hide its neighbours.
//   InferByRule,   our own shape rules: where libonnx 1.12 knows too little (sizes that are partly open, upper bounds of data-dependent
//   InferOpen,     dimensions, operators that changed after its operator set 17, broken nodes on which it crashes).
//   InferWindow
//   InferByLibrary libonnx's rule for everything else, with the folded values as its constants.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/result.h"
#include "deploy/onnx_graph.h"

namespace lathe::graph {

// What is known of one tensor.
struct Known {
  int type = kUndefined;
  std::optional<Shape> shape;        // absent: not even the rank
  std::optional<SmallTensor> value;  // then type and shape agree with it
  std::string why_unknown;           // when there is no shape: the root of it, as a clause

  // The dims when every one is known.
  std::optional<std::vector<int64_t>> dims() const;
};

struct NodeContext {
  const Node& node;
  int64_t opset = 0;                 // of the node's domain
  std::vector<const Known*> inputs;  // null: absent
  Symbols& symbols;

  const Known* input(size_t i) const { return i < inputs.size() ? inputs[i] : nullptr; }
  const SmallTensor* value(size_t i) const { return input(i) && input(i)->value ? &*input(i)->value : nullptr; }
  // An argument that moved from attribute to input in some operator set; nullopt when absent or not known.
  std::optional<std::vector<int64_t>> integers(const std::string& attribute, size_t at_input) const;
};

using Outputs = std::optional<std::vector<Known>>;  // nullopt: nothing to say

Known FromValue(SmallTensor value);
Shape ToShape(const std::vector<int64_t>& dims);
Dim ToDim(const Scalar& scalar, Symbols& symbols);
Scalar ToScalar(const Dim& dim);
Outputs OneOutput(int type, Shape shape);
// A dimension that depends on data: "WHY of 'node' (Op)", never more than `bound`.
Dim OpenDim(const NodeContext& context, const std::string& why, std::optional<int64_t> bound = std::nullopt);
// One that follows from an open one by arithmetic that is not done exactly.
Dim FollowingDim(const NodeContext& context, const Dim& from, std::optional<int64_t> bound);
std::optional<int64_t> BoundOf(const NodeContext& context, const Dim& dim);  // its size where known
bool NormaliseAxis(int64_t& axis, size_t rank);  // counts from the end when negative; false when there is no such axis

Outputs FoldNode(const NodeContext& context);        // onnx_fold.cpp
Outputs FoldArithmetic(const NodeContext& context);  // onnx_arithmetic.cpp: the part of FoldNode that computes rather than moves elements
Outputs InferByRule(const NodeContext& context);     // onnx_shape_rules.cpp
Outputs InferOpen(const NodeContext& context);       // onnx_open_rules.cpp
// onnx_window_rules.cpp: convolutions and pooling. The error says what does not fit; libonnx must not be asked then.
Result<Outputs> InferWindow(const NodeContext& context);
// onnx_library.cpp. The error says what libonnx said: no such operator, a wrong attribute, shapes that do not fit.
Result<std::vector<Known>> InferByLibrary(const NodeContext& context);

}  // namespace lathe::graph
