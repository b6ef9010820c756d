// AgentServer: a Board on a port: gRPC server with health service and reflection, and credentials as the address demands.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/result.h"
#include "rpc/agent/agent_log.h"
#include "rpc/agent/board.h"
#include "rpc/agent/rights.h"
#include "rpc/agent/upload_store.h"
#include "rpc/session_spec.h"

namespace lathe {

// Files in PEM. With them, clients must show a certificate of the same authority.
struct TlsFiles {
  std::string authority, certificate, key;
};

struct OfferedTarget {
  std::string choice;  // "cpu"
  Target target;       // as for one thread
  int max_threads = 1;
  std::string problem;  // why it cannot be used
};

struct AgentOptions {
  std::string listen = "127.0.0.1:0";
  std::optional<TlsFiles> tls;
  std::map<std::string, Rights> clients;  // by the name in the certificate; without TLS everybody may do everything
  std::vector<OfferedTarget> targets;
  std::function<std::map<std::string, std::string>()> conditions;
  std::filesystem::path sysfs_root = "/";  // where power rails are looked for
  std::chrono::milliseconds heartbeat{1000};
  std::chrono::milliseconds upload_silence{10'000};  // between two chunks of an upload
  ProtocolRange protocol;
  size_t message_bytes = size_t{2} << 20;  // largest that is read
  uint64_t tensor_bytes = uint64_t{2} << 30;
  int max_threads = 1024;
  std::function<void()> drain;
  AgentLog log = [](const std::string&, nlohmann::json) {};
};

class AgentServer {
 public:
  // Board and store outlive the server. Fails when the address is taken, is not loopback and there is no TLS, or a certificate cannot be
  // read.
  static Result<std::unique_ptr<AgentServer>> Start(Board* board, UploadStore* store, AgentOptions options);
  ~AgentServer();  // ends every call

  int port() const;
  void SetServing(bool serving);  // for the health service

 private:
  struct State;
  explicit AgentServer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace lathe
