#include <array>

#include "space/operator.h"

namespace lathe {
namespace {

struct DTypeFacts {
  DType dtype;
  const char* name;
  const char* cpp_name;
  size_t bytes;
};

// f16 has no arithmetic type everywhere: it travels as its bits.
constexpr std::array<DTypeFacts, 7> kFacts = {{
    {DType::kF32, "f32", "float", 4},
    {DType::kF64, "f64", "double", 8},
    {DType::kF16, "f16", "uint16_t", 2},
    {DType::kU8, "u8", "uint8_t", 1},
    {DType::kI8, "i8", "int8_t", 1},
    {DType::kI32, "i32", "int32_t", 4},
    {DType::kI64, "i64", "int64_t", 8},
}};

const DTypeFacts& FactsOf(DType dtype) { return kFacts[static_cast<size_t>(dtype)]; }

}  // namespace

const char* ToString(DType dtype) { return FactsOf(dtype).name; }
const char* CppName(DType dtype) { return FactsOf(dtype).cpp_name; }
size_t SizeOf(DType dtype) { return FactsOf(dtype).bytes; }

std::optional<DType> ParseDType(const std::string& text) {
  for (const DTypeFacts& facts : kFacts)
    if (text == facts.name) return facts.dtype;
  return std::nullopt;
}

int64_t TensorShape::elements() const {
  int64_t product = 1;
  for (const int64_t extent : shape) product *= extent;
  return product;
}

}  // namespace lathe
