#include "deploy/onnx_tensor_file.h"

#include <fmt/format.h>
#include <onnx/onnx_pb.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>

namespace lathe::graph {
namespace {

namespace fs = std::filesystem;

Error Bad(const std::string& why) { return {ErrorCode::kInvalidInput, why}; }

double HalfToDouble(uint16_t bits) {
  const int exponent = (bits >> 10) & 31, fraction = bits & 1023;
  const double sign = bits & 0x8000 ? -1 : 1;
  if (exponent == 31) return fraction ? std::numeric_limits<double>::quiet_NaN() : sign * std::numeric_limits<double>::infinity();
  return sign * (exponent ? std::ldexp(1024 + fraction, exponent - 25) : std::ldexp(fraction, -24));
}

double Bfloat16ToDouble(uint16_t bits) {
  const uint32_t wide = uint32_t{bits} << 16;
  float value = 0;
  std::memcpy(&value, &wide, sizeof value);
  return value;
}

size_t BytesOf(int type) {
  switch (type) {
    case kUint8:
    case kInt8:
    case kBool:
      return 1;
    case kUint16:
    case kInt16:
    case kFloat16:
    case kBfloat16:
      return 2;
    case kFloat:
    case kInt32:
    case kUint32:
      return 4;
    case kInt64:
    case kUint64:
    case kDouble:
      return 8;
    default:
      return 0;
  }
}

template <typename T>
T At(const std::string& raw, size_t index) {
  T value;
  std::memcpy(&value, raw.data() + index * sizeof(T), sizeof(T));
  return value;
}

Scalar RawScalar(int type, const std::string& raw, size_t i) {
  Scalar scalar;
  scalar.known = true;
  switch (type) {
    case kFloat:
      scalar.real = double{At<float>(raw, i)};
      break;
    case kDouble:
      scalar.real = At<double>(raw, i);
      break;
    case kFloat16:
      scalar.real = HalfToDouble(At<uint16_t>(raw, i));
      break;
    case kBfloat16:
      scalar.real = Bfloat16ToDouble(At<uint16_t>(raw, i));
      break;
    case kUint8:
    case kBool:
      scalar.integer = At<uint8_t>(raw, i);
      break;
    case kInt8:
      scalar.integer = At<int8_t>(raw, i);
      break;
    case kUint16:
      scalar.integer = At<uint16_t>(raw, i);
      break;
    case kInt16:
      scalar.integer = At<int16_t>(raw, i);
      break;
    case kInt32:
      scalar.integer = At<int32_t>(raw, i);
      break;
    case kUint32:
      scalar.integer = At<uint32_t>(raw, i);
      break;
    default:
      scalar.integer = At<int64_t>(raw, i);
      break;
  }
  return scalar;
}

int ListedCount(const onnx::TensorProto& proto) {
  switch (proto.data_type()) {
    case kFloat:
      return proto.float_data_size();
    case kDouble:
      return proto.double_data_size();
    case kInt64:
      return proto.int64_data_size();
    case kUint32:
    case kUint64:
      return proto.uint64_data_size();
    default:
      return proto.int32_data_size();
  }
}

Scalar ListedScalar(const onnx::TensorProto& proto, int i) {
  Scalar scalar;
  scalar.known = true;
  switch (proto.data_type()) {
    case kFloat:
      scalar.real = double{proto.float_data(i)};
      break;
    case kDouble:
      scalar.real = proto.double_data(i);
      break;
    case kFloat16:
      scalar.real = HalfToDouble(static_cast<uint16_t>(proto.int32_data(i)));
      break;
    case kBfloat16:
      scalar.real = Bfloat16ToDouble(static_cast<uint16_t>(proto.int32_data(i)));
      break;
    case kInt64:
      scalar.integer = proto.int64_data(i);
      break;
    case kUint32:
    case kUint64:
      scalar.integer = static_cast<int64_t>(proto.uint64_data(i));
      break;
    default:
      scalar.integer = proto.int32_data(i);
  }
  return scalar;
}

Result<std::string> ReadExternal(const onnx::TensorProto& proto, const fs::path& folder, size_t bytes) {
  std::string location, offset = "0";
  for (const auto& entry : proto.external_data()) {
    if (entry.key() == "location") location = entry.value();
    if (entry.key() == "offset") offset = entry.value();
  }
  const fs::path relative = fs::path(location).lexically_normal();
  // A model is somebody else's file: it may name its own neighbours and nothing above them.
  if (location.empty() || relative.is_absolute() || relative.begin() == relative.end() || *relative.begin() == "..")
    return Bad(fmt::format("its data lies outside the model's folder ('{}')", location));
  if (offset.empty() || offset.size() > 18 || offset.find_first_not_of("0123456789") != std::string::npos)
    return Bad(fmt::format("its place in '{}' is no number ('{}')", location, offset));
  std::ifstream file(folder / relative, std::ios::binary);
  if (!file) return Bad(fmt::format("its data file '{}' cannot be opened", (folder / relative).string()));
  std::string raw(bytes, '\0');
  file.seekg(static_cast<std::streamoff>(std::stoll(offset)));
  if (!file.read(raw.data(), static_cast<std::streamsize>(bytes)))
    return Bad(fmt::format("its data file '{}' ends before it", (folder / relative).string()));
  return raw;
}

}  // namespace

Result<Initializer> ReadTensor(const onnx::TensorProto& proto, const fs::path& folder) {
  Initializer read;
  read.name = proto.name();
  read.type = proto.data_type();
  read.dims.assign(proto.dims().begin(), proto.dims().end());
  const std::optional<int64_t> count = ElementCount(read.dims);
  if (!count) return Bad(fmt::format("tensor '{}' has an impossible shape [{}]", proto.name(), fmt::join(read.dims, ", ")));
  const size_t element_bytes = BytesOf(read.type);
  if (element_bytes == 0 || static_cast<uint64_t>(*count) > kSmallTensor) return read;
  const size_t elements = static_cast<size_t>(*count);

  SmallTensor tensor{read.type, read.dims, {}};
  tensor.elements.resize(elements);
  if (proto.data_location() == onnx::TensorProto::EXTERNAL) {
    Result<std::string> raw = ReadExternal(proto, folder, elements * element_bytes);
    if (!raw) {
      read.why_no_value = raw.error().message;
      return read;
    }
    for (size_t i = 0; i < elements; ++i) tensor.elements[i] = RawScalar(read.type, *raw, i);
  } else if (proto.has_raw_data()) {
    if (proto.raw_data().size() != elements * element_bytes)
      return Bad(fmt::format("tensor '{}' of shape [{}] needs {} bytes and has {}", proto.name(), fmt::join(read.dims, ", "),
                             elements * element_bytes, proto.raw_data().size()));
    for (size_t i = 0; i < elements; ++i) tensor.elements[i] = RawScalar(read.type, proto.raw_data(), i);
  } else {
    const int listed = ListedCount(proto);
    if (listed != *count)
      return Bad(fmt::format("tensor '{}' of shape [{}] needs {} elements and has {}", proto.name(), fmt::join(read.dims, ", "), elements,
                             listed));
    for (size_t i = 0; i < elements; ++i) tensor.elements[i] = ListedScalar(proto, static_cast<int>(i));
  }
  read.value = std::move(tensor);
  return read;
}

}  // namespace lathe::graph
