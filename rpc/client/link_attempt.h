// LinkAttempt: one attempt at a board: Hold, then one Measure stream, from Open to its end. LinkState: what outlives it.
#pragma once

#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "rpc/client/file_sender.h"
#include "rpc/client/grpc_link.h"
#include "rpc/lathe.grpc.pb.h"

namespace lathe {

// The lease, and which files the board has.
struct LinkState {
  LinkOptions options;
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<v1::Board::Stub> stub;
  std::unique_ptr<FileSender> files;
  std::mutex mutex;
  std::string lease, boot_id;
  int attempts = 0;  // that gRPC may still call back
  std::condition_variable idle;
};

class LinkAttempt : public grpc::ClientBidiReactor<v1::ToBoard, v1::FromBoard>, public std::enable_shared_from_this<LinkAttempt> {
 public:
  LinkAttempt(std::shared_ptr<LinkState> state, uint64_t number, std::function<void(LinkEvent)> events);

  void Start(const SessionSpec& spec, const std::vector<uint64_t>& outstanding);
  void GiveUp();  // no event after this
  void Push(v1::ToBoard message);
  void PushJob(const MeasureRequest& request);  // files that it needs go first

 private:
  void Emit(LinkEvent event);
  void Down(Error error, bool permanent);
  void OnHeld(const grpc::Status& status);
  void Next();
  void OnWriteDone(bool ok) override;
  void OnReadDone(bool ok) override;
  void LetGo();
  void OnDone(const grpc::Status& status) override;
  bool Take(const v1::FromBoard& message);
  void SendReference(const MeasureRequest& request, const std::string& artifact_sha256);
  void Fail(uint64_t id, const std::string& why);
  void WithFile(const std::string& path, uint64_t id, std::function<void(const std::string&)> then);

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
  const uint64_t file_session_;
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
  std::optional<Error> refusal_;
  bool streaming_ = false, writing_ = false, ended_ = false, given_up_ = false;
  std::shared_ptr<LinkAttempt> self_;  // while gRPC has the stream
};

}  // namespace lathe
