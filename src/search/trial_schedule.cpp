#include "search/trial_schedule.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace lathe {
namespace {

constexpr size_t kLeastFloor = 8;

double Time(const TaskState& task) { return std::isfinite(task.best) ? task.weight * task.best : std::numeric_limits<double>::infinity(); }

double Promise(const TaskState& task) {
  // A task in which nothing worked yet has all to gain, but may be hopeless: its trials so far are held against it.
  const double gain = std::isfinite(task.gain) && std::isfinite(task.best) ? task.gain * Time(task) : 0;
  return gain / (task.seconds_per_trial * static_cast<double>(1 + task.in_flight));
}

}  // namespace

TrialSchedule::TrialSchedule(size_t tasks, size_t trials_each, Limit limit)
    : tasks_(tasks),
      trials_each_(trials_each),
      floor_(tasks == 1 ? trials_each
                        : std::min(trials_each, limit == Limit::kSeconds ? kLeastFloor : std::max(kLeastFloor, trials_each / 5))),
      most_each_(tasks == 1 ? trials_each : 4 * trials_each) {}

std::optional<size_t> TrialSchedule::Turn(const std::vector<TaskState>& tasks) const {
  std::optional<size_t> turn;
  const auto choose = [&](const auto& eligible, const auto& better) {
    for (size_t i = 0; i < tasks.size(); ++i) {
      if (tasks[i].open && eligible(tasks[i]) && (!turn || better(tasks[i], tasks[*turn]))) turn = i;
    }
    return turn.has_value();
  };
  if (choose([&](const TaskState& task) { return task.trials < std::min(task.first, floor_); },
             [](const TaskState& a, const TaskState& b) { return a.trials < b.trials; }))
    return turn;
  if (choose([&](const TaskState& task) { return task.trials < floor_; },
             [](const TaskState& a, const TaskState& b) {
               // Who has begun its floor ends it first.
               const bool begun_a = a.trials > a.first, begun_b = b.trials > b.first;
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

double TrialSchedule::GainWithin(double seconds, const std::vector<TaskState>& tasks) const {
  constexpr int kSlices = 32;
  const double slice = seconds / kSlices;
  double network = 0;
  std::vector<double> further(tasks.size(), 0.0), gained(tasks.size(), 0.0);  // trials; sums of logs
  for (const TaskState& task : tasks) {
    if (task.open && (task.trials < floor_ || !std::isfinite(task.best))) return std::numeric_limits<double>::infinity();
    if (std::isfinite(task.best)) network += Time(task);
  }
  if (network <= 0) return 0;
  // Each slice goes to the task where it brings most.
  for (int i = 0; i < kSlices; ++i) {
    size_t chosen = tasks.size();
    double most = 0, log_gain = 0;
    for (size_t t = 0; t < tasks.size(); ++t) {
      const TaskState& task = tasks[t];
      if (!task.open || !std::isfinite(task.best)) continue;
      const auto known = static_cast<double>(task.trials);
      const double trials = slice / task.seconds_per_trial;
      // The integral of the falling gain over the slice's trials.
      const double from = known + further[t],
                   own = known > 0 ? task.gain * known * known * trials / (from * (from + trials)) : task.gain * trials;
      const double saved = Time(task) * std::exp(-gained[t]) * -std::expm1(-own);
      if (saved > most) {
        most = saved;
        log_gain = own;
        chosen = t;
      }
    }
    if (chosen == tasks.size()) break;
    gained[chosen] += log_gain;
    further[chosen] += slice / tasks[chosen].seconds_per_trial;
  }
  double saved = 0;
  for (size_t t = 0; t < tasks.size(); ++t) {
    if (gained[t] > 0) saved -= Time(tasks[t]) * std::expm1(-gained[t]);
  }
  return saved / network;
}

}  // namespace lathe
