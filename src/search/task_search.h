// TaskSearch: the search for one workload: its templates' strategies, what was measured, and how the winner is named. No measurer, no
// journal, no clock.
//
// Stages: searching (the first valid config first, then what the strategies propose, until the budget is spent or the spaces are
// exhausted), then the finals (the few best within noise, measured again in turn, so that a slow minute of the machine hits all of them
// alike), then done.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/measurement.h"
#include "search/point_set.h"
#include "search/strategy.h"
#include "search/trial_split.h"
#include "search/tune_report.h"
#include "search/tune_task.h"

namespace lathe {

struct SearchOptions {
  std::string strategy = "model";
  StrategyOptions strategy_options;
  uint64_t seed = 1;
  size_t trials = 200;
  size_t finalists = 4;        // at most so many are measured again; 0 or 1: the best single measurement wins
  size_t final_rounds = 2;     // how often each
  double within_noise = 0.05;  // who is this close to the best may be the best
  bool untuned_first = true;   // measure the first valid config before anything else, to say what tuning gained
  double tie = 0.005;          // who is this close after the finals cannot be told apart; the earlier point of the space wins
  std::function<double(const Measurement&)> objective = Seconds;  // lower is better
};

struct Trial {
  size_t arm = 0;  // which template
  Point point;
  bool finalist = false;
};

class TaskSearch {
 public:
  // `task` outlives the search.
  static Result<TaskSearch> Start(const TuneTask& task, const SearchOptions& options);

  const TuneTask& task() const { return *task_; }
  // What is known already: counts as trials, is never measured again. `measurements` of the arm's template; call before the first Next().
  void Resume(size_t arm, const std::vector<Measurement>& measurements);

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
  size_t given_out() const { return given_out_; }  // trials, history included; what the budget counts
  size_t budget() const { return options_.trials; }
  size_t finals_left() const;  // final measurements still to submit, were the search to end now
  double best() const;         // infinity when nothing worked yet
  double untuned() const;      // likewise
  Candidate CandidateOf(const Trial& trial) const;
  TaskReport Report() const;

 private:
  enum class Stage { kSearching, kFinals, kDone };
  struct Record {
    size_t arm = 0;
    Point point;
    MeasureStatus status = MeasureStatus::kOk;
    std::vector<double> samples;
    double objective = std::numeric_limits<double>::infinity();
  };
  struct Arm {
    const TaskTemplate* kernel = nullptr;
    std::unique_ptr<Strategy> strategy;
    PointMap<size_t> records;  // point -> place in records_; kInFlight while it is being measured
  };
  TaskSearch(const TuneTask& task, const SearchOptions& options)
      : task_(&task), options_(options), split_(task.templates.size(), options.trials) {}
  void Store(size_t arm, const Point& point, const Measurement& measurement);
  void StartFinalsWhenSettled();
  std::vector<size_t> Finalists() const;  // places in records_, best first
  bool Precedes(const Record& a, const Record& b) const;

  const TuneTask* task_;
  SearchOptions options_;
  TrialSplit split_;
  std::vector<Arm> arms_;
  std::optional<Point> first_;  // the untuned config, of the first arm
  std::vector<Record> records_;
  Stage stage_ = Stage::kSearching;
  bool search_ended_ = false, first_given_ = false;
  std::string ended_ = "budget";
  size_t given_out_ = 0, from_history_ = 0, in_flight_ = 0;
  std::vector<Trial> finals_;  // still to give out, in reverse
  std::vector<size_t> finalists_;
};

}  // namespace lathe
