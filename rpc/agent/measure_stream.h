// MeasureStream: one Measure call. What the board says is queued and written one message at a time; one message is read at a time, so that
// a client that sends faster than we work is slowed down by its own connection.
#pragma once

#include <deque>
#include <map>

#include "rpc/agent/board_service.h"

namespace lathe {

class MeasureStream : public grpc::ServerBidiReactor<v1::ToBoard, v1::FromBoard> {
 public:
  MeasureStream(BoardService* service, Rights rights, std::string peer);
  ~MeasureStream() override = default;

  void SendHeartbeat(const v1::FromBoard& message);

 private:
  // The board may hold its listener longer than gRPC keeps the call.
  class Outbox : public BoardListener {
   public:
    explicit Outbox(MeasureStream* stream) : stream_(stream) {}
    void OnOpened(const Target& target, size_t capacity, const std::vector<uint64_t>& unknown) override;
    void OnStarted(uint64_t id) override;
    void OnResult(const Measurement& measurement) override;
    void OnDraining() override;
    void OnEnd(const Error& error) override { Finish(ToGrpc(error)); }

    void Push(v1::FromBoard message);
    void PushIfIdle(const v1::FromBoard& message);
    void Finish(const grpc::Status& status);
    void Written(bool ok);
    void Gone();  // gRPC is done with the call

   private:
    void NextLocked();
    std::mutex mutex_;
    MeasureStream* stream_;
    std::deque<v1::FromBoard> queue_;
    bool writing_ = false, ending_ = false, finished_ = false;
    grpc::Status status_;
  };

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override { outbox_->Written(ok); }
  void OnCancel() override { outbox_->Finish(grpc::Status(grpc::StatusCode::CANCELLED, "cancelled")); }
  void OnDone() override;
  Status Take(const v1::ToBoard& message);
  Status TakeJob(const v1::Job& message);
  std::optional<Artifact> Uploaded(const std::string& sha256) const;
  Status ReplyMissing(uint64_t id, const std::string& sha256);

  struct KnownReference {
    std::shared_ptr<const ReferenceText> text;
    std::string artifact_sha256;  // empty: to be built here
  };

  BoardService* service_;
  const Rights rights_;
  const std::string peer_;
  std::shared_ptr<Outbox> outbox_;
  v1::ToBoard incoming_;
  bool opened_ = false;
  std::map<std::string, KnownReference> references_;
  size_t reference_bytes_ = 0;
};

}  // namespace lathe
