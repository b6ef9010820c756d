#include "rpc/client/grpc_link.h"

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>
#include <pwd.h>
#include <unistd.h>

#include "rpc/client/channel.h"
#include "rpc/client/link_attempt.h"

namespace lathe {
namespace {

std::string WhoWeAre() {
  char host[256] = "?";
  ::gethostname(host, sizeof host - 1);
  const passwd* user = ::getpwuid(::getuid());
  return fmt::format("{}@{}:{}", user != nullptr ? user->pw_name : "?", host, ::getpid());
}

class GrpcLink : public BoardLink {
 public:
  explicit GrpcLink(std::shared_ptr<LinkState> state) : state_(std::move(state)) {}
  // gRPC 1.51 may count a channel below nothing, and abort, when its last user is a call that just ended: it goes here, after all calls.
  ~GrpcLink() override {
    Disconnect();
    std::unique_lock lock(state_->mutex);
    if (!state_->idle.wait_for(lock, std::chrono::seconds(5), [&] { return state_->attempts == 0; })) return;  // they may still use both
    const auto stub = std::move(state_->stub);
    const auto channel = std::move(state_->channel);
    lock.unlock();
  }

  const std::string& endpoint() const override { return state_->options.endpoint; }

  void Connect(uint64_t attempt, const SessionSpec& spec, const std::vector<uint64_t>& outstanding,
               std::function<void(LinkEvent)> events) override {
    Disconnect();
    auto next = std::make_shared<LinkAttempt>(state_, attempt, std::move(events));
    {
      const std::lock_guard lock(mutex_);
      attempt_ = next;
    }
    next->Start(spec, outstanding);
  }
  void Disconnect() override {
    std::shared_ptr<LinkAttempt> attempt;
    {
      const std::lock_guard lock(mutex_);
      attempt = std::move(attempt_);
    }
    if (attempt) attempt->GiveUp();
  }
  void Submit(const MeasureRequest& request) override {
    if (const auto attempt = Current()) attempt->PushJob(request);
  }
  void Withdraw(const std::vector<uint64_t>& ids) override {
    v1::ToBoard message;
    for (const uint64_t id : ids) message.mutable_withdraw()->add_ids(id);
    Push(std::move(message));
  }
  void Acknowledge(const std::vector<uint64_t>& ids) override {
    v1::ToBoard message;
    for (const uint64_t id : ids) message.mutable_acknowledge()->add_ids(id);
    Push(std::move(message));
  }
  void CancelAll() override {
    v1::ToBoard message;
    message.mutable_cancel();
    Push(std::move(message));
  }
  void Beat() override {
    v1::ToBoard message;
    message.mutable_heartbeat();
    Push(std::move(message));
  }
  void Release() override {
    Disconnect();
    v1::ReleaseRequest request;
    {
      const std::lock_guard lock(state_->mutex);
      if (state_->lease.empty()) return;
      request.set_lease_id(std::exchange(state_->lease, ""));
    }
    grpc::ClientContext context;
    SetDeadline(context, 1);
    v1::ReleaseReply reply;
    (void)state_->stub->Release(&context, request, &reply);  // a board that does not hear it frees itself
  }

 private:
  std::shared_ptr<LinkAttempt> Current() {
    const std::lock_guard lock(mutex_);
    return attempt_;
  }
  void Push(v1::ToBoard message) {
    if (const auto attempt = Current()) attempt->Push(std::move(message));
  }

  std::shared_ptr<LinkState> state_;
  std::mutex mutex_;
  std::shared_ptr<LinkAttempt> attempt_;
};

}  // namespace

Result<std::unique_ptr<BoardLink>> MakeGrpcLink(LinkOptions options) {
  Result<std::shared_ptr<grpc::Channel>> channel = MakeChannel(options);
  if (!channel) return channel.error();
  auto state = std::make_shared<LinkState>();
  state->options = std::move(options);
  if (state->options.holder.empty()) state->options.holder = WhoWeAre();
  state->channel = std::move(*channel);
  state->stub = v1::Board::NewStub(state->channel);
  state->files = std::make_unique<FileSender>(state->options, state->stub.get());
  return std::unique_ptr<BoardLink>(std::make_unique<GrpcLink>(std::move(state)));
}

}  // namespace lathe
