// LocalMeasurer: this machine as a board in-process. A pipeline over a Workshop:
//
//     Submit ─► builders (compile, reference, worker files) ─► the device thread (one worker at a time) ─► judge (verify) ─► Wait
//
// Where the measured kernel leaves CPUs free, compilers and our own threads are pinned to those and never disturb the measuring ones. Where
// it takes all of them, building and measuring take turns: the device waits until no compiler runs, then measures everything that is ready
// while no compiler starts. (Stopping compilers with SIGSTOP instead would leave their memory and cache footprint in place, and saves
// nothing: the total of both kinds of work on the same cores is the same.)
//
// A sample during which the kernel of this machine counted throttling is tainted: its candidate is measured again after a rest, and comes
// back as board_lost when the machine throttles every time.
//
// A reference that fails says nothing about the candidate: its measurements come back as board_lost with the reason.
#pragma once

#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "measure/measurer.h"
#include "measure/workshop.h"

namespace lathe {

// Where the time went, in seconds since creation. Idle: waiting for something to do.
struct PipelineStats {
  double wall = 0;
  double building = 0;     // summed over builders: compilers, references, preparing workers
  double compiling = 0;    // of which compilers, as their artifacts report it
  double measuring = 0;    // device held: workers from start to end
  double sampling = 0;     // of which taking samples, warm-up included
  double device_idle = 0;  // nothing ready, or (exclusive) waiting for its turn
  double judging = 0;
  uint64_t submitted = 0, finished = 0, throttled = 0;
  int builders = 0;
};

class LocalMeasurer : public Measurer {
 public:
  // `builders`: how many compile at once; 0: one for each CPU that measuring leaves free, at least one.
  static Result<std::unique_ptr<LocalMeasurer>> Create(const TemplateLibrary* library, WorkshopOptions options, int builders = 0,
                                                       const Workshop::BackendFactory& make_backend = nullptr);
  ~LocalMeasurer() override;

  const Target& target() const override { return shop_->target(); }
  size_t capacity() const override;
  Status Submit(MeasureRequest request) override;
  Result<std::vector<Measurement>> Wait(std::chrono::milliseconds timeout) override;
  void Cancel() override;
  void ObserveStarts(std::function<void(uint64_t ticket)> started) override { started_ = std::move(started); }

  PipelineStats stats() const;
  Workshop& workshop() { return *shop_; }

 private:
  struct Queued {
    MeasureRequest request;
    std::shared_ptr<CancelToken> cancel;  // one for everything submitted between two calls of Cancel
    int retakes = 0;
  };
  struct Ready {
    Queued queued;
    Workshop::Job job;
  };

  LocalMeasurer(std::unique_ptr<Workshop> shop, int builders);
  void BuildLoop();
  void DeviceLoop();
  void JudgeLoop();
  void SettleDown();  // pins this thread away from the measuring CPUs
  void Deliver(Measurement measurement, const CancelToken& cancel);
  bool Retake(Queued& queued, Measurement& measurement);
  bool DeviceMayStart() const;
  double BestOf(const MeasureRequest& request) const;

  std::unique_ptr<Workshop> shop_;
  std::function<void(uint64_t)> started_;
  const std::chrono::steady_clock::time_point created_;

  mutable std::mutex mutex_;
  std::condition_variable work_, delivered_;
  std::deque<Queued> queue_;
  std::deque<Ready> ready_, judged_;
  std::vector<Measurement> done_;
  std::map<std::string, double> best_;  // by workload
  std::shared_ptr<CancelToken> cancel_;
  int building_ = 0;
  std::chrono::steady_clock::time_point rests_until_;  // the device, after it throttled
  bool device_busy_ = false, device_turn_ = false, stopping_ = false;
  PipelineStats stats_;

  std::vector<std::thread> threads_;
};

}  // namespace lathe
