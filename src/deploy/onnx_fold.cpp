// Folding of operators that move elements without computing: shapes taken apart and put together again.
#include <algorithm>
#include <functional>
#include <set>

#include "deploy/onnx_rules.h"

namespace lathe::graph {

namespace {

using Ints = std::vector<int64_t>;

Outputs One(SmallTensor value) {
  std::vector<Known> outputs;
  outputs.push_back(FromValue(std::move(value)));
  return outputs;
}

// A result larger than this is data, and folds no further.
bool Small(const Ints& dims) {
  const std::optional<int64_t> count = ElementCount(dims);
  return count && static_cast<uint64_t>(*count) <= kSmallTensor;
}

Ints Strides(const Ints& dims) {
  Ints strides(dims.size(), 1);
  for (size_t d = dims.size(); d-- > 1;) strides[d - 1] = strides[d] * dims[d];
  return strides;
}

// A tensor of shape `dims` whose element at each index is `from`'s element number `source(index)`.
std::optional<SmallTensor> Rearrange(const SmallTensor& from, Ints dims, const std::function<int64_t(const Ints&)>& source) {
  if (!Small(dims)) return std::nullopt;
  SmallTensor to{from.type, std::move(dims), {}};
  const int64_t count = *ElementCount(to.dims);
  Ints index(to.dims.size(), 0);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t at = source(index);
    if (at < 0 || at >= static_cast<int64_t>(from.elements.size())) return std::nullopt;
    to.elements.push_back(from.elements[static_cast<size_t>(at)]);
    for (size_t d = index.size(); d-- > 0;) {
      if (++index[d] < to.dims[d]) break;
      index[d] = 0;
    }
  }
  return to;
}

Outputs MaybeOne(std::optional<SmallTensor> value) {
  if (!value) return std::nullopt;
  return One(*std::move(value));
}

Outputs Reshaped(const SmallTensor& from, Ints dims) {
  if (ElementCount(dims) != static_cast<int64_t>(from.elements.size())) return std::nullopt;
  return One({from.type, std::move(dims), from.elements});
}

Outputs Constant(const NodeContext& context) {
  for (const auto& [name, attribute] : context.node.attributes) {
    if (name == "value" && attribute.kind == Attribute::Kind::kTensor) {
      if (attribute.tensor) return One(*attribute.tensor);
      Known known;
      known.type = attribute.tensor_type;
      known.shape = ToShape(attribute.tensor_dims);
      return std::vector<Known>{known};
    }
    const bool list = name == "value_ints" || name == "value_floats";
    if (!list && name != "value_int" && name != "value_float") continue;
    SmallTensor tensor;
    for (int64_t integer : attribute.ints) tensor.elements.push_back({true, integer, 0, -1});
    for (double real : attribute.reals) tensor.elements.push_back({true, 0, real, -1});
    tensor.type = name == "value_int" || name == "value_ints" ? kInt64 : kFloat;
    if (list) tensor.dims = {static_cast<int64_t>(tensor.elements.size())};
    if (!Small(tensor.dims) || ElementCount(tensor.dims) != static_cast<int64_t>(tensor.elements.size())) return std::nullopt;
    return One(std::move(tensor));
  }
  return std::nullopt;
}

Outputs ShapeOf(const NodeContext& context) {
  const Known* input = context.input(0);
  if (!input || !input->shape) return std::nullopt;
  const auto rank = static_cast<int64_t>(input->shape->size());
  auto clamp = [&](int64_t at) { return std::clamp<int64_t>(at < 0 ? at + rank : at, 0, rank); };
  const int64_t start = clamp(context.node.Int("start", 0)), end = clamp(context.node.Int("end", rank));
  SmallTensor tensor{kInt64, {std::max<int64_t>(end - start, 0)}, {}};
  for (int64_t d = start; d < end; ++d) tensor.elements.push_back(ToScalar((*input->shape)[static_cast<size_t>(d)]));
  return One(std::move(tensor));
}

Outputs SizeOf(const NodeContext& context) {
  const Known* input = context.input(0);
  if (!input) return std::nullopt;
  const std::optional<Ints> dims = input->dims();
  const std::optional<int64_t> count = dims ? ElementCount(*dims) : std::nullopt;
  if (!count) return std::nullopt;
  return One({kInt64, {}, {{true, *count, 0, -1}}});
}

Outputs Gather(const NodeContext& context) {
  const SmallTensor *data = context.value(0), *indices = context.value(1);
  const std::optional<Ints> at = indices ? Integers(*indices) : std::nullopt;
  if (!data || !at) return std::nullopt;
  int64_t axis = context.node.Int("axis", 0);
  if (!NormaliseAxis(axis, data->dims.size())) return std::nullopt;
  const auto a = static_cast<size_t>(axis);
  const int64_t length = data->dims[a];
  Ints dims(data->dims.begin(), data->dims.begin() + axis);
  dims.insert(dims.end(), indices->dims.begin(), indices->dims.end());
  dims.insert(dims.end(), data->dims.begin() + axis + 1, data->dims.end());
  const Ints strides = Strides(data->dims), index_strides = Strides(indices->dims);
  const size_t index_rank = indices->dims.size();
  return MaybeOne(Rearrange(*data, dims, [&](const Ints& index) {
    int64_t which = 0, from = 0;
    for (size_t d = 0; d < index_rank; ++d) which += index[a + d] * index_strides[d];
    int64_t picked = (*at)[static_cast<size_t>(which)];
    if (picked < 0) picked += length;
    if (picked < 0 || picked >= length) return int64_t{-1};
    for (size_t d = 0; d < data->dims.size(); ++d) from += strides[d] * (d < a ? index[d] : d == a ? picked : index[d + index_rank - 1]);
    return from;
  }));
}

Outputs Slice(const NodeContext& context) {
  const SmallTensor* data = context.value(0);
  const std::optional<Ints> starts = context.integers("starts", 1), ends = context.integers("ends", 2);
  if (!data || !starts || !ends || starts->size() != ends->size()) return std::nullopt;
  Ints axes(starts->size()), steps(starts->size(), 1);
  for (size_t i = 0; i < axes.size(); ++i) axes[i] = static_cast<int64_t>(i);
  if (context.input(3) || context.node.Find("axes")) {
    const std::optional<Ints> given = context.integers("axes", 3);
    if (!given || given->size() != axes.size()) return std::nullopt;
    axes = *given;
  }
  if (context.input(4)) {
    const std::optional<Ints> given = context.integers("steps", 4);
    if (!given || given->size() != axes.size()) return std::nullopt;
    steps = *given;
  }
  Ints dims = data->dims, first(dims.size(), 0), step(dims.size(), 1);
  for (size_t i = 0; i < axes.size(); ++i) {
    int64_t axis = axes[i];
    if (!NormaliseAxis(axis, dims.size()) || steps[i] == 0 || steps[i] == INT64_MIN) return std::nullopt;
    const auto a = static_cast<size_t>(axis);
    const int64_t length = data->dims[a];
    const bool forward = steps[i] > 0;
    auto place = [&](int64_t at) {
      if (at < 0) at += length;  // cannot wrap: at is negative and length is not
      return forward ? std::clamp<int64_t>(at, 0, length) : std::clamp<int64_t>(at, -1, length - 1);
    };
    first[a] = place((*starts)[i]);
    const int64_t end = (*ends)[i] == INT64_MIN ? (forward ? 0 : -1) : place((*ends)[i]);
    const int64_t distance = forward ? end - first[a] : first[a] - end, stride = forward ? steps[i] : -steps[i];
    dims[a] = distance <= 0 ? 0 : (distance - 1) / stride + 1;
    step[a] = steps[i];
  }
  const Ints strides = Strides(data->dims);
  return MaybeOne(Rearrange(*data, dims, [&](const Ints& index) {
    int64_t from = 0;
    for (size_t d = 0; d < index.size(); ++d) from += strides[d] * (first[d] + (index[d] ? index[d] * step[d] : 0));
    return from;
  }));
}

Outputs Concat(const NodeContext& context) {
  if (context.inputs.empty() || !context.value(0)) return std::nullopt;
  const SmallTensor& head = *context.value(0);
  int64_t axis = context.node.Int("axis", 0);
  if (!NormaliseAxis(axis, head.dims.size())) return std::nullopt;
  const auto a = static_cast<size_t>(axis);
  SmallTensor joined{head.type, head.dims, {}};
  joined.dims[a] = 0;
  int64_t outer = 1;
  for (size_t d = 0; d < a; ++d) outer *= head.dims[d];
  for (size_t i = 0; i < context.inputs.size(); ++i) {
    const SmallTensor* part = context.value(i);
    if (!part || part->type != head.type || part->dims.size() != head.dims.size()) return std::nullopt;
    for (size_t d = 0; d < head.dims.size(); ++d)
      if (d != a && part->dims[d] != head.dims[d]) return std::nullopt;
    joined.dims[a] += part->dims[a];
  }
  if (!Small(joined.dims)) return std::nullopt;
  for (int64_t o = 0; o < outer; ++o)
    for (const Known* input : context.inputs) {
      const auto& elements = input->value->elements;
      const auto run = static_cast<int64_t>(elements.size()) / outer;
      joined.elements.insert(joined.elements.end(), elements.begin() + o * run, elements.begin() + (o + 1) * run);
    }
  return One(std::move(joined));
}

Outputs Unsqueeze(const NodeContext& context) {
  const SmallTensor* data = context.value(0);
  const std::optional<Ints> axes = context.integers("axes", 1);
  if (!data || !axes) return std::nullopt;
  const size_t rank = data->dims.size() + axes->size();
  std::set<int64_t> inserted;
  for (int64_t axis : *axes)
    if (!NormaliseAxis(axis, rank) || !inserted.insert(axis).second) return std::nullopt;
  Ints dims;
  size_t next = 0;
  for (size_t d = 0; d < rank; ++d) dims.push_back(inserted.contains(static_cast<int64_t>(d)) ? 1 : data->dims[next++]);
  return Reshaped(*data, dims);
}

Outputs Squeeze(const NodeContext& context) {
  const SmallTensor* data = context.value(0);
  if (!data) return std::nullopt;
  const bool all = !context.input(1) && !context.node.Find("axes");
  const std::optional<Ints> axes = all ? Ints{} : context.integers("axes", 1);
  if (!axes) return std::nullopt;
  std::set<int64_t> removed;
  for (int64_t axis : *axes) {
    if (!NormaliseAxis(axis, data->dims.size())) return std::nullopt;
    removed.insert(axis);
  }
  Ints dims;
  for (size_t d = 0; d < data->dims.size(); ++d)
    if (all ? data->dims[d] != 1 : !removed.contains(static_cast<int64_t>(d))) dims.push_back(data->dims[d]);
  return Reshaped(*data, dims);
}

Outputs Reshape(const NodeContext& context) {
  const SmallTensor* data = context.value(0);
  std::optional<Ints> dims = context.integers("shape", 1);
  if (!data || !dims) return std::nullopt;
  int64_t rest = 1, open = -1;
  for (size_t d = 0; d < dims->size(); ++d) {
    int64_t& dim = (*dims)[d];
    if (dim == 0 && context.node.Int("allowzero", 0) == 0) {
      if (d >= data->dims.size()) return std::nullopt;
      dim = data->dims[d];
    }
    if (dim == -1 && open < 0) {
      open = static_cast<int64_t>(d);
    } else if (dim < 0 || __builtin_mul_overflow(rest, dim, &rest)) {
      return std::nullopt;
    }
  }
  if (open >= 0) {
    if (rest == 0) return std::nullopt;
    (*dims)[static_cast<size_t>(open)] = static_cast<int64_t>(data->elements.size()) / rest;
  }
  return Reshaped(*data, *dims);
}

Outputs Flatten(const NodeContext& context) {
  const SmallTensor* data = context.value(0);
  if (!data) return std::nullopt;
  int64_t axis = context.node.Int("axis", 1);
  const auto rank = static_cast<int64_t>(data->dims.size());
  if (axis < -rank || axis > rank) return std::nullopt;
  if (axis < 0) axis += rank;
  int64_t before = 1;
  for (int64_t d = 0; d < axis; ++d) before *= data->dims[static_cast<size_t>(d)];
  if (before == 0) return std::nullopt;
  return Reshaped(*data, {before, static_cast<int64_t>(data->elements.size()) / before});
}

Outputs Expand(const NodeContext& context) {
  const SmallTensor *data = context.value(0), *shape = context.value(1);
  std::optional<Ints> dims = shape ? Integers(*shape) : std::nullopt;
  if (!data || !dims) return std::nullopt;
  Ints from = data->dims;
  while (from.size() < dims->size()) from.insert(from.begin(), 1);
  while (dims->size() < from.size()) dims->insert(dims->begin(), 1);
  for (size_t d = 0; d < from.size(); ++d) {
    if (from[d] != 1 && (*dims)[d] != 1 && from[d] != (*dims)[d]) return std::nullopt;
    if ((*dims)[d] == 1) (*dims)[d] = from[d];
  }
  const Ints strides = Strides(from);
  return MaybeOne(Rearrange(*data, *dims, [&](const Ints& index) {
    int64_t at = 0;
    for (size_t d = 0; d < index.size(); ++d) at += from[d] == 1 ? 0 : index[d] * strides[d];
    return at;
  }));
}

Outputs Tile(const NodeContext& context) {
  const SmallTensor *data = context.value(0), *repeats = context.value(1);
  const std::optional<Ints> times = repeats ? Integers(*repeats) : std::nullopt;
  if (!data || !times || times->size() != data->dims.size()) return std::nullopt;
  Ints dims;
  for (size_t d = 0; d < times->size(); ++d) {
    int64_t length = 0;
    if ((*times)[d] < 0 || __builtin_mul_overflow(data->dims[d], (*times)[d], &length)) return std::nullopt;
    dims.push_back(length);
  }
  const Ints strides = Strides(data->dims);
  return MaybeOne(Rearrange(*data, dims, [&](const Ints& index) {
    int64_t at = 0;
    for (size_t d = 0; d < index.size(); ++d) at += index[d] % data->dims[d] * strides[d];
    return at;
  }));
}

Outputs Transpose(const NodeContext& context) {
  const SmallTensor* data = context.value(0);
  if (!data) return std::nullopt;
  const size_t rank = data->dims.size();
  Ints order(rank);
  for (size_t d = 0; d < rank; ++d) order[d] = static_cast<int64_t>(rank - 1 - d);
  if (const std::optional<Ints> given = context.node.Ints("perm")) order = *given;
  Ints sorted = order, dims;
  std::sort(sorted.begin(), sorted.end());
  for (size_t d = 0; d < rank; ++d)
    if (sorted.size() != rank || sorted[d] != static_cast<int64_t>(d)) return std::nullopt;
  for (int64_t d : order) dims.push_back(data->dims[static_cast<size_t>(d)]);
  const Ints strides = Strides(data->dims);
  return MaybeOne(Rearrange(*data, dims, [&](const Ints& index) {
    int64_t at = 0;
    for (size_t d = 0; d < rank; ++d) at += index[d] * strides[static_cast<size_t>(order[d])];
    return at;
  }));
}

Outputs ConstantOfShape(const NodeContext& context) {
  const SmallTensor* shape = context.value(0);
  const std::optional<Ints> dims = shape ? Integers(*shape) : std::nullopt;
  if (!dims || !Small(*dims)) return std::nullopt;
  SmallTensor filled{kFloat, *dims, {}};
  Scalar element{true, 0, 0, -1};
  if (const Attribute* value = context.node.Find("value")) {
    if (!value->tensor || value->tensor->elements.size() != 1) return std::nullopt;
    filled.type = value->tensor->type;
    element = value->tensor->elements[0];
  }
  filled.elements.assign(static_cast<size_t>(*ElementCount(*dims)), element);
  return One(std::move(filled));
}

Outputs Split(const NodeContext& context) {
  const SmallTensor* data = context.value(0);
  if (!data) return std::nullopt;
  int64_t axis = context.node.Int("axis", 0);
  const size_t parts = context.node.outputs.size();
  if (!NormaliseAxis(axis, data->dims.size()) || parts == 0) return std::nullopt;
  const auto a = static_cast<size_t>(axis);
  const int64_t length = data->dims[a], even = (length + static_cast<int64_t>(parts) - 1) / static_cast<int64_t>(parts);
  Ints lengths(parts, even);
  if (context.input(1) || context.node.Find("split")) {
    const std::optional<Ints> given = context.integers("split", 1);
    if (!given || given->size() != parts) return std::nullopt;
    lengths = *given;
  } else {
    lengths.back() = length - even * (static_cast<int64_t>(parts) - 1);
  }
  std::vector<Known> outputs;
  const Ints strides = Strides(data->dims);
  int64_t begin = 0;
  for (int64_t part : lengths) {
    if (part < 0 || part > length - begin) return std::nullopt;
    Ints dims = data->dims;
    dims[a] = part;
    std::optional<SmallTensor> piece = Rearrange(*data, dims, [&](const Ints& index) {
      int64_t at = begin * strides[a];
      for (size_t d = 0; d < index.size(); ++d) at += index[d] * strides[d];
      return at;
    });
    if (!piece) return std::nullopt;
    outputs.push_back(FromValue(*std::move(piece)));
    begin += part;
  }
  return outputs;
}

}  // namespace

Outputs FoldNode(const NodeContext& context) {
  if (!context.node.domain.empty()) return std::nullopt;
  static const std::map<std::string, Outputs (*)(const NodeContext&)> kFolds = {
      {"Constant", Constant},   {"Shape", ShapeOf},
      {"Size", SizeOf},         {"Gather", Gather},
      {"Slice", Slice},         {"Concat", Concat},
      {"Unsqueeze", Unsqueeze}, {"Squeeze", Squeeze},
      {"Reshape", Reshape},     {"Flatten", Flatten},
      {"Expand", Expand},       {"Tile", Tile},
      {"Transpose", Transpose}, {"ConstantOfShape", ConstantOfShape},
      {"Split", Split},
  };
  const auto fold = kFolds.find(context.node.op);
  return fold == kFolds.end() ? FoldArithmetic(context) : fold->second(context);
}

}  // namespace lathe::graph
