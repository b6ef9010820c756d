// Shape rules around sizes that are open: an open dimension passes through, and where the graph bounds it, so does the bound. libonnx would
// lose both.
#include <algorithm>

#include "deploy/onnx_rules.h"

namespace lathe::graph {
namespace {

using Ints = std::vector<int64_t>;

// A longer one picks a single element anyway; keeps the sums below within 64 bits.
constexpr int64_t kLongestStep = int64_t{1} << 50;

// A result of as many dimensions as `target` has elements, when not even those are known.
Outputs OnlyRank(int type, const Known* target, size_t at_least) {
  if (!target || !target->shape || target->shape->size() != 1 || !target->shape->front().known()) return std::nullopt;
  const auto rank = static_cast<size_t>(target->shape->front().size);
  if (rank > 64) return std::nullopt;
  return OneOutput(type, Shape(std::max(rank, at_least)));  // the evaluator says why they are open
}

// As libonnx's, but sizes may be open: a -1 between known sizes stands for whatever open dimensions the input has.
Outputs Reshape(const NodeContext& context) {
  const Known* data = context.input(0);
  const SmallTensor* target = context.value(1);
  if (data && !target) return OnlyRank(data->type, context.input(1), 0);
  if (!data || !IsInteger(target->type)) return std::nullopt;
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
  if (!inferred) return OneOutput(data->type, shape);
  Dim& rest = shape[*inferred];
  if (!data->shape) {
    rest = OpenDim(context, "the input's size");
    return OneOutput(data->type, shape);
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
      const std::optional<int64_t> one = BoundOf(context, dim);
      int64_t product = 0;
      bound = bound && one && !__builtin_mul_overflow(*bound, *one, &product) ? std::optional(product) : std::nullopt;
    }
    if (bound) bound = *bound / known_product;
    rest = FollowingDim(context, left.empty() ? open[0] : left[0], bound);
  }
  return OneOutput(data->type, shape);
}

Outputs Expand(const NodeContext& context) {
  const Known* data = context.input(0);
  const SmallTensor* target = context.value(1);
  if (data && data->shape && !target) return OnlyRank(data->type, context.input(1), data->shape->size());
  if (!data || !data->shape || !IsInteger(target->type)) return std::nullopt;
  Shape from = *data->shape, to;
  for (const Scalar& element : target->elements) to.push_back(ToDim(element, context.symbols));
  while (from.size() < to.size()) from.insert(from.begin(), Dim{1, -1});
  while (to.size() < from.size()) to.insert(to.begin(), Dim{1, -1});
  for (size_t d = 0; d < to.size(); ++d) {
    if (from[d].size == 1) continue;
    if (to[d].size == 1 || !to[d].known()) to[d] = from[d];
    if (from[d].known() && to[d].size != from[d].size) return std::nullopt;
  }
  return OneOutput(data->type, to);
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
  return OneOutput(value && value->tensor ? value->tensor->type : static_cast<int>(kFloat), shape);
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
    const std::optional<int64_t> longest = BoundOf(context, part[a]);
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
  shape[a] = open ? (context.inputs.size() == 1 ? *open : FollowingDim(context, *open, bound)) : Dim{length, -1};
  return OneOutput(context.inputs[0]->type, shape);
}

// Somewhere in here: the rank stays, and no dimension grows.
Outputs SomeSlice(const NodeContext& context, const Known& data, const std::optional<Ints>& axes) {
  Shape shape = *data.shape;
  std::vector<bool> sliced(shape.size(), !axes);
  for (int64_t axis : axes.value_or(Ints{})) {
    if (!NormaliseAxis(axis, shape.size())) return std::nullopt;
    sliced[static_cast<size_t>(axis)] = true;
  }
  for (size_t d = 0; d < shape.size(); ++d)
    if (sliced[d]) shape[d] = OpenDim(context, "the slice", BoundOf(context, shape[d]));
  return OneOutput(data.type, std::move(shape));
}

// Only where libonnx would lose the bound: some sliced dimension is open, or some place is.
Outputs Slice(const NodeContext& context) {
  const Known* data = context.input(0);
  if (!data || !data->shape) return std::nullopt;
  const std::optional<Ints> starts = context.integers("starts", 1), ends = context.integers("ends", 2);
  std::optional<Ints> axes = context.integers("axes", 3);
  const bool axes_given = context.input(3) || context.node.Find("axes");
  if (!axes_given && starts) {
    axes.emplace(starts->size());
    for (size_t i = 0; i < axes->size(); ++i) (*axes)[i] = static_cast<int64_t>(i);
  }
  if (!starts || !ends || !axes) return SomeSlice(context, *data, axes);
  const std::optional<Ints> steps = context.input(4) ? context.integers("steps", 4) : Ints(axes->size(), 1);
  if (!steps) return SomeSlice(context, *data, axes);
  if (starts->size() != axes->size() || ends->size() != axes->size() || steps->size() != axes->size()) return std::nullopt;
  Shape shape = *data->shape;
  bool any_open = false;
  for (size_t i = 0; i < axes->size(); ++i) {
    if (!NormaliseAxis((*axes)[i], shape.size()) || (*steps)[i] == 0) return std::nullopt;
    Dim& dim = shape[static_cast<size_t>((*axes)[i])];
    const int64_t start = (*starts)[i], end = (*ends)[i], step = (*steps)[i];
    if (dim.known()) {
      if (step < 0 || step > kLongestStep) return std::nullopt;
      auto place = [&](int64_t at) { return std::clamp<int64_t>(at < 0 ? at + dim.size : at, 0, dim.size); };
      dim.size = std::max<int64_t>(0, (place(end) - place(start) + step - 1) / step);
      continue;
    }
    any_open = true;
    if (start == 0 && step == 1 && end == INT64_MAX) continue;
    std::optional<int64_t> bound = BoundOf(context, dim);
    if (start >= 0 && end >= 0 && step == 1) bound = std::max<int64_t>(0, std::min(bound.value_or(INT64_MAX), end) - start);
    dim = FollowingDim(context, dim, bound);
  }
  if (!any_open) return std::nullopt;
  return OneOutput(data->type, shape);
}

// boxes [batches, n, 4], scores [batches, classes, n]: at most max_output_boxes_per_class of each class come out, as rows of three.
Outputs NonMaxSuppression(const NodeContext& context) {
  const Known *boxes = context.input(0), *scores = context.input(1);
  std::optional<int64_t> bound;
  if (boxes && scores && boxes->shape && scores->shape && boxes->shape->size() == 3 && scores->shape->size() == 3) {
    std::optional<int64_t> n = BoundOf(context, (*boxes->shape)[1]);
    const SmallTensor* most = context.value(2);
    if (most && most->elements.size() == 1 && most->elements[0].known) {
      const int64_t limit = std::max<int64_t>(most->elements[0].integer, 0);
      n = n ? std::min(*n, limit) : limit;
    }
    const std::optional<int64_t> batches = BoundOf(context, (*boxes->shape)[0]), classes = BoundOf(context, (*scores->shape)[1]);
    int64_t product = 0;
    if (n && batches && classes && !__builtin_mul_overflow(*batches, *classes, &product) && !__builtin_mul_overflow(product, *n, &product))
      bound = product;
  }
  return OneOutput(kInt64, {OpenDim(context, "the number of boxes that survive", bound), {3, -1}});
}

std::optional<int64_t> BoundOfCount(const NodeContext& context, const Known& tensor) {
  if (!tensor.shape) return std::nullopt;
  int64_t count = 1;
  for (const Dim& dim : *tensor.shape) {
    const std::optional<int64_t> bound = BoundOf(context, dim);
    if (!bound || __builtin_mul_overflow(count, *bound, &count)) return std::nullopt;
  }
  return count;
}

Outputs NonZero(const NodeContext& context) {
  const Known* x = context.input(0);
  if (!x || !x->shape) return std::nullopt;
  const auto rank = static_cast<int64_t>(x->shape->size());
  return OneOutput(kInt64, {{rank, -1}, OpenDim(context, "the number of elements that are not zero", BoundOfCount(context, *x))});
}

Outputs Compress(const NodeContext& context) {
  const Known* x = context.input(0);
  if (!x || !x->shape) return std::nullopt;
  const std::string why = "the number of elements kept";
  if (!context.node.Find("axis")) return OneOutput(x->type, {OpenDim(context, why, BoundOfCount(context, *x))});
  Shape shape = *x->shape;
  int64_t axis = context.node.Int("axis", 0);
  if (!NormaliseAxis(axis, shape.size())) return std::nullopt;
  Dim& dim = shape[static_cast<size_t>(axis)];
  dim = OpenDim(context, why, BoundOf(context, dim));
  return OneOutput(x->type, shape);
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
    dim = OpenDim(context, "k", BoundOf(context, dim));
  }
  std::vector<Known> outputs(2);
  outputs[0].type = x->type;
  outputs[1].type = kInt64;
  outputs[0].shape = outputs[1].shape = shape;
  return outputs;
}

std::optional<Dim> Joined(const NodeContext& context, const Dim& a, const Dim& b) {
  if (a.size == 1 || (a.known() && a.size == b.size)) return a.size == 1 ? b : a;
  if (b.size == 1 || (!a.known() && a.symbol >= 0 && a.symbol == b.symbol)) return a;
  if (a.known() && b.known()) return std::nullopt;
  if (a.known() || b.known()) return a.known() ? a : b;  // the open one is the same, or 1
  const std::optional<int64_t> x = BoundOf(context, a), y = BoundOf(context, b);
  return FollowingDim(context, a, x && y ? std::optional(std::max(*x, *y)) : std::nullopt);
}

// Element by element, with broadcasting. `type`: the result's; kUndefined takes the last operand's.
Outputs ElementWise(const NodeContext& context, int type) {
  if (context.inputs.empty()) return std::nullopt;
  Shape shape;
  for (const Known* operand : context.inputs) {
    if (!operand || !operand->shape) return std::nullopt;
    while (shape.size() < operand->shape->size()) shape.insert(shape.begin(), Dim{1, -1});
    const size_t shift = shape.size() - operand->shape->size();
    for (size_t d = 0; d < operand->shape->size(); ++d) {
      const std::optional<Dim> joined = Joined(context, shape[shift + d], (*operand->shape)[d]);
      if (!joined) return std::nullopt;
      shape[shift + d] = *joined;
    }
  }
  return OneOutput(type == kUndefined ? context.inputs.back()->type : type, std::move(shape));
}

Outputs Arithmetic(const NodeContext& context) {
  const Known* first = context.input(0);  // decides where types differ, which Pow allows
  return ElementWise(context, first ? first->type : static_cast<int>(kUndefined));
}
Outputs Comparison(const NodeContext& context) { return ElementWise(context, kBool); }
Outputs Where(const NodeContext& context) { return ElementWise(context, kUndefined); }

}  // namespace

Outputs InferOpen(const NodeContext& context) {
  if (!context.node.domain.empty()) return std::nullopt;
  static const std::map<std::string, Outputs (*)(const NodeContext&)> kRules = {
      {"Reshape", Reshape},
      {"Expand", Expand},
      {"ConstantOfShape", ConstantOfShape},
      {"Concat", Concat},
      {"Slice", Slice},
      {"NonMaxSuppression", NonMaxSuppression},
      {"NonZero", NonZero},
      {"Compress", Compress},
      {"TopK", TopK},
      {"Add", Arithmetic},
      {"Sub", Arithmetic},
      {"Mul", Arithmetic},
      {"Div", Arithmetic},
      {"Pow", Arithmetic},
      {"Mod", Arithmetic},
      {"Min", Arithmetic},
      {"Max", Arithmetic},
      {"Sum", Arithmetic},
      {"Mean", Arithmetic},
      {"BitwiseAnd", Arithmetic},
      {"BitwiseOr", Arithmetic},
      {"BitwiseXor", Arithmetic},
      {"Equal", Comparison},
      {"Less", Comparison},
      {"Greater", Comparison},
      {"LessOrEqual", Comparison},
      {"GreaterOrEqual", Comparison},
      {"And", Comparison},
      {"Or", Comparison},
      {"Xor", Comparison},
      {"Where", Where},
  };
  const auto rule = kRules.find(context.node.op);
  return rule == kRules.end() ? std::nullopt : rule->second(context);
}

}  // namespace lathe::graph
