#include "rpc/agent/board.h"

#include <fmt/format.h>
#include <openssl/rand.h>

#include <algorithm>

namespace lathe {
namespace {

constexpr std::chrono::milliseconds kPatience{100};  // how long an Open, or the end, may go unnoticed

double SecondsOf(std::chrono::steady_clock::duration span) { return std::chrono::duration<double>(span).count(); }

// Another way of measuring is another session.
std::string KeyOf(const SessionSpec& spec) {
  std::string key = fmt::format("{} {} {} {} {} {} {} {} {}", spec.target, spec.threads, spec.seed, spec.cold_cache, spec.verify_only,
                                spec.energy, spec.run_seconds, spec.build_seconds, spec.prebuilt);
  for (const SamplingOptions* s : {&spec.sampling, &spec.finalist_sampling})
    key += fmt::format(" {} {} {} {} {} {} {} {} {}", s->min_sample_seconds, s->warmup_seconds, s->max_seconds, s->min_seconds, s->interval,
                       s->cut_ratio, s->cut_after, s->min_samples, s->max_samples);
  return key;
}

}  // namespace

std::string RandomId() {
  unsigned char bytes[16];
  if (::RAND_bytes(bytes, sizeof bytes) != 1) std::abort();  // no random numbers: every lease could be guessed
  std::string text;
  for (const unsigned char byte : bytes) text += fmt::format("{:02x}", byte);
  return text;
}

Board::Board(Options options, MakeMeasurer make_measurer)
    : options_(std::move(options)), make_measurer_(std::move(make_measurer)), boot_id_(RandomId()), thread_([this] { Run(); }) {}

Board::~Board() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    DropSession();
  }
  changed_.notify_all();
  thread_.join();
}

bool Board::Expired() const { return options_.clock() - heard_ > options_.lease; }

Result<Board::Lease> Board::Hold(const std::string& holder, const std::string& lease_id) {
  const std::lock_guard lock(mutex_);
  const auto now = options_.clock();
  if (!lease_.empty() && lease_id == lease_) {
    heard_ = now;
    return Lease{lease_, options_.lease};
  }
  if (draining_) return Error{ErrorCode::kUnavailable, fmt::format("hold board '{}': it is being shut down", options_.name)};
  if (!lease_.empty() && !Expired())
    return Error{ErrorCode::kUnavailable, fmt::format("hold board '{}': {} has held it for {:.0f} s, and was heard {:.0f} s ago",
                                                      options_.name, holder_, SecondsOf(now - held_since_), SecondsOf(now - heard_))};
  DropSession();
  lease_ = RandomId();
  holder_ = holder;
  held_since_ = heard_ = now;
  return Lease{lease_, options_.lease};
}

void Board::Release(const std::string& lease_id) {
  const std::lock_guard lock(mutex_);
  if (lease_.empty() || lease_id != lease_) return;
  DropSession();
  lease_.clear();
  holder_.clear();
}

void Board::ReleaseWhoever() {
  const std::lock_guard lock(mutex_);
  DropSession();
  lease_.clear();
  holder_.clear();
}

bool Board::Holds(const std::string& lease_id) {
  const std::lock_guard lock(mutex_);
  if (lease_.empty() || lease_id != lease_) return false;
  heard_ = options_.clock();
  return true;
}

void Board::DropSession() {
  const Error error{ErrorCode::kCancelled, fmt::format("board '{}' was released or taken by somebody else", options_.name)};
  if (opening_) opening_->listener->OnEnd(error);
  opening_.reset();
  if (listener_) listener_->OnEnd(error);
  listener_.reset();
  if (measurer_) {
    measurer_->Cancel();
    retired_.push_back(std::move(measurer_));
  }
  session_key_.clear();
  jobs_.clear();
  waiting_.clear();
  tickets_.clear();
}

Status Board::Open(const std::string& lease_id, const SessionSpec& spec, std::vector<uint64_t> outstanding,
                   std::shared_ptr<BoardListener> listener) {
  const std::lock_guard lock(mutex_);
  if (lease_.empty() || lease_id != lease_)
    return Error{ErrorCode::kUnavailable, fmt::format("open a session on board '{}': this lease has ended{}", options_.name,
                                                      holder_.empty() ? std::string() : "; " + holder_ + " holds the board now")};
  heard_ = options_.clock();
  const Error replaced{ErrorCode::kCancelled, "another stream of the same holder took over"};
  if (opening_) opening_->listener->OnEnd(replaced);
  if (listener_) listener_->OnEnd(replaced);
  listener_.reset();
  opening_ = Opening{spec, std::move(outstanding), std::move(listener)};
  changed_.notify_all();
  return {};
}

void Board::Detach(const BoardListener* listener) {
  const std::lock_guard lock(mutex_);
  if (listener_.get() == listener) listener_.reset();
  if (opening_ && opening_->listener.get() == listener) opening_.reset();
}

Status Board::Submit(const BoardListener* listener, MeasureRequest request) {
  const std::lock_guard lock(mutex_);
  if (listener_.get() != listener) return {};
  heard_ = options_.clock();
  const uint64_t id = request.ticket;
  if (jobs_.count(id) != 0) return {};
  if (jobs_.size() >= options_.most_jobs)
    return Error{ErrorCode::kResourceExhausted,
                 fmt::format("board '{}' has {} jobs already, and knows no more at a time", options_.name, jobs_.size())};
  if (draining_) {
    Job& job = jobs_[id];
    job.state = JobState::kFinished;
    job.measurement.ticket = id;
    job.measurement.status = MeasureStatus::kBoardLost;
    job.measurement.message = "the board is being shut down";
    listener_->OnResult(job.measurement);
    return {};
  }
  jobs_[id].request = std::move(request);
  waiting_.push_back(id);
  Feed();
  return {};
}

// As much as keeps the measurer busy; the rest can still be withdrawn.
void Board::Feed() {
  while (measurer_ && !draining_ && !waiting_.empty() && tickets_.size() < measurer_->capacity()) {
    const uint64_t id = waiting_.front();
    waiting_.pop_front();
    const auto found = jobs_.find(id);
    if (found == jobs_.end() || found->second.state != JobState::kQueued) continue;
    Job& job = found->second;
    job.state = JobState::kMeasuring;
    const uint64_t ticket = next_ticket_++;
    tickets_[ticket] = id;
    job.request.ticket = ticket;
    if (Status sent = measurer_->Submit(std::move(job.request)); !sent) {
      last_error_ = sent.error().message;
      Measurement lost;
      lost.ticket = ticket;
      lost.status = MeasureStatus::kBoardLost;
      lost.message = sent.error().message;
      std::vector<Measurement> answers;
      answers.push_back(std::move(lost));
      Deliver(std::move(answers));
    }
    changed_.notify_all();
  }
}

void Board::Started(uint64_t ticket) {
  const std::lock_guard lock(mutex_);
  const auto found = tickets_.find(ticket);
  if (found == tickets_.end() || !found->second) return;
  const auto job = jobs_.find(*found->second);
  if (job == jobs_.end()) return;
  job->second.state = JobState::kStarted;
  if (listener_) listener_->OnStarted(job->first);
}

void Board::Deliver(std::vector<Measurement> measurements) {
  for (Measurement& measurement : measurements) {
    const auto found = tickets_.find(measurement.ticket);
    if (found == tickets_.end()) continue;  // of an earlier session
    const std::optional<uint64_t> id = found->second;
    tickets_.erase(found);
    const auto job = id ? jobs_.find(*id) : jobs_.end();
    if (job == jobs_.end()) continue;  // forgotten
    ++finished_;
    measurement.ticket = *id;
    if (measurement.status == MeasureStatus::kBoardLost) last_error_ = measurement.message;
    job->second.state = JobState::kFinished;
    job->second.request = {};
    job->second.measurement = std::move(measurement);
    if (listener_) listener_->OnResult(job->second.measurement);
  }
}

void Board::Withdraw(const BoardListener* listener, const std::vector<uint64_t>& ids) {
  const std::lock_guard lock(mutex_);
  if (listener_.get() != listener) return;
  heard_ = options_.clock();
  for (const uint64_t id : ids)
    if (const auto job = jobs_.find(id); job != jobs_.end() && job->second.state == JobState::kQueued) jobs_.erase(job);
}

void Board::Acknowledge(const BoardListener* listener, const std::vector<uint64_t>& ids) {
  const std::lock_guard lock(mutex_);
  if (listener_.get() != listener) return;
  heard_ = options_.clock();
  for (const uint64_t id : ids)
    if (const auto job = jobs_.find(id); job != jobs_.end() && job->second.state == JobState::kFinished) jobs_.erase(job);
}

void Board::CancelAll(const BoardListener* listener) {
  const std::lock_guard lock(mutex_);
  if (listener_.get() != listener) return;
  heard_ = options_.clock();
  jobs_.clear();
  waiting_.clear();
  tickets_.clear();
  if (measurer_) measurer_->Cancel();
}

void Board::Beat(const BoardListener* listener) {
  const std::lock_guard lock(mutex_);
  if (listener_.get() == listener) heard_ = options_.clock();
}

void Board::Drain() {
  const std::lock_guard lock(mutex_);
  draining_ = true;
  if (listener_) listener_->OnDraining();
  for (auto& [id, job] : jobs_) {
    if (job.state != JobState::kQueued) continue;
    job.state = JobState::kFinished;
    job.measurement.ticket = id;
    job.measurement.status = MeasureStatus::kBoardLost;
    job.measurement.message = "the board is being shut down";
    if (listener_) listener_->OnResult(job.measurement);
  }
  waiting_.clear();
}

bool Board::Drained() {
  const std::lock_guard lock(mutex_);
  return draining_ && (jobs_.empty() || lease_.empty() || Expired());
}

Board::Facts Board::facts() {
  const std::lock_guard lock(mutex_);
  Facts facts;
  const auto now = options_.clock();
  facts.held = !lease_.empty();
  facts.expired = facts.held && Expired();
  facts.draining = draining_;
  facts.holder = holder_;
  if (facts.held) {
    facts.held_seconds = SecondsOf(now - held_since_);
    facts.silent_seconds = SecondsOf(now - heard_);
  }
  for (const auto& [id, job] : jobs_) {
    facts.queued += job.state == JobState::kQueued || job.state == JobState::kMeasuring ? 1 : 0;
    facts.running += job.state == JobState::kStarted ? 1 : 0;
    facts.unacknowledged += job.state == JobState::kFinished ? 1 : 0;
  }
  facts.finished = finished_;
  facts.last_error = last_error_;
  return facts;
}

// Makes the measurer, unlocked, for that takes a while; then tells the holder what became of the jobs it asks for.
void Board::OpenSession(std::unique_lock<std::mutex>& lock) {
  const Opening opening = *opening_;
  const std::string key = KeyOf(opening.spec);
  if (!measurer_ || key != session_key_) {
    if (measurer_) {
      measurer_->Cancel();
      retired_.push_back(std::move(measurer_));
    }
    jobs_.clear();
    waiting_.clear();
    tickets_.clear();
    session_key_.clear();
    std::vector<std::shared_ptr<Measurer>> retired = std::exchange(retired_, {});
    lock.unlock();
    retired.clear();
    Result<std::unique_ptr<Measurer>> made = make_measurer_(opening.spec);
    if (made) (*made)->ObserveStarts([this](uint64_t ticket) { Started(ticket); });
    lock.lock();
    if (!made) last_error_ = made.error().message;
    if (made) retired_.emplace_back(std::move(*made));  // kept below, unless things changed meanwhile
    if (!opening_ || opening_->listener != opening.listener) return;
    if (!made) {
      opening.listener->OnEnd(made.error());
      opening_.reset();
      return;
    }
    measurer_ = std::move(retired_.back());
    retired_.pop_back();
    session_key_ = key;
  }
  opening_.reset();
  listener_ = opening.listener;
  std::vector<uint64_t> unknown;
  for (auto job = jobs_.begin(); job != jobs_.end();) {
    const bool wanted = std::find(opening.outstanding.begin(), opening.outstanding.end(), job->first) != opening.outstanding.end();
    job = wanted ? std::next(job) : jobs_.erase(job);
  }
  for (auto& [ticket, id] : tickets_)
    if (id && jobs_.count(*id) == 0) id.reset();  // its id may be sent again before the measurer answers
  for (const uint64_t id : opening.outstanding)
    if (jobs_.count(id) == 0) unknown.push_back(id);
  listener_->OnOpened(measurer_->target(), measurer_->capacity(), unknown);
  for (const auto& [id, job] : jobs_) {
    if (job.state == JobState::kStarted) listener_->OnStarted(id);
    if (job.state == JobState::kFinished) listener_->OnResult(job.measurement);
  }
  if (draining_) listener_->OnDraining();
}

void Board::Run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    if (!retired_.empty()) {
      std::vector<std::shared_ptr<Measurer>> retired = std::exchange(retired_, {});
      lock.unlock();
      retired.clear();
      lock.lock();
      continue;
    }
    if (stopping_) return;
    if (opening_) {
      OpenSession(lock);
      continue;
    }
    if (!lease_.empty() && options_.clock() - heard_ > options_.forget) {
      DropSession();
      lease_.clear();
      holder_.clear();
      continue;
    }
    if (!measurer_ || tickets_.empty()) {
      changed_.wait_for(lock, kPatience);
      continue;
    }
    const std::shared_ptr<Measurer> measurer = measurer_;
    lock.unlock();
    Result<std::vector<Measurement>> answers = measurer->Wait(kPatience);
    lock.lock();
    if (measurer != measurer_) {
      retired_.push_back(measurer);
      continue;
    }
    if (answers) {
      Deliver(std::move(*answers));
    } else {
      last_error_ = answers.error().message;
      std::vector<Measurement> lost;
      for (const auto& [ticket, id] : tickets_) {
        lost.emplace_back();
        lost.back().ticket = ticket;
        lost.back().status = MeasureStatus::kBoardLost;
        lost.back().message = answers.error().message;
      }
      Deliver(std::move(lost));
    }
    Feed();
  }
}

}  // namespace lathe
