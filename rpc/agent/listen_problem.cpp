#include "rpc/agent/listen_problem.h"

#include <fmt/format.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

namespace lathe {
namespace {

// 0, or the error number of socket, bind or listen.
int TryToListen(const addrinfo& address) {
  const int socket = ::socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return errno;
  const int on = 1;  // as gRPC does: what lingers of a program that has ended is not in the way
  ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const int failure = ::bind(socket, address.ai_addr, address.ai_addrlen) != 0 || ::listen(socket, 1) != 0 ? errno : 0;
  ::close(socket);
  return failure;
}

}  // namespace

std::string ListenProblem(const std::string& endpoint) {
  if (endpoint.rfind("unix:", 0) == 0) return "";
  const size_t colon = endpoint.rfind(':');
  std::string host = endpoint.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  addrinfo wanted = {}, *found = nullptr;
  wanted.ai_socktype = SOCK_STREAM;
  wanted.ai_flags = AI_PASSIVE;
  if (const int failure = ::getaddrinfo(host.c_str(), endpoint.substr(colon + 1).c_str(), &wanted, &found); failure != 0)
    return fmt::format("'{}' is no host's name or number ({})", host, ::gai_strerror(failure));
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> addresses(found, ::freeaddrinfo);
  for (const addrinfo* address = found; address != nullptr; address = address->ai_next) {
    const int failure = TryToListen(*address);
    if (failure == EADDRINUSE)
      return "the address is in use: another agent, or another program, listens there. End that one, or choose another port with "
             "--listen HOST:PORT (port 0: any that is free)";
    if (failure == EADDRNOTAVAIL)
      return fmt::format("'{}' is no address of this machine; `ip address` lists them, 0.0.0.0 means all", host);
    if (failure == EACCES) return "ports below 1024 are for root; choose another with --listen HOST:PORT";
    if (failure != 0 && failure != EAFNOSUPPORT) return std::strerror(failure);
  }
  return "";
}

}  // namespace lathe
