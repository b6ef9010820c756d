#include "rpc/agent/board_service.h"

#include <fmt/format.h>

#include "rpc/agent/measure_stream.h"
#include "rpc/agent/upload_stream.h"
#include "rpc/version.h"

namespace lathe {
namespace {

grpc::ServerUnaryReactor* Answer(grpc::CallbackServerContext* context, const grpc::Status& status) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(status);
  return reactor;
}

// A proto3 string must be UTF-8, or the whole reply cannot be read; a compiler's last words or a cut name need not be.
std::string Ascii(std::string text, size_t most) {
  if (text.size() > most) text.resize(most);
  for (char& c : text)
    if (static_cast<unsigned char>(c) >= 0x80) c = '?';
  return text;
}

grpc::Status Denied(const Rights& rights, const char* what) {
  return {grpc::StatusCode::PERMISSION_DENIED, fmt::format("'{}' may not {} on this board", rights.who, what)};
}

}  // namespace

grpc::Status NotTheHolder() { return {grpc::StatusCode::ABORTED, "this lease has ended: hold the board again"}; }

grpc::Status ToGrpc(const Error& error) {
  // UNAVAILABLE is left to the transport: a client that sees it knows that nobody answered.
  grpc::StatusCode code = grpc::StatusCode::INTERNAL;
  switch (error.code) {
    case ErrorCode::kInvalidInput:
      code = grpc::StatusCode::INVALID_ARGUMENT;
      break;
    case ErrorCode::kNotFound:
      code = grpc::StatusCode::NOT_FOUND;
      break;
    case ErrorCode::kUnavailable:
      code = grpc::StatusCode::ABORTED;
      break;
    case ErrorCode::kIncompatible:
      code = grpc::StatusCode::FAILED_PRECONDITION;
      break;
    case ErrorCode::kResourceExhausted:
      code = grpc::StatusCode::RESOURCE_EXHAUSTED;
      break;
    case ErrorCode::kCancelled:
      code = grpc::StatusCode::ABORTED;
      break;
    case ErrorCode::kInternal:
      break;
  }
  constexpr size_t kMost = 2000;  // a status travels in a header, and those are limited
  return {code, error.message.substr(0, kMost)};
}

BoardService::BoardService(Board* board, UploadStore* store, Options options)
    : board_(board), store_(store), options_(std::move(options)), heartbeats_([this] { Heartbeats(); }) {}

BoardService::~BoardService() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stop_.notify_all();
  heartbeats_.join();
}

void BoardService::Heartbeats() {
  std::unique_lock lock(mutex_);
  while (!stop_.wait_for(lock, options_.heartbeat, [&] { return stopping_; })) {
    for (UploadStream* upload : uploads_) upload->Mind(std::chrono::steady_clock::now());
    if (streams_.empty()) continue;
    v1::FromBoard message;
    v1::Heartbeat& beat = *message.mutable_heartbeat();
    const Board::Facts facts = board_->facts();
    beat.set_queued(facts.queued);
    beat.set_running(facts.running);
    if (options_.conditions)
      for (const auto& [name, value] : options_.conditions()) (*beat.mutable_conditions())[name] = value;
    for (MeasureStream* stream : streams_) stream->SendHeartbeat(message);
  }
}

grpc::ServerUnaryReactor* BoardService::Describe(grpc::CallbackServerContext* context, const v1::DescribeRequest*,
                                                 v1::BoardDescription* reply) {
  const Board::Facts facts = board_->facts();
  reply->mutable_protocol()->set_oldest(options_.protocol.oldest);
  reply->mutable_protocol()->set_newest(options_.protocol.newest);
  reply->set_agent_version(kVersion);
  reply->set_boot_id(board_->boot_id());
  reply->set_name(board_->name());
  for (const v1::TargetDescription& target : options_.targets) *reply->add_targets() = target;
  if (facts.held) {
    v1::Holding& holding = *reply->mutable_holding();
    holding.set_holder(facts.holder);
    holding.set_held_seconds(facts.held_seconds);
    holding.set_silent_seconds(facts.silent_seconds);
    holding.set_expired(facts.expired);
  }
  reply->set_draining(facts.draining);
  reply->set_queued(facts.queued);
  reply->set_running(facts.running);
  reply->set_unacknowledged(facts.unacknowledged);
  reply->set_finished(facts.finished);
  reply->set_last_error(Ascii(facts.last_error, 500));
  reply->set_uptime_seconds(std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count());
  if (options_.conditions)
    for (const auto& [name, value] : options_.conditions()) (*reply->mutable_conditions())[name] = value;
  for (const v1::PowerRail& rail : options_.rails) *reply->add_rails() = rail;
  return Answer(context, grpc::Status::OK);
}

grpc::ServerUnaryReactor* BoardService::Hold(grpc::CallbackServerContext* context, const v1::HoldRequest* request, v1::HoldReply* reply) {
  const Rights rights = options_.rights(*context);
  if (!rights.measure) return Answer(context, Denied(rights, "measure"));
  const ProtocolRange theirs{request->protocol().oldest(), request->protocol().newest()};
  const uint32_t version = CommonVersion(options_.protocol, theirs);
  if (version == 0)
    return Answer(context, {grpc::StatusCode::FAILED_PRECONDITION,
                            fmt::format("this agent ({}) speaks protocol {} to {}, the client {} to {}: update the older one", kVersion,
                                        options_.protocol.oldest, options_.protocol.newest, theirs.oldest, theirs.newest)});
  const std::string holder = Ascii(request->holder(), 200) + (rights.who == "loopback" ? "" : " (" + rights.who + ")");
  Result<Board::Lease> lease = board_->Hold(holder, request->lease_id());
  if (!lease) return Answer(context, ToGrpc(lease.error()));
  if (lease->id != request->lease_id()) options_.log("held", {{"holder", holder}, {"peer", context->peer()}});
  reply->set_protocol(version);
  reply->set_lease_id(lease->id);
  reply->set_lease_seconds(std::chrono::duration<double>(lease->duration).count());
  reply->set_boot_id(board_->boot_id());
  reply->set_board(board_->name());
  return Answer(context, grpc::Status::OK);
}

grpc::ServerUnaryReactor* BoardService::Release(grpc::CallbackServerContext* context, const v1::ReleaseRequest* request,
                                                v1::ReleaseReply*) {
  const Rights rights = options_.rights(*context);
  if (request->whoever()) {
    if (!rights.administer) return Answer(context, Denied(rights, "administer"));
    board_->ReleaseWhoever();
  } else {
    if (!rights.measure) return Answer(context, Denied(rights, "measure"));
    board_->Release(request->lease_id());
  }
  options_.log("released", {{"client", rights.who}, {"whoever", request->whoever()}});
  return Answer(context, grpc::Status::OK);
}

grpc::ServerUnaryReactor* BoardService::Missing(grpc::CallbackServerContext* context, const v1::MissingRequest* request,
                                                v1::MissingReply* reply) {
  const Rights rights = options_.rights(*context);
  if (!rights.measure) return Answer(context, Denied(rights, "measure"));
  if (!board_->Holds(request->lease_id())) return Answer(context, NotTheHolder());
  if (request->sha256_size() > 1024) return Answer(context, {grpc::StatusCode::INVALID_ARGUMENT, "missing: ask for 1024 at a time"});
  reply->set_most_bytes(store_->limits().file_bytes);
  for (const std::string& hash : request->sha256())
    if (!store_->Find(hash)) reply->add_sha256(hash);
  return Answer(context, grpc::Status::OK);
}

grpc::ServerUnaryReactor* BoardService::Drain(grpc::CallbackServerContext* context, const v1::DrainRequest*, v1::DrainReply*) {
  const Rights rights = options_.rights(*context);
  if (!rights.administer) return Answer(context, Denied(rights, "administer"));
  options_.log("drain asked for", {{"client", rights.who}});
  if (options_.drain) options_.drain();
  return Answer(context, grpc::Status::OK);
}

grpc::ServerReadReactor<v1::UploadChunk>* BoardService::Upload(grpc::CallbackServerContext* context, v1::UploadReply*) {
  return new UploadStream(this, options_.rights(*context), context);
}

grpc::ServerBidiReactor<v1::ToBoard, v1::FromBoard>* BoardService::Measure(grpc::CallbackServerContext* context) {
  return new MeasureStream(this, options_.rights(*context), context->peer());
}

}  // namespace lathe
