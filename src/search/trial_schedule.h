// TrialSchedule: divides a run's trials over its tasks by what a second of measuring is expected to bring the whole network.
//
// A task's gain per second is: how often the network runs it, times its best time so far, times the fraction by which its next trial is
// expected to shorten that, over what a trial costs. This is the gradient of Ansor's task scheduler (Zheng et al., 2020) per second instead
// of per trial. Trials in flight count as if they had been answered without success. Every task gets a floor first: a trial of each of its
// templates in turn, because no gain can tell what an untried one would bring; then the rest of the floor one task after the other, the
// most expensive first, so that later ones can borrow from earlier ones. Where seconds are limited the floor is small, or the first tasks'
// would use them up.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

namespace lathe {

struct TaskState {
  size_t trials = 0;  // given out, those in flight included
  size_t in_flight = 0;
  size_t first = 2;              // trials in which each of its templates is tried
  bool open = true;              // may have something to give now
  double weight = 1;             // how often the network runs it
  double best = 0;               // seconds; infinity when nothing worked yet
  double gain = 0;               // expected of the next trial, as a fraction of best; infinity when nothing worked yet
  double seconds_per_trial = 1;  // > 0
};

class TrialSchedule {
 public:
  enum class Limit { kTrials, kSeconds };  // what the run is expected to end by
  TrialSchedule(size_t tasks, size_t trials_each, Limit limit);

  size_t total() const { return tasks_ * trials_each_; }
  size_t floor() const { return floor_; }          // trials that every task gets, whatever it promises
  size_t most_each() const { return most_each_; }  // and that none gets more of
  // Whose turn it is; nullopt when no task is open.
  std::optional<size_t> Turn(const std::vector<TaskState>& tasks) const;
  // By which fraction the network's time is expected to shrink in so many further seconds of measuring; infinity while a task has no time
  // or is below its floor. Improvements come ever more rarely: after s more trials than the t that a task had, a trial is expected to gain
  // (t/(t + s))^2 of what its next one is, so that the next t trials together bring half of all that is left.
  double GainWithin(double seconds, const std::vector<TaskState>& tasks) const;

 private:
  size_t tasks_, trials_each_, floor_, most_each_;
};

}  // namespace lathe
