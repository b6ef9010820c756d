#include "power/energy_meter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/power/board_tree.h"

namespace lathe {
namespace {

using testing::BoardTree;

TEST(RailIntegral, IsTheAreaUnderWatts) {
  RailIntegral integral(PowerRail::Kind::kWatts, 0);
  integral.Add(10.0, 2.0);
  integral.Add(11.0, 4.0);
  integral.Add(11.5, 4.0);
  EXPECT_DOUBLE_EQ(integral.joules(), 3.0 + 2.0);
  EXPECT_DOUBLE_EQ(integral.seconds(), 1.5);
}

TEST(RailIntegral, BridgesAReadingThatIsMissing) {
  RailIntegral integral(PowerRail::Kind::kWatts, 0);
  integral.Add(0, 2.0);
  integral.Add(1, std::nullopt);
  integral.Add(2, 2.0);
  EXPECT_DOUBLE_EQ(integral.joules(), 4.0);
  EXPECT_EQ(integral.samples(), 2);
}

TEST(RailIntegral, FollowsACounterAcrossItsWrap) {
  RailIntegral integral(PowerRail::Kind::kCounter, 100);
  integral.Add(0, 95.0);
  integral.Add(1, 99.0);
  integral.Add(2, 3.0);
  EXPECT_DOUBLE_EQ(integral.joules(), 8.0);
}

TEST(EnergyMeter, IsNotToBeHadWithoutRails) {
  BoardTree board;
  board.MakeAtlasHost();
  EXPECT_FALSE(EnergyMeter::Create(FindPowerRails(board.root())));
}

TEST(EnergyMeter, AddsUpTheBoardsRailsWhileWorkRuns) {
  BoardTree board;
  board.MakeAgxXavier();  // 19 V and 0.4 A over all rails
  std::optional<EnergyMeter> meter = EnergyMeter::Create(FindPowerRails(board.root()), std::chrono::microseconds(500));
  ASSERT_TRUE(meter);
  const EnergyReading reading = meter->Measure([] { std::this_thread::sleep_for(std::chrono::milliseconds(60)); });
  EXPECT_NEAR(reading.Watts(), 7.6, 1e-3);
  EXPECT_GE(reading.seconds, 0.055);
  EXPECT_GE(reading.samples, 2);
  EXPECT_THAT(reading.rails, ::testing::Contains("ina3221 SYS5V"));
  EXPECT_EQ(reading.rails.size(), 6u);
}

TEST(JoulesPerRun, IsWhatTheWorkCostBeyondIdling) {
  EnergyReading reading;
  reading.joules = 10, reading.seconds = 2, reading.samples = 100;
  EXPECT_DOUBLE_EQ(*JoulesPerRun(reading, 3.0, 8), 0.5);
}

TEST(JoulesPerRun, IsUnknownWhereTheSensorSaysTooLittle) {
  EnergyReading reading;
  reading.joules = 10, reading.seconds = 2, reading.samples = 3;
  EXPECT_FALSE(JoulesPerRun(reading, 3.0, 8)) << "three samples";
  reading.samples = 100;
  EXPECT_FALSE(JoulesPerRun(reading, 6.0, 8)) << "idling drew more";
  EXPECT_FALSE(JoulesPerRun(reading, 3.0, 0)) << "no run";
}

}  // namespace
}  // namespace lathe
