// GrpcLink: a board over gRPC, without a thread of its own: a thousand of them cost a thousand connections and nothing else.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "rpc/client/board_link.h"

namespace lathe {

// Files in PEM: the authority that boards must be signed by, and who we are.
struct ClientCertificates {
  std::string authority, certificate, key;
};

struct LinkOptions {
  std::string endpoint;                            // HOST:PORT
  std::optional<ClientCertificates> certificates;  // contents, not names; needed for any address but loopback
  std::string holder;                              // who we are, for people; empty: user@host:pid
  ProtocolRange protocol;
  double call_seconds = 5;     // until an answer to a short call
  double upload_seconds = 30;  // for a file, beyond what its size takes at 64 KiB a second
};

// Fails when the address is not loopback and there are no certificates.
Result<std::unique_ptr<BoardLink>> MakeGrpcLink(LinkOptions options);

}  // namespace lathe
