#include "rpc/agent/upload_stream.h"

#include <fmt/format.h>

namespace lathe {
namespace {

constexpr uint64_t kLeastBytesPerSecond = 64 << 10;
constexpr std::chrono::seconds kAnyhow{30};  // beyond what the size takes at that rate

}  // namespace

UploadStream::UploadStream(BoardService* service, const Rights& rights, grpc::CallbackServerContext* context)
    : service_(service), context_(context), heard_(std::chrono::steady_clock::now()), due_(heard_.load() + kAnyhow) {
  {
    const std::lock_guard lock(service_->mutex_);
    service_->uploads_.insert(this);
  }
  if (rights.measure)
    StartRead(&chunk_);
  else
    Finish({grpc::StatusCode::PERMISSION_DENIED, fmt::format("'{}' may not measure on this board", rights.who)});
}

void UploadStream::Mind(Time now) {
  if (now - heard_.load() > service_->options_.upload_silence || now > due_.load()) context_->TryCancel();
}

void UploadStream::OnReadDone(bool ok) {
  heard_ = std::chrono::steady_clock::now();
  if (!ok) {
    if (context_->IsCancelled()) return Finish({grpc::StatusCode::DEADLINE_EXCEEDED, "upload: too slow"});
    if (!upload_) return Finish({grpc::StatusCode::INVALID_ARGUMENT, "upload: it ended before it began"});
    const Status committed = upload_->Commit();
    return Finish(committed ? grpc::Status::OK : ToGrpc(committed.error()));
  }
  if (!upload_) {
    if (!service_->board_->Holds(chunk_.lease_id())) return Finish(NotTheHolder());
    Result<std::unique_ptr<UploadStore::Upload>> begun = service_->store_->Begin(chunk_.sha256(), chunk_.bytes());
    if (!begun) return Finish(ToGrpc(begun.error()));
    upload_ = std::move(*begun);
    due_ = heard_.load() + kAnyhow + std::chrono::seconds(chunk_.bytes() / kLeastBytesPerSecond);
  }
  if (Status appended = upload_->Append(chunk_.data()); !appended) return Finish(ToGrpc(appended.error()));
  StartRead(&chunk_);
}

void UploadStream::OnDone() {
  {
    const std::lock_guard lock(service_->mutex_);
    service_->uploads_.erase(this);
  }
  delete this;
}

}  // namespace lathe
