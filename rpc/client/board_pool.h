// BoardPool: several boards of one kind as one Measurer. Work goes to whoever is free; a lost, silent or slow board's work moves on; boards
// that come back join again.
//
// What is known of a request is kept here until its one answer is delivered: a board may answer late, twice or never, and nothing is lost
// or doubled. A candidate that was running when its board vanished is blamed and tried once elsewhere (on the same board, where there is no
// other); when a second board vanishes under it, that is its result: crashed, with the reason. Blame is taken back when the board turns out
// to have lost only its connection.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "measure/candidate_text.h"
#include "measure/measurer.h"
#include "rpc/client/board_link.h"
#include "rpc/client/calibration.h"

namespace lathe {

struct PoolOptions {
  SessionSpec session;
  // Renders a candidate for the boards' target; empty: jobs travel by name only.
  std::function<Result<std::shared_ptr<const CandidateText>>(const Candidate&, const Target&)> render;
  // Whether work meant for this run may go to such a board; an error says why not. Empty: to any of the first one's kind.
  std::function<Status(const Target&)> accepts;
  // What people should know: a board joined, was lost, what is being waited for. From the pool's thread.
  std::function<void(const std::string&)> notice;
  std::chrono::milliseconds silence{4000};  // without a word from a board: its connection is given up
  std::chrono::milliseconds grace{2000};    // for a lost board to come back before its work moves on
  std::chrono::milliseconds wait{60'000};   // for any board, while there is none
  std::chrono::milliseconds least_retry{200}, most_retry{2000};
  std::chrono::milliseconds heartbeat{1000};
  std::chrono::milliseconds steal_after{3000};  // a job so long unstarted on one board goes to another that has nothing to do
  // A kernel whose speed tells the board's; empty: none, and every sample is taken at its word.
  std::function<Result<Candidate>(const Target&)> calibration;
  double drift = 0.25;                               // slower than it was by this fraction: the board has drifted
  size_t calibrate_after = 8;                        // results that wait for the next calibration
  std::chrono::milliseconds calibrate_within{5000};  // and how long they do
  std::chrono::milliseconds rest{1000};              // for a board that drifted
  size_t ahead = 2;                                  // jobs a board is sent beyond its capacity: the network's latency is hidden
};

// One board as it stands, for people and tests.
struct BoardState {
  std::string endpoint, board, state;  // "connecting", "up", "lost", "draining", "refused"
  std::string problem;
  size_t outstanding = 0;
  uint64_t finished = 0, tainted = 0;
  double calibration_seconds = 0;  // of the calibration kernel; 0: not calibrated
};

class BoardPool : public Measurer {
 public:
  // Waits for the first board, at most options.wait (then an error says what every board's matter is), and for the calibration kernel.
  static Result<std::unique_ptr<BoardPool>> Create(std::vector<std::unique_ptr<BoardLink>> links, PoolOptions options,
                                                   const std::atomic<bool>* stop = nullptr);
  ~BoardPool() override;  // frees the boards

  const Target& target() const override { return target_; }
  size_t capacity() const override;
  Status Submit(MeasureRequest request) override;
  Result<std::vector<Measurement>> Wait(std::chrono::milliseconds timeout) override;
  void Cancel() override;

  std::vector<BoardState> boards() const;

  static constexpr uint64_t kCalibrationIds = uint64_t{1} << 63;  // tickets of callers are below

 private:
  using Time = std::chrono::steady_clock::time_point;
  enum class State { kConnecting, kUp, kDraining, kLost, kRefused };
  struct Member {
    std::unique_ptr<BoardLink> link;
    State state = State::kLost;
    uint64_t attempt = 0;
    std::string name, boot_id;
    Error error;
    size_t capacity = 0;
    Time heard, beaten, lost_at, retry_at, began;
    bool moved_on = true;  // its work was given to others since it was lost
    std::chrono::milliseconds retry{0};
    std::set<uint64_t> jobs;  // sent and not answered
    uint64_t finished = 0, tainted = 0;
    Calibration calibration{0};
    uint64_t calibrating = 0;       // id of the calibration on its way
    std::vector<Measurement> held;  // good, if the next calibration says so
    Time first_held, rests_until;
    std::optional<size_t> room_key;  // its load, while it stands in room_
  };
  struct Flight {
    MeasureRequest request;
    bool rendered = false, pending = true;
    std::set<size_t> boards;                          // where it was sent, and may still be answered from
    std::map<size_t, Time> started;                   // where it was seen to start
    std::set<std::pair<size_t, std::string>> blamed;  // boards, and which boot of theirs, that vanished under it
    Time sent;
    int moves = 0, retakes = 0;
  };
  // Outlives the pool where a connection's last event comes late.
  struct Events {
    std::mutex mutex;
    std::condition_variable changed;
    std::deque<std::pair<size_t, LinkEvent>> queue;
    bool stopping = false, poked = false;
  };

  BoardPool(std::vector<std::unique_ptr<BoardLink>> links, PoolOptions options);
  void Run();
  void Handle(size_t board, LinkEvent event);
  void HandleUp(size_t board, LinkEvent event);
  Status Accepts(const Target& target) const;
  void HandleResult(size_t board, Measurement measurement);
  void Lost(size_t board, Error error);
  void Requeue(uint64_t ticket, Flight& flight);
  bool Blame(size_t board, uint64_t ticket, Flight& flight);
  void Drop(size_t board, uint64_t ticket);
  void Reorder(size_t board);
  bool HasOther(size_t board) const;
  void MoveOn(size_t board);
  void Tick();
  void MindBoard(size_t board, Time now);
  void MindWaiting(Time now);
  void Steal(Time now);
  void Dispatch(std::unique_lock<std::mutex>& lock);
  std::optional<size_t> Choose(const Flight& flight) const;
  void SendTo(size_t board, uint64_t ticket, Flight& flight);
  void Answer(uint64_t ticket, Measurement measurement, const std::string& board);
  void Kills(uint64_t ticket);
  void Connect(size_t board);
  // Results that wait for a calibration keep nobody from working.
  size_t Limit(const Member& member) const { return member.capacity + options_.ahead; }
  bool Calibrates() const { return static_cast<bool>(options_.calibration); }
  bool IsReady() const { return has_target_ && (!Calibrates() || calibration_request_); }
  void MakeCalibration();
  bool CalibrationIsMade();
  void SendCalibration(size_t board);
  void HandleCalibration(size_t board, const Measurement& measurement);
  void Hold(size_t board, Measurement measurement);
  void ReleaseHeld(size_t board);
  void Retake(size_t board);
  void MindCalibration(size_t board, Time now);
  bool AnyUp() const;
  std::string WhatIsTheMatter() const;
  void Notice(std::string text) { notices_.push_back(std::move(text)); }
  void Poke();
  std::string NameOf(const Member& member) const { return member.name.empty() ? member.link->endpoint() : member.name; }

  const PoolOptions options_;
  Target target_;
  bool has_target_ = false;
  std::shared_ptr<Events> events_ = std::make_shared<Events>();

  mutable std::mutex mutex_;
  std::condition_variable delivered_;
  std::vector<Member> members_;
  std::map<uint64_t, Flight> flights_;  // by ticket
  std::deque<uint64_t> pending_;
  std::set<std::pair<size_t, size_t>> room_;  // load and place of the boards that take more
  std::vector<Measurement> done_;
  std::vector<std::string> notices_;
  std::optional<Error> failed_;
  std::future<Result<MeasureRequest>> calibration_made_;
  std::optional<MeasureRequest> calibration_request_;
  uint64_t next_calibration_ = kCalibrationIds;
  Time without_board_since_, said_waiting_;
  std::thread thread_;
};

}  // namespace lathe
