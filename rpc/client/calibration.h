// Calibration: whether a board is still as fast as it was, by a calibration kernel measured between its candidates.
//
// Samples count when that took the same time before and after them. Noise of other programs only adds time, so a slow reading is
// repeated twice before it is believed. A board that is slow and stays equally slow has settled (a lower power mode, a warm case) and goes
// on from there: its samples are then too slow at worst, and make no false winner.
#pragma once

#include <cstddef>

namespace lathe {

class Calibration {
 public:
  explicit Calibration(double tolerance) : tolerance_(tolerance) {}

  enum class Verdict {
    kSteady,   // what was measured since the last steady reading counts
    kAgain,    // measure the kernel once more
    kDrifted,  // what was measured since then is tainted; give the board a rest, then measure the kernel again
    kSettled,  // at another speed; what was measured since the last steady reading is tainted, what follows counts
  };
  // Seconds of the kernel; infinity when it failed.
  Verdict Add(double seconds);
  bool known() const { return baseline_ > 0; }
  double baseline() const { return baseline_; }
  double ratio() const { return baseline_ > 0 ? last_ / baseline_ : 1; }  // the last reading over the baseline

 private:
  static constexpr size_t kReadings = 3;
  double tolerance_;
  double baseline_ = 0, last_ = 0, best_ = 0, drifted_ = 0;
  size_t readings_ = 0;
};

}  // namespace lathe
