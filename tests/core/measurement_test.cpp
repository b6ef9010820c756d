#include "core/measurement.h"

#include <gtest/gtest.h>

#include <cmath>

namespace lathe {
namespace {

TEST(Measurement, EveryStatusHasANameThatReadsBack) {
  for (int i = 0; i <= static_cast<int>(MeasureStatus::kBoardLost); ++i) {
    const auto status = static_cast<MeasureStatus>(i);
    EXPECT_EQ(ParseMeasureStatus(ToString(status)), status);
  }
  EXPECT_FALSE(ParseMeasureStatus("fine"));
}

TEST(Measurement, TakesALowQuantileAndInfinityForFailures) {
  Measurement measurement;
  measurement.seconds = {5, 1, 4, 2, 3, 6};
  EXPECT_EQ(Seconds(measurement), 2);
  measurement.status = MeasureStatus::kCrashed;
  EXPECT_TRUE(std::isinf(Seconds(measurement)));
}

}  // namespace
}  // namespace lathe
