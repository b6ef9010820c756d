// Addresses as people write them, and which of them stay on this machine.
#pragma once

#include <string>
#include <vector>

#include "core/result.h"

namespace lathe {

// 127.0.0.0/8, ::1, localhost, and Unix sockets: nobody else can reach or hear these.
bool IsLoopback(const std::string& endpoint);
// "HOST:PORT", "[IPV6]:PORT", "unix:/path"; several separated by commas.
Result<std::vector<std::string>> ParseEndpoints(const std::string& text);

}  // namespace lathe
