// BoardPool: what happens to boards, and to the work they had.
#include <fmt/format.h>

#include <algorithm>

#include "rpc/client/board_pool.h"

namespace lathe {
namespace {

using SteadyClock = std::chrono::steady_clock;
constexpr int kMostMoves = 8;  // of one request, for reasons that are the boards'

int64_t NowUnixMs() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

// Whether somebody else may still do this board's work.
bool BoardPool::HasOther(size_t board) const {
  for (size_t i = 0; i < members_.size(); ++i)
    if (i != board && members_[i].state != State::kRefused && members_[i].state != State::kDraining && members_[i].capacity > 0)
      return true;
  return false;
}

void BoardPool::Handle(size_t board, LinkEvent event) {
  Member& member = members_[board];
  if (event.attempt != member.attempt || member.state == State::kLost || member.state == State::kRefused) return;
  member.heard = SteadyClock::now();
  switch (event.kind) {
    case LinkEvent::Kind::kUp:
      return HandleUp(board, std::move(event));
    case LinkEvent::Kind::kDown:
      if (event.permanent) {
        Lost(board, std::move(event.error));
        member.state = State::kRefused;
        MoveOn(board);
        return;
      }
      return Lost(board, std::move(event.error));
    case LinkEvent::Kind::kStarted:
      if (const auto flight = flights_.find(event.id); flight != flights_.end() && member.jobs.count(event.id) != 0)
        flight->second.started[board] = member.heard;
      return;
    case LinkEvent::Kind::kResult:
      return HandleResult(board, std::move(event.measurement));
    case LinkEvent::Kind::kBeat:
      return;
    case LinkEvent::Kind::kDraining:
      if (member.state == State::kUp) Notice(fmt::format("board {} is being shut down; its work moves on", NameOf(member)));
      member.state = State::kDraining;
      member.error = {ErrorCode::kUnavailable, fmt::format("board '{}' is being shut down", NameOf(member))};
      Reorder(board);
      return;
  }
}

Status BoardPool::Accepts(const Target& target) const {
  if (has_target_ && target.Key() != target_.Key())
    return Error{ErrorCode::kIncompatible, fmt::format("it is another kind: {} instead of {}", target.Key(), target_.Key())};
  return options_.accepts ? options_.accepts(target) : Status();
}

void BoardPool::HandleUp(size_t board, LinkEvent event) {
  Member& member = members_[board];
  if (Status accepted = Accepts(event.target); !accepted) {
    member.error = accepted.error().In(fmt::format("board '{}' is left out", member.link->endpoint()));
    Notice(member.error.message);
    member.state = State::kRefused;
    member.link->Disconnect();
    MoveOn(board);  // what it had when it was of our kind
    Reorder(board);
    return;
  }
  if (!has_target_) {
    target_ = event.target;
    has_target_ = true;
    if (Calibrates()) MakeCalibration();
    delivered_.notify_all();
  }
  const bool rebooted = !member.boot_id.empty() && member.boot_id != event.boot_id;
  if (member.boot_id.empty())
    Notice(fmt::format("board {} ({}) joined: {}", event.board, member.link->endpoint(), event.target.Key()));
  else
    Notice(fmt::format("board {} ({}) is back{}", event.board, member.link->endpoint(), rebooted ? ", restarted" : ""));
  member.name = event.board;
  member.capacity = std::max<size_t>(1, event.capacity);
  member.retry = options_.least_retry;
  member.state = State::kUp;
  member.beaten = member.heard;
  if (!rebooted)  // only the connection was lost
    for (auto& [ticket, flight] : flights_) flight.blamed.erase({board, member.boot_id});
  const std::set<uint64_t> jobs = member.jobs;
  for (const uint64_t id : jobs) {
    const bool unknown = rebooted || std::find(event.unknown.begin(), event.unknown.end(), id) != event.unknown.end();
    if (!unknown) continue;
    const auto flight = flights_.find(id);
    const bool dead = flight != flights_.end() && rebooted && Blame(board, id, flight->second);
    if (!dead) Drop(board, id);
  }
  member.boot_id = event.boot_id;
  if (rebooted) Retake(board);  // nobody can say any more whether they were good
  if (Calibrates()) SendCalibration(board);
  Reorder(board);
}

// The board does not have the job any more.
void BoardPool::Drop(size_t board, uint64_t ticket) {
  members_[board].jobs.erase(ticket);
  Reorder(board);
  const auto found = flights_.find(ticket);
  if (found == flights_.end()) return;
  found->second.boards.erase(board);
  found->second.started.erase(board);
  Requeue(ticket, found->second);
}

void BoardPool::Requeue(uint64_t ticket, Flight& flight) {
  if (flight.pending || !flight.boards.empty()) return;
  flight.pending = true;
  pending_.push_front(ticket);  // it has waited longest
}

// Whether that was one board too many: then the request is answered.
bool BoardPool::Blame(size_t board, uint64_t ticket, Flight& flight) {
  if (flight.started.count(board) == 0) return false;
  flight.blamed.insert({board, members_[board].boot_id});
  if (flight.blamed.size() < 2) return false;
  Kills(ticket);
  return true;
}

void BoardPool::Kills(uint64_t ticket) {
  const Flight& flight = flights_.at(ticket);
  Measurement measurement;
  measurement.status = MeasureStatus::kCrashed;
  std::string names;
  for (const auto& [board, boot_id] : flight.blamed) names.append(names.empty() ? "" : " and ").append(NameOf(members_[board]));
  measurement.message = fmt::format("takes boards down: {} vanished while it ran", names);
  measurement.conditions["kills_boards"] = names;
  Notice(fmt::format("{} {}", flight.request.candidate.Key(), measurement.message));
  Answer(ticket, std::move(measurement), names);
}

void BoardPool::Answer(uint64_t ticket, Measurement measurement, const std::string& board) {
  const auto found = flights_.find(ticket);
  if (found == flights_.end()) return;
  Flight& flight = found->second;
  measurement.ticket = ticket;
  measurement.candidate = std::move(flight.request.candidate);
  measurement.board = board;
  measurement.finished_unix_ms = NowUnixMs();  // by our clock: boards' may stand anywhere
  for (const size_t other : flight.boards) {
    Member& member = members_[other];
    member.jobs.erase(ticket);
    if (member.state == State::kUp || member.state == State::kDraining) member.link->Withdraw({ticket});
    Reorder(other);
  }
  flights_.erase(found);
  done_.push_back(std::move(measurement));
  delivered_.notify_all();
}

void BoardPool::HandleResult(size_t board, Measurement measurement) {
  Member& member = members_[board];
  const uint64_t ticket = measurement.ticket;
  member.link->Acknowledge({ticket});
  member.beaten = SteadyClock::now();
  if (ticket >= kCalibrationIds) return HandleCalibration(board, measurement);
  const bool ours = member.jobs.erase(ticket) != 0;
  Reorder(board);
  const auto found = flights_.find(ticket);
  if (!ours || found == flights_.end()) return;  // answered by another board meanwhile, or cancelled
  Flight& flight = found->second;
  flight.boards.erase(board);
  flight.started.erase(board);
  if (measurement.status == MeasureStatus::kBoardLost) {
    const bool missing = measurement.conditions.count("missing_artifact") != 0;
    ++flight.moves;
    if ((missing || member.state == State::kDraining || HasOther(board)) && flight.moves < kMostMoves) return Requeue(ticket, flight);
    if (member.state != State::kDraining || flight.moves >= kMostMoves) return Answer(ticket, std::move(measurement), NameOf(member));
    return Requeue(ticket, flight);
  }
  ++member.finished;
  if (Calibrates() && measurement.status == MeasureStatus::kOk && !measurement.seconds.empty())
    Hold(board, std::move(measurement));
  else
    Answer(ticket, std::move(measurement), NameOf(member));
}

void BoardPool::Lost(size_t board, Error error) {
  Member& member = members_[board];
  const bool was_up = member.state == State::kUp || member.state == State::kDraining;
  const Time now = SteadyClock::now();
  member.error = std::move(error);
  member.state = State::kLost;
  member.calibrating = 0;
  ++member.attempt;  // what is still on its way from the old one does not count
  member.retry_at = now + (was_up ? std::chrono::milliseconds(0) : member.retry);
  member.retry = std::min(2 * member.retry, options_.most_retry);
  if (was_up) {
    member.lost_at = now;
    member.moved_on = false;
    Notice(fmt::format("lost board {}: {}", NameOf(member), member.error.message));
  }
  Reorder(board);
}

// What the board had goes to others; should it come back in time, its answers are still welcome.
void BoardPool::MoveOn(size_t board) {
  Member& member = members_[board];
  member.moved_on = true;
  Retake(board);
  const std::set<uint64_t> jobs = member.jobs;
  for (const uint64_t ticket : jobs) {
    const auto found = flights_.find(ticket);
    if (found == flights_.end()) continue;
    Flight& flight = found->second;
    if (Blame(board, ticket, flight)) continue;
    const bool elsewhere = std::any_of(flight.boards.begin(), flight.boards.end(), [&](size_t other) { return other != board; });
    if (flight.pending || elsewhere) continue;
    flight.pending = true;
    pending_.push_front(ticket);
  }
}

void BoardPool::MindBoard(size_t board, Time now) {
  Member& member = members_[board];
  switch (member.state) {
    case State::kRefused:
      return;
    case State::kLost:
      if (!member.moved_on && now - member.lost_at >= options_.grace && HasOther(board)) MoveOn(board);
      if (now >= member.retry_at) Connect(board);
      return;
    case State::kConnecting:
      if (!member.moved_on && now - member.lost_at >= options_.grace && HasOther(board)) MoveOn(board);
      // Its short calls have deadlines of their own; opening a session may take the board a while.
      if (now - member.began < std::chrono::seconds(30)) return;
      member.link->Disconnect();
      return Lost(board, {ErrorCode::kUnavailable, fmt::format("board '{}' does not open a session", NameOf(member))});
    case State::kUp:
    case State::kDraining:
      break;
  }
  if (now - member.heard > options_.silence) {
    member.link->Disconnect();
    return Lost(board, {ErrorCode::kUnavailable, fmt::format("board '{}' is silent", NameOf(member))});
  }
  const auto most = std::chrono::milliseconds(static_cast<int64_t>(1000 * options_.session.run_seconds) + 5000);
  for (const uint64_t ticket : member.jobs) {
    const auto flight = flights_.find(ticket);
    if (flight == flights_.end()) continue;
    const auto started = flight->second.started.find(board);
    if (started == flight->second.started.end() || now - started->second < most) continue;
    member.link->Disconnect();
    return Lost(board, {ErrorCode::kUnavailable, fmt::format("board '{}' did not end a candidate within its time limit", NameOf(member))});
  }
  MindCalibration(board, now);
  if (now - member.beaten < options_.heartbeat) return;
  member.beaten = now;
  member.link->Beat();
}

std::string BoardPool::WhatIsTheMatter() const {
  std::string text;
  for (const Member& member : members_) text.append(text.empty() ? "" : "; ").append(member.error.message);
  constexpr size_t kMost = 1500;
  return text.size() > kMost ? text.substr(0, kMost) + " …" : text;
}

void BoardPool::MindWaiting(Time now) {
  if (AnyUp()) {
    without_board_since_ = said_waiting_ = now;
    return;
  }
  const bool refused = std::all_of(members_.begin(), members_.end(), [](const Member& member) { return member.state == State::kRefused; });
  if (has_target_ && flights_.empty() && !refused) {
    without_board_since_ = now;
    return;
  }
  const auto waited = std::chrono::duration<double>(now - without_board_since_);
  if (refused || now - without_board_since_ >= options_.wait) {
    if (!failed_)
      failed_ = Error{refused ? members_.front().error.code : ErrorCode::kUnavailable,
                      refused ? WhatIsTheMatter() : fmt::format("waited {:.0f} s for a board: {}", waited.count(), WhatIsTheMatter())};
    delivered_.notify_all();
    return;
  }
  if (now - said_waiting_ < std::chrono::seconds(5)) return;
  said_waiting_ = now;
  Notice(fmt::format("waiting for a board for {:.0f} s of {}: {}", waited.count(), options_.wait.count() / 1000, WhatIsTheMatter()));
}

}  // namespace lathe
