#include "rpc/client/file_sender.h"

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <iterator>
#include <vector>

#include "core/file.h"
#include "core/hash.h"
#include "rpc/client/channel.h"

namespace lathe {
namespace {

constexpr size_t kChunkBytes = 256 << 10;  // a heartbeat waits behind one of them at most
constexpr double kLeastBytesPerSecond = 64 << 10;

}  // namespace

// One file: Missing, then chunks.
class FileSender::Upload : public grpc::ClientWriteReactor<v1::UploadChunk> {
 public:
  Upload(FileSender* sender, uint64_t of_session, const std::string& lease, const std::string& sha256, std::string content)
      : session(of_session), sender_(sender), content_(std::move(content)) {
    chunk_.set_lease_id(lease);
    chunk_.set_sha256(sha256);
    chunk_.set_bytes(content_.size());
  }

  void Start(std::shared_ptr<Upload> self) {
    self_ = std::move(self);
    asked_.set_lease_id(chunk_.lease_id());
    asked_.add_sha256(chunk_.sha256());
    SetDeadline(ask_, sender_->call_seconds_);
    sender_->stub_->async()->Missing(&ask_, &asked_, &missing_, [this](const grpc::Status& status) {
      if (!status.ok() || missing_.sha256().empty()) return End(status);
      if (content_.size() > missing_.most_bytes())
        return End({grpc::StatusCode::RESOURCE_EXHAUSTED,
                    fmt::format("an artifact of {} bytes; the board takes {}", content_.size(), missing_.most_bytes())});
      SetDeadline(context_, sender_->upload_seconds_ + static_cast<double>(content_.size()) / kLeastBytesPerSecond);
      sender_->stub_->async()->Upload(&context_, &reply_, this);
      Next();
      StartCall();
    });
  }
  // A call that has not begun ends as soon as it does.
  void Cancel() {
    ask_.TryCancel();
    context_.TryCancel();
  }

  std::vector<Then> waiting;  // with the sender's lock, while it is under way; first, so that it goes last
  const uint64_t session;

 private:
  void Next() {
    const size_t bytes = std::min(kChunkBytes, content_.size() - sent_);
    chunk_.set_data(content_.data() + sent_, bytes);
    sent_ += bytes;
    if (sent_ == content_.size())
      StartWriteLast(&chunk_, grpc::WriteOptions());
    else
      StartWrite(&chunk_);
  }
  void OnWriteDone(bool ok) override {
    chunk_.clear_lease_id();
    if (ok && sent_ < content_.size()) Next();
  }
  void OnDone(const grpc::Status& status) override { End(status); }
  void End(const grpc::Status& status) {
    const std::shared_ptr<Upload> last = std::move(self_);
    const std::string& sha256 = asked_.sha256(0);
    {
      const std::lock_guard lock(sender_->mutex_);
      if (status.ok()) sender_->on_board_.insert(sha256);
      if (const auto found = sender_->under_way_.find(sha256); found != sender_->under_way_.end() && found->second == last)
        sender_->under_way_.erase(found);
    }
    const Result<std::string> result =
        status.ok() ? Result<std::string>(sha256) : FromGrpc(status, sender_->endpoint_).In("upload an artifact");
    for (const Then& then : waiting) then(result);
  }

  FileSender* sender_;
  std::string content_;
  size_t sent_ = 0;
  grpc::ClientContext ask_, context_;
  v1::MissingRequest asked_;
  v1::MissingReply missing_;
  v1::UploadChunk chunk_;
  v1::UploadReply reply_;
  std::shared_ptr<Upload> self_;  // while gRPC has it
};

FileSender::FileSender(const LinkOptions& options, v1::Board::Stub* stub)
    : endpoint_(options.endpoint), call_seconds_(options.call_seconds), upload_seconds_(options.upload_seconds), stub_(stub) {}
FileSender::~FileSender() = default;

uint64_t FileSender::NewSession() {
  const std::lock_guard lock(mutex_);
  return ++sessions_;
}

bool FileSender::IsThere(const std::string& path, std::string& sha256) {
  const std::lock_guard lock(mutex_);
  const auto known = hashes_.find(path);
  if (known == hashes_.end()) return false;
  sha256 = known->second;
  return on_board_.count(sha256) != 0;
}

void FileSender::Send(uint64_t session, const std::string& path, const std::string& lease, Then then) {
  std::string sha256;
  if (IsThere(path, sha256)) return then(sha256);
  Result<std::string> content = ReadFile(path);
  if (!content) return then(content.error());
  sha256 = Sha256(*content);
  std::shared_ptr<Upload> upload;
  bool first = false;
  {
    const std::lock_guard lock(mutex_);
    if (session <= given_up_) return;
    hashes_[path] = sha256;
    if (on_board_.count(sha256) == 0) {
      std::shared_ptr<Upload>& under_way = under_way_[sha256];
      first = under_way == nullptr;
      if (first) under_way = std::make_shared<Upload>(this, session, lease, sha256, std::move(*content));
      under_way->waiting.push_back(std::move(then));
      upload = under_way;
    }
  }
  if (upload == nullptr) return then(sha256);
  if (first) upload->Start(upload);
}

void FileSender::GiveUp(uint64_t session) {
  std::vector<std::shared_ptr<Upload>> given_up;
  {
    const std::lock_guard lock(mutex_);
    given_up_ = std::max(given_up_, session);
    for (auto upload = under_way_.begin(); upload != under_way_.end();) {
      const bool ends = upload->second->session <= given_up_;
      if (ends) given_up.push_back(upload->second);
      upload = ends ? under_way_.erase(upload) : std::next(upload);
    }
  }
  for (const std::shared_ptr<Upload>& upload : given_up) upload->Cancel();
}

void FileSender::Forget(const std::string& sha256) {
  const std::lock_guard lock(mutex_);
  on_board_.erase(sha256);
}

void FileSender::ForgetAll() {
  const std::lock_guard lock(mutex_);
  on_board_.clear();
}

}  // namespace lathe
