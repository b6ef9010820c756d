// TuneReport: what a run of the tuner found, and what it spent.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/candidate.h"
#include "core/measurement.h"
#include "search/borrowed_source.h"

namespace lathe {

struct TunedConfig {
  std::string template_name, template_hash;
  Config config;
  double objective = 0;                 // seconds, unless the run had another objective
  double seconds = 0;                   // of a run of the kernel
  std::optional<double> joules, watts;  // where power rails were watched
  std::vector<double> samples;          // of the objective, all of them, finals included
};

struct TaskReport {
  Workload workload;
  std::string label;
  double weight = 1;
  std::optional<TunedConfig> untuned;  // the first valid config, always measured first; absent when it failed
  std::optional<TunedConfig> best;     // absent when nothing worked
  size_t trials = 0;                   // distinct candidates, those of the history included
  size_t from_history = 0;
  std::map<std::string, size_t> failures;  // by status; "over_power_cap" and "power_unknown" for those that only missed the objective
  std::optional<double> least_watts;       // that a candidate over the power cap drew
  size_t ties = 0;                         // other finalists as fast as the fastest but for 0.5 %; the simplest of them won
  std::optional<double> confidence;  // probability, at least, that the winner is within 1 % of the best finalist; absent without finals
  double margin = 0;                 // 95 % half width of the winner's time, as a fraction; 0 without finals
  std::vector<Borrowing> borrowed;   // what the search was lent, a template each
  std::string ended;                 // "budget", "exhausted", "time", "gain", "stopped", "unmeasurable"
  double seconds = 0;                // from its first submission to its last measurement, other tasks interleaved

  // Times the untuned one; nullopt unless both are known.
  std::optional<double> SpeedUp() const;
};

// Where the driver's own thread spent its time, in seconds. Waiting is the only part in which nothing of ours runs.
struct TuneOverhead {
  double propose = 0, observe = 0, borrow = 0, journal = 0, submit = 0, progress = 0, waiting = 0;
  double Own() const { return propose + observe + borrow + journal + submit + progress; }
};

struct TuneReport {
  std::string run_id, state;  // "finished", "stopped"
  std::vector<TaskReport> tasks;
  double seconds = 0;         // wall time
  double build_seconds = 0;   // compilers' time, added up; builds run side by side
  double device_seconds = 0;  // how long the device was held, added up
  size_t measurements = 0;    // made in this run, finals included
  size_t lost = 0;            // answered board_lost and submitted again
  TuneOverhead overhead;
  std::vector<std::string> notes;  // what went wrong without ending the run, for people
  // What a further minute was expected to shorten the tasks' total by, as a fraction of it, when the search ended; absent for a resumed run
  // that had nothing to do.
  std::optional<double> gain_per_minute;
};

nlohmann::json ToJson(const TaskReport& report);
nlohmann::json ToJson(const TuneReport& report);

}  // namespace lathe
