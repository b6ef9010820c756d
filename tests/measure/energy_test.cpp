// Joules through a real worker, on a board made of files.
#include <fstream>

#include "fault_fixture.h"
#include "tests/power/board_tree.h"

namespace lathe {
namespace {

using ::testing::HasSubstr;
using Energy = WorkshopOptions::Energy;

class Board {
 public:
  Board() { tree_.AddIioRail("0-0041", 1, 0, "VDD_IN", 4000); }
  // In place, as a sensor changes its file.
  void Draw(int milliwatts) {
    std::ofstream(tree_.root() / "sys/bus/i2c/devices/0-0041/iio:device1/in_power0_input") << milliwatts << "\n";
  }
  WorkshopOptions Options(Energy energy) const {
    WorkshopOptions options = TestOptions();
    options.sysfs_root = tree_.root();
    options.energy = energy;
    options.energy_seconds = 0.6;  // ten looks at the rail even on a busy machine
    return options;
  }

 private:
  testing::BoardTree tree_;
};

TEST(Energy, OfARunIsWhatTheBoardDrawsBeyondIdling) {
  Board board;
  const std::unique_ptr<Workshop> shop = MakeShop(board.Options(Energy::kFinalists));
  board.Draw(9000);
  const Measurement measured = shop->Measure({.ticket = 1, .candidate = FaultCandidate("ok"), .finalist = true});
  ASSERT_EQ(measured.status, MeasureStatus::kOk) << measured.message;
  ASSERT_TRUE(measured.joules) << measured.conditions.at("power_samples") << " samples";
  // 9 W while it ran, 4 W before: 5 W over the time of a run. On a busy machine the stretch is slower than the samples.
  EXPECT_GT(*measured.joules, 5 * 0.5 * Seconds(measured));
  EXPECT_LT(*measured.joules, 5 * 1000 * Seconds(measured));
  EXPECT_THAT(measured.conditions.at("power_rails"), HasSubstr("VDD_IN"));
  EXPECT_EQ(measured.conditions.at("watts"), "9.000");
  EXPECT_EQ(measured.conditions.at("idle_watts"), "4.000");
}

TEST(Energy, IsMeasuredOfFinalistsOnlyUnlessItIsTheObjective) {
  Board board;
  const std::unique_ptr<Workshop> shop = MakeShop(board.Options(Energy::kFinalists));
  board.Draw(9000);
  EXPECT_FALSE(shop->Measure({.ticket = 1, .candidate = FaultCandidate("ok")}).joules);
  Board other;
  const std::unique_ptr<Workshop> always = MakeShop(other.Options(Energy::kAlways));
  other.Draw(9000);
  const Measurement measured = always->Measure({.ticket = 1, .candidate = FaultCandidate("ok")});
  EXPECT_TRUE(measured.joules) << measured.message << ToString(measured.status) << measured.conditions.count("power_samples");
}

TEST(Energy, IsNotInventedWhenTheBoardDrawsNoMoreThanIdle) {
  Board board;
  const std::unique_ptr<Workshop> shop = MakeShop(board.Options(Energy::kAlways));
  const Measurement measured = shop->Measure({.ticket = 1, .candidate = FaultCandidate("ok")});
  ASSERT_EQ(measured.status, MeasureStatus::kOk) << measured.message;
  EXPECT_FALSE(measured.joules);
}

TEST(Energy, CannotBeAskedOfAMachineWithoutRails) {
  testing::BoardTree bare;
  bare.MakeAtlasHost();
  WorkshopOptions options = TestOptions();
  options.sysfs_root = bare.root();
  options.energy = Energy::kFinalists;
  const Result<std::unique_ptr<Workshop>> shop = Workshop::Create(&FaultTemplates(), options);
  ASSERT_FALSE(shop);
  EXPECT_THAT(shop.error().message, HasSubstr("no power rail"));
}

}  // namespace
}  // namespace lathe
