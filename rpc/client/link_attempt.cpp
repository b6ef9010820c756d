#include "rpc/client/link_attempt.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "rpc/client/channel.h"
#include "rpc/wire.h"

namespace lathe {
namespace {

// Refusals that will be the same tomorrow.
bool IsPermanent(const grpc::Status& status) {
  switch (status.error_code()) {
    case grpc::StatusCode::PERMISSION_DENIED:
    case grpc::StatusCode::UNAUTHENTICATED:
    case grpc::StatusCode::UNIMPLEMENTED:
    case grpc::StatusCode::FAILED_PRECONDITION:
    case grpc::StatusCode::INVALID_ARGUMENT:
    case grpc::StatusCode::NOT_FOUND:
      return true;
    default:
      return false;
  }
}

}  // namespace

LinkAttempt::LinkAttempt(std::shared_ptr<LinkState> state, uint64_t number, std::function<void(LinkEvent)> events)
    : counted_(state), state_(std::move(state)), number_(number), file_session_(state_->files->NewSession()), events_(std::move(events)) {}

void LinkAttempt::Start(const SessionSpec& spec, const std::vector<uint64_t>& outstanding) {
  least_version_ = spec.energy ? kEnergyVersion : 1;
  v1::Open& open = *open_.mutable_open();
  wire::Write(spec, open);
  for (const uint64_t id : outstanding) open.add_outstanding(id);
  hold_.mutable_protocol()->set_oldest(state_->options.protocol.oldest);
  hold_.mutable_protocol()->set_newest(state_->options.protocol.newest);
  hold_.set_holder(state_->options.holder);
  {
    const std::lock_guard lock(state_->mutex);
    hold_.set_lease_id(state_->lease);
  }
  SetDeadline(hold_context_, state_->options.call_seconds);
  state_->stub->async()->Hold(&hold_context_, &hold_, &held_,
                              [self = shared_from_this()](const grpc::Status& status) { self->OnHeld(status); });
}

void LinkAttempt::GiveUp() {
  std::function<void(LinkEvent)> dropped;
  {
    const std::lock_guard lock(mutex_);
    std::swap(dropped, events_);
    given_up_ = true;
    if (streaming_) context_.TryCancel();
    LetGo();
  }
  hold_context_.TryCancel();
  state_->files->GiveUp(file_session_);
}

void LinkAttempt::Push(v1::ToBoard message) {
  const std::lock_guard lock(mutex_);
  if (!streaming_ || ended_) return;
  queue_.push_back(std::move(message));
  Next();
}

void LinkAttempt::PushJob(const MeasureRequest& request) {
  const std::shared_ptr<const CandidateText>& text = request.text;
  // An older agent builds references itself.
  const bool ships_reference =
      text != nullptr && text->reference != nullptr && text->reference->artifact && held_.protocol() >= kPrebuiltVersion;
  const bool ships_candidate = text != nullptr && text->artifact;
  auto send = [self = shared_from_this(), request](const std::string& reference, const std::string& candidate) {
    v1::ToBoard message;
    wire::Write(request, candidate, *message.mutable_job());
    self->SendReference(request, reference);
    self->Push(std::move(message));
  };
  auto with_reference = [self = shared_from_this(), request, ships_candidate, send](const std::string& reference) {
    if (!ships_candidate) return send(reference, "");
    self->WithFile(request.text->artifact->path.string(), request.ticket,
                   [send, reference](const std::string& candidate) { send(reference, candidate); });
  };
  if (!ships_reference) return with_reference("");
  WithFile(text->reference->artifact->path.string(), request.ticket, with_reference);
}

void LinkAttempt::Emit(LinkEvent event) {
  event.attempt = number_;
  std::function<void(LinkEvent)> events;
  {
    const std::lock_guard lock(mutex_);
    events = events_;
    if (event.kind == LinkEvent::Kind::kDown) events_ = nullptr;
  }
  if (events) events(std::move(event));
}

void LinkAttempt::Down(Error error, bool permanent) {
  LinkEvent event;
  event.kind = LinkEvent::Kind::kDown;
  event.error = std::move(error);
  event.permanent = permanent;
  Emit(std::move(event));
}

void LinkAttempt::OnHeld(const grpc::Status& status) {
  if (!status.ok()) return Down(FromGrpc(status, state_->options.endpoint), IsPermanent(status));
  {
    const std::lock_guard lock(state_->mutex);
    state_->lease = held_.lease_id();
    if (state_->boot_id != held_.boot_id()) state_->files->ForgetAll();
    state_->boot_id = held_.boot_id();
  }
  if (held_.protocol() < least_version_)
    return Down({ErrorCode::kIncompatible,
                 fmt::format("board '{}' speaks protocol {} and cannot measure energy, which protocol {} brought: update its agent",
                             state_->options.endpoint, held_.protocol(), least_version_)},
                true);
  open_.mutable_open()->set_lease_id(held_.lease_id());
  const std::lock_guard lock(mutex_);
  if (given_up_) return;
  self_ = shared_from_this();
  streaming_ = true;
  state_->stub->async()->Measure(&context_, this);
  AddHold();
  queue_.push_front(std::move(open_));
  Next();
  StartRead(&incoming_);
  StartCall();
}

void LinkAttempt::Next() {
  if (writing_ || ended_ || queue_.empty()) return;
  writing_ = true;
  StartWrite(&queue_.front());
}

void LinkAttempt::OnWriteDone(bool ok) {
  const std::lock_guard lock(mutex_);
  writing_ = false;
  queue_.pop_front();
  if (!ok) return LetGo();
  Next();
}

void LinkAttempt::OnReadDone(bool ok) {
  if (!ok) {
    const std::lock_guard lock(mutex_);
    return LetGo();
  }
  if (Take(incoming_)) return StartRead(&incoming_);
  context_.TryCancel();
  const std::lock_guard lock(mutex_);
  LetGo();
}

// With the lock.
void LinkAttempt::LetGo() {
  if (!streaming_ || ended_) return;
  ended_ = true;
  RemoveHold();
}

void LinkAttempt::OnDone(const grpc::Status& status) {
  if (refusal_) {
    Down(*refusal_, true);
  } else {
    // The board's own words, where it has any; a stream that ends well is over all the same.
    Down(status.ok() ? Error{ErrorCode::kUnavailable, fmt::format("board '{}' ended the session", state_->options.endpoint)}
                     : FromGrpc(status, state_->options.endpoint),
         IsPermanent(status));
  }
  const std::shared_ptr<LinkAttempt> last = std::move(self_);
}

bool LinkAttempt::Take(const v1::FromBoard& message) {
  LinkEvent event;
  switch (message.what_case()) {
    case v1::FromBoard::kOpened: {
      const nlohmann::json json = nlohmann::json::parse(message.opened().target_json(), nullptr, false);
      Result<Target> target = TargetFromJson(json);
      if (!target) {
        refusal_ = target.error().In(fmt::format("board '{}' describes a target that makes no sense", state_->options.endpoint));
        return false;
      }
      event.kind = LinkEvent::Kind::kUp;
      event.target = std::move(*target);
      event.capacity = std::min<size_t>(message.opened().capacity(), 4096);
      event.unknown.assign(message.opened().unknown().begin(), message.opened().unknown().end());
      event.boot_id = held_.boot_id();
      event.board = held_.board();
      break;
    }
    case v1::FromBoard::kStarted:
      event.kind = LinkEvent::Kind::kStarted;
      event.id = message.started().id();
      break;
    case v1::FromBoard::kResult: {
      Result<Measurement> measurement = wire::Read(message.result());
      if (!measurement) {
        refusal_ = measurement.error().In(fmt::format("board '{}'", state_->options.endpoint));
        return false;
      }
      if (const auto missing = measurement->conditions.find("missing_artifact"); missing != measurement->conditions.end())
        state_->files->Forget(missing->second);
      event.kind = LinkEvent::Kind::kResult;
      event.measurement = std::move(*measurement);
      break;
    }
    case v1::FromBoard::kHeartbeat:
      event.kind = LinkEvent::Kind::kBeat;
      event.conditions.insert(message.heartbeat().conditions().begin(), message.heartbeat().conditions().end());
      break;
    case v1::FromBoard::kDraining:
      event.kind = LinkEvent::Kind::kDraining;
      break;
    case v1::FromBoard::WHAT_NOT_SET:  // of a newer agent
      return true;
  }
  Emit(std::move(event));
  return true;
}

// Once a stream, and in the queue before any other thread can think that it is there.
void LinkAttempt::SendReference(const MeasureRequest& request, const std::string& artifact_sha256) {
  if (request.text == nullptr || request.text->reference == nullptr) return;
  const ReferenceText& text = *request.text->reference;
  v1::ToBoard message;
  wire::Write(text, artifact_sha256, *message.mutable_reference());
  const std::lock_guard lock(mutex_);
  if (!streaming_ || ended_ || !references_.insert(text.key).second) return;
  queue_.push_back(std::move(message));
  Next();
}

// Lost with a reason, as far as this board is concerned.
void LinkAttempt::Fail(uint64_t id, const std::string& why) {
  LinkEvent event;
  event.kind = LinkEvent::Kind::kResult;
  event.measurement.ticket = id;
  event.measurement.status = MeasureStatus::kBoardLost;
  event.measurement.message = why;
  Emit(std::move(event));
}

// Goes on with the hash once the board has the file; otherwise the job is lost with the reason.
void LinkAttempt::WithFile(const std::string& path, uint64_t id, std::function<void(const std::string&)> then) {
  std::string lease;
  {
    const std::lock_guard lock(state_->mutex);
    lease = state_->lease;
  }
  state_->files->Send(file_session_, path, lease,
                      [self = shared_from_this(), id, then = std::move(then)](const Result<std::string>& sha256) {
                        if (sha256)
                          then(*sha256);
                        else
                          self->Fail(id, sha256.error().message);
                      });
}

}  // namespace lathe
