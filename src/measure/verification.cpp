#include "measure/verification.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

namespace lathe {
namespace {

struct Half {
  uint16_t bits;
};

template <typename T>
double ToDouble(T value) {
  return static_cast<double>(value);
}
double ToDouble(Half value) { return static_cast<double>(HalfToFloat(value.bits)); }

template <typename T>
bool IsFinite(T value) {
  return std::isfinite(ToDouble(value));
}

// Calls visitor.template operator()<T>() for the C++ type of a dtype.
template <typename Visitor>
auto ForType(DType dtype, const Visitor& visitor) {
  switch (dtype) {
    case DType::kF64:
      return visitor.template operator()<double>();
    case DType::kF16:
      return visitor.template operator()<Half>();
    case DType::kU8:
      return visitor.template operator()<uint8_t>();
    case DType::kI8:
      return visitor.template operator()<int8_t>();
    case DType::kI32:
      return visitor.template operator()<int32_t>();
    case DType::kI64:
      return visitor.template operator()<int64_t>();
    case DType::kF32:
      break;
  }
  return visitor.template operator()<float>();
}

// "12 [0,1,5]": place in memory, and along each dimension.
std::string Place(const TensorShape& tensor, size_t index) {
  std::string coordinates;
  size_t rest = index;
  for (size_t i = tensor.shape.size(); i-- > 0;) {
    const auto extent = static_cast<size_t>(std::max<int64_t>(1, tensor.shape[i]));
    coordinates = fmt::format("{}{}{}", rest % extent, coordinates.empty() ? "" : ",", coordinates);
    rest /= extent;
  }
  return coordinates;
}

// |a - b|, exact for 64-bit integers too; kNoNumber where one of them is no number and the other is not the same.
template <typename T>
double Deviation(T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    return a < b ? static_cast<double>(static_cast<uint64_t>(b) - static_cast<uint64_t>(a))
                 : static_cast<double>(static_cast<uint64_t>(a) - static_cast<uint64_t>(b));
  } else {
    const double x = ToDouble(a), y = ToDouble(b);
    if (std::isfinite(x) && std::isfinite(y)) return std::fabs(x - y);
    return (std::isnan(x) && std::isnan(y)) || x == y ? 0 : kNoNumber;
  }
}

template <typename T>
Comparison CompareAs(const TensorShape& tensor, const T* expected, const T* actual, double largest) {
  const auto elements = static_cast<size_t>(tensor.elements());
  const double allowed = tensor.tolerance.exact ? 0 : tensor.tolerance.absolute + tensor.tolerance.relative * largest;
  double worst = 0;
  for (size_t i = 0; i < elements; ++i) worst = std::max(worst, Deviation(expected[i], actual[i]));

  Comparison comparison;
  if (worst > 0) comparison.max_error = std::min(kNoNumber, allowed > 0 ? worst / allowed : std::max(1.0, worst));
  if (worst <= allowed) return comparison;
  comparison.agrees = false;
  size_t first = elements, count = 0;
  for (size_t i = 0; i < elements; ++i)
    if (Deviation(expected[i], actual[i]) > allowed && count++ == 0) first = i;
  comparison.message = fmt::format("{}[{}] is {}, expected {}; {} of {} elements are off, the worst by {}", tensor.name,
                                   Place(tensor, first), ToDouble(actual[first]), ToDouble(expected[first]), count, elements,
                                   worst >= kNoNumber ? "a NaN or infinity"
                                   : allowed > 0      ? fmt::format("{:.3g} times the tolerance", worst / allowed)
                                                      : fmt::format("{:.6g} where equality is demanded", worst));
  return comparison;
}

}  // namespace

double LargestMagnitude(DType dtype, const void* data, size_t elements) {
  return ForType(dtype, [&]<typename T>() {
    const T* values = static_cast<const T*>(data);
    double largest = 0;
    for (size_t i = 0; i < elements; ++i)
      if (IsFinite(values[i])) largest = std::max(largest, std::fabs(ToDouble(values[i])));
    return largest;
  });
}

Comparison Compare(const TensorShape& tensor, const void* expected, const void* actual, double largest) {
  if (std::memcmp(expected, actual, tensor.bytes()) == 0) return {};
  return ForType(tensor.dtype,
                 [&]<typename T>() { return CompareAs(tensor, static_cast<const T*>(expected), static_cast<const T*>(actual), largest); });
}

float HalfToFloat(uint16_t bits) {
  const uint32_t sign = uint32_t{bits & 0x8000U} << 16, exponent = (bits >> 10) & 0x1F, fraction = bits & 0x3FFU;
  if (exponent == 0) return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(static_cast<float>(fraction) * 0x1p-24F));
  const uint32_t wide = exponent == 0x1F ? 0xFFU : exponent + 112;
  return std::bit_cast<float>(sign | wide << 23 | fraction << 13);
}

uint16_t FloatToHalf(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000U, magnitude = bits & 0x7FFFFFFFU;
  const auto with_sign = [&](uint32_t half) { return static_cast<uint16_t>(sign | half); };
  if (magnitude > 0x7F800000U) return with_sign(0x7E00);
  if (magnitude >= 0x477FF000U) return with_sign(0x7C00);  // rounds to beyond 65504
  if (magnitude < 0x38800000U) {                           // below the smallest normal: an integer multiple of 2^-24
    return with_sign(static_cast<uint32_t>(std::lrint(std::bit_cast<float>(magnitude) * 0x1p24F)));
  }
  const uint32_t rounded = magnitude + 0xFFFU + ((magnitude >> 13) & 1);
  return with_sign((rounded - 0x38000000U) >> 13);
}

}  // namespace lathe
