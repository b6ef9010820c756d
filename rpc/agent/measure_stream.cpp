#include "rpc/agent/measure_stream.h"

#include <fmt/format.h>

#include "core/hash.h"
#include "rpc/agent/flag_rules.h"

namespace lathe {

MeasureStream::MeasureStream(BoardService* service, Rights rights, std::string peer)
    : service_(service), rights_(std::move(rights)), peer_(std::move(peer)), outbox_(std::make_shared<Outbox>(this)) {
  {
    const std::lock_guard lock(service_->mutex_);
    service_->streams_.insert(this);
  }
  if (rights_.measure)
    StartRead(&incoming_);
  else
    outbox_->Finish({grpc::StatusCode::PERMISSION_DENIED, fmt::format("'{}' may not measure on this board", rights_.who)});
}

void MeasureStream::OnDone() {
  service_->board_->Detach(outbox_.get());
  {
    const std::lock_guard lock(service_->mutex_);
    service_->streams_.erase(this);
  }
  outbox_->Gone();
  delete this;
}

void MeasureStream::SendHeartbeat(const v1::FromBoard& message) { outbox_->PushIfIdle(message); }

void MeasureStream::OnReadDone(bool ok) {
  if (!ok) return outbox_->Finish(grpc::Status::OK);
  Status taken;
  try {
    taken = Take(incoming_);
  } catch (const std::exception& failure) {  // out of memory: this call's affair, not the agent's
    taken = Error{ErrorCode::kInternal, failure.what()};
  }
  if (!taken) {
    service_->options_.log("refused", {{"client", rights_.who}, {"peer", peer_}, {"why", taken.error().message}});
    return outbox_->Finish(ToGrpc(taken.error()));
  }
  StartRead(&incoming_);
}

Status MeasureStream::Take(const v1::ToBoard& message) {
  Board& board = *service_->board_;
  if (!opened_ && message.what_case() != v1::ToBoard::kOpen)
    return Error{ErrorCode::kInvalidInput, "measure: the first message must be Open"};
  switch (message.what_case()) {
    case v1::ToBoard::kOpen: {
      if (opened_) return Error{ErrorCode::kInvalidInput, "measure: a second Open on one stream"};
      opened_ = true;
      Result<SessionSpec> spec = wire::Read(message.open(), service_->options_.limits);
      if (!spec) return spec.error();
      const auto& outstanding = message.open().outstanding();
      if (outstanding.size() > 65536) return Error{ErrorCode::kInvalidInput, "open: too many outstanding jobs"};
      return board.Open(message.open().lease_id(), *spec, {outstanding.begin(), outstanding.end()}, outbox_);
    }
    case v1::ToBoard::kReference: {
      constexpr size_t kMostReferences = 512, kMostBytes = size_t{64} << 20;
      const bool built = !message.reference().artifact_sha256().empty();  // as the work is decided
      if (!built && !rights_.build)
        return Error{ErrorCode::kInvalidInput,
                     fmt::format("'{}' may not build on this board: bring built artifacts (--toolchain)", rights_.who)};
      Result<ReferenceText> text = wire::Read(message.reference(), service_->options_.limits);
      if (!text) return text.error();
      reference_bytes_ += text->source.size();
      if (references_.size() >= kMostReferences || reference_bytes_ > kMostBytes)
        return Error{ErrorCode::kResourceExhausted, "measure: too many references on one stream; open another"};
      references_[message.reference().key()] = {std::make_shared<const ReferenceText>(std::move(*text)),
                                                message.reference().artifact_sha256()};
      return {};
    }
    case v1::ToBoard::kJob:
      return TakeJob(message.job());
    case v1::ToBoard::kWithdraw:
      board.Withdraw(outbox_.get(), {message.withdraw().ids().begin(), message.withdraw().ids().end()});
      return {};
    case v1::ToBoard::kAcknowledge:
      board.Acknowledge(outbox_.get(), {message.acknowledge().ids().begin(), message.acknowledge().ids().end()});
      return {};
    case v1::ToBoard::kCancel:
      board.CancelAll(outbox_.get());
      return {};
    case v1::ToBoard::kHeartbeat:
    case v1::ToBoard::WHAT_NOT_SET:  // of a newer client
      board.Beat(outbox_.get());
      return {};
  }
  return {};
}

Status MeasureStream::TakeJob(const v1::Job& message) {
  std::shared_ptr<const ReferenceText> reference;
  std::string reference_sha256;
  if (!message.reference().empty()) {
    const auto found = references_.find(message.reference());
    if (found == references_.end()) return Error{ErrorCode::kInvalidInput, "job: its reference was not sent on this stream"};
    reference = found->second.text;
    reference_sha256 = found->second.artifact_sha256;
  }
  Result<MeasureRequest> request = wire::Read(message, reference, service_->options_.limits);
  const Status harmless = CheckFlags({message.flags().begin(), message.flags().end()});
  if (!request || !harmless) {
    // This candidate's affair: were the stream to end, the same candidate would cost a client one board after the other.
    const Error& reason = request ? harmless.error() : request.error();
    service_->options_.log("refused", {{"client", rights_.who}, {"peer", peer_}, {"why", reason.message}});
    Measurement refused;
    refused.ticket = message.id();
    refused.status = MeasureStatus::kBuildError;
    refused.message = "the board refuses it: " + reason.message;
    outbox_->OnResult(refused);
    return {};
  }
  if (message.code_case() == v1::Job::kSource && !rights_.build)
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("'{}' may not build on this board: bring built artifacts (--toolchain)", rights_.who)};
  if (request->text == nullptr) return service_->board_->Submit(outbox_.get(), std::move(*request));
  auto text = std::make_shared<CandidateText>(*request->text);
  if (message.code_case() == v1::Job::kArtifactSha256) {
    text->artifact = Uploaded(message.artifact_sha256());
    if (!text->artifact) return ReplyMissing(message.id(), message.artifact_sha256());
  }
  if (!reference_sha256.empty()) {
    auto built = std::make_shared<ReferenceText>(*text->reference);
    built->artifact = Uploaded(reference_sha256);
    if (!built->artifact) return ReplyMissing(message.id(), reference_sha256);
    text->reference = std::move(built);
  }
  request->text = std::move(text);
  return service_->board_->Submit(outbox_.get(), std::move(*request));
}

// At each job anew: the store forgets what was not used for long.
std::optional<Artifact> MeasureStream::Uploaded(const std::string& sha256) const {
  const std::optional<std::filesystem::path> path = service_->store_->Find(sha256);
  if (!path) return std::nullopt;
  return Artifact{*path, sha256, {}};
}

Status MeasureStream::ReplyMissing(uint64_t id, const std::string& sha256) {
  Measurement lost;
  lost.ticket = id;
  lost.status = MeasureStatus::kBoardLost;
  lost.message = "the artifact is not on the board any more; upload it again";
  lost.conditions["missing_artifact"] = sha256;
  outbox_->OnResult(lost);
  return {};
}

void MeasureStream::Outbox::OnOpened(const Target& target, size_t capacity, const std::vector<uint64_t>& unknown) {
  v1::FromBoard message;
  v1::Opened& opened = *message.mutable_opened();
  opened.set_target_json(ToJson(target).dump());
  opened.set_capacity(static_cast<uint32_t>(capacity));
  for (const uint64_t id : unknown) opened.add_unknown(id);
  Push(std::move(message));
}

void MeasureStream::Outbox::OnStarted(uint64_t id) {
  v1::FromBoard message;
  message.mutable_started()->set_id(id);
  Push(std::move(message));
}

void MeasureStream::Outbox::OnResult(const Measurement& measurement) {
  v1::FromBoard message;
  wire::Write(measurement, *message.mutable_result());
  Push(std::move(message));
}

void MeasureStream::Outbox::OnDraining() {
  v1::FromBoard message;
  message.mutable_draining();
  Push(std::move(message));
}

void MeasureStream::Outbox::NextLocked() {
  if (writing_ || finished_ || stream_ == nullptr) return;
  if (!queue_.empty()) {
    writing_ = true;
    stream_->StartWrite(&queue_.front());
  } else if (ending_) {
    finished_ = true;
    stream_->Finish(status_);
  }
}

void MeasureStream::Outbox::Push(v1::FromBoard message) {
  const std::lock_guard lock(mutex_);
  if (ending_) return;
  constexpr size_t kMostUnread = 4096;
  if (queue_.size() >= kMostUnread) {  // a client that does not read must not fill our memory
    ending_ = true;
    status_ = grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "measure: too many messages wait to be read");
    return NextLocked();
  }
  queue_.push_back(std::move(message));
  NextLocked();
}

void MeasureStream::Outbox::PushIfIdle(const v1::FromBoard& message) {
  const std::lock_guard lock(mutex_);
  if (ending_ || !queue_.empty()) return;
  queue_.push_back(message);
  NextLocked();
}

void MeasureStream::Outbox::Finish(const grpc::Status& status) {
  const std::lock_guard lock(mutex_);
  if (ending_) return;
  ending_ = true;
  status_ = status;
  // A client that only ended its own half still reads. Otherwise what is being written has to end; the rest will be asked for again.
  if (!status.ok())
    while (queue_.size() > (writing_ ? 1U : 0U)) queue_.pop_back();
  NextLocked();
}

void MeasureStream::Outbox::Written(bool ok) {
  const std::lock_guard lock(mutex_);
  writing_ = false;
  queue_.pop_front();
  if (!ok) {
    queue_.clear();
    ending_ = true;
  }
  NextLocked();
}

void MeasureStream::Outbox::Gone() {
  const std::lock_guard lock(mutex_);
  stream_ = nullptr;
  ending_ = finished_ = true;
  queue_.clear();
}

}  // namespace lathe
