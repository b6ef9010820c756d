#include "measure/conditions.h"

#include <gtest/gtest.h>

#include "tests/power/board_tree.h"

namespace lathe {
namespace {

using testing::BoardTree;

TEST(Conditions, OfATx2LeaveOutTheZoneThatAlwaysSaysAHundred) {
  BoardTree board;
  board.MakeTx2();
  const Conditions now = ConditionReader({0}, board.root()).Read();
  EXPECT_DOUBLE_EQ(now.temperature_c, 41.5);
  EXPECT_DOUBLE_EQ(now.gpu_mhz, 1122);
  EXPECT_EQ(now.power_mode, "0000");
}

TEST(Conditions, OfAnOrinCountOverCurrentEventsAndSkipEnginesThatAreOff) {
  BoardTree board;
  board.MakeAgxOrin();
  const ConditionReader reader({0}, board.root());
  const Conditions before = reader.Read();
  EXPECT_DOUBLE_EQ(before.temperature_c, 52.25);
  EXPECT_DOUBLE_EQ(before.throttle_count, 7);
  board.Write("sys/class/hwmon/hwmon1/oc3_event_cnt", "9");
  std::map<std::string, std::string> described;
  Describe(before, reader.Read(), described);
  EXPECT_EQ(described["throttled"], "2");
  EXPECT_EQ(described["power_mode"], "0002");
}

TEST(Conditions, OfAnAtlasHostAreClockGovernorAndTemperature) {
  BoardTree board;
  board.MakeAtlasHost();
  const Conditions now = ConditionReader({0}, board.root()).Read();
  EXPECT_DOUBLE_EQ(now.mhz, 1600);
  EXPECT_EQ(now.governor, "ondemand");
  EXPECT_DOUBLE_EQ(now.temperature_c, 63);
  EXPECT_EQ(now.gpu_mhz, -1);
  EXPECT_EQ(now.power_mode, "");
}

}  // namespace
}  // namespace lathe
