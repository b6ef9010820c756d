#include "measure/worker/measuring.h"

#include <sys/resource.h>
#include <time.h>

#include <algorithm>

#include "measure/sampling.h"
#include "measure/warm_up.h"
#include "measure/worker/sandbox.h"

namespace lathe::worker {
namespace {

// What outputs hold before the first and before the last run: an element that the kernel forgets can equal the expected one in at most one
// of them.
constexpr unsigned char kFirstPoison = 0xA5, kLastPoison = 0x5B;
// A kernel this slow that was cut early is not run once more to be verified; what the last sample left is.
constexpr double kSlowRun = 0.05;

double Now() {
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double TimeRuns(Runner& runner, uint32_t repeats) {
  const double begin = Now();
  double device = 0;
  bool device_knows = true;
  for (uint32_t i = 0; i < repeats; ++i) {
    runner.Run();
    device += runner.DeviceSeconds();
    device_knows &= runner.DeviceSeconds() > 0;
  }
  return (device_knows ? device : Now() - begin) / repeats;
}

// One run's time once caches, clocks and branch predictors have settled.
double RunUntilWarm(Runner& runner, double first_run_seconds, double least_seconds, bool cold) {
  WarmUp warm_up(first_run_seconds, least_seconds);
  for (const double begin = Now(); !warm_up.done();) {
    if (cold) runner.Flush();
    const double seconds = TimeRuns(runner, 1);
    warm_up.Add(seconds, Now() - begin);
  }
  return warm_up.fastest();
}

// So slow already in its first run that cold caches cannot be the reason: one sample says enough.
bool IsHopeless(const SamplingOptions& options, double first_run_seconds) {
  constexpr double kBeyondColdCaches = 0.02, kMargin = 4;
  return options.cut_after > 0 && options.best_seconds > 0 && first_run_seconds > kBeyondColdCaches &&
         first_run_seconds > kMargin * options.cut_ratio * options.best_seconds;
}

void TakeSamples(const Job& job, Runner& runner, ResultFile& results) {
  ResultHeader& header = results.header();
  const bool cold = (job.flags & kColdCache) != 0;
  SamplingOptions options = job.sampling;
  const bool hopeless = IsHopeless(options, header.first_run_seconds);
  if (hopeless) options.cut_after = 1;
  SamplingPlan plan(options);
  rusage before = {}, after = {};
  const double begin = Now();
  const double run_seconds =
      hopeless ? header.first_run_seconds : RunUntilWarm(runner, header.first_run_seconds, options.warmup_seconds, cold);
  header.repeats = cold ? 1 : plan.Repeats(run_seconds);
  header.gpu_before = runner.Conditions();
  ::getrusage(RUSAGE_SELF, &before);
  while (!plan.done()) {
    if (cold) runner.Flush();
    const double seconds = TimeRuns(runner, header.repeats);
    plan.Add(seconds, Now() - begin);
  }
  ::getrusage(RUSAGE_SELF, &after);
  header.gpu_after = runner.Conditions();
  header.voluntary_switches = static_cast<uint64_t>(after.ru_nvcsw - before.ru_nvcsw);
  header.involuntary_switches = static_cast<uint64_t>(after.ru_nivcsw - before.ru_nivcsw);
  header.timed_seconds = Now() - begin;
  header.cut_early = plan.cut_early() ? 1 : 0;
  header.samples = static_cast<uint32_t>(std::min<size_t>(plan.samples().size(), job.sampling.max_samples));
  results.Write(plan.samples().data(), header.samples * sizeof(double), job.samples_offset);
}

// Runs back to back, with nothing of ours in between but a look at the clock now and then.
void RunForEnergy(const Job& job, Runner& runner, ResultHeader& header) {
  constexpr double kBetweenLooks = 1e-3;
  const double run_seconds = std::max(header.first_run_seconds, 1e-9);
  const auto batch = static_cast<uint64_t>(std::max(1.0, kBetweenLooks / run_seconds));
  header.energy_begin = header.energy_end = Now();
  while (header.energy_end - header.energy_begin < job.energy_seconds) {
    for (uint64_t i = 0; i < batch; ++i) runner.Run();
    header.energy_runs += batch;
    header.energy_end = Now();
  }
}

}  // namespace

void Measure(const Job& job, Runner& runner, ResultFile& results) {
  ResultHeader& header = results.header();
  runner.Allocate();
  Confine(job, results);

  results.Reach(Stage::kLoading);
  double begin = Now();
  runner.Load();
  header.load_seconds = Now() - begin;
  if ((job.flags & kMakeInputs) != 0) runner.MakeInputs();
  results.Reach(Stage::kPreparing);
  begin = Now();
  runner.Prepare();
  header.prepare_seconds = Now() - begin;

  results.Reach(Stage::kFirstRun);
  runner.Poison(kFirstPoison);
  begin = Now();
  runner.Run();
  header.first_run_seconds = Now() - begin;
  runner.Collect(0);
  if ((job.flags & kRunOnce) != 0) results.End(Outcome::kDone, "%s", "");

  if ((job.flags & kVerifyOnly) == 0) {
    results.Reach(Stage::kTiming);
    TakeSamples(job, runner, results);
    if (job.energy_seconds > 0 && header.cut_early == 0) RunForEnergy(job, runner, header);
  }
  results.Reach(Stage::kLastRun);
  if (header.cut_early == 0 || header.first_run_seconds < kSlowRun) {
    runner.Poison(kLastPoison);
    runner.Run();
  }
  runner.Collect(1);
  results.End(Outcome::kDone, "%s", "");
}

}  // namespace lathe::worker
