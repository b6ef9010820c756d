// TaskSearch: the search for one workload: its templates' strategies, what was measured, and how the winner is named. No measurer, no
// journal, no clock.
//
// Stages: searching (each template's first valid config first, then what the strategies propose, until the budget is spent or the spaces
// are exhausted), then the finals (a race of the few that may be the best, measured again in turn, so that a slow minute of the machine
// hits all of them alike; see final_race.h), then done.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/measurement.h"
#include "search/final_race.h"
#include "search/objective.h"
#include "search/point_set.h"
#include "search/strategy.h"
#include "search/transfer_prior.h"
#include "search/trial_split.h"
#include "search/tune_report.h"
#include "search/tune_task.h"

namespace lathe {

struct SearchOptions {
  std::string strategy = "model";
  StrategyOptions strategy_options;
  uint64_t seed = 1;
  size_t trials = 200;
  size_t most_trials = 0;      // where trials are shared out between tasks, a task may get so many; 0: trials
  bool warm = true;            // start from what was lent, see TaskSearch::Lend
  size_t finalists = 8;        // at most so many are measured again; 0 or 1: the best single measurement wins
  size_t final_rounds = 6;     // how often each at most; who is clearly slower drops out after two
  double within_noise = 0.03;  // who is this close to the best may be the best, whatever its few samples say
  bool untuned_first = true;   // measure each template's first valid config before anything else, to say what tuning gained
  double tie = kTie;           // of those that tie with the fastest the simplest wins, see final_race.h and simplicity.h
  Objective objective;         // lower is better
};

struct Trial {
  size_t arm = 0;  // which template
  Point point;
  bool finalist = false;
};

class WarmStrategy;

class TaskSearch {
 public:
  // `task` outlives the search.
  static Result<TaskSearch> Start(const TuneTask& task, const SearchOptions& options);

  const TuneTask& task() const { return *task_; }
  // What is known already: counts as trials, is never measured again. `measurements` of the arm's template; call before the first Next().
  void Resume(size_t arm, const std::vector<Measurement>& measurements);

  // What was learned elsewhere, to start the arm's strategy with; at any time, best before the first Next(). An empty prior changes
  // nothing.
  void Lend(size_t arm, TransferPrior prior);

  // What to measure next, at most `count`; each will be answered by Take() or Drop(). May be empty while trials are in flight.
  std::vector<Trial> Next(size_t count);
  // Reports go to the strategies at once.
  void Take(const Trial& trial, const Measurement& measurement);
  // A trial could not be measured, and that says nothing about it (its board was lost too often).
  void Drop();
  // No more trials; the finals still come. `why` as TaskReport::ended.
  void EndSearch(const std::string& why);

  bool searching() const { return stage_ == Stage::kSearching; }
  bool done() const { return stage_ == Stage::kDone; }
  size_t in_flight() const { return in_flight_; }
  size_t given_out() const { return given_out_; }  // trials, history included; what the budget counts
  size_t budget() const { return options_.trials; }
  // By how much the next trial is expected to shorten the best time, as a fraction of it: what the strategy says, or what the course of the
  // search so far suggests. Infinity until something worked.
  double ExpectedGain() const;
  double seconds_per_trial() const;  // build and device, on average; 1 until something was measured
  size_t finals_left() const;        // final measurements still to submit, were the search to end now
  double best() const;               // of the objective; infinity when nothing worked yet
  double untuned() const;            // likewise
  Candidate CandidateOf(const Trial& trial) const;
  TaskReport Report() const;

 private:
  enum class Stage { kSearching, kFinals, kDone };
  struct Record {
    size_t arm = 0;
    Point point;
    MeasureStatus status = MeasureStatus::kOk;
    std::vector<double> samples;  // of the objective
    double objective = std::numeric_limits<double>::infinity();
    double seconds = std::numeric_limits<double>::infinity();  // as measured last, like the next two
    std::optional<double> joules, watts;
  };
  struct Arm {
    const TaskTemplate* kernel = nullptr;
    std::unique_ptr<Strategy> strategy;
    WarmStrategy* warm = nullptr;           // the strategy, when it was lent something
    std::vector<Observation> observations;  // what the strategy knows, for one that takes its place
    PointMap<size_t> records;               // point -> place in records_; kInFlight while it is being measured
  };
  TaskSearch(const TuneTask& task, const SearchOptions& options)
      : task_(&task), options_(options), split_(task.templates.size(), options.trials) {}
  void Store(size_t arm, const Point& point, const Measurement& measurement, std::vector<double> samples);
  StrategyContext ContextOf(size_t arm) const;
  void Tell(size_t arm, std::vector<Observation> observations);
  RaceOptions RaceRules() const;
  void StartFinalsWhenSettled();
  void NextFinalRound();
  size_t limit() const { return std::max(options_.trials, options_.most_trials); }
  std::vector<size_t> Finalists() const;                          // places in records_, best first
  const Record* Simplest(const std::vector<size_t>& tied) const;  // of places in records_; null for none

  const TuneTask* task_;
  SearchOptions options_;
  TrialSplit split_;
  std::vector<Arm> arms_;
  std::optional<Point> first_;  // the untuned config, of the first arm
  std::vector<Record> records_;
  Stage stage_ = Stage::kSearching;
  bool search_ended_ = false;
  size_t firsts_given_ = 0;  // of how many arms the first config was given out, or was known
  std::string ended_ = "budget";
  size_t given_out_ = 0, from_history_ = 0, in_flight_ = 0;
  std::vector<Trial> finals_;  // still to give out, in reverse
  std::vector<size_t> finalists_;
  std::optional<FinalRace> race_;  // over finalists_; none without finals
  std::vector<double> best_log_;   // log of the best objective after each trial
  double measured_seconds_ = 0;    // build and device, of trials_measured_
  size_t trials_measured_ = 0;     // in this run
};

}  // namespace lathe
