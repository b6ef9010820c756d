#include "rpc/client/calibration.h"

#include <algorithm>
#include <cmath>

namespace lathe {

Calibration::Verdict Calibration::Add(double seconds) {
  best_ = readings_ == 0 ? seconds : std::min(best_, seconds);
  ++readings_;
  last_ = best_;
  if (baseline_ <= 0 && readings_ < kReadings) return Verdict::kAgain;  // the first level is worth three readings
  const bool slow = baseline_ > 0 && best_ > baseline_ * (1 + tolerance_);
  if (slow && readings_ < kReadings) return Verdict::kAgain;
  readings_ = 0;
  if (!std::isfinite(best_)) {
    drifted_ = 0;
    return Verdict::kDrifted;
  }
  if (!slow) {
    baseline_ = baseline_ > 0 ? std::min(baseline_, best_) : best_;
    drifted_ = 0;
    return Verdict::kSteady;
  }
  const bool settled = drifted_ > 0 && std::fabs(best_ / drifted_ - 1) <= tolerance_;
  drifted_ = settled ? 0 : best_;
  if (settled) baseline_ = best_;
  return settled ? Verdict::kSettled : Verdict::kDrifted;
}

}  // namespace lathe
