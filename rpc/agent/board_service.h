// BoardService: the protocol's Board over a Board object: messages in, checked, handed on; what the board says, out. Everything a client
// sends is suspect here.
#pragma once

#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <thread>

#include "rpc/agent/agent_log.h"
#include "rpc/agent/board.h"
#include "rpc/agent/rights.h"
#include "rpc/agent/upload_store.h"
#include "rpc/lathe.grpc.pb.h"
#include "rpc/wire.h"

namespace lathe {

class MeasureStream;
class UploadStream;

class BoardService : public v1::Board::CallbackService {
 public:
  struct Options {
    ProtocolRange protocol;
    wire::Limits limits;
    std::chrono::milliseconds heartbeat{1000};
    std::chrono::milliseconds upload_silence{10'000};  // between two chunks
    std::vector<v1::TargetDescription> targets;
    std::function<std::map<std::string, std::string>()> conditions;  // now; may be empty
    std::vector<v1::PowerRail> rails;
    std::function<Rights(const grpc::CallbackServerContext&)> rights;
    std::function<void()> drain;  // on an administrator's wish
    AgentLog log;
  };
  // Board and store outlive the service.
  BoardService(Board* board, UploadStore* store, Options options);
  ~BoardService() override;

  grpc::ServerUnaryReactor* Describe(grpc::CallbackServerContext* context, const v1::DescribeRequest* request,
                                     v1::BoardDescription* reply) override;
  grpc::ServerUnaryReactor* Hold(grpc::CallbackServerContext* context, const v1::HoldRequest* request, v1::HoldReply* reply) override;
  grpc::ServerUnaryReactor* Release(grpc::CallbackServerContext* context, const v1::ReleaseRequest* request,
                                    v1::ReleaseReply* reply) override;
  grpc::ServerUnaryReactor* Missing(grpc::CallbackServerContext* context, const v1::MissingRequest* request,
                                    v1::MissingReply* reply) override;
  grpc::ServerUnaryReactor* Drain(grpc::CallbackServerContext* context, const v1::DrainRequest* request, v1::DrainReply* reply) override;
  grpc::ServerReadReactor<v1::UploadChunk>* Upload(grpc::CallbackServerContext* context, v1::UploadReply* reply) override;
  grpc::ServerBidiReactor<v1::ToBoard, v1::FromBoard>* Measure(grpc::CallbackServerContext* context) override;

 private:
  friend class MeasureStream;
  friend class UploadStream;
  void Heartbeats();

  Board* board_;
  UploadStore* store_;
  const Options options_;
  const std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();

  std::mutex mutex_;
  std::condition_variable stop_;
  bool stopping_ = false;
  std::set<MeasureStream*> streams_;
  std::set<UploadStream*> uploads_;
  std::thread heartbeats_;
};

// For clients: the code is how to react, the message is for people.
grpc::Status ToGrpc(const Error& error);
grpc::Status NotTheHolder();

}  // namespace lathe
