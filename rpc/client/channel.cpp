#include "rpc/client/channel.h"

#include <fmt/format.h>

#include "rpc/endpoint.h"

namespace lathe {

Result<std::shared_ptr<grpc::Channel>> MakeChannel(const LinkOptions& options) {
  std::shared_ptr<grpc::ChannelCredentials> credentials;
  if (options.certificates) {
    grpc::SslCredentialsOptions ssl;
    ssl.pem_root_certs = options.certificates->authority;
    ssl.pem_cert_chain = options.certificates->certificate;
    ssl.pem_private_key = options.certificates->key;
    credentials = grpc::SslCredentials(ssl);
  } else if (IsLoopback(options.endpoint)) {
    credentials = grpc::InsecureChannelCredentials();
  } else {
    return Error{
        ErrorCode::kInvalidInput,
        fmt::format("reach board '{}': any address but loopback needs certificates: make them with `lathe certs`, give --certs DIR",
                    options.endpoint)};
  }
  grpc::ChannelArguments arguments;
  // A connection of its own, whatever else this process has open.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 200);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
  // Not the way a silent board is found, for that would need to be shorter than a large message on a slow link takes: our own heartbeats
  // are.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 20'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  arguments.SetMaxReceiveMessageSize(4 << 20);
  return grpc::CreateCustomChannel(options.endpoint, credentials, arguments);
}

void SetDeadline(grpc::ClientContext& context, double seconds) {
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(static_cast<int64_t>(1000 * seconds)));
}

Error FromGrpc(const grpc::Status& status, const std::string& endpoint) {
  // "failed to connect to all addresses; last error: UNKNOWN: ipv4:…: Failed to connect to remote host: Connection refused"
  const std::string& all = status.error_message();
  const size_t reason = all.rfind("remote host: ");
  const std::string message = reason == std::string::npos ? all : all.substr(reason + std::char_traits<char>::length("remote host: "));
  switch (status.error_code()) {
    case grpc::StatusCode::UNAVAILABLE:
      // What gRPC says when one side speaks TLS and the other does not, or does not trust it, is no help.
      return {ErrorCode::kUnavailable,
              fmt::format("board '{}' does not answer: {}{}", endpoint, message,
                          message.find("Socket closed") != std::string::npos || message.find("handshak") != std::string::npos
                              ? "; if it is up, certificates are missing or were made by another authority"
                              : "")};
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return {ErrorCode::kUnavailable,
              fmt::format("board '{}' does not answer in time; does one side use TLS and the other not, or were the certificates made by "
                          "another authority?",
                          endpoint)};
    case grpc::StatusCode::PERMISSION_DENIED:
    case grpc::StatusCode::UNAUTHENTICATED:
      return {ErrorCode::kInvalidInput, fmt::format("board '{}': {}", endpoint, message)};
    case grpc::StatusCode::UNIMPLEMENTED:
      return {ErrorCode::kIncompatible, fmt::format("'{}' is no agent that this program understands: {}", endpoint, message)};
    case grpc::StatusCode::FAILED_PRECONDITION:
      return {ErrorCode::kIncompatible, fmt::format("board '{}': {}", endpoint, message)};
    case grpc::StatusCode::INVALID_ARGUMENT:
      return {ErrorCode::kInvalidInput, fmt::format("board '{}': {}", endpoint, message)};
    case grpc::StatusCode::NOT_FOUND:
      return {ErrorCode::kNotFound, fmt::format("board '{}': {}", endpoint, message)};
    default:
      return {ErrorCode::kUnavailable, fmt::format("board '{}': {}", endpoint, message.empty() ? "the connection broke" : message)};
  }
}

}  // namespace lathe
