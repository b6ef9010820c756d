// FileSender: files to one board, each once, whoever asks for it and however often the session is opened anew.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "core/result.h"
#include "rpc/client/grpc_link.h"
#include "rpc/lathe.grpc.pb.h"

namespace lathe {

class FileSender {
 public:
  // With the file's SHA-256 once the board has it, or with why it does not. What it holds goes after the call's last trace in gRPC.
  using Then = std::function<void(const Result<std::string>&)>;

  // `stub` outlives the calls.
  FileSender(const LinkOptions& options, v1::Board::Stub* stub);
  ~FileSender();

  // Whoever sends is one of a row of sessions.
  uint64_t NewSession();
  // Calls `then` from any thread, perhaps from within. For a session that was given up no upload begins.
  void Send(uint64_t session, const std::string& path, const std::string& lease, Then then);
  void GiveUp(uint64_t session);           // and those before it: what they have under way ends with an error
  void Forget(const std::string& sha256);  // the board says it does not have it
  void ForgetAll();                        // it restarted

 private:
  class Upload;
  bool IsThere(const std::string& path, std::string& sha256);

  const std::string endpoint_;
  const double call_seconds_, upload_seconds_;
  v1::Board::Stub* const stub_;
  std::mutex mutex_;
  uint64_t sessions_ = 0, given_up_ = 0;                      // counted from 1; given up so far
  std::set<std::string> on_board_;                            // by SHA-256
  std::map<std::string, std::string> hashes_;                 // of local files
  std::map<std::string, std::shared_ptr<Upload>> under_way_;  // by SHA-256
};

}  // namespace lathe
