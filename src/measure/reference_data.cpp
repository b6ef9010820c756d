#include "measure/reference_data.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>

#include "measure/verification.h"
#include "measure/worker_protocol.h"

namespace lathe {
namespace {

// SplitMix64 (Steele, Lea, Flood 2014): one multiplication chain a number, and the same everywhere, which std::uniform_*_distribution is
// not.
class SplitMix {
 public:
  explicit SplitMix(uint64_t seed) : state_(seed) {}
  uint64_t Next() {
    uint64_t z = (state_ += 0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
  }
  double Unit() { return static_cast<double>(Next() >> 11) * 0x1p-53; }  // [0, 1)

 private:
  uint64_t state_;
};

template <typename T>
void Put(std::vector<std::byte>& bytes, size_t index, T value) {
  std::memcpy(bytes.data() + index * sizeof value, &value, sizeof value);
}

double Draw(SplitMix& random, const Filling& filling) {
  if (!filling.integers) return filling.low + (filling.high - filling.low) * random.Unit();
  return std::floor(filling.low + (filling.high - filling.low + 1) * random.Unit());
}

}  // namespace

std::vector<std::byte> FillTensor(const TensorShape& tensor, uint64_t seed) {
  std::vector<std::byte> bytes(tensor.bytes());
  if (tensor.filling.low == 0 && tensor.filling.high == 0) return bytes;
  SplitMix random(seed);
  const auto elements = static_cast<size_t>(tensor.elements());
  for (size_t i = 0; i < elements; ++i) {
    const double value = Draw(random, tensor.filling);
    switch (tensor.dtype) {
      case DType::kF32:
        Put(bytes, i, static_cast<float>(value));
        break;
      case DType::kF64:
        Put(bytes, i, value);
        break;
      case DType::kF16:
        Put(bytes, i, FloatToHalf(static_cast<float>(value)));
        break;
      case DType::kU8:
        Put(bytes, i, static_cast<uint8_t>(static_cast<int64_t>(std::floor(value))));
        break;
      case DType::kI8:
        Put(bytes, i, static_cast<int8_t>(static_cast<int64_t>(std::floor(value))));
        break;
      case DType::kI32:
        Put(bytes, i, static_cast<int32_t>(std::floor(value)));
        break;
      case DType::kI64:
        Put(bytes, i, static_cast<int64_t>(std::floor(value)));
        break;
    }
  }
  return bytes;
}

InputLayout LayOutInputs(const std::vector<TensorShape>& tensors) {
  InputLayout layout;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const TensorShape& tensor = tensors[i];
    layout.offsets.push_back(kNoOffset);
    if (tensor.role == TensorRole::kOut || !tensor.present) continue;
    // Staggered as GuardedBuffer staggers outputs; see there.
    const size_t lead = worker::kGuardBytes + worker::kAlignment * ((i * 21) % 48);
    layout.offsets[i] = layout.bytes + lead;
    const size_t end = layout.bytes + lead + tensor.bytes() + worker::kGuardBytes;
    layout.bytes = (end + worker::kPage - 1) / worker::kPage * worker::kPage;
  }
  return layout;
}

Result<std::vector<int64_t>> DynamicValues(const Operator& op, const Workload& workload) {
  std::vector<int64_t> values;
  for (const Attribute& attribute : op.attributes()) {
    if (!attribute.dynamic) continue;
    const Value* value = Find(workload.attributes, attribute.name);
    const auto* number = value != nullptr ? std::get_if<int64_t>(value) : nullptr;
    if (number == nullptr)
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("dynamic attribute '{}' of '{}' is not a whole number", attribute.name, workload.Key())};
    values.push_back(*number);
  }
  return values;
}

size_t ReferenceData::bytes() const {
  size_t total = inputs.bytes();
  for (const auto& output : expected) total += output.size();
  return total;
}

Result<ReferenceData> ReferenceData::Create(std::vector<TensorShape> tensors, std::vector<int64_t> dynamic,
                                            const std::vector<std::span<const std::byte>>& inputs,
                                            std::vector<std::vector<std::byte>> expected) {
  ReferenceData data;
  data.layout = LayOutInputs(tensors);
  Result<SharedMemory> memory = SharedMemory::Create("lathe-inputs", data.layout.bytes);
  if (!memory) return memory.error();
  data.inputs = std::move(*memory);
  for (size_t i = 0; i < tensors.size(); ++i) {
    const bool fed = data.layout.offsets[i] != kNoOffset;
    const bool judged = tensors[i].role == TensorRole::kOut && tensors[i].present && !expected.empty();
    if ((fed && inputs[i].size() != tensors[i].bytes()) || (judged && expected[i].size() != tensors[i].bytes()))
      return Error{ErrorCode::kInvalidInput, fmt::format("tensor '{}' takes {} bytes, given {}", tensors[i].name, tensors[i].bytes(),
                                                         fed ? inputs[i].size() : expected[i].size())};
    if (fed)
      if (Status written = data.inputs.Write(inputs[i].data(), inputs[i].size(), data.layout.offsets[i]); !written) return written.error();
    data.largest.push_back(judged ? LargestMagnitude(tensors[i].dtype, expected[i].data(), static_cast<size_t>(tensors[i].elements())) : 0);
  }
  data.inputs.SealContent();
  data.tensors = std::move(tensors);
  data.dynamic = std::move(dynamic);
  data.expected = std::move(expected);
  return data;
}

}  // namespace lathe
