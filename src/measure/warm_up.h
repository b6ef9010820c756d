// When a kernel has warmed up: the rule that worker and replay share. No clock in here; seconds come in as numbers.
//
// After its first run it is run for some time, once at least, and further while runs still get much faster: on some GPUs the first
// launches take four times as long, for what the driver does at first and for clocks that rise.
#pragma once

#include <algorithm>
#include <limits>

namespace lathe {

class WarmUp {
 public:
  WarmUp(double first_run_seconds, double least_seconds) : least_seconds_(least_seconds), last_(first_run_seconds) {}

  // `elapsed`: since the first run.
  void Add(double run_seconds, double elapsed) {
    constexpr double kMuch = 0.8;
    constexpr int kMostRuns = 8;  // after so many, getting faster is no reason to go on
    fastest_ = std::min(fastest_, run_seconds);
    const bool faster = ++runs_ < kMostRuns && run_seconds < kMuch * last_;
    last_ = run_seconds;
    done_ = elapsed + fastest_ >= least_seconds_ && !faster;
  }
  bool done() const { return done_; }
  double fastest() const { return fastest_; }

 private:
  double least_seconds_, last_, fastest_ = std::numeric_limits<double>::infinity();
  int runs_ = 0;
  bool done_ = false;
};

}  // namespace lathe
