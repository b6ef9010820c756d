// winner_confidence: how often the tuner names the right winner when measurements wander, and what that costs in samples.
//
//     winner_confidence [--replays N] [--trials N] [--statistic mean|quantile] SPACE.json…
//
// Each replay searches a recorded space that has raw samples beside it, in the order they were taken. "Right" is within 1 % of the truly
// best of the configurations that this replay measured, the truth being the statistic over all recorded launches but those before a kernel
// is warm, which are no samples to the tuner; "cold too": over these as well. Two policies search with the same strategy and seed: the
// tuner's own (warm-up, few samples each, then a race), and the usual one (the first seven launches, the best wins). Every launch counts
// as a sample of the cost.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <numeric>

#include "search/driver.h"
#include "search/noisy_measurer.h"
#include "search/recorded_space.h"

namespace lathe {
namespace {

class Notes : public Journal {
 public:
  Status BeginRun(const RunInfo&) override { return {}; }
  Status Record(const std::string&, const std::vector<Measurement>& measurements) override {
    for (const Measurement& measurement : measurements) configs.push_back(measurement.candidate.config);
    return {};
  }
  Result<std::vector<Measurement>> History(const Workload&, const std::string&, const std::string&, const Target&) override {
    return std::vector<Measurement>{};
  }
  Status EndRun(const std::string&, const std::string&) override { return {}; }
  std::vector<Config> configs;
};

double Mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

struct Tally {
  size_t replays = 0, right = 0, right_of_all = 0, claimed = 0, claimed_right = 0;
  double samples = 0, loss = 0, ties = 0;
};

struct Settings {
  size_t replays = 40, trials = 150, in_order = NoisyOptions().in_order;
  bool mean = true;
};

Status RunReplays(const RecordedSpace& space, const Settings& settings, bool race, Tally* tally) {
  const auto statistic = [&](const std::vector<double>& samples) { return settings.mean ? Mean(samples) : LowQuantile(samples); };
  // Of all launches that a measurement may report, or of those before, too.
  const auto truth = [&](const Config& config, bool warm) {
    const RecordedResult* result = space.Find(*space.space().PointOf(config));
    if (result == nullptr || result->samples.empty()) return std::numeric_limits<double>::infinity();
    std::vector<double> launches(result->samples.begin(), result->samples.end());
    if (warm) launches.erase(launches.begin(), launches.begin() + static_cast<std::ptrdiff_t>(LaunchesUntilWarm(launches)));
    return statistic(launches);
  };
  // How much slower the chosen one truly is than the best that was measured.
  const auto loss = [&](const Notes& notes, const TaskReport& task, bool warm) {
    double best = std::numeric_limits<double>::infinity();
    for (const Config& config : notes.configs) best = std::min(best, truth(config, warm));
    return (task.best ? truth(task.best->config, warm) : std::numeric_limits<double>::infinity()) / best - 1;
  };
  for (size_t replay = 0; replay < settings.replays; ++replay) {
    NoisyOptions noisy;
    noisy.seed = replay + 1;
    noisy.in_order = settings.in_order;
    if (!race) noisy.samples = 7, noisy.cut_after = 0, noisy.warm_up = false;
    NoisyMeasurer measurer(space, 4, noisy);
    Result<Space> opened = Space::Create(space.definition());
    if (!opened) return opened.error();
    std::vector<TuneTask> tasks(1);
    tasks[0].workload = {"recorded", {{"space", Value(space.id())}}};
    tasks[0].templates.resize(1);
    tasks[0].templates[0].name = space.id();
    tasks[0].templates[0].space = std::make_unique<Space>(*std::move(opened));
    TuneOptions tune;
    tune.search.seed = replay + 1;
    tune.search.trials = settings.trials;
    tune.search.untuned_first = false;
    tune.search.objective.statistic = statistic;
    if (!race) tune.search.finalists = 0, tune.search.tie = 0;
    Notes notes;
    Result<TuneReport> report = Tune(tasks, measurer, notes, tune);
    if (!report) return report.error();
    const TaskReport& task = report->tasks[0];
    const double warm_loss = loss(notes, task, true);
    const bool right = warm_loss <= 0.01;
    ++tally->replays;
    tally->right += right ? 1 : 0;
    tally->right_of_all += loss(notes, task, false) <= 0.01 ? 1 : 0;
    tally->samples += static_cast<double>(measurer.launches());
    tally->loss += warm_loss;
    tally->ties += static_cast<double>(task.ties);
    if (task.confidence && *task.confidence >= 0.95) {
      ++tally->claimed;
      tally->claimed_right += right ? 1 : 0;
    }
  }
  return {};
}

int Run(int argc, char** argv) {
  CLI::App app("How often the tuner names the right winner when measurements wander");
  Settings settings;
  std::vector<std::string> paths;
  std::string statistic = "mean";
  app.add_option("space", paths, "NAME.json with NAME.csv.gz and NAME.samples.csv.gz beside it")->required();
  app.add_option("--replays", settings.replays)->capture_default_str();
  app.add_option("--trials", settings.trials)->capture_default_str();
  app.add_option("--in-order", settings.in_order, "First launches of a record that stay first")->capture_default_str();
  app.add_option("--statistic", statistic)->check(CLI::IsMember({"mean", "quantile"}))->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  settings.mean = statistic == "mean";
  fmt::print("{} replays each, {} trials, {} of the samples\n{:<24} {:<8} {:>10} {:>10} {:>10} {:>10} {:>8} {:>16}\n", settings.replays,
             settings.trials, statistic, "space", "policy", "within 1%", "cold too", "mean loss", "samples", "ties", "claimed / right");
  for (const std::string& path : paths) {
    Result<RecordedSpace> space = RecordedSpace::Load(path);
    Status loaded = space ? space->LoadSamples() : Status(space.error());
    double fixed_samples = 0;
    for (const bool race : {false, true}) {
      Tally tally;
      if (loaded) loaded = RunReplays(*space, settings, race, &tally);
      if (!loaded) {
        fmt::print(stderr, "winner_confidence: {}\n", loaded.error().message);
        return 1;
      }
      const auto count = static_cast<double>(tally.replays);
      if (!race) fixed_samples = tally.samples;
      fmt::print("{:<24} {:<8} {:>9.1f}% {:>9.1f}% {:>9.2f}% {:>9.2f}x {:>8.1f} {:>7} / {:<6}\n", space->id(), race ? "race" : "fixed 7",
                 100 * static_cast<double>(tally.right) / count, 100 * static_cast<double>(tally.right_of_all) / count,
                 100 * tally.loss / count, tally.samples / fixed_samples, tally.ties / count, tally.claimed, tally.claimed_right);
    }
  }
  return 0;
}

}  // namespace
}  // namespace lathe

int main(int argc, char** argv) { return lathe::Run(argc, argv); }
