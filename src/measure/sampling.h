// When enough samples have been taken: the rule that worker and tests share. No clock in here; seconds come in as numbers.
//
// The statistic that counts is the 20 % quantile (core/measurement.h), so the rule asks how well that quantile is known: the order
// statistics around rank 0.2 n whose ranks a binomial count would leave with 5 % probability enclose it with 95 % confidence, whatever the
// distribution. Noise on a shared machine adds time in bursts; the upper half of the samples may wander as it likes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace lathe {

struct SamplingOptions {
  double min_sample_seconds = 200e-6;  // a sample repeats the kernel until it is at least this long: the clock is then exact to 0.1 %
  double warmup_seconds = 2e-3;        // at least one run, and runs for so long, before the first sample
  double max_seconds = 0.25;           // the budget of timing one candidate, warm-up included; three samples are taken regardless
  double min_seconds = 0.02;           // samples are spread over so long at least: a burst of somebody else's work may last milliseconds
  double interval = 0.01;              // tight: the confidence interval is within this fraction of the quantile
  double best_seconds = 0;             // of this workload so far; 0: unknown
  double cut_ratio = 2;                // slower than the best by this factor in each of the first cut_after samples: stop
  uint32_t cut_after = 2;              // 0: never cut
  uint32_t min_samples = 5;
  uint32_t max_samples = 150;
  uint32_t reserved = 0;
};

class SamplingPlan {
 public:
  explicit SamplingPlan(const SamplingOptions& options) : options_(options) {}

  // How often one sample runs a kernel that takes `run_seconds`.
  uint32_t Repeats(double run_seconds) const;
  // `seconds`: of one run, averaged over the sample. `elapsed`: since timing began.
  void Add(double seconds, double elapsed);
  bool done() const { return done_; }
  bool cut_early() const { return cut_early_; }
  const std::vector<double>& samples() const { return samples_; }

  // Width of the 95 % interval of the 20 % quantile, as a fraction of it; infinity for fewer than two samples.
  static double RelativeInterval(std::vector<double> samples);

 private:
  SamplingOptions options_;
  std::vector<double> samples_;
  bool done_ = false, cut_early_ = false;
};

}  // namespace lathe
