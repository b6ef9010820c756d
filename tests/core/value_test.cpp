#include "core/value.h"

#include <gtest/gtest.h>

#include "core/candidate.h"
#include "core/workload.h"

namespace lathe {
namespace {

TEST(Value, ReadsBackWhatItPrints) {
  for (const Value& value : {Value(int64_t{-3}), Value(0.1), Value(2.0), Value(1e-30), Value(std::string("relu"))})
    EXPECT_EQ(ParseValue(ToString(value)), value) << ToString(value);
}

TEST(Workload, KeyDoesNotDependOnTheOrderOfAttributes) {
  const Workload a{"conv2d", {{"h", int64_t{3}}, {"c", int64_t{4}}}};
  const Workload b{"conv2d", {{"c", int64_t{4}}, {"h", int64_t{3}}}};
  EXPECT_EQ(a.Key(), b.Key());
  EXPECT_EQ(a.Key(), "conv2d:c=4,h=3");
}

TEST(Workload, ReadsBackItsKey) {
  Result<Workload> workload = ParseWorkload("nms:boxes=100,threshold=0.5,layout=xyxy");
  ASSERT_TRUE(workload);
  EXPECT_EQ(ParseWorkload(workload->Key())->Key(), workload->Key());
  EXPECT_EQ(ParseWorkload("nms boxes=100,threshold=0.5,layout=xyxy")->Key(), workload->Key()) << "as tables print it";
}

TEST(Workload, RefusesTextWithoutOperatorOrValue) {
  EXPECT_FALSE(ParseWorkload("h=3"));
  EXPECT_FALSE(ParseWorkload("conv2d:h"));
  EXPECT_FALSE(ParseWorkload(""));
}

}  // namespace
}  // namespace lathe
