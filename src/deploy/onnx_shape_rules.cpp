// Our own shape rules: resizing by computed sizes, and operators whose signature changed after the operator sets that libonnx 1.12 knows.
// Everything else is left to libonnx (onnx_library.cpp).
#include <algorithm>
#include <cmath>

#include "deploy/onnx_rules.h"

namespace lathe::graph {
namespace {

using Ints = std::vector<int64_t>;

// No tensor has a dimension beyond this; a computed size that passes it is a broken model's.
constexpr double kLargestDim = 1e15;

// Resize of sets 10, 11, 13, 18 and 19, and Upsample before them: sizes or scales, given or folded, for all axes or some.
Outputs Resize(const NodeContext& context) {
  const Known* x = context.input(0);
  if (!x || !x->shape) return std::nullopt;
  const bool inputs_end_in_scales = context.node.op == "Upsample" || context.opset < 11;
  const SmallTensor* scales = context.value(inputs_end_in_scales ? 1 : 2);
  const SmallTensor* sizes = inputs_end_in_scales ? nullptr : context.value(3);
  const std::vector<double>* attribute_scales = nullptr;
  if (const Attribute* attribute = context.node.Find("scales"); attribute && attribute->kind == Attribute::Kind::kReals)
    attribute_scales = &attribute->reals;
  Shape shape = *x->shape;
  std::vector<size_t> axes(shape.size());
  for (size_t d = 0; d < axes.size(); ++d) axes[d] = d;
  if (const std::optional<Ints> given = context.node.Ints("axes")) {
    axes.clear();
    for (int64_t axis : *given) {
      if (!NormaliseAxis(axis, shape.size())) return std::nullopt;
      axes.push_back(static_cast<size_t>(axis));
    }
  }
  if (sizes && !sizes->elements.empty() && IsInteger(sizes->type)) {
    if (sizes->elements.size() != axes.size()) return std::nullopt;
    const std::string policy = context.node.Text("keep_aspect_ratio_policy", "stretch");
    if (policy != "stretch") {
      // One scale for all axes: the smallest ("not_larger") or largest ratio.
      double scale = policy == "not_larger" ? INFINITY : 0;
      for (size_t i = 0; i < axes.size(); ++i) {
        const Dim& from = shape[axes[i]];
        if (!from.known() || from.size == 0 || !sizes->elements[i].known) return std::nullopt;
        const double ratio = static_cast<double>(sizes->elements[i].integer) / static_cast<double>(from.size);
        scale = policy == "not_larger" ? std::min(scale, ratio) : std::max(scale, ratio);
      }
      for (size_t axis : axes) shape[axis].size = std::llround(std::min(scale * static_cast<double>(shape[axis].size), kLargestDim));
      return OneOutput(x->type, shape);
    }
    for (size_t i = 0; i < axes.size(); ++i) {
      if (sizes->elements[i].known && sizes->elements[i].integer < 0) return std::nullopt;
      shape[axes[i]] = ToDim(sizes->elements[i], context.symbols);
    }
    return OneOutput(x->type, shape);
  }
  std::vector<std::optional<double>> factors;
  if (scales && IsReal(scales->type))
    for (const Scalar& element : scales->elements) factors.push_back(element.known ? std::optional(element.real) : std::nullopt);
  if (attribute_scales) factors.assign(attribute_scales->begin(), attribute_scales->end());
  if (factors.empty() || factors.size() != axes.size()) return std::nullopt;
  for (size_t i = 0; i < axes.size(); ++i) {
    Dim& dim = shape[axes[i]];
    if (factors[i] == 1.0) continue;
    if (!dim.known() || !factors[i]) {
      dim = dim.known() ? OpenDim(context, "the scale") : FollowingDim(context, dim, std::nullopt);
      continue;
    }
    const double size = std::floor(static_cast<double>(dim.size) * *factors[i]);
    if (!(size >= 0 && size <= kLargestDim)) return std::nullopt;
    dim.size = static_cast<int64_t>(size);
  }
  return OneOutput(x->type, shape);
}

Outputs Reduce(const NodeContext& context) {
  const Known* data = context.input(0);
  if (!data || !data->shape) return std::nullopt;
  std::optional<Ints> axes = Ints{};
  if (context.input(1) || context.node.Find("axes")) axes = context.integers("axes", 1);
  if (!axes) return std::nullopt;
  std::vector<bool> reduced(data->shape->size(), axes->empty() && context.node.Int("noop_with_empty_axes", 0) == 0);
  for (int64_t axis : *axes) {
    if (!NormaliseAxis(axis, reduced.size())) return std::nullopt;
    reduced[static_cast<size_t>(axis)] = true;
  }
  Shape shape;
  for (size_t d = 0; d < reduced.size(); ++d) {
    if (!reduced[d]) shape.push_back((*data->shape)[d]);
    if (reduced[d] && context.node.Int("keepdims", 1)) shape.push_back({1, -1});
  }
  return OneOutput(data->type, shape);
}

Outputs Split(const NodeContext& context) {
  const Known* data = context.input(0);
  const size_t parts = context.node.outputs.size();
  if (!data || !data->shape || parts == 0) return std::nullopt;
  Shape shape = *data->shape;
  int64_t axis = context.node.Int("axis", 0);
  if (!NormaliseAxis(axis, shape.size())) return std::nullopt;
  Dim& dim = shape[static_cast<size_t>(axis)];
  std::optional<Ints> lengths;
  if (context.input(1) || context.node.Find("split")) {
    lengths = context.integers("split", 1);
    if (!lengths || lengths->size() != parts) return std::nullopt;
  } else if (dim.known()) {
    const auto n = static_cast<int64_t>(parts);
    lengths = Ints(parts, (dim.size + n - 1) / n);
    lengths->back() = dim.size - lengths->front() * (n - 1);
  } else {
    return std::nullopt;
  }
  std::vector<Known> outputs;
  for (int64_t length : *lengths) {
    if (length < 0) return std::nullopt;
    dim = {length, -1};
    Known part;
    part.type = data->type;
    part.shape = shape;
    outputs.push_back(std::move(part));
  }
  return outputs;
}

Outputs Pad(const NodeContext& context) {
  const Known* data = context.input(0);
  const std::optional<Ints> pads = context.integers("pads", 1);
  if (!data || !data->shape || !pads) return std::nullopt;
  Shape shape = *data->shape;
  Ints axes(shape.size());
  for (size_t d = 0; d < axes.size(); ++d) axes[d] = static_cast<int64_t>(d);
  if (context.input(3)) {
    const SmallTensor* given = context.value(3);
    std::optional<Ints> integers = given ? Integers(*given) : std::nullopt;
    if (!integers) return std::nullopt;
    axes = *std::move(integers);
  }
  if (pads->size() != 2 * axes.size()) return std::nullopt;
  for (size_t i = 0; i < axes.size(); ++i) {
    if (!NormaliseAxis(axes[i], shape.size())) return std::nullopt;
    Dim& dim = shape[static_cast<size_t>(axes[i])];
    int64_t more = 0, size = 0;
    if (__builtin_add_overflow((*pads)[i], (*pads)[i + axes.size()], &more)) return std::nullopt;
    if (more == 0) continue;
    if (!dim.known()) {
      dim = FollowingDim(context, dim, std::nullopt);
    } else {
      if (__builtin_add_overflow(dim.size, more, &size) || size < 0) return std::nullopt;
      dim.size = size;
    }
  }
  return OneOutput(data->type, shape);
}

// Element-wise operators that libonnx 1.12 has not heard of, and those of its own that exporters use most.
Outputs SameAsInput(const NodeContext& context) {
  const Known* x = context.input(0);
  if (!x || !x->shape) return std::nullopt;
  return OneOutput(x->type, *x->shape);
}

// data [.., d], indices [.., k]: each row of k indices names a slice of what is left of data.
Outputs GatherND(const NodeContext& context) {
  const Known *data = context.input(0), *indices = context.input(1);
  if (!data || !data->shape || !indices || !indices->shape || indices->shape->empty() || !indices->shape->back().known())
    return std::nullopt;
  const int64_t batch = context.node.Int("batch_dims", 0), named = indices->shape->back().size;
  const auto rank = static_cast<int64_t>(data->shape->size());
  if (batch < 0 || batch > rank || named > rank - batch) return std::nullopt;
  Shape shape(indices->shape->begin(), indices->shape->end() - 1);
  shape.insert(shape.end(), data->shape->begin() + batch + named, data->shape->end());
  return OneOutput(data->type, shape);
}

}  // namespace

Outputs InferByRule(const NodeContext& context) {
  if (!context.node.domain.empty()) return std::nullopt;
  static const std::map<std::string, Outputs (*)(const NodeContext&)> kRules = {
      {"Resize", Resize},
      {"Upsample", Resize},
      {"GatherND", GatherND},
      {"LayerNormalization", SameAsInput},
      {"Split", Split},
      {"Pad", Pad},
      {"ReduceSum", Reduce},
      {"ReduceMean", Reduce},
      {"ReduceMax", Reduce},
      {"ReduceMin", Reduce},
      {"ReduceProd", Reduce},
      {"ReduceL1", Reduce},
      {"ReduceL2", Reduce},
      {"ReduceLogSum", Reduce},
      {"ReduceLogSumExp", Reduce},
      {"ReduceSumSquare", Reduce},
      {"Mish", SameAsInput},
      {"Gelu", SameAsInput},
      {"Swish", SameAsInput},
      {"BitwiseNot", SameAsInput},
      {"GroupNormalization", SameAsInput},
      {"RMSNormalization", SameAsInput},
  };
  const auto rule = kRules.find(context.node.op);
  return rule == kRules.end() ? std::nullopt : rule->second(context);
}

}  // namespace lathe::graph
