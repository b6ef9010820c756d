// UploadStream: one Upload call: chunks into the store. A client that stops sending, or sends by drips, is cut off, so that it keeps nobody
// else from uploading.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>

#include "rpc/agent/board_service.h"

namespace lathe {

class UploadStream : public grpc::ServerReadReactor<v1::UploadChunk> {
 public:
  UploadStream(BoardService* service, const Rights& rights, grpc::CallbackServerContext* context);

  // From the service's own thread: cancels the call when it has been silent, or has taken longer than its size warrants.
  void Mind(std::chrono::steady_clock::time_point now);

 private:
  using Time = std::chrono::steady_clock::time_point;
  void OnReadDone(bool ok) override;
  void OnDone() override;

  BoardService* service_;
  grpc::CallbackServerContext* context_;
  v1::UploadChunk chunk_;
  std::unique_ptr<UploadStore::Upload> upload_;
  std::atomic<Time> heard_, due_;
};

}  // namespace lathe
