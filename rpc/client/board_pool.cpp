#include "rpc/client/board_pool.h"

#include <fmt/format.h>

#include <algorithm>

namespace lathe {
namespace {

using SteadyClock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kTick{100};

}  // namespace

BoardPool::BoardPool(std::vector<std::unique_ptr<BoardLink>> links, PoolOptions options) : options_(std::move(options)) {
  const Time now = SteadyClock::now();
  without_board_since_ = said_waiting_ = now;
  for (std::unique_ptr<BoardLink>& link : links) {
    Member member;
    member.link = std::move(link);
    member.retry = options_.least_retry;
    member.retry_at = now;
    member.calibration = Calibration(options_.drift);
    member.error = {ErrorCode::kUnavailable, fmt::format("board '{}' has not answered yet", member.link->endpoint())};
    members_.push_back(std::move(member));
  }
  thread_ = std::thread([this] { Run(); });
}

BoardPool::~BoardPool() {
  {
    const std::lock_guard lock(events_->mutex);
    events_->stopping = true;
  }
  events_->changed.notify_all();
  thread_.join();
  // Side by side, for each may take a second.
  std::atomic<size_t> next = 0;
  std::vector<std::thread> releasing;
  for (size_t i = 0; i < std::min<size_t>(members_.size(), 32); ++i)
    releasing.emplace_back([&] {
      for (size_t member = next++; member < members_.size(); member = next++) members_[member].link->Release();
    });
  for (std::thread& thread : releasing) thread.join();
}

Result<std::unique_ptr<BoardPool>> BoardPool::Create(std::vector<std::unique_ptr<BoardLink>> links, PoolOptions options,
                                                     const std::atomic<bool>* stop) {
  if (links.empty()) return Error{ErrorCode::kInvalidInput, "form a pool of boards: none was named"};
  std::unique_ptr<BoardPool> pool(new BoardPool(std::move(links), std::move(options)));
  std::unique_lock lock(pool->mutex_);
  while (!pool->IsReady() && !pool->failed_) {
    pool->delivered_.wait_for(lock, kTick);
    if (stop != nullptr && stop->load()) return Error{ErrorCode::kCancelled, "stopped while waiting for a board"};
  }
  if (pool->failed_) return *pool->failed_;
  lock.unlock();
  return pool;
}

size_t BoardPool::capacity() const {
  const std::lock_guard lock(mutex_);
  size_t known = 0, sum = 0;
  const size_t held = Calibrates() ? options_.calibrate_after : 0;
  for (const Member& member : members_)
    if (member.capacity > 0) {
      ++known;
      sum += Limit(member) + held;
    }
  // The driver asks once, early: boards still to come count like those that are there.
  return known == 0 ? 1 : sum * members_.size() / known;
}

Status BoardPool::Submit(MeasureRequest request) {
  {
    const std::lock_guard lock(mutex_);
    if (failed_) return *failed_;
    const uint64_t ticket = request.ticket;
    Flight& flight = flights_[ticket];
    flight.rendered = request.text != nullptr || !options_.render;
    flight.request = std::move(request);
    pending_.push_back(ticket);
  }
  Poke();
  return {};
}

Result<std::vector<Measurement>> BoardPool::Wait(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  delivered_.wait_for(lock, timeout, [&] { return !done_.empty() || failed_; });
  if (done_.empty() && failed_) return *failed_;
  return std::exchange(done_, {});
}

void BoardPool::Cancel() {
  const std::lock_guard lock(mutex_);
  flights_.clear();
  pending_.clear();
  done_.clear();
  for (size_t i = 0; i < members_.size(); ++i) {
    if (members_[i].state == State::kUp || members_[i].state == State::kDraining) members_[i].link->CancelAll();
    members_[i].jobs.clear();
    members_[i].held.clear();
    members_[i].calibrating = 0;
    Reorder(i);
  }
}

std::vector<BoardState> BoardPool::boards() const {
  const std::lock_guard lock(mutex_);
  std::vector<BoardState> states;
  for (const Member& member : members_) {
    constexpr const char* kNames[] = {"connecting", "up", "draining", "lost", "refused"};
    const bool fine = member.state == State::kUp;
    states.push_back({member.link->endpoint(), member.name, kNames[static_cast<size_t>(member.state)], fine ? "" : member.error.message,
                      member.jobs.size(), member.finished, member.tainted, member.calibration.baseline()});
  }
  return states;
}

void BoardPool::Poke() {
  {
    const std::lock_guard lock(events_->mutex);
    events_->poked = true;
  }
  events_->changed.notify_all();
}

void BoardPool::Run() {
  // Looking after every board at every event would cost the square of their number.
  constexpr std::chrono::milliseconds kLook{25};
  Time next_look{};
  for (;;) {
    std::deque<std::pair<size_t, LinkEvent>> events;
    {
      std::unique_lock lock(events_->mutex);
      events_->changed.wait_for(lock, kTick, [&] { return events_->stopping || events_->poked || !events_->queue.empty(); });
      if (events_->stopping) return;
      events_->poked = false;
      std::swap(events, events_->queue);
    }
    std::vector<std::string> notices;
    {
      std::unique_lock lock(mutex_);
      for (auto& [board, event] : events) Handle(board, std::move(event));
      if (const Time now = SteadyClock::now(); now >= next_look) {
        Tick();
        next_look = now + kLook;
      }
      Dispatch(lock);
      std::swap(notices, notices_);
    }
    if (options_.notice)
      for (const std::string& notice : notices) options_.notice(notice);
  }
}

void BoardPool::Connect(size_t board) {
  Member& member = members_[board];
  member.state = State::kConnecting;
  member.began = SteadyClock::now();
  ++member.attempt;
  member.link->Connect(member.attempt, options_.session, {member.jobs.begin(), member.jobs.end()},
                       [events = events_, board](LinkEvent event) {
                         {
                           const std::lock_guard lock(events->mutex);
                           events->queue.emplace_back(board, std::move(event));
                         }
                         events->changed.notify_all();
                       });
}

void BoardPool::Reorder(size_t board) {
  Member& member = members_[board];
  if (member.room_key) room_.erase({*member.room_key, board});
  member.room_key.reset();
  if (member.state != State::kUp || member.jobs.size() >= Limit(member)) return;
  if (Calibrates() && (!member.calibration.known() || SteadyClock::now() < member.rests_until)) return;
  member.room_key = member.jobs.size();
  room_.insert({*member.room_key, board});
}

bool BoardPool::AnyUp() const {
  return std::any_of(members_.begin(), members_.end(), [](const Member& member) { return member.state == State::kUp; });
}

// A board with nothing to do takes what has waited longest on the one with most.
void BoardPool::Steal(Time now) {
  if (!pending_.empty() || room_.empty() || room_.begin()->first != 0) return;
  std::vector<std::pair<size_t, uint64_t>> waiting;  // load of its board, ticket
  for (const auto& [ticket, flight] : flights_) {
    if (flight.boards.size() != 1 || !flight.started.empty() || now - flight.sent < options_.steal_after) continue;
    const Member& member = members_[*flight.boards.begin()];
    if (member.jobs.size() > 1) waiting.emplace_back(member.jobs.size(), ticket);
  }
  std::sort(waiting.rbegin(), waiting.rend());
  for (const auto& [load, ticket] : waiting) {
    if (room_.empty() || room_.begin()->first != 0) return;
    const size_t thief = room_.begin()->second;
    Flight& flight = flights_.at(ticket);
    const size_t owner = *flight.boards.begin();
    if (owner == thief) continue;
    members_[owner].link->Withdraw({ticket});  // unless it has begun; then whoever ends first has it
    members_[owner].beaten = now;
    SendTo(thief, ticket, flight);
  }
}

void BoardPool::Tick() {
  const Time now = SteadyClock::now();
  for (size_t i = 0; i < members_.size(); ++i) MindBoard(i, now);
  MindWaiting(now);
  Steal(now);
}

std::optional<size_t> BoardPool::Choose(const Flight& flight) const {
  std::optional<size_t> blamed;
  for (const auto& [load, board] : room_) {
    if (flight.boards.count(board) != 0) continue;
    const bool is_blamed =
        std::any_of(flight.blamed.begin(), flight.blamed.end(), [&, b = board](const auto& each) { return each.first == b; });
    if (!is_blamed) return board;
    if (!blamed) blamed = board;
  }
  if (!blamed) return std::nullopt;
  // To a board that vanished under it once only when nobody else is there.
  for (size_t i = 0; i < members_.size(); ++i) {
    const bool is_blamed = std::any_of(flight.blamed.begin(), flight.blamed.end(), [&](const auto& each) { return each.first == i; });
    if (members_[i].state == State::kUp && !is_blamed) return std::nullopt;
  }
  return blamed;
}

void BoardPool::SendTo(size_t board, uint64_t ticket, Flight& flight) {
  Member& member = members_[board];
  flight.pending = false;
  flight.boards.insert(board);
  flight.sent = member.beaten = SteadyClock::now();
  member.jobs.insert(ticket);
  Reorder(board);
  member.link->Submit(flight.request);
}

void BoardPool::Dispatch(std::unique_lock<std::mutex>& lock) {
  std::deque<uint64_t> held_back;
  while (!pending_.empty() && !room_.empty()) {
    const uint64_t ticket = pending_.front();
    pending_.pop_front();
    auto found = flights_.find(ticket);
    if (found == flights_.end() || !found->second.pending) continue;
    if (!found->second.rendered) {
      const Candidate candidate = found->second.request.candidate;
      const Target target = target_;
      lock.unlock();
      Result<std::shared_ptr<const CandidateText>> text = options_.render(candidate, target);
      lock.lock();
      found = flights_.find(ticket);
      if (found == flights_.end()) continue;  // cancelled meanwhile
      if (!text) {
        Measurement measurement;
        measurement.status = MeasureStatus::kBuildError;
        measurement.message = text.error().message;
        Answer(ticket, std::move(measurement), "host");
        continue;
      }
      found->second.request.text = std::move(*text);
      found->second.rendered = true;
    }
    const std::optional<size_t> board = Choose(found->second);
    if (board)
      SendTo(*board, ticket, found->second);
    else
      held_back.push_back(ticket);
  }
  pending_.insert(pending_.begin(), held_back.begin(), held_back.end());
}

}  // namespace lathe
