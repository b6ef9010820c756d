// Holds every kernel of this library against its operator's fallback. Generated. Closes with "N passed, N failed"; exit status 1 on failure.
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <algorithm>
#include <random>
#include <string>
#include <thread>
#include <vector>

@INCLUDES@

namespace {

int passed = 0, failed = 0;

struct TensorCase {
  const char* name;
  char role;  // 'i'n, 'c'onstant, 'o'ut
  const char* dtype;
  double low, high;
  bool integers;
  bool exact;
  double relative, absolute;
};

size_t SizeOf(const std::string& dtype) {
  return dtype == "f64" || dtype == "i64" ? 8 : dtype == "f32" || dtype == "i32" ? 4 : dtype == "f16" ? 2 : 1;
}

double FromHalf(uint16_t bits) {
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  const double magnitude = exponent == 31  ? (fraction == 0 ? HUGE_VAL : NAN)
                           : exponent == 0 ? ldexp(fraction, -24)
                                           : ldexp(1024 + fraction, exponent - 25);
  return bits & 0x8000 ? -magnitude : magnitude;
}

// Cuts off what an f16 has no place for: for inputs, which need not be the nearest to what was drawn.
uint16_t ToHalf(double value) {
  int exponent = 0;
  const double fraction = frexp(fabs(value), &exponent);  // [0.5, 1)
  const int biased = exponent + 14;
  const uint16_t sign = value < 0 ? 0x8000 : 0;
  if (biased <= 0) return static_cast<uint16_t>(sign | static_cast<uint16_t>(ldexp(fabs(value), 24)));
  if (biased > 30) return static_cast<uint16_t>(sign | 0x7BFF);
  return static_cast<uint16_t>(sign | biased << 10 | (static_cast<int>(fraction * 2048) & 1023));
}

double At(const void* data, const std::string& dtype, size_t i) {
  if (dtype == "f32") return static_cast<const float*>(data)[i];
  if (dtype == "f64") return static_cast<const double*>(data)[i];
  if (dtype == "i32") return static_cast<const int32_t*>(data)[i];
  if (dtype == "i64") return static_cast<double>(static_cast<const int64_t*>(data)[i]);
  if (dtype == "i8") return static_cast<const int8_t*>(data)[i];
  if (dtype == "f16") return FromHalf(static_cast<const uint16_t*>(data)[i]);
  return static_cast<const uint8_t*>(data)[i];
}

void Set(void* data, const std::string& dtype, size_t i, double value) {
  if (dtype == "f32") static_cast<float*>(data)[i] = static_cast<float>(value);
  else if (dtype == "f64") static_cast<double*>(data)[i] = value;
  else if (dtype == "i32") static_cast<int32_t*>(data)[i] = static_cast<int32_t>(value);
  else if (dtype == "i64") static_cast<int64_t*>(data)[i] = static_cast<int64_t>(value);
  else if (dtype == "i8") static_cast<int8_t*>(data)[i] = static_cast<int8_t>(value);
  else if (dtype == "f16") static_cast<uint16_t*>(data)[i] = ToHalf(value);
  else static_cast<uint8_t*>(data)[i] = static_cast<uint8_t>(value);
}

void Fill(void* data, size_t bytes, const TensorCase& tensor, std::mt19937_64& random) {
  std::uniform_real_distribution<double> real(tensor.low, tensor.high);
  std::uniform_int_distribution<int64_t> whole(static_cast<int64_t>(tensor.low), static_cast<int64_t>(tensor.high));
  for (size_t i = 0; i < bytes / SizeOf(tensor.dtype); ++i)
    Set(data, tensor.dtype, i, tensor.integers ? static_cast<double>(whole(random)) : tensor.low == tensor.high ? tensor.low : real(random));
}

void Report(const char* op, const char* what, const char* match, const std::string& trouble, double error) {
  (trouble.empty() ? passed : failed) += 1;
  printf("%-6s %s (%s) %s%s\n", trouble.empty() ? "ok" : "FAILED", op, match, what, trouble.empty() ? "" : (": " + trouble).c_str());
  if (trouble.empty() && error > 0) printf("       largest difference %.3g of what is allowed\n", error);
}

// Empty when `got` is as near to `want` as the tensor allows; *error is the largest difference in units of that.
std::string Compare(const TensorCase& tensor, size_t bytes, const void* want, const void* got, double* error) {
  double largest = 0;
  const size_t count = bytes / SizeOf(tensor.dtype);
  for (size_t i = 0; i < count; ++i) largest = std::max(largest, fabs(At(want, tensor.dtype, i)));
  const double allowed = tensor.exact ? 0 : tensor.absolute + tensor.relative * largest;
  for (size_t i = 0; i < count; ++i) {
    const double a = At(want, tensor.dtype, i), b = At(got, tensor.dtype, i);
    if (!(fabs(a - b) <= allowed))
      return std::string(tensor.name) + '[' + std::to_string(i) + "] is " + std::to_string(b) + " where the fallback gives " + std::to_string(a);
    if (allowed > 0) *error = std::max(*error, fabs(a - b) / allowed);
  }
  return {};
}

const char* const kMatches[] = {"exact", "nearest", "untuned", "fallback"};
lathe_threads* threads = nullptr;

@TEST_FUNCTIONS@
}  // namespace

int main() {
  threads = lathe_threads_create(static_cast<int>(std::max(1u, std::thread::hardware_concurrency())));
@TEST_CALLS@  lathe_threads_destroy(threads);
  printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}
