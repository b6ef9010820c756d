#include "search/driver.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <set>
#include <unordered_map>

#include "search/borrow.h"
#include "search/trial_schedule.h"

namespace lathe {
namespace {

constexpr std::chrono::milliseconds kPatience{100};  // how long a stop or a deadline may go unnoticed
constexpr size_t kHopeless = 3;                      // so many of a task's candidates given up, and none measured: the task ends

double MachineSeconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

class Driver {
 public:
  Driver(const std::vector<TuneTask>& tasks, Measurer& measurer, Journal& journal, const TuneOptions& options);
  Result<TuneReport> Run();

 private:
  struct Flight {
    size_t task = 0;
    Trial trial;
    int lost = 0;
  };

  Status Start();
  Status Loop();
  Status Fill();
  Status Receive(std::vector<Measurement> measurements);
  Status Send(const Flight& flight);
  void GiveUp(const Flight& flight, const std::string& reason);
  void MindTheTime();
  void Lend(size_t task);
  void MindTheGain();
  std::vector<TaskState> States(const std::vector<bool>& asked) const;
  size_t FirstTrials(size_t task) const;
  size_t GivenOut() const;
  void ReportProgress();
  TuneReport Report(const std::string& state);
  bool Stopped() const { return options_.stop != nullptr && options_.stop->load(); }
  bool Late() const { return options_.max_seconds > 0 && Elapsed() >= options_.max_seconds; }
  double Elapsed() const { return clock_() - began_; }

  // Runs `work` and adds the time it took to `account`.
  template <typename Work>
  auto Timed(double* account, const Work& work) {
    const double from = clock_();
    struct Stop {
      const Driver* driver;
      double from, *account;
      ~Stop() { *account += driver->clock_() - from; }
    } stop{this, from, account};
    return work();
  }

  const std::vector<TuneTask>& tasks_;
  Measurer& measurer_;
  Journal& journal_;
  TuneOptions options_;
  std::function<double()> clock_;
  double began_ = 0;
  size_t most_in_flight_ = 1, batch_ = 1;
  TrialSchedule schedule_;
  std::vector<bool> lent_;
  std::vector<TaskSearch> searches_;
  std::vector<double> first_sent_, last_received_;
  std::unordered_map<uint64_t, Flight> in_flight_;
  uint64_t next_ticket_ = 1;
  TuneReport report_;
  std::map<std::string, size_t> failures_;
  std::vector<size_t> answered_, given_up_;  // candidates of each task that were measured, and that no board could measure
  std::set<std::string> reasons_;            // why candidates were given up
};

Driver::Driver(const std::vector<TuneTask>& tasks, Measurer& measurer, Journal& journal, const TuneOptions& options)
    : tasks_(tasks),
      measurer_(measurer),
      journal_(journal),
      options_(options),
      clock_(options.clock ? options.clock : MachineSeconds),
      schedule_(tasks.size(), options.search.trials,
                options.max_seconds > 0 ? TrialSchedule::Limit::kSeconds : TrialSchedule::Limit::kTrials) {
  options_.search.most_trials = schedule_.most_each();
  most_in_flight_ = std::max<size_t>(1, options.in_flight > 0 ? options.in_flight : measurer.capacity());
  const size_t wanted = options.batch > 0 ? options.batch : std::min<size_t>(8, most_in_flight_ / 2);
  batch_ = std::clamp<size_t>(wanted, 1, most_in_flight_);
}

Status Driver::Start() {
  if (tasks_.empty()) return Error{ErrorCode::kInvalidInput, "tune: there is no task"};
  answered_.assign(tasks_.size(), 0);
  given_up_.assign(tasks_.size(), 0);
  for (const TuneTask& task : tasks_) {
    if (task.templates.empty()) return Error{ErrorCode::kInvalidInput, fmt::format("tune {}: no template", task.label)};
    Result<TaskSearch> search = TaskSearch::Start(task, options_.search);
    if (!search) return search.error();
    for (size_t arm = 0; arm < task.templates.size() && options_.use_history; ++arm) {
      const TaskTemplate& kernel = task.templates[arm];
      Result<std::vector<Measurement>> history =
          Timed(&report_.overhead.journal, [&] { return journal_.History(task.workload, kernel.name, kernel.hash, measurer_.target()); });
      if (!history) return history.error().In("read what is known of " + task.label);
      Timed(&report_.overhead.observe, [&] { search->Resume(arm, *history); });
      answered_[searches_.size()] += history->size();
    }
    searches_.push_back(std::move(*search));
  }
  lent_.assign(tasks_.size(), false);
  first_sent_.assign(tasks_.size(), -1);
  last_received_.assign(tasks_.size(), -1);
  const nlohmann::json own = {{"strategy", options_.search.strategy},
                              {"strategy_options", options_.search.strategy_options},
                              {"seed", options_.search.seed},
                              {"trials", options_.search.trials},
                              {"warm", options_.search.warm},
                              {"max_seconds", options_.max_seconds},
                              {"in_flight", most_in_flight_},
                              {"batch", batch_},
                              {"objective", options_.search.objective.Text()}};
  const nlohmann::json& settings = options_.run_options.is_null() ? own : options_.run_options;
  return Timed(&report_.overhead.journal, [&] {
    return journal_.BeginRun({options_.run_id, options_.command, settings, measurer_.target()});
  });
}

size_t Driver::GivenOut() const {
  size_t given = 0;
  for (const TaskSearch& search : searches_) given += search.given_out();
  return given;
}

// One of each template, and two at least: from one time nothing can be told of the next.
size_t Driver::FirstTrials(size_t task) const { return std::max<size_t>(2, tasks_[task].templates.size()); }

std::vector<TaskState> Driver::States(const std::vector<bool>& asked) const {
  std::vector<TaskState> states;
  for (size_t i = 0; i < searches_.size(); ++i) {
    const TaskSearch& search = searches_[i];
    states.push_back({search.given_out(), search.in_flight(), FirstTrials(i), !asked[i] && !search.done(), search.task().weight,
                      search.best(), search.searching() ? search.ExpectedGain() : 0, search.seconds_per_trial()});
  }
  return states;
}

// Just before its floor is searched: then the tasks before it have something to lend.
void Driver::Lend(size_t task) {
  lent_[task] = true;
  for (size_t arm = 0; arm < tasks_[task].templates.size(); ++arm) {
    const TaskTemplate& kernel = tasks_[task].templates[arm];
    if (kernel.prior) continue;
    Result<TransferPrior> prior = Timed(
        &report_.overhead.borrow, [&] { return Borrow(tasks_[task], kernel, measurer_.target(), journal_, options_.search.objective); });
    if (!prior) {  // other tasks' rows are a help, never a need
      report_.notes.push_back(prior.error().In("nothing is borrowed for " + tasks_[task].label).message);
      continue;
    }
    Timed(&report_.overhead.borrow, [&] { searches_[task].Lend(arm, *std::move(prior)); });
  }
}

// Ends the searches when more of them is not worth its time.
void Driver::MindTheGain() {
  const std::vector<TaskState> states = States(std::vector<bool>(searches_.size(), false));
  const bool searching = std::any_of(searches_.begin(), searches_.end(), [](const TaskSearch& search) { return search.searching(); });
  if (!searching) return;
  constexpr double kMinute = 60;
  const double gain = schedule_.GainWithin(kMinute, states);
  if (std::isfinite(gain)) report_.gain_per_minute = gain;
  if (!(gain < options_.stop_when_gain)) return;
  for (TaskSearch& search : searches_) search.EndSearch("gain");
}

Status Driver::Send(const Flight& flight) {
  const TaskSearch& search = searches_[flight.task];
  const double best = options_.search.objective.is_time() ? search.best() : 0;  // slower may well be better: nothing is cut early
  MeasureRequest request{next_ticket_++, search.CandidateOf(flight.trial), std::isfinite(best) ? best : 0, flight.trial.finalist};
  in_flight_[request.ticket] = flight;
  if (first_sent_[flight.task] < 0) first_sent_[flight.task] = Elapsed();
  return Timed(&report_.overhead.submit, [&] { return measurer_.Submit(std::move(request)); });
}

// A candidate that no board could measure. When that happens to all of a task's first ones it is the task's fault, like a reference that
// does not compile, and every further candidate would only cost as much again.
void Driver::GiveUp(const Flight& flight, const std::string& reason) {
  TaskSearch& search = searches_[flight.task];
  search.Drop();
  if (reasons_.insert(reason).second)
    report_.notes.push_back(
        fmt::format("a candidate of {} was given up after {} attempts in which its board or reference failed; the last: {}",
                    search.task().label, flight.lost, reason));
  if (++given_up_[flight.task] >= kHopeless && answered_[flight.task] == 0 && !Stopped()) search.EndSearch("unmeasurable");
}

Status Driver::Fill() {
  // Tasks in order of their turn; one that has nothing to give just now (its last trials are in flight) lets the next one.
  std::vector<bool> asked(searches_.size(), false);
  while (in_flight_.size() + batch_ <= most_in_flight_ && !Stopped()) {
    const std::optional<size_t> turn = schedule_.Turn(States(asked));
    if (!turn) break;
    const size_t task = *turn, given = GivenOut();
    if (given >= schedule_.total()) {
      for (TaskSearch& search : searches_) search.EndSearch("budget");
    }
    const size_t left = given < schedule_.total() ? schedule_.total() - given : batch_;
    // Of a floor's first trials only those, so that all tasks have a time before any goes on.
    size_t count = std::min(batch_, left);
    const size_t first = FirstTrials(task), tried = searches_[task].given_out();
    if (searches_.size() > 1 && tried < first) count = std::min(count, first - tried);
    if (options_.search.warm && !lent_[task] && searches_[task].searching() && (searches_.size() == 1 || tried >= first)) Lend(task);
    const std::vector<Trial> trials = Timed(&report_.overhead.propose, [&] { return searches_[task].Next(count); });
    if (trials.empty()) asked[task] = true;
    for (const Trial& trial : trials) {
      if (Status status = Send({task, trial, 0}); !status) return status;
    }
  }
  return {};
}

Status Driver::Receive(std::vector<Measurement> measurements) {
  std::vector<Measurement> kept;
  std::vector<std::pair<Flight, size_t>> answers;
  for (Measurement& measurement : measurements) {
    const auto found = in_flight_.find(measurement.ticket);
    if (found == in_flight_.end()) continue;  // answered twice, or dropped
    Flight flight = found->second;
    in_flight_.erase(found);
    ++report_.measurements;
    report_.build_seconds += measurement.build_seconds;
    report_.device_seconds += measurement.run_seconds;
    last_received_[flight.task] = Elapsed();
    if (measurement.status != MeasureStatus::kOk) ++failures_[ToString(measurement.status)];
    if (measurement.status == MeasureStatus::kBoardLost) {
      ++report_.lost;
      ++flight.lost;
      if (flight.lost < options_.lost_limit && !Stopped()) {
        if (Status status = Send(flight); !status) return status;
      } else {
        GiveUp(flight, measurement.message);
      }
    } else {
      ++answered_[flight.task];
      answers.emplace_back(flight, kept.size());
    }
    if (measurement.status != MeasureStatus::kBoardLost) kept.push_back(std::move(measurement));
  }
  // Written before anything is concluded from it: what was reported survives.
  Status recorded = Timed(&report_.overhead.journal, [&] { return kept.empty() ? Status{} : journal_.Record(options_.run_id, kept); });
  if (!recorded) return recorded.error().In("write down what was measured");
  Timed(&report_.overhead.observe, [&] {
    for (const auto& [flight, place] : answers) searches_[flight.task].Take(flight.trial, kept[place]);
  });
  return {};
}

// Ends searching early enough for the finals to fit into the time that is left, at the rate seen so far.
void Driver::MindTheTime() {
  if (options_.max_seconds <= 0) return;
  size_t finals = in_flight_.size();
  for (const TaskSearch& search : searches_) finals += search.finals_left();
  const double each = report_.measurements > 0 ? Elapsed() / static_cast<double>(report_.measurements) : 0;
  const double reserve = std::min(0.3 * options_.max_seconds, each * static_cast<double>(finals));
  if (Elapsed() + reserve < options_.max_seconds) return;
  for (TaskSearch& search : searches_) search.EndSearch("time");
}

void Driver::ReportProgress() {
  if (options_.observer == nullptr) return;
  TuneProgress progress;
  progress.seconds = Elapsed();
  progress.measurements = report_.measurements;
  progress.per_second = progress.seconds > 0 ? static_cast<double>(report_.measurements) / progress.seconds : 0;
  progress.in_flight = in_flight_.size();
  progress.unit = options_.search.objective.unit();
  progress.failures = failures_;
  const bool searching = std::any_of(searches_.begin(), searches_.end(), [](const TaskSearch& search) { return search.searching(); });
  const size_t left = in_flight_.size() + (searching ? schedule_.total() - std::min(schedule_.total(), GivenOut()) : 0);
  const auto eta = [&](size_t trials) { return progress.per_second > 0 ? static_cast<double>(trials) / progress.per_second : 0; };
  size_t finals = 0;  // at least: a race goes on while it is close
  for (const TaskSearch& search : searches_) finals += search.finals_left();
  progress.eta_seconds = eta(left + finals);
  if (options_.max_seconds > 0)
    progress.eta_seconds = std::min(progress.eta_seconds, std::max(0.0, options_.max_seconds - progress.seconds));
  for (const TaskSearch& search : searches_) {
    TaskProgress task{search.task().label,
                      search.given_out(),
                      search.budget(),
                      search.task().weight,
                      search.best(),
                      search.untuned(),
                      0,
                      !search.searching() && !search.done(),
                      search.done()};
    if (search.searching()) {
      // Tasks take turns, so a task's own rest takes its share of the whole rest.
      task.eta_seconds = left > 0 ? progress.eta_seconds * static_cast<double>(task.budget - std::min(task.budget, task.trials)) /
                                        static_cast<double>(left)
                                  : 0;
    }
    progress.tasks.push_back(std::move(task));
  }
  options_.observer->OnProgress(progress);
}

Status Driver::Loop() {
  for (;;) {
    if (Stopped() || Late()) {
      measurer_.Cancel();
      for (TaskSearch& search : searches_) search.EndSearch(Stopped() ? "stopped" : "time");
      return {};
    }
    MindTheTime();
    MindTheGain();
    if (Status status = Fill(); !status) return status;
    if (in_flight_.empty()) return {};
    Result<std::vector<Measurement>> measured = Timed(&report_.overhead.waiting, [&] { return measurer_.Wait(kPatience); });
    if (!measured) return measured.error();
    if (measured->empty()) continue;
    if (Status status = Receive(std::move(*measured)); !status) return status;
    Timed(&report_.overhead.progress, [&] { ReportProgress(); });
  }
}

TuneReport Driver::Report(const std::string& state) {
  report_.run_id = options_.run_id;
  report_.state = state;
  report_.seconds = Elapsed();
  for (size_t i = 0; i < searches_.size(); ++i) {
    TaskReport task = searches_[i].Report();
    task.seconds = last_received_[i] >= 0 ? last_received_[i] - first_sent_[i] : 0;
    report_.tasks.push_back(std::move(task));
  }
  return report_;
}

Result<TuneReport> Driver::Run() {
  began_ = clock_();
  if (Status status = Start(); !status) return status.error();
  const Status looped = Loop();
  if (!looped) measurer_.Cancel();
  const std::string state = !looped ? "failed: " + looped.error().message : Stopped() ? "stopped" : "finished";
  const Status ended = Timed(&report_.overhead.journal, [&] { return journal_.EndRun(options_.run_id, state); });
  if (!looped) return looped.error();
  if (!ended) return ended.error().In("end run " + options_.run_id);
  return Report(state);
}

}  // namespace

Result<TuneReport> Tune(const std::vector<TuneTask>& tasks, Measurer& measurer, Journal& journal, const TuneOptions& options) {
  return Driver(tasks, measurer, journal, options).Run();
}

}  // namespace lathe
