// A board and the way to it without a network: it can be unplugged, frozen and rebooted. What the agent and gRPC add is tested apart; here
// pool and board meet, and the thread sanitizer may watch.
#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "rpc/agent/board.h"
#include "rpc/client/board_link.h"
#include "scripted_measurer.h"

namespace lathe {

class Machine {
 public:
  explicit Machine(std::string name, std::string kind = "fake", std::chrono::milliseconds lease = std::chrono::milliseconds(10'000))
      : name_(std::move(name)), kind_(std::move(kind)), lease_(lease) {
    Boot();
  }

  void Boot() {
    Board::Options options;
    options.name = name_;
    options.lease = lease_;
    auto board = std::make_shared<Board>(options, [this](const SessionSpec&) -> Result<std::unique_ptr<Measurer>> {
      auto device = std::make_unique<ScriptedMeasurer>(kind_, 2, &runs, &slowness, &throttled_samples);
      device->ShowFeatures(features);
      return std::unique_ptr<Measurer>(std::move(device));
    });
    const std::lock_guard lock(mutex_);
    std::swap(board, board_);
    reachable_ = true;
  }
  void Reboot() {
    Crash();
    Boot();
  }
  // The connection is seen to break.
  void Crash() { Unplug(true); }
  void Unplug(bool noticed) {
    std::shared_ptr<Board> board;
    std::function<void()> broken;
    {
      const std::lock_guard lock(mutex_);
      reachable_ = false;
      broken = std::exchange(broken_, nullptr);
    }
    if (noticed && broken) broken();
  }
  void Plug() {
    const std::lock_guard lock(mutex_);
    reachable_ = true;
  }
  std::shared_ptr<Board> board() {
    const std::lock_guard lock(mutex_);
    return board_;
  }
  bool reachable() {
    const std::lock_guard lock(mutex_);
    return reachable_;
  }
  void OnBreak(std::function<void()> broken) {
    const std::lock_guard lock(mutex_);
    broken_ = std::move(broken);
  }
  const std::string& name() const { return name_; }

  std::string features;  // of its processor; read when a session opens: set it while none does
  std::atomic<int> runs{0}, slowness{1}, throttled_samples{0};

 private:
  std::string name_, kind_;
  std::chrono::milliseconds lease_;
  std::mutex mutex_;
  std::shared_ptr<Board> board_;
  bool reachable_ = true;
  std::function<void()> broken_;
};

// Events pass through here; after Cut() nothing does.
class Wire : public BoardListener {
 public:
  Wire(Machine* machine, uint64_t attempt, std::function<void(LinkEvent)> events)
      : machine_(machine), attempt_(attempt), events_(std::move(events)) {}
  void OnOpened(const Target& target, size_t capacity, const std::vector<uint64_t>& unknown) override {
    LinkEvent event;
    event.kind = LinkEvent::Kind::kUp;
    event.target = target;
    event.capacity = capacity;
    event.unknown = unknown;
    event.boot_id = boot_id;
    event.board = machine_->name();
    Send(event);
  }
  void OnStarted(uint64_t id) override {
    LinkEvent event;
    event.kind = LinkEvent::Kind::kStarted;
    event.id = id;
    Send(event);
  }
  void OnResult(const Measurement& measurement) override {
    LinkEvent event;
    event.kind = LinkEvent::Kind::kResult;
    event.measurement = measurement;
    Send(event);
  }
  void OnDraining() override {
    LinkEvent event;
    event.kind = LinkEvent::Kind::kDraining;
    Send(event);
  }
  void OnEnd(const Error& error) override { Down(error); }
  void Down(const Error& error, bool permanent = false) {
    LinkEvent event;
    event.kind = LinkEvent::Kind::kDown;
    event.error = error;
    event.permanent = permanent;
    Send(event);
    Cut();
  }
  void Beat() {
    LinkEvent event;
    event.kind = LinkEvent::Kind::kBeat;
    Send(event);
  }
  void Cut() {
    const std::lock_guard lock(mutex_);
    events_ = nullptr;
  }
  std::string boot_id;

 private:
  void Send(LinkEvent event) {
    event.attempt = attempt_;
    const std::lock_guard lock(mutex_);
    if (events_) events_(std::move(event));
  }
  Machine* machine_;
  uint64_t attempt_;
  std::mutex mutex_;
  std::function<void(LinkEvent)> events_;
};

class DirectLink : public BoardLink {
 public:
  explicit DirectLink(Machine* machine) : machine_(machine), endpoint_(machine->name()) {}
  ~DirectLink() override { Disconnect(); }
  const std::string& endpoint() const override { return endpoint_; }
  void Connect(uint64_t attempt, const SessionSpec& spec, const std::vector<uint64_t>& outstanding,
               std::function<void(LinkEvent)> events) override {
    Disconnect();
    board_ = machine_->board();
    wire_ = std::make_shared<Wire>(machine_, attempt, std::move(events));
    if (!machine_->reachable()) return wire_->Down({ErrorCode::kUnavailable, endpoint_ + " does not answer"});
    const auto lease = board_->Hold("test", lease_);
    if (!lease) return wire_->Down(lease.error());
    lease_ = lease->id;
    wire_->boot_id = board_->boot_id();
    machine_->OnBreak([wire = std::weak_ptr(wire_), board = board_] {
      if (const auto still = wire.lock()) {
        board->Detach(still.get());
        still->Down({ErrorCode::kUnavailable, "connection reset"});
      }
    });
    if (Status opened = board_->Open(lease_, spec, outstanding, wire_); !opened) wire_->Down(opened.error());
  }
  void Disconnect() override {
    if (!wire_) return;
    wire_->Cut();
    board_->Detach(wire_.get());
    wire_.reset();
  }
  void Submit(const MeasureRequest& request) override {
    if (Alive()) (void)board_->Submit(wire_.get(), request);
  }
  void Withdraw(const std::vector<uint64_t>& ids) override {
    if (Alive()) board_->Withdraw(wire_.get(), ids);
  }
  void Acknowledge(const std::vector<uint64_t>& ids) override {
    if (Alive()) board_->Acknowledge(wire_.get(), ids);
  }
  void CancelAll() override {
    if (Alive()) board_->CancelAll(wire_.get());
  }
  void Beat() override {
    if (!Alive()) return;
    board_->Beat(wire_.get());
    wire_->Beat();  // the board's own
  }
  void Release() override {
    Disconnect();
    if (board_) board_->Release(lease_);
  }

 private:
  // A frozen machine is cut off without anybody noticing.
  bool Alive() {
    if (!wire_) return false;
    if (machine_->reachable()) return true;
    wire_->Cut();
    board_->Detach(wire_.get());
    return false;
  }
  Machine* machine_;
  std::string endpoint_, lease_;
  std::shared_ptr<Board> board_;
  std::shared_ptr<Wire> wire_;
};

}  // namespace lathe
