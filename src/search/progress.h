// ProgressObserver: told after every batch of measurements how far a run is. What it shows is the caller's business.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

namespace lathe {

struct TaskProgress {
  std::string label;
  size_t trials = 0, budget = 0;  // given out, history included
  double weight = 1;              // how often the model runs it
  double best = 0, untuned = 0;   // of the objective; infinity when nothing worked yet
  double eta_seconds = 0;         // until its budget is spent, at the rate so far
  bool in_finals = false;         // its fastest are measured again, to tell which is fastest
  bool done = false;
};

struct TuneProgress {
  double seconds = 0;       // since the run began
  size_t measurements = 0;  // in this run
  double per_second = 0;
  double eta_seconds = 0;  // of the run: trials left at the rate so far, or the time budget, whichever ends first
  size_t in_flight = 0;
  const char* unit = "s";                  // of the objective
  std::map<std::string, size_t> failures;  // by status, in this run
  std::vector<TaskProgress> tasks;
};

class ProgressObserver {
 public:
  virtual ~ProgressObserver() = default;
  // On the driver's thread; should return within a millisecond or so.
  virtual void OnProgress(const TuneProgress& progress) = 0;
};

}  // namespace lathe
