#include "rpc/agent/agent_server.h"

#include <fmt/format.h>
#include <google/protobuf/stubs/logging.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>

#include "core/file.h"
#include "power/power_rail.h"
#include "rpc/agent/board_service.h"
#include "rpc/agent/listen_problem.h"
#include "rpc/endpoint.h"

namespace lathe {
namespace {

Result<std::shared_ptr<grpc::ServerCredentials>> Credentials(const AgentOptions& options) {
  if (!options.tls) {
    if (!IsLoopback(options.listen))
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("listen on '{}': an agent runs what its clients send, so that any address but loopback needs certificates; "
                               "make them with `lathe certs`",
                               options.listen)};
    return grpc::InsecureServerCredentials();
  }
  grpc::SslServerCredentialsOptions ssl(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  Result<std::string> authority = ReadFile(options.tls->authority), certificate = ReadFile(options.tls->certificate),
                      key = ReadFile(options.tls->key);
  for (const auto* file : {&authority, &certificate, &key})
    if (!*file) return file->error().In("read certificates");
  ssl.pem_root_certs = *authority;
  ssl.pem_key_cert_pairs.push_back({*key, *certificate});
  return grpc::SslServerCredentials(ssl);
}

// By the common name, which the authority vouches for. Who is not in the list may ask, not act.
Rights RightsOf(const grpc::CallbackServerContext& context, const AgentOptions& options) {
  if (!options.tls) return {true, true, true, "loopback"};
  Rights none;
  const std::shared_ptr<const grpc::AuthContext> auth = context.auth_context();
  if (!auth || !auth->IsPeerAuthenticated()) return none;
  const std::vector<grpc::string_ref> names = auth->FindPropertyValues("x509_common_name");
  if (names.size() != 1) return none;
  none.who.assign(names[0].data(), names[0].size());
  const auto found = options.clients.find(none.who);
  if (found == options.clients.end()) return none;
  Rights rights = found->second;
  rights.who = none.who;
  return rights;
}

}  // namespace

struct AgentServer::State {
  AgentOptions options;
  std::unique_ptr<BoardService> service;
  std::unique_ptr<grpc::Server> server;
  int port = 0;
};

AgentServer::AgentServer(std::unique_ptr<State> state) : state_(std::move(state)) {}

AgentServer::~AgentServer() {
  state_->server->Shutdown(std::chrono::system_clock::now());  // at once: what is finished is kept for acknowledging no longer
  state_->server->Wait();
}

int AgentServer::port() const { return state_->port; }

void AgentServer::SetServing(bool serving) {
  if (grpc::HealthCheckServiceInterface* health = state_->server->GetHealthCheckService()) {
    health->SetServingStatus(serving);
    health->SetServingStatus("lathe.v1.Board", serving);
  }
}

Result<std::unique_ptr<AgentServer>> AgentServer::Start(Board* board, UploadStore* store, AgentOptions options) {
  auto state = std::make_unique<State>();
  state->options = std::move(options);
  const AgentOptions& chosen = state->options;
  Result<std::vector<std::string>> endpoints = ParseEndpoints(chosen.listen);
  if (!endpoints) return endpoints.error().In("listen");
  if (endpoints->size() > 1)
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("listen on '{}': an agent listens on one address; 0.0.0.0:PORT is all of this machine's", chosen.listen)};
  Result<std::shared_ptr<grpc::ServerCredentials>> credentials = Credentials(chosen);
  if (!credentials) return credentials.error();

  BoardService::Options service;
  service.protocol = chosen.protocol;
  service.limits.tensor_bytes = chosen.tensor_bytes;
  service.limits.threads = chosen.max_threads;
  service.heartbeat = chosen.heartbeat;
  service.upload_silence = chosen.upload_silence;
  for (const OfferedTarget& offered : chosen.targets) {
    v1::TargetDescription target;
    target.set_choice(offered.choice);
    target.set_target_json(ToJson(offered.target).dump());
    target.set_max_threads(static_cast<uint32_t>(offered.max_threads));
    target.set_problem(offered.problem);
    service.targets.push_back(std::move(target));
  }
  for (const PowerRail& found : FindPowerRails(chosen.sysfs_root)) {
    v1::PowerRail rail;
    rail.set_name(found.name());
    rail.set_source(found.source());
    service.rails.push_back(std::move(rail));
  }
  service.conditions = chosen.conditions;
  service.rights = [options = &state->options](const grpc::CallbackServerContext& context) { return RightsOf(context, *options); };
  service.drain = chosen.drain;
  service.log = chosen.log;
  state->service = std::make_unique<BoardService>(board, store, std::move(service));

  // Or whoever sends texts that are none fills the log.
  google::protobuf::SetLogHandler(nullptr);
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  // A second agent on the port must fail loudly, not share it.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 20'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5'000);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, 64);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, 16 << 10);
  builder.SetMaxReceiveMessageSize(static_cast<int>(chosen.message_bytes));
  builder.AddListeningPort(chosen.listen, *credentials, &state->port);
  builder.RegisterService(state->service.get());
  state->server = builder.BuildAndStart();
  if (!state->server || state->port == 0) {
    state->server.reset();
    std::string problem = ListenProblem(chosen.listen);
    if (problem.empty())
      problem = chosen.tls
                    ? fmt::format("the address is free; '{}' and its key may not be a pair, or not be PEM files", chosen.tls->certificate)
                    : "gRPC could not, and does not say why; a file of that name may be in the way, or its folder missing";
    return Error{ErrorCode::kUnavailable, fmt::format("listen on '{}': {}", chosen.listen, problem)};
  }
  std::unique_ptr<AgentServer> started(new AgentServer(std::move(state)));
  started->SetServing(true);  // by name, too: gRPC knows only the server as a whole by itself
  return started;
}

}  // namespace lathe
