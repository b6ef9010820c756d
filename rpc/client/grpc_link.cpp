#include "rpc/client/grpc_link.h"

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>
#include <pwd.h>
#include <unistd.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>

#include "core/file.h"
#include "core/hash.h"
#include "rpc/client/channel.h"
#include "rpc/lathe.grpc.pb.h"
#include "rpc/wire.h"

namespace lathe {
namespace {

constexpr size_t kChunkBytes = 256 << 10;  // of uploads: a heartbeat waits behind one of them at most

std::string WhoWeAre() {
  char host[256] = "?";
  ::gethostname(host, sizeof host - 1);
  const passwd* user = ::getpwuid(::getuid());
  return fmt::format("{}@{}:{}", user != nullptr ? user->pw_name : "?", host, ::getpid());
}

void Limit(grpc::ClientContext& context, double seconds) {
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(static_cast<int64_t>(1000 * seconds)));
}

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

// What outlives an attempt: the lease, and which files the board has.
struct LinkState {
  LinkOptions options;
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<v1::Board::Stub> stub;
  std::mutex mutex;
  std::string lease, boot_id, board;
  std::set<std::string> on_board;             // SHA-256 of files
  std::map<std::string, std::string> hashes;  // of local files
  int attempts = 0;                           // that gRPC may still call back
  std::condition_variable idle;
};

class Attempt;

// One file: Missing, then chunks.
class FileUpload : public grpc::ClientWriteReactor<v1::UploadChunk> {
 public:
  FileUpload(std::shared_ptr<LinkState> state, std::string lease, std::string hash, std::string content,
             std::function<void(grpc::Status)> done)
      : state_(std::move(state)), content_(std::move(content)), done_(std::move(done)) {
    chunk_.set_lease_id(lease);
    chunk_.set_sha256(hash);
    chunk_.set_bytes(content_.size());
  }
  void Start() {
    asked_.set_lease_id(chunk_.lease_id());
    asked_.add_sha256(chunk_.sha256());
    Limit(ask_, state_->options.call_seconds);
    state_->stub->async()->Missing(&ask_, &asked_, &missing_, [this](const grpc::Status& status) {
      if (!status.ok() || missing_.sha256().empty()) return End(status);
      if (content_.size() > missing_.most_bytes())
        return End({grpc::StatusCode::RESOURCE_EXHAUSTED,
                    fmt::format("an artifact of {} bytes; the board takes {}", content_.size(), missing_.most_bytes())});
      state_->stub->async()->Upload(&context_, &reply_, this);
      Next();
      StartCall();
    });
  }

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
    done_(status);
    delete this;
  }

  std::shared_ptr<LinkState> state_;
  std::string content_;
  std::function<void(grpc::Status)> done_;
  size_t sent_ = 0;
  grpc::ClientContext ask_, context_;
  v1::MissingRequest asked_;
  v1::MissingReply missing_;
  v1::UploadChunk chunk_;
  v1::UploadReply reply_;
};

// Hold, then one Measure stream, from Open to its end.
class Attempt : public grpc::ClientBidiReactor<v1::ToBoard, v1::FromBoard>, public std::enable_shared_from_this<Attempt> {
 public:
  Attempt(std::shared_ptr<LinkState> state, uint64_t number, std::function<void(LinkEvent)> events)
      : counted_(state), state_(std::move(state)), number_(number), events_(std::move(events)) {}

  void Start(const SessionSpec& spec, const std::vector<uint64_t>& outstanding) {
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
    Limit(hold_context_, state_->options.call_seconds);
    state_->stub->async()->Hold(&hold_context_, &hold_, &held_,
                                [self = shared_from_this()](const grpc::Status& status) { self->OnHeld(status); });
  }

  // No event after this.
  void GiveUp() {
    hold_context_.TryCancel();
    std::function<void(LinkEvent)> dropped;
    const std::lock_guard lock(mutex_);
    std::swap(dropped, events_);
    given_up_ = true;
    if (streaming_) context_.TryCancel();
    LetGo();
  }

  void Push(v1::ToBoard message) {
    const std::lock_guard lock(mutex_);
    if (!streaming_ || ended_) return;
    queue_.push_back(std::move(message));
    Next();
  }

  // Files that it needs go first.
  void PushJob(const MeasureRequest& request) {
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

 private:
  void Emit(LinkEvent event) {
    event.attempt = number_;
    std::function<void(LinkEvent)> events;
    {
      const std::lock_guard lock(mutex_);
      events = events_;
      if (event.kind == LinkEvent::Kind::kDown) events_ = nullptr;
    }
    if (events) events(std::move(event));
  }
  void Down(Error error, bool permanent) {
    LinkEvent event;
    event.kind = LinkEvent::Kind::kDown;
    event.error = std::move(error);
    event.permanent = permanent;
    Emit(std::move(event));
  }

  void OnHeld(const grpc::Status& status) {
    if (!status.ok()) return Down(FromGrpc(status, state_->options.endpoint), IsPermanent(status));
    {
      const std::lock_guard lock(state_->mutex);
      state_->lease = held_.lease_id();
      if (state_->boot_id != held_.boot_id()) state_->on_board.clear();
      state_->boot_id = held_.boot_id();
      state_->board = held_.board();
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

  void Next() {
    if (writing_ || ended_ || queue_.empty()) return;
    writing_ = true;
    StartWrite(&queue_.front());
  }
  void OnWriteDone(bool ok) override {
    const std::lock_guard lock(mutex_);
    writing_ = false;
    queue_.pop_front();
    if (!ok) return LetGo();
    Next();
  }
  void OnReadDone(bool ok) override {
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
  void LetGo() {
    if (!streaming_ || ended_) return;
    ended_ = true;
    RemoveHold();
  }
  void OnDone(const grpc::Status& status) override {
    if (refusal_) {
      Down(*refusal_, true);
    } else {
      // The board's own words, where it has any; a stream that ends well is over all the same.
      Down(status.ok() ? Error{ErrorCode::kUnavailable, fmt::format("board '{}' ended the session", state_->options.endpoint)}
                       : FromGrpc(status, state_->options.endpoint),
           IsPermanent(status));
    }
    const std::shared_ptr<Attempt> last = std::move(self_);
  }

  bool Take(const v1::FromBoard& message) {
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
        if (const auto missing = measurement->conditions.find("missing_artifact"); missing != measurement->conditions.end()) {
          const std::lock_guard lock(state_->mutex);
          state_->on_board.erase(missing->second);
        }
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
  void SendReference(const MeasureRequest& request, const std::string& artifact_sha256) {
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
  void Fail(uint64_t id, const std::string& why) {
    LinkEvent event;
    event.kind = LinkEvent::Kind::kResult;
    event.measurement.ticket = id;
    event.measurement.status = MeasureStatus::kBoardLost;
    event.measurement.message = why;
    Emit(std::move(event));
  }

  // Calls `then` with the hash once the board has the file; otherwise the job is lost with the reason.
  void WithFile(const std::string& path, uint64_t id, std::function<void(const std::string&)> then) {
    std::string hash, content, lease;
    bool there = false;
    {
      const std::lock_guard lock(state_->mutex);
      if (const auto known = state_->hashes.find(path); known != state_->hashes.end()) hash = known->second;
      there = !hash.empty() && state_->on_board.count(hash) != 0;
      lease = state_->lease;
    }
    if (there) return then(hash);
    Result<std::string> read = ReadFile(path);
    if (!read) return Fail(id, read.error().message);
    hash = Sha256(*read);
    bool first = false;
    {
      const std::lock_guard lock(state_->mutex);
      state_->hashes[path] = hash;
      there = state_->on_board.count(hash) != 0;
    }
    if (there) return then(hash);
    {
      const std::lock_guard lock(mutex_);
      std::vector<Waiting>& waiting = uploading_[hash];
      first = waiting.empty();
      waiting.push_back({id, std::move(then)});
    }
    if (!first) return;
    auto done = [self = shared_from_this(), hash](const grpc::Status& status) {
      std::vector<Waiting> waiting;
      if (status.ok()) {
        const std::lock_guard lock(self->state_->mutex);
        self->state_->on_board.insert(hash);
      }
      {
        const std::lock_guard lock(self->mutex_);
        waiting = std::move(self->uploading_[hash]);
        self->uploading_.erase(hash);
      }
      for (const Waiting& each : waiting) {
        if (status.ok())
          each.then(hash);
        else
          self->Fail(each.id, FromGrpc(status, self->state_->options.endpoint).In("upload an artifact").message);
      }
    };
    (new FileUpload(state_, lease, hash, std::move(*read), std::move(done)))->Start();
  }

  // A job that waits for a file to be on the board.
  struct Waiting {
    uint64_t id;
    std::function<void(const std::string&)> then;
  };

  // First, so that it goes last: after the contexts of the calls.
  const struct Counted {
    explicit Counted(std::shared_ptr<LinkState> of) : state(std::move(of)) {
      const std::lock_guard lock(state->mutex);
      ++state->attempts;
    }
    ~Counted() {
      const std::lock_guard lock(state->mutex);
      if (--state->attempts == 0) state->idle.notify_all();
    }
    Counted(const Counted&) = delete;
    Counted& operator=(const Counted&) = delete;
    const std::shared_ptr<LinkState> state;
  } counted_;
  const std::shared_ptr<LinkState> state_;
  const uint64_t number_;
  uint32_t least_version_ = 1;

  std::mutex mutex_;
  std::function<void(LinkEvent)> events_;
  grpc::ClientContext hold_context_, context_;
  v1::HoldRequest hold_;
  v1::HoldReply held_;
  v1::ToBoard open_;
  v1::FromBoard incoming_;
  std::deque<v1::ToBoard> queue_;
  std::set<std::string> references_;
  std::map<std::string, std::vector<Waiting>> uploading_;
  std::optional<Error> refusal_;
  bool streaming_ = false, writing_ = false, ended_ = false, given_up_ = false;
  std::shared_ptr<Attempt> self_;  // while gRPC has the stream
};

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
    auto next = std::make_shared<Attempt>(state_, attempt, std::move(events));
    {
      const std::lock_guard lock(mutex_);
      attempt_ = next;
    }
    next->Start(spec, outstanding);
  }
  void Disconnect() override {
    std::shared_ptr<Attempt> attempt;
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
    Limit(context, 1);
    v1::ReleaseReply reply;
    (void)state_->stub->Release(&context, request, &reply);  // a board that does not hear it frees itself
  }

 private:
  std::shared_ptr<Attempt> Current() {
    const std::lock_guard lock(mutex_);
    return attempt_;
  }
  void Push(v1::ToBoard message) {
    if (const auto attempt = Current()) attempt->Push(std::move(message));
  }

  std::shared_ptr<LinkState> state_;
  std::mutex mutex_;
  std::shared_ptr<Attempt> attempt_;
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
  return std::unique_ptr<BoardLink>(std::make_unique<GrpcLink>(std::move(state)));
}

}  // namespace lathe
