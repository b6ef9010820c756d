#include "measure/verification.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace lathe {
namespace {
using testing::HasSubstr;

TensorShape Output(DType dtype, std::vector<int64_t> shape, Tolerance tolerance) {
  TensorShape tensor;
  tensor.name = "output";
  tensor.role = TensorRole::kOut;
  tensor.dtype = dtype;
  tensor.shape = std::move(shape);
  tensor.tolerance = tolerance;
  return tensor;
}

template <typename T>
Comparison CompareValues(DType dtype, const std::vector<T>& expected, const std::vector<T>& actual, Tolerance tolerance) {
  const TensorShape tensor = Output(dtype, {static_cast<int64_t>(expected.size())}, tolerance);
  return Compare(tensor, expected.data(), actual.data(), LargestMagnitude(dtype, expected.data(), expected.size()));
}

TEST(Verification, ToleranceIsRelativeToTheLargestExpectedValue) {
  const std::vector<float> expected = {100, 0.001F, -50};
  EXPECT_TRUE(CompareValues<float>(DType::kF32, expected, {100, 0.1F, -50}, {false, 0.001, 0}).agrees);
  const Comparison off = CompareValues<float>(DType::kF32, expected, {100, 0.001F, -50.2F}, {false, 0.001, 0});
  EXPECT_FALSE(off.agrees);
  EXPECT_NEAR(off.max_error, 2, 0.01);
  EXPECT_THAT(off.message, HasSubstr("output[2] is -50.2"));
  EXPECT_THAT(off.message, HasSubstr("1 of 3 elements"));
}

TEST(Verification, AbsoluteToleranceAddsToTheRelativeOne) {
  const Comparison comparison = CompareValues<uint8_t>(DType::kU8, {10, 200}, {11, 199}, {false, 0, 1});
  EXPECT_TRUE(comparison.agrees);
  EXPECT_EQ(comparison.max_error, 1);
  EXPECT_FALSE(CompareValues<uint8_t>(DType::kU8, {10, 200}, {12, 199}, {false, 0, 1}).agrees);
}

TEST(Verification, ExactMeansEqual) {
  EXPECT_TRUE(CompareValues<int64_t>(DType::kI64, {1, -5}, {1, -5}, {true, 0, 0}).agrees);
  const Comparison off = CompareValues<int64_t>(DType::kI64, {1, INT64_MIN}, {1, INT64_MAX}, {true, 0, 0});
  EXPECT_FALSE(off.agrees);
  EXPECT_GE(off.max_error, 1);
  EXPECT_THAT(off.message, HasSubstr("equality is demanded"));
  EXPECT_TRUE(CompareValues<float>(DType::kF32, {0.0F}, {-0.0F}, {true, 0, 0}).agrees) << "equal, though not the same bits";
}

TEST(Verification, NumbersThatAreNoneMustMatch) {
  const float nan = std::nanf(""), infinity = std::numeric_limits<float>::infinity();
  EXPECT_TRUE(CompareValues<float>(DType::kF32, {nan, infinity, 1}, {-nan, infinity, 1}, {false, 1e-3, 0}).agrees);
  for (const auto& [expected, actual] : {std::pair{1.0F, nan}, {nan, 1.0F}, {1.0F, infinity}, {infinity, -infinity}, {infinity, 3e38F}}) {
    const Comparison comparison = CompareValues<float>(DType::kF32, {expected, 1}, {actual, 1}, {false, 1e-3, 0});
    EXPECT_FALSE(comparison.agrees) << expected << " against " << actual;
    EXPECT_TRUE(std::isfinite(comparison.max_error));
  }
}

TEST(Verification, AnInfiniteReferenceValueDoesNotMakeTheToleranceInfinite) {
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_FALSE(CompareValues<float>(DType::kF32, {infinity, 1}, {infinity, 2}, {false, 1e-3, 0}).agrees);
}

TEST(Verification, EveryDtypeIsCompared) {
  EXPECT_FALSE(CompareValues<double>(DType::kF64, {1}, {1 + 1e-9}, {false, 1e-10, 0}).agrees);
  EXPECT_FALSE(CompareValues<int8_t>(DType::kI8, {-128}, {127}, {false, 0, 100}).agrees);
  EXPECT_TRUE(CompareValues<int32_t>(DType::kI32, {5}, {6}, {false, 0, 1}).agrees);
  EXPECT_TRUE(CompareValues<uint16_t>(DType::kF16, {FloatToHalf(1)}, {FloatToHalf(1.0005F)}, {false, 1e-3, 0}).agrees);
  EXPECT_FALSE(CompareValues<uint16_t>(DType::kF16, {FloatToHalf(1)}, {FloatToHalf(1.01F)}, {false, 1e-3, 0}).agrees);
}

TEST(Verification, PlacesAreGivenAlongEachDimension) {
  const TensorShape tensor = Output(DType::kI32, {2, 3, 4}, {true, 0, 0});
  std::vector<int32_t> expected(24), actual(24);
  actual[23] = 7;
  EXPECT_THAT(Compare(tensor, expected.data(), actual.data(), 0).message, HasSubstr("output[1,2,3] is 7, expected 0"));
}

TEST(Verification, HalvesSurviveTheWayThroughFloatAndBack) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = HalfToFloat(static_cast<uint16_t>(bits));
    if (std::isnan(value)) continue;
    ASSERT_EQ(FloatToHalf(value), bits) << value;
  }
  EXPECT_EQ(HalfToFloat(0x3C00), 1.0F);
  EXPECT_EQ(HalfToFloat(0x7BFF), 65504.0F);
  EXPECT_EQ(HalfToFloat(0x0001), 0x1p-24F);
  EXPECT_TRUE(std::isinf(HalfToFloat(FloatToHalf(1e6F))));
  EXPECT_TRUE(std::isnan(HalfToFloat(FloatToHalf(std::nanf("")))));
  EXPECT_EQ(FloatToHalf(1.0F + 0x1p-11F), 0x3C00) << "a tie goes to the even one";
  EXPECT_EQ(FloatToHalf(1.0F + 0x3p-11F), 0x3C02);
}

}  // namespace
}  // namespace lathe
