// Our own shape rules: resizing by computed sizes, reshaping around open dimensions, upper bounds of data-dependent sizes, and operators
// whose signature changed after the operator sets that libonnx 1.12 knows. Everything else is left to libonnx (onnx_library.cpp).
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "deploy/onnx_rules.h"

namespace lathe::graph {
namespace {

using Ints = std::vector<int64_t>;

// No tensor has a dimension beyond this; a computed size that passes it is a broken model's.
constexpr double kLargestDim = 1e15;

Outputs One(int type, Shape shape) {
  Known known;
  known.type = type;
  known.shape = std::move(shape);
  return std::vector<Known>{known};
}

Dim Open(const NodeContext& context, const std::string& why, std::optional<int64_t> bound = std::nullopt) {
  return {-1, context.symbols.New(fmt::format("{} of '{}' ({})", why, context.node.name, context.node.op), bound)};
}

std::optional<int64_t> Bound(const NodeContext& context, const Dim& dim) {
  return dim.known() ? dim.size : dim.symbol >= 0 ? context.symbols[dim.symbol].bound : std::nullopt;
}

// Its size follows from this open one by arithmetic that we do not do exactly.
Dim Follows(const NodeContext& context, const Dim& from, std::optional<int64_t> bound) {
  return {-1, context.symbols.New(from.symbol >= 0 ? context.symbols[from.symbol].reason : "its size is computed from data", bound)};
}

bool NormaliseAxis(int64_t& axis, size_t rank) {
  const auto signed_rank = static_cast<int64_t>(rank);
  if (axis < -signed_rank || axis >= signed_rank) return false;
  if (axis < 0) axis += signed_rank;
  return true;
}

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
      return One(x->type, shape);
    }
    for (size_t i = 0; i < axes.size(); ++i) {
      if (sizes->elements[i].known && sizes->elements[i].integer < 0) return std::nullopt;
      shape[axes[i]] = ToDim(sizes->elements[i], context.symbols);
    }
    return One(x->type, shape);
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
      dim = dim.known() ? Open(context, "the scale") : Follows(context, dim, std::nullopt);
      continue;
    }
    const double size = std::floor(static_cast<double>(dim.size) * *factors[i]);
    if (!(size >= 0 && size <= kLargestDim)) return std::nullopt;
    dim.size = static_cast<int64_t>(size);
  }
  return One(x->type, shape);
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
  return One(data->type, shape);
}

// As libonnx's, but sizes may be open: a -1 between known sizes stands for whatever open dimensions the input has.
Outputs Reshape(const NodeContext& context) {
  const Known* data = context.input(0);
  const SmallTensor* target = context.value(1);
  if (!data || !target || !IsInteger(target->type)) return std::nullopt;
  Shape shape;
  std::optional<size_t> inferred;
  int64_t known_product = 1;
  std::vector<Dim> open;
  for (size_t d = 0; d < target->elements.size(); ++d) {
    const Scalar& element = target->elements[d];
    Dim dim = element.known && element.integer >= 0 ? Dim{element.integer, -1} : Dim{};
    if (element.known && element.integer == -1) {
      if (inferred) return std::nullopt;
      inferred = d;
    } else if (element.known && element.integer < 0) {
      return std::nullopt;
    } else if (element.known && element.integer == 0 && context.node.Int("allowzero", 0) == 0) {
      if (!data->shape || d >= data->shape->size()) return std::nullopt;
      dim = (*data->shape)[d];
    } else if (!element.known) {
      dim = ToDim(element, context.symbols);
    }
    shape.push_back(dim);
    if (inferred == d) continue;
    if (!dim.known())
      open.push_back(dim);
    else if (__builtin_mul_overflow(known_product, dim.size, &known_product))
      return std::nullopt;
  }
  if (!inferred) return One(data->type, shape);
  Dim& rest = shape[*inferred];
  if (!data->shape) {
    rest = Open(context, "the input's size");
    return One(data->type, shape);
  }
  // Both products: what is known, and what is open; equal symbols cancel.
  int64_t total = 1;
  std::vector<Dim> left;
  for (const Dim& dim : *data->shape) {
    const auto same = std::find_if(open.begin(), open.end(), [&](const Dim& other) { return other.symbol == dim.symbol; });
    if (dim.known()) {
      if (__builtin_mul_overflow(total, dim.size, &total)) return std::nullopt;
    } else if (same != open.end()) {
      open.erase(same);
    } else {
      left.push_back(dim);
    }
  }
  if (known_product == 0) return std::nullopt;
  if (left.empty() && open.empty()) {
    rest.size = total / known_product;
  } else if (left.size() == 1 && open.empty() && total == known_product) {
    rest = left[0];
  } else {
    std::optional<int64_t> bound = total;
    for (const Dim& dim : left) {
      const std::optional<int64_t> one = Bound(context, dim);
      int64_t product = 0;
      bound = bound && one && !__builtin_mul_overflow(*bound, *one, &product) ? std::optional(product) : std::nullopt;
    }
    if (bound) bound = *bound / known_product;
    rest = Follows(context, left.empty() ? open[0] : left[0], bound);
  }
  return One(data->type, shape);
}

Outputs Expand(const NodeContext& context) {
  const Known* data = context.input(0);
  const SmallTensor* target = context.value(1);
  if (!data || !data->shape || !target || !IsInteger(target->type)) return std::nullopt;
  Shape from = *data->shape, to;
  for (const Scalar& element : target->elements) to.push_back(ToDim(element, context.symbols));
  while (from.size() < to.size()) from.insert(from.begin(), Dim{1, -1});
  while (to.size() < from.size()) to.insert(to.begin(), Dim{1, -1});
  for (size_t d = 0; d < to.size(); ++d) {
    if (from[d].size == 1) continue;
    if (to[d].size == 1 || !to[d].known()) to[d] = from[d];
    if (from[d].known() && to[d].size != from[d].size) return std::nullopt;
  }
  return One(data->type, to);
}

Outputs ConstantOfShape(const NodeContext& context) {
  const SmallTensor* target = context.value(0);
  if (!target || !IsInteger(target->type)) return std::nullopt;
  Shape shape;
  for (const Scalar& element : target->elements) {
    if (element.known && element.integer < 0) return std::nullopt;
    shape.push_back(ToDim(element, context.symbols));
  }
  const Attribute* value = context.node.Find("value");
  return One(value && value->tensor ? value->tensor->type : static_cast<int>(kFloat), shape);
}

// Open lengths add up, and so do their bounds.
Outputs Concat(const NodeContext& context) {
  if (context.inputs.empty()) return std::nullopt;
  for (const Known* input : context.inputs)
    if (!input || !input->shape || input->shape->size() != context.inputs[0]->shape->size()) return std::nullopt;
  Shape shape = *context.inputs[0]->shape;
  int64_t axis = context.node.Int("axis", 0);
  if (!NormaliseAxis(axis, shape.size())) return std::nullopt;
  const auto a = static_cast<size_t>(axis);
  int64_t length = 0;
  std::optional<int64_t> bound = 0;
  const Dim* open = nullptr;
  for (const Known* input : context.inputs) {
    const Shape& part = *input->shape;
    const std::optional<int64_t> longest = Bound(context, part[a]);
    int64_t sum = 0;
    bound = bound && longest && !__builtin_add_overflow(*bound, *longest, &sum) ? std::optional(sum) : std::nullopt;
    if (!part[a].known() && !open) open = &part[a];
    if (part[a].known() && __builtin_add_overflow(length, part[a].size, &length)) return std::nullopt;
    for (size_t d = 0; d < shape.size(); ++d) {
      if (d == a) continue;
      if (shape[d].known() && part[d].known() && shape[d].size != part[d].size) return std::nullopt;
      if (!shape[d].known()) shape[d] = part[d];
    }
  }
  shape[a] = open ? (context.inputs.size() == 1 ? *open : Follows(context, *open, bound)) : Dim{length, -1};
  return One(context.inputs[0]->type, shape);
}

// Only where libonnx would lose the bound: some sliced dimension is open, and all places are known.
Outputs Slice(const NodeContext& context) {
  const Known* data = context.input(0);
  const std::optional<Ints> starts = context.integers("starts", 1), ends = context.integers("ends", 2);
  if (!data || !data->shape || !starts || !ends || starts->size() != ends->size()) return std::nullopt;
  Ints axes(starts->size());
  for (size_t i = 0; i < axes.size(); ++i) axes[i] = static_cast<int64_t>(i);
  if (context.input(3) || context.node.Find("axes")) {
    const std::optional<Ints> given = context.integers("axes", 3);
    if (!given || given->size() != axes.size()) return std::nullopt;
    axes = *given;
  }
  const std::optional<Ints> steps = context.input(4) ? context.integers("steps", 4) : Ints(axes.size(), 1);
  if (!steps || steps->size() != axes.size()) return std::nullopt;
  Shape shape = *data->shape;
  bool any_open = false;
  for (size_t i = 0; i < axes.size(); ++i) {
    if (!NormaliseAxis(axes[i], shape.size()) || (*steps)[i] == 0) return std::nullopt;
    Dim& dim = shape[static_cast<size_t>(axes[i])];
    const int64_t start = (*starts)[i], end = (*ends)[i], step = (*steps)[i];
    if (dim.known()) {
      if (step < 0 || step > static_cast<int64_t>(kLargestDim)) return std::nullopt;
      auto place = [&](int64_t at) { return std::clamp<int64_t>(at < 0 ? at + dim.size : at, 0, dim.size); };
      dim.size = std::max<int64_t>(0, (place(end) - place(start) + step - 1) / step);
      continue;
    }
    any_open = true;
    if (start == 0 && step == 1 && end == INT64_MAX) continue;
    std::optional<int64_t> bound = Bound(context, dim);
    if (start >= 0 && end >= 0 && step == 1) bound = std::max<int64_t>(0, std::min(bound.value_or(INT64_MAX), end) - start);
    dim = Follows(context, dim, bound);
  }
  if (!any_open) return std::nullopt;
  return One(data->type, shape);
}

// boxes [batches, n, 4], scores [batches, classes, n]: at most max_output_boxes_per_class of each class come out, as rows of three.
Outputs NonMaxSuppression(const NodeContext& context) {
  const Known *boxes = context.input(0), *scores = context.input(1);
  std::optional<int64_t> bound;
  if (boxes && scores && boxes->shape && scores->shape && boxes->shape->size() == 3 && scores->shape->size() == 3) {
    std::optional<int64_t> n = Bound(context, (*boxes->shape)[1]);
    const SmallTensor* most = context.value(2);
    if (most && most->elements.size() == 1 && most->elements[0].known) {
      const int64_t limit = std::max<int64_t>(most->elements[0].integer, 0);
      n = n ? std::min(*n, limit) : limit;
    }
    const std::optional<int64_t> batches = Bound(context, (*boxes->shape)[0]), classes = Bound(context, (*scores->shape)[1]);
    int64_t product = 0;
    if (n && batches && classes && !__builtin_mul_overflow(*batches, *classes, &product) && !__builtin_mul_overflow(product, *n, &product))
      bound = product;
  }
  return One(kInt64, {Open(context, "the number of boxes that survive", bound), {3, -1}});
}

std::optional<int64_t> BoundOfCount(const NodeContext& context, const Known& tensor) {
  if (!tensor.shape) return std::nullopt;
  int64_t count = 1;
  for (const Dim& dim : *tensor.shape) {
    const std::optional<int64_t> bound = Bound(context, dim);
    if (!bound || __builtin_mul_overflow(count, *bound, &count)) return std::nullopt;
  }
  return count;
}

Outputs NonZero(const NodeContext& context) {
  const Known* x = context.input(0);
  if (!x || !x->shape) return std::nullopt;
  const auto rank = static_cast<int64_t>(x->shape->size());
  return One(kInt64, {{rank, -1}, Open(context, "the number of elements that are not zero", BoundOfCount(context, *x))});
}

Outputs Compress(const NodeContext& context) {
  const Known* x = context.input(0);
  if (!x || !x->shape) return std::nullopt;
  const std::string why = "the number of elements kept";
  if (!context.node.Find("axis")) return One(x->type, {Open(context, why, BoundOfCount(context, *x))});
  Shape shape = *x->shape;
  int64_t axis = context.node.Int("axis", 0);
  if (!NormaliseAxis(axis, shape.size())) return std::nullopt;
  Dim& dim = shape[static_cast<size_t>(axis)];
  dim = Open(context, why, Bound(context, dim));
  return One(x->type, shape);
}

Outputs TopK(const NodeContext& context) {
  const Known* x = context.input(0);
  if (!x || !x->shape) return std::nullopt;
  Shape shape = *x->shape;
  int64_t axis = context.node.Int("axis", -1);
  if (!NormaliseAxis(axis, shape.size())) return std::nullopt;
  Dim& dim = shape[static_cast<size_t>(axis)];
  const SmallTensor* k = context.value(1);
  if (k && k->elements.size() == 1 && IsInteger(k->type)) {
    dim = ToDim(k->elements[0], context.symbols);
  } else if (context.opset < 10) {
    dim = {std::max<int64_t>(0, context.node.Int("k", 0)), -1};
  } else {
    dim = Open(context, "k", Bound(context, dim));
  }
  std::vector<Known> outputs(2);
  outputs[0].type = x->type;
  outputs[1].type = kInt64;
  outputs[0].shape = outputs[1].shape = shape;
  return outputs;
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
      dim = Follows(context, dim, std::nullopt);
    } else {
      if (__builtin_add_overflow(dim.size, more, &size) || size < 0) return std::nullopt;
      dim.size = size;
    }
  }
  return One(data->type, shape);
}

// Element-wise operators that libonnx 1.12 has not heard of, and those of its own that exporters use most.
Outputs SameAsInput(const NodeContext& context) {
  const Known* x = context.input(0);
  if (!x || !x->shape) return std::nullopt;
  return One(x->type, *x->shape);
}

}  // namespace

Outputs InferByRule(const NodeContext& context) {
  if (!context.node.domain.empty()) return std::nullopt;
  static const std::map<std::string, Outputs (*)(const NodeContext&)> kRules = {
      {"Resize", Resize},
      {"Upsample", Resize},
      {"Reshape", Reshape},
      {"Expand", Expand},
      {"ConstantOfShape", ConstantOfShape},
      {"Concat", Concat},
      {"Slice", Slice},
      {"NonMaxSuppression", NonMaxSuppression},
      {"NonZero", NonZero},
      {"Compress", Compress},
      {"TopK", TopK},
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
