// Board: what a board knows, without the network: who holds it, which jobs wait, run and are finished but not acknowledged. One session (a
// measurer for one target and one way of measuring) at a time, kept across streams that break.
//
//     Hold ─► Open ─► Submit … ─► (measurer) ─► listener: started, result ─► Acknowledge
//
// Thread-safe. Listeners are called from any thread, with the board locked: they only put what they hear into a queue.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "core/result.h"
#include "measure/measurer.h"
#include "rpc/session_spec.h"

namespace lathe {

class BoardListener {
 public:
  virtual ~BoardListener() = default;
  virtual void OnOpened(const Target& target, size_t capacity, const std::vector<uint64_t>& unknown) = 0;
  virtual void OnStarted(uint64_t id) = 0;
  virtual void OnResult(const Measurement& measurement) = 0;
  virtual void OnDraining() = 0;
  // The last call: the session is another's, or could not be opened.
  virtual void OnEnd(const Error& error) = 0;
};

class Board {
 public:
  using Clock = std::function<std::chrono::steady_clock::time_point()>;
  // The measurer's Submit may be called while another thread is in its Wait.
  using MakeMeasurer = std::function<Result<std::unique_ptr<Measurer>>(const SessionSpec&)>;
  struct Options {
    std::string name;
    std::chrono::milliseconds lease{10'000};    // of silence until another may take the board
    std::chrono::milliseconds forget{120'000};  // of silence until the work of a holder is dropped though nobody else wants the board
    size_t most_jobs = 256;                     // known at a time
    Clock clock = std::chrono::steady_clock::now;
  };
  struct Lease {
    std::string id;
    std::chrono::milliseconds duration{0};
  };
  struct Facts {
    bool held = false, expired = false, draining = false;
    std::string holder;
    double held_seconds = 0, silent_seconds = 0;
    size_t queued = 0, running = 0, unacknowledged = 0;
    uint64_t finished = 0;
    std::string last_error;
  };

  Board(Options options, MakeMeasurer make_measurer);
  ~Board();

  const std::string& boot_id() const { return boot_id_; }
  const std::string& name() const { return options_.name; }

  // With the id of a lease that nobody has taken since, that one again. Fails with kUnavailable and who holds it, or while draining.
  Result<Lease> Hold(const std::string& holder, const std::string& lease_id);
  // Everything of that holder is dropped. An unknown lease is released already.
  void Release(const std::string& lease_id);
  void ReleaseWhoever();
  bool Holds(const std::string& lease_id);  // and renews it

  // Answers through the listener. Jobs not among `outstanding` are forgotten; results of those finished come at once. Another listener of
  // the same lease is ended.
  Status Open(const std::string& lease_id, const SessionSpec& spec, std::vector<uint64_t> outstanding,
              std::shared_ptr<BoardListener> listener);
  // The stream ended; the session stays.
  void Detach(const BoardListener* listener);

  // Of the listener's session; without effect when it is no longer this listener's. A job known already is not run again.
  Status Submit(const BoardListener* listener, MeasureRequest request);
  void Withdraw(const BoardListener* listener, const std::vector<uint64_t>& ids);
  void Acknowledge(const BoardListener* listener, const std::vector<uint64_t>& ids);
  void CancelAll(const BoardListener* listener);
  void Beat(const BoardListener* listener);

  // No new holders; jobs not started come back as board_lost, what runs is finished.
  void Drain();
  // True when nothing runs and every result was acknowledged.
  bool Drained();
  Facts facts();

 private:
  enum class JobState { kQueued, kMeasuring, kStarted, kFinished };
  struct Job {
    JobState state = JobState::kQueued;
    MeasureRequest request;   // kQueued
    Measurement measurement;  // kFinished
  };
  struct Opening {
    SessionSpec spec;
    std::vector<uint64_t> outstanding;
    std::shared_ptr<BoardListener> listener;
  };

  void Run();
  void OpenSession(std::unique_lock<std::mutex>& lock);
  void Deliver(std::vector<Measurement> measurements);
  void Feed();
  void Started(uint64_t ticket);
  void DropSession();
  bool Expired() const;

  const Options options_;
  const MakeMeasurer make_measurer_;
  const std::string boot_id_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::string lease_, holder_;
  std::chrono::steady_clock::time_point held_since_, heard_;
  std::optional<Opening> opening_;
  std::shared_ptr<BoardListener> listener_;
  std::shared_ptr<Measurer> measurer_;
  std::vector<std::shared_ptr<Measurer>> retired_;  // destroyed by our thread, unlocked: their threads may be waiting for the lock
  std::string session_key_;
  std::map<uint64_t, Job> jobs_;
  std::deque<uint64_t> waiting_;
  // Tickets of the measurer are our own: an id may come again after it was dropped while the measurer still works on it.
  // Nothing: the holder has forgotten the job since, and an answer is nobody's.
  std::map<uint64_t, std::optional<uint64_t>> tickets_;  // ours -> the holder's id
  uint64_t next_ticket_ = 1, finished_ = 0;
  std::string last_error_;
  bool draining_ = false, stopping_ = false;
  std::thread thread_;
};

// 32 hexadecimal digits out of the system's random numbers.
std::string RandomId();

}  // namespace lathe
