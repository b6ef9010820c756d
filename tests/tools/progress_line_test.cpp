#include "tools/lathe/progress_line.h"

#include <gtest/gtest.h>

#include <limits>

namespace lathe {
namespace {

TuneProgress Halfway() {
  TuneProgress progress;
  progress.per_second = 2;
  progress.eta_seconds = 75;
  progress.tasks = {{"a", 10, 10, 1, 1e-3, 2e-3, 0, false, true}, {"b", 5, 20, 1, 4e-5, 4e-5, 0, false, false}};
  return progress;
}

TEST(ProgressLine, SaysTheTimeLeftWhereANarrowTerminalDoesNotCutItOff) {
  const std::string text = ProgressLine::Text(Halfway());
  EXPECT_EQ(text.rfind("15/30 trials, 1m15s to go, 1/2 tasks done", 0), 0U) << text;
  EXPECT_NE(text.find("best 40.0 µs"), std::string::npos) << text;
  EXPECT_NE(text.find("2.0 measurements/s"), std::string::npos) << "a rate names what it counts: " << text;
}

TEST(ProgressLine, SaysWhyItGoesOnWhenEveryTrialIsSpent) {
  TuneProgress progress = Halfway();
  EXPECT_EQ(ProgressLine::Text(progress).find("again"), std::string::npos);
  progress.tasks[1].in_finals = true;
  EXPECT_NE(ProgressLine::Text(progress).find("measuring the fastest again"), std::string::npos);
}

}  // namespace
}  // namespace lathe
