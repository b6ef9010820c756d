// The tuning driver: searches a list of tasks on one measurer and writes everything down.
//
// One thread. While measurements are in flight it learns and proposes, so a device never waits for the cost model; tasks take turns by what
// a second spent on them is expected to gain (see trial_schedule.h), so the pipeline does not drain at a task's end. Before a task's floor
// is searched it borrows what the journal knows of other workloads, targets and versions, this run's own included.
#pragma once

#include <atomic>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/result.h"
#include "measure/measurer.h"
#include "search/journal.h"
#include "search/progress.h"
#include "search/task_search.h"
#include "search/tune_report.h"
#include "search/tune_task.h"

namespace lathe {

struct TuneOptions {
  std::string run_id = "run";
  std::string command;                      // as the user gave it, for the log
  nlohmann::json run_options;               // what identifies the run in the log; null: the driver's own settings
  SearchOptions search;                     // its `trials` are for each task on average: the schedule shares them out by what they promise
  double stop_when_gain = 0;                // end when a further minute is expected to shorten the tasks' total by less than this fraction
  double max_seconds = 0;                   // of the whole run, finals included; 0: no limit
  size_t in_flight = 0;                     // 0: what keeps the measurer busy, Measurer::capacity()
  size_t batch = 0;                         // proposed at a time; 0: half of what is in flight, 8 at most
  bool use_history = true;                  // what the log knows is observed and counts as trials
  int lost_limit = 5;                       // a candidate whose board was lost so often is given up for this run
  const std::atomic<bool>* stop = nullptr;  // set by anyone: the run ends within a moment, its log complete
  ProgressObserver* observer = nullptr;
  std::function<double()> clock;  // seconds, monotonic; empty: the machine's
};

// Returns a report for a run that ended or was stopped; an error when the world failed (no board left, the log cannot be written). What was
// measured until then is in the journal either way. Fails at once on an unknown strategy or a list without tasks.
Result<TuneReport> Tune(const std::vector<TuneTask>& tasks, Measurer& measurer, Journal& journal, const TuneOptions& options);

}  // namespace lathe
