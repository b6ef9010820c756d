// Fakes of the search tests: spaces with a known optimum, a measurer on virtual time, a journal in memory.
#pragma once

#include <algorithm>
#include <cmath>
#include <deque>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "measure/measurer.h"
#include "search/journal.h"
#include "search/tune_task.h"
#include "space/space.h"

namespace lathe::test {

inline Space MakeSpace(std::vector<Parameter> parameters, const std::vector<std::string>& constraints = {}) {
  SpaceDefinition definition;
  definition.id = "fake";
  definition.parameters = std::move(parameters);
  for (const std::string& constraint : constraints) definition.constraints.push_back({constraint, "test"});
  Result<Space> space = Space::Create(std::move(definition));
  if (!space) throw std::runtime_error(space.error().message);
  return std::move(*space);
}

inline Parameter Numbers(const std::string& name, const std::vector<int64_t>& values) {
  Parameter parameter{name, {}, ""};
  for (int64_t value : values) parameter.values.emplace_back(value);
  return parameter;
}

// 16 x 8 x 8 x 4 x 2 raw points; three in four are valid.
inline Space TileSpace() {
  return MakeSpace({Numbers("TX", {1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 24, 32, 48, 64, 96, 128}), Numbers("TY", {1, 2, 4, 8, 16, 32, 64, 128}),
                    Numbers("UNROLL", {1, 2, 3, 4, 5, 6, 7, 8}), Numbers("LANES", {1, 4, 8, 16}), Numbers("PACK", {0, 1})},
                   {"TX*TY <= 1024"});
}

// Seconds of a point of TileSpace: a valley along TX*TY = 256 with its floor at 32 x 8, wide vectors, packing; 1 ms at the optimum. What
// has too many accumulators does not build.
inline double TileSeconds(const Space& space, const Point& point) {
  const double tx = std::log2(space.Number(0, point[0])), ty = std::log2(space.Number(1, point[1]));
  const double unroll = space.Number(2, point[2]), lanes = std::log2(space.Number(3, point[3])), pack = space.Number(4, point[4]);
  return 1e-3 *
         (1 + 0.3 * std::abs(tx + ty - 8) + 0.15 * std::abs(tx - 5) + 0.05 * std::abs(unroll - 4) + 0.4 * (4 - lanes) + 0.5 * (1 - pack));
}
inline bool TileBuilds(const Space& space, const Point& point) { return space.Number(0, point[0]) * space.Number(2, point[2]) <= 640; }

inline Workload FakeWorkload(int64_t n = 1) { return {"fake", {{"n", Value(n)}}}; }

inline TuneTask MakeTask(Space space, int64_t n = 1, const std::string& name = "kernel") {
  TuneTask task;
  task.workload = FakeWorkload(n);
  task.label = "fake " + std::to_string(n);
  task.templates.push_back({name, "hash-" + name, std::make_unique<Space>(std::move(space)), nullptr});
  return task;
}

// Builders work side by side, one device measures in the order built; time passes only in Wait(). The behaviour is a function of the
// candidate.
class FakeMeasurer : public Measurer {
 public:
  struct Answer {
    MeasureStatus status = MeasureStatus::kOk;
    double seconds = 1;
    std::optional<double> joules = {}, watts = {};
  };
  explicit FakeMeasurer(std::function<Answer(const Candidate&)> behaviour, size_t capacity = 4)
      : behaviour_(std::move(behaviour)), capacity_(capacity) {
    target_.backend = "cpu";
    target_.name = "fake";
  }

  const Target& target() const override { return target_; }
  size_t capacity() const override { return capacity_; }
  Status Submit(MeasureRequest request) override {
    if (broken) return Error{ErrorCode::kUnavailable, "no board is left"};
    most_in_flight = std::max(most_in_flight, queue_.size() + 1);
    if (queue_.empty()) idle_seconds += std::max(0.0, now - idle_since_);
    requests.push_back(request);
    queue_.push_back(std::move(request));
    return {};
  }
  Result<std::vector<Measurement>> Wait(std::chrono::milliseconds) override {
    if (queue_.empty()) return std::vector<Measurement>{};
    MeasureRequest request = std::move(queue_.front());
    queue_.pop_front();
    now += seconds_each;
    idle_since_ = now;
    const Answer answer = behaviour_(request.candidate);
    Measurement measurement;
    measurement.ticket = request.ticket;
    measurement.candidate = std::move(request.candidate);
    measurement.status = answer.status;
    measurement.run_seconds = seconds_each;
    if (answer.status == MeasureStatus::kOk) measurement.seconds = {answer.seconds};
    measurement.joules = answer.joules;
    if (answer.watts) measurement.conditions["watts"] = std::to_string(*answer.watts);
    if (after_each) after_each();
    return std::vector<Measurement>{std::move(measurement)};
  }
  void Cancel() override { queue_.clear(); }

  std::vector<MeasureRequest> requests;
  std::function<void()> after_each;
  size_t most_in_flight = 0;
  size_t in_flight() const { return queue_.size(); }
  double now = 0, seconds_each = 1, idle_seconds = 0;
  bool broken = false;

 private:
  std::function<Answer(const Candidate&)> behaviour_;
  size_t capacity_;
  Target target_;
  std::deque<MeasureRequest> queue_;
  double idle_since_ = 0;
};

class MemoryJournal : public Journal {
 public:
  Status BeginRun(const RunInfo& run) override {
    runs.push_back(run);
    return {};
  }
  Status Record(const std::string&, const std::vector<Measurement>& measurements) override {
    if (full) return Error{ErrorCode::kResourceExhausted, "the disk is full"};
    rows.insert(rows.end(), measurements.begin(), measurements.end());
    return {};
  }
  Result<std::vector<Measurement>> History(const Workload& workload, const std::string& name, const std::string& hash,
                                           const Target&) override {
    std::vector<Measurement> history;
    for (const Measurement& row : rows) {
      if (row.candidate.workload == workload && row.candidate.template_name == name && row.candidate.template_hash == hash)
        history.push_back(row);
    }
    return history;
  }
  Status EndRun(const std::string&, const std::string& state) override {
    states.push_back(state);
    return {};
  }
  std::set<std::string> Keys() const {
    std::set<std::string> keys;
    for (const Measurement& row : rows) keys.insert(row.candidate.Key());
    return keys;
  }

  std::vector<RunInfo> runs;
  std::vector<Measurement> rows;
  std::vector<std::string> states;
  bool full = false;
};

}  // namespace lathe::test
