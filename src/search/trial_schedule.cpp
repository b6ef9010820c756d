#include "search/trial_schedule.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace lathe {
namespace {

constexpr size_t kFirstTrials = 2;

double Time(const TaskState& task) { return std::isfinite(task.best) ? task.weight * task.best : std::numeric_limits<double>::infinity(); }

double Promise(const TaskState& task) {
  // A task in which nothing worked yet has all to gain, but may be hopeless: its trials so far are held against it.
  const double gain = std::isfinite(task.gain) && std::isfinite(task.best) ? task.gain * Time(task) : 0;
  return gain / (task.seconds_per_trial * static_cast<double>(1 + task.in_flight));
}

}  // namespace

TrialSchedule::TrialSchedule(size_t tasks, size_t trials_each)
    : tasks_(tasks),
      trials_each_(trials_each),
      floor_(tasks == 1 ? trials_each : std::min(trials_each, std::max<size_t>(8, trials_each / 5))),
      most_each_(tasks == 1 ? trials_each : 4 * trials_each) {}

std::optional<size_t> TrialSchedule::Turn(const std::vector<TaskState>& tasks) const {
  std::optional<size_t> turn;
  const auto choose = [&](const auto& eligible, const auto& better) {
    for (size_t i = 0; i < tasks.size(); ++i) {
      if (tasks[i].open && eligible(tasks[i]) && (!turn || better(tasks[i], tasks[*turn]))) turn = i;
    }
    return turn.has_value();
  };
  const size_t first = std::min(kFirstTrials, floor_);
  if (choose([&](const TaskState& task) { return task.trials < first; },
             [](const TaskState& a, const TaskState& b) { return a.trials < b.trials; }))
    return turn;
  if (choose([&](const TaskState& task) { return task.trials < floor_; },
             [](const TaskState& a, const TaskState& b) {
               // Who has begun its floor ends it first.
               const bool begun_a = a.trials > kFirstTrials, begun_b = b.trials > kFirstTrials;
               return begun_a != begun_b ? begun_a : Time(a) > Time(b);
             }))
    return turn;
  choose([](const TaskState&) { return true; },
         [](const TaskState& a, const TaskState& b) {
           const double of_a = Promise(a), of_b = Promise(b);
           return of_a != of_b ? of_a > of_b : a.trials < b.trials;
         });
  return turn;
}

double TrialSchedule::GainPerSecond(const std::vector<TaskState>& tasks) const {
  double network = 0, best = 0;
  for (const TaskState& task : tasks) {
    if (task.open && (task.trials < floor_ || !std::isfinite(task.best))) return std::numeric_limits<double>::infinity();
    if (!std::isfinite(task.best)) continue;
    network += Time(task);
    if (task.open) best = std::max(best, task.gain * Time(task) / task.seconds_per_trial);
  }
  return network > 0 ? best / network : 0;
}

}  // namespace lathe
