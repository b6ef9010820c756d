#include "power/energy_meter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/power/board_tree.h"

namespace lathe {
namespace {

using testing::BoardTree;

TEST(RailTrace, IsTheAreaUnderWatts) {
  RailTrace trace(PowerRail::Kind::kWatts, 0);
  trace.Add(10.0, 2.0);
  trace.Add(11.0, 4.0);
  trace.Add(11.5, 4.0);
  EXPECT_DOUBLE_EQ(*trace.JoulesBetween(10.0, 11.5), 3.0 + 2.0);
}

TEST(RailTrace, GivesAStretchBetweenReadings) {
  RailTrace trace(PowerRail::Kind::kWatts, 0);
  trace.Add(0, 2.0);
  trace.Add(2, 4.0);
  EXPECT_DOUBLE_EQ(*trace.JoulesBetween(0.5, 1.5), 3.0);  // 2.5 W at its begin, 3.5 W at its end
  RailTrace counter(PowerRail::Kind::kCounter, 1000);
  counter.Add(0, 100.0);
  counter.Add(2, 110.0);
  EXPECT_DOUBLE_EQ(*counter.JoulesBetween(0.5, 1.5), 5.0);
}

TEST(RailTrace, SaysNothingOfWhatItDoesNotCover) {
  RailTrace trace(PowerRail::Kind::kWatts, 0);
  EXPECT_FALSE(trace.JoulesBetween(0, 1));
  trace.Add(0, 2.0);
  trace.Add(1, 2.0);
  EXPECT_FALSE(trace.JoulesBetween(0, 1.1));
  EXPECT_FALSE(trace.JoulesBetween(-0.1, 1));
  EXPECT_TRUE(trace.JoulesBetween(0, 1));
}

TEST(RailTrace, BridgesAReadingThatIsMissing) {
  RailTrace trace(PowerRail::Kind::kWatts, 0);
  trace.Add(0, 2.0);
  trace.Add(1, std::nullopt);
  trace.Add(2, 2.0);
  EXPECT_DOUBLE_EQ(*trace.JoulesBetween(0, 2), 4.0);
  EXPECT_EQ(trace.SamplesBetween(0, 2), 2);
}

TEST(RailTrace, FollowsACounterAcrossItsWrap) {
  RailTrace trace(PowerRail::Kind::kCounter, 100);
  trace.Add(0, 95.0);
  trace.Add(1, 99.0);
  trace.Add(2, 3.0);
  EXPECT_DOUBLE_EQ(*trace.JoulesBetween(0, 2), 8.0);
}

TEST(EnergyMeter, IsNotToBeHadWithoutRails) {
  BoardTree board;
  board.MakeAtlasHost();
  EXPECT_FALSE(EnergyMeter::Create(FindPowerRails(board.root())));
}

TEST(EnergyMeter, AddsUpTheBoardsRails) {
  BoardTree board;
  board.MakeAgxXavier();  // 19 V and 0.4 A over all rails
  std::optional<EnergyMeter> meter = EnergyMeter::Create(FindPowerRails(board.root()), std::chrono::microseconds(500));
  ASSERT_TRUE(meter);
  const std::optional<EnergyReading> reading = meter->Idle(std::chrono::milliseconds(60));
  ASSERT_TRUE(reading);
  EXPECT_NEAR(reading->Watts(), 7.6, 1e-6);
  EXPECT_GE(reading->seconds, 0.055);
  EXPECT_THAT(reading->rails, ::testing::Contains("ina3221 SYS5V"));
  EXPECT_EQ(reading->rails.size(), 6u);
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
