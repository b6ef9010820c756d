// Why nothing could listen on an address: gRPC says only that it could not.
#pragma once

#include <string>

namespace lathe {

// Tries the address once more without gRPC, whose sockets must be closed. Empty where nothing is wrong with it, or with "unix:/path".
std::string ListenProblem(const std::string& endpoint);

}  // namespace lathe
