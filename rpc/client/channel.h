// Channels to boards, with what all of them have in common.
#pragma once

#include <grpcpp/grpcpp.h>

#include "rpc/client/grpc_link.h"

namespace lathe {

Result<std::shared_ptr<grpc::Channel>> MakeChannel(const LinkOptions& options);

void SetDeadline(grpc::ClientContext& context, double seconds);  // from now

// The board's refusal, or why it was not reached, as a sentence about `endpoint`.
Error FromGrpc(const grpc::Status& status, const std::string& endpoint);

}  // namespace lathe
