#include "rpc/endpoint.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>

namespace lathe {
namespace {

constexpr const char* kUnix = "unix:";

Status CheckEndpoint(const std::string& text) {
  if (text.rfind(kUnix, 0) == 0 && text.size() > 5) return {};
  const size_t colon = text.rfind(':');
  const auto bad = [&](const char* why) {
    return Error{ErrorCode::kInvalidInput, fmt::format("'{}' is no board's address ({}): write HOST:PORT", text, why)};
  };
  if (colon == std::string::npos || colon == 0) return bad("no port");
  const std::string port = text.substr(colon + 1), host = text.substr(0, colon);
  const bool digits =
      !port.empty() && port.size() <= 5 && std::all_of(port.begin(), port.end(), [](unsigned char c) { return std::isdigit(c); });
  if (!digits || std::atoi(port.c_str()) > 65535) return bad("the port is no number up to 65535");
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (!bracketed && host.find(':') != std::string::npos) return bad("an IPv6 address stands in brackets");
  const bool plain = std::all_of(host.begin(), host.end(), [](unsigned char c) {
    return std::isalnum(c) || std::string("[]:.-_%").find(static_cast<char>(c)) != std::string::npos;
  });
  return plain ? Status() : bad("a host has letters, digits, dots and dashes");
}

}  // namespace

bool IsLoopback(const std::string& endpoint) {
  if (endpoint.rfind(kUnix, 0) == 0) return true;
  std::string host = endpoint.substr(0, endpoint.rfind(':'));
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  if (host == "localhost" || host == "::1") return true;
  in_addr address = {};
  // By number only: a name such as 127.example.org leads anywhere.
  return ::inet_pton(AF_INET, host.c_str(), &address) == 1 && (ntohl(address.s_addr) >> 24) == 127;
}

Result<std::vector<std::string>> ParseEndpoints(const std::string& text) {
  std::vector<std::string> endpoints;
  size_t from = 0;
  while (from <= text.size()) {
    const size_t comma = std::min(text.find(',', from), text.size());
    const std::string one = text.substr(from, comma - from);
    if (Status fine = CheckEndpoint(one); !fine) return fine.error();
    if (std::find(endpoints.begin(), endpoints.end(), one) != endpoints.end())
      return Error{ErrorCode::kInvalidInput, fmt::format("board '{}' is named twice", one)};
    endpoints.push_back(one);
    from = comma + 1;
  }
  return endpoints;
}

}  // namespace lathe
