#include "deploy/onnx_graph.h"

namespace lathe::graph {

std::string ElementName(int type) {
  switch (type) {
    case kFloat:
      return "f32";
    case kUint8:
      return "u8";
    case kInt8:
      return "i8";
    case kUint16:
      return "u16";
    case kInt16:
      return "i16";
    case kInt32:
      return "i32";
    case kInt64:
      return "i64";
    case kString:
      return "string";
    case kBool:
      return "bool";
    case kFloat16:
      return "f16";
    case kDouble:
      return "f64";
    case kUint32:
      return "u32";
    case kUint64:
      return "u64";
    case kBfloat16:
      return "bf16";
    default:
      return "?";
  }
}

bool IsReal(int type) { return type == kFloat || type == kDouble || type == kFloat16 || type == kBfloat16; }

bool IsInteger(int type) {
  switch (type) {
    case kUint8:
    case kInt8:
    case kUint16:
    case kInt16:
    case kInt32:
    case kInt64:
    case kBool:
    case kUint32:
    case kUint64:
      return true;
    default:
      return false;
  }
}

int Symbols::New(std::string reason, std::optional<int64_t> bound, std::string name) {
  all_.push_back({std::move(name), std::move(reason), bound});
  return size() - 1;
}

std::optional<std::vector<int64_t>> Integers(const SmallTensor& tensor) {
  if (!IsInteger(tensor.type)) return std::nullopt;
  std::vector<int64_t> integers;
  integers.reserve(tensor.elements.size());
  for (const Scalar& element : tensor.elements) {
    if (!element.known) return std::nullopt;
    integers.push_back(element.integer);
  }
  return integers;
}

std::optional<int64_t> ElementCount(const std::vector<int64_t>& dims) {
  int64_t count = 1;
  bool empty = false;
  for (int64_t dim : dims) {
    if (dim < 0) return std::nullopt;
    if (dim == 0) empty = true;
    if (!empty && (__builtin_mul_overflow(count, dim, &count) || count > (int64_t{1} << 62))) return std::nullopt;
  }
  return empty ? 0 : count;
}

const Attribute* Node::Find(const std::string& attribute) const {
  const auto found = attributes.find(attribute);
  return found == attributes.end() ? nullptr : &found->second;
}

int64_t Node::Int(const std::string& attribute, int64_t otherwise) const {
  const Attribute* found = Find(attribute);
  return found && found->kind == Attribute::Kind::kInt ? found->ints[0] : otherwise;
}

std::optional<std::vector<int64_t>> Node::Ints(const std::string& attribute) const {
  const Attribute* found = Find(attribute);
  if (!found || found->kind != Attribute::Kind::kInts) return std::nullopt;
  return found->ints;
}

std::string Node::Text(const std::string& attribute, const std::string& otherwise) const {
  const Attribute* found = Find(attribute);
  return found && found->kind == Attribute::Kind::kText ? found->texts[0] : otherwise;
}

}  // namespace lathe::graph
