#include "deploy/onnx_rules.h"

#include <fmt/format.h>

namespace lathe::graph {

std::optional<std::vector<int64_t>> Known::dims() const {
  if (!shape) return std::nullopt;
  std::vector<int64_t> sizes;
  for (const Dim& dim : *shape) {
    if (!dim.known()) return std::nullopt;
    sizes.push_back(dim.size);
  }
  return sizes;
}

std::optional<std::vector<int64_t>> NodeContext::integers(const std::string& attribute, size_t at_input) const {
  if (const SmallTensor* tensor = value(at_input)) return Integers(*tensor);
  return node.Ints(attribute);
}

Shape ToShape(const std::vector<int64_t>& dims) {
  Shape shape;
  for (int64_t dim : dims) shape.push_back({dim, -1});
  return shape;
}

Known FromValue(SmallTensor value) {
  Known known;
  known.type = value.type;
  known.shape = ToShape(value.dims);
  known.value = std::move(value);
  return known;
}

Dim ToDim(const Scalar& scalar, Symbols& symbols) {
  if (scalar.known && scalar.integer >= 0) return {scalar.integer, -1};
  return {-1, scalar.symbol >= 0 ? scalar.symbol : symbols.New("its size is computed from data")};
}

Scalar ToScalar(const Dim& dim) {
  Scalar scalar;
  scalar.known = dim.known();
  scalar.integer = dim.known() ? dim.size : 0;
  scalar.symbol = dim.known() ? -1 : dim.symbol;
  return scalar;
}

Outputs OneOutput(int type, Shape shape) {
  Known known;
  known.type = type;
  known.shape = std::move(shape);
  return std::vector<Known>{known};
}

Dim OpenDim(const NodeContext& context, const std::string& why, std::optional<int64_t> bound) {
  return {-1, context.symbols.New(fmt::format("{} of '{}' ({})", why, context.node.name, context.node.op), bound)};
}

std::optional<int64_t> BoundOf(const NodeContext& context, const Dim& dim) {
  return dim.known() ? dim.size : dim.symbol >= 0 ? context.symbols[dim.symbol].bound : std::nullopt;
}

Dim FollowingDim(const NodeContext& context, const Dim& from, std::optional<int64_t> bound) {
  return {-1, context.symbols.New(from.symbol >= 0 ? context.symbols[from.symbol].reason : "its size is computed from data", bound)};
}

bool NormaliseAxis(int64_t& axis, size_t rank) {
  const auto signed_rank = static_cast<int64_t>(rank);
  if (axis < -signed_rank || axis >= signed_rank) return false;
  if (axis < 0) axis += signed_rank;
  return true;
}

}  // namespace lathe::graph
