#include "power/power_rail.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/power/board_tree.h"

namespace lathe {
namespace {

using testing::BoardTree;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::string> Names(const std::vector<PowerRail>& rails) {
  std::vector<std::string> names;
  for (const PowerRail& rail : rails) names.push_back(rail.name());
  return names;
}

std::vector<std::string> BoardNames(const std::vector<PowerRail>& rails) {
  std::vector<std::string> names;
  for (const size_t i : BoardRails(rails)) names.push_back(rails[i].name());
  return names;
}

TEST(PowerRails, OfATx2AreReadInMilliwattsFromJetPack4) {
  BoardTree board;
  board.MakeTx2();
  const std::vector<PowerRail> rails = FindPowerRails(board.root());
  EXPECT_THAT(Names(rails), ElementsAre("VDD_SYS_GPU", "VDD_SYS_SOC", "VDD_4V0_WIFI", "VDD_IN", "VDD_SYS_CPU", "VDD_SYS_DDR"));
  EXPECT_DOUBLE_EQ(*rails[3].Read(), 4.321);
  EXPECT_THAT(BoardNames(rails), ElementsAre("VDD_IN"));
}

TEST(PowerRails, OfAXavierNxAreVoltsTimesAmperes) {
  BoardTree board;
  board.MakeXavierNx();
  const std::vector<PowerRail> rails = FindPowerRails(board.root());
  ASSERT_THAT(Names(rails), ElementsAre("VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"));
  EXPECT_DOUBLE_EQ(*rails[0].Read(), 5.032 * 1.2);
}

TEST(PowerRails, OfAnAgxXavierAddUpBecauseThereIsNoInputRail) {
  BoardTree board;
  board.MakeAgxXavier();
  EXPECT_THAT(BoardNames(FindPowerRails(board.root())), ElementsAre("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"));
}

TEST(PowerRails, OfAnAgxOrinLeaveOutWhatIsNotConnected) {
  BoardTree board;
  board.MakeAgxOrin();
  EXPECT_THAT(Names(FindPowerRails(board.root())), ElementsAre("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0", "VDDQ_VDD2_1V8AO"));
}

TEST(PowerRails, OfAnOrinNanoStartAtItsInput) {
  BoardTree board;
  board.MakeOrinNano();
  EXPECT_THAT(BoardNames(FindPowerRails(board.root())), ElementsAre("VDD_IN"));
}

TEST(PowerRails, OfAServerAreItsPackagesAndMemory) {
  BoardTree board;
  board.MakeServer();
  const std::vector<PowerRail> rails = FindPowerRails(board.root());
  EXPECT_THAT(BoardNames(rails), ElementsAre("package-0", "dram"));
  EXPECT_EQ(rails[0].kind(), PowerRail::Kind::kCounter);
  EXPECT_DOUBLE_EQ(rails[0].counter_range(), 262143.32885);
}

TEST(PowerRails, OfOtherChipsAreFoundUnderHwmon) {
  BoardTree board;
  board.Write("sys/class/hwmon/hwmon0/name", "ina238");
  board.Write("sys/class/hwmon/hwmon0/power1_input", "23500000");
  board.Write("sys/class/hwmon/hwmon1/name", "acpi_meter");
  board.Write("sys/class/hwmon/hwmon1/power1_average", "80000000");
  board.Write("sys/class/hwmon/hwmon1/power1_label", "VIN");
  const std::vector<PowerRail> rails = FindPowerRails(board.root());
  ASSERT_THAT(Names(rails), ElementsAre("ina238.power1", "VIN"));
  EXPECT_DOUBLE_EQ(*rails[0].Read(), 23.5);
  EXPECT_THAT(BoardNames(rails), ElementsAre("VIN"));
}

TEST(PowerRails, OfAnAtlasHostAreNone) {
  BoardTree board;
  board.MakeAtlasHost();
  EXPECT_THAT(FindPowerRails(board.root()), IsEmpty());
  EXPECT_THAT(BoardRails({}), IsEmpty());
}

TEST(PowerRails, ThatDoNotAnswerAreLeftOut) {
  BoardTree board;
  board.AddIioRail("0-0041", 1, 0, "VDD_IN", 4000);
  board.Write("sys/bus/i2c/devices/0-0041/iio:device1/rail_name_1", "VDD_SYS_CPU");
  board.Write("sys/bus/i2c/devices/0-0041/iio:device1/in_power1_input", "");
  board.Write("sys/bus/i2c/devices/0-0041/iio:device1/rail_name_2", "VDD_SYS_DDR");
  EXPECT_THAT(Names(FindPowerRails(board.root())), ElementsAre("VDD_IN"));
}

TEST(PowerRails, FollowTheirFiles) {
  BoardTree board;
  board.MakeOrinNano();
  const std::vector<PowerRail> rails = FindPowerRails(board.root());
  std::ofstream(board.root() / "sys/bus/i2c/devices/1-0040/hwmon/hwmon1/curr1_input") << "3000\n";  // the same file, as sysfs is
  EXPECT_DOUBLE_EQ(*rails[0].Read(), 15.0);
}

}  // namespace
}  // namespace lathe
