#include "tools/lathe/table.h"

#include <gtest/gtest.h>

#include <limits>

namespace lathe {
namespace {

TEST(Table, SetsNumbersRightAndTextLeft) {
  Table table({"n", "name"});
  table.Add({"7", "a"});
  table.Add({"128", "bb"});
  EXPECT_EQ(table.Text(), "  n  name\n  7  a\n128  bb\n");
}

TEST(Table, CountsCharactersNotBytes) {
  Table table({"t", "x"});
  table.Add({"1.00 µs", "a"});
  table.Add({"10.0 ms", "b"});
  EXPECT_EQ(table.Text(), "      t  x\n1.00 µs  a\n10.0 ms  b\n");
}

TEST(Format, KeepsThreeDigitsInTheRightUnit) {
  EXPECT_EQ(FormatSeconds(1.234e-3), "1.23 ms");
  EXPECT_EQ(FormatSeconds(999.4e-6), "999 µs");
  EXPECT_EQ(FormatSeconds(0.9999), "1.00 s");
  EXPECT_EQ(FormatSeconds(std::numeric_limits<double>::infinity()), "-");
  EXPECT_EQ(FormatQuantity(5.2e-3, "J"), "5.20 mJ");
  EXPECT_TRUE(AddsUp("J"));
  EXPECT_FALSE(AddsUp("Js")) << "products";
  EXPECT_EQ(FormatRate(110.5e9, "FLOP"), "110 GFLOP/s");
  EXPECT_EQ(FormatRate(0, "B"), "-");
  EXPECT_EQ(FormatSpan(190), "3m10s");
  EXPECT_EQ(FormatSpan(3725), "1h02m");
}

}  // namespace
}  // namespace lathe
