#include "fault_proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <deque>
#include <vector>

namespace lathe {
namespace {

using Clock = std::chrono::steady_clock;

sockaddr_in Address(const std::string& host, int port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  ::inet_pton(AF_INET, host.c_str(), &address.sin_addr);
  return address;
}

void Reset(int fd) {
  const linger now = {1, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  ::shutdown(fd, SHUT_RDWR);
}

}  // namespace

FaultProxy::FaultProxy(int to_port, const std::string& to_host) : to_host_(to_host), to_port_(to_port) {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = Address("127.0.0.1", 0);
  ::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address);
  ::listen(listener_, 64);
  socklen_t size = sizeof address;
  ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { Accept(); });
}

FaultProxy::~FaultProxy() {
  stopping_ = true;
  ResetAll();
  thread_.join();
  for (auto& connection : open_) {
    connection->there.join();
    connection->back.join();
    ::close(connection->client);
    ::close(connection->board);
  }
  ::close(listener_);
}

void FaultProxy::Accept() {
  while (!stopping_) {
    pollfd wait = {listener_, POLLIN, 0};
    if (::poll(&wait, 1, 20) <= 0) continue;
    const int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (client < 0) continue;
    const int board = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = Address(to_host_, to_port_);
    if (refusing || ::connect(board, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
      Reset(client);
      ::close(client);
      ::close(board);
      continue;
    }
    const int one = 1;
    ::setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    ::setsockopt(board, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    ++connections_;
    const std::lock_guard lock(mutex_);
    open_.push_back(std::make_unique<Connection>());
    Connection& connection = *open_.back();
    connection.client = client;
    connection.board = board;
    connection.there = std::thread([this, &connection] { Pump(connection, connection.client, connection.board, to_board_); });
    connection.back = std::thread([this, &connection] { Pump(connection, connection.board, connection.client, from_board_); });
  }
}

void FaultProxy::Pump(Connection& connection, int from, int to, std::atomic<uint64_t>& count) {
  struct Piece {
    Clock::time_point due;
    std::vector<char> data;
  };
  std::deque<Piece> pieces;
  bool reading = true;
  while (!stopping_ && !connection.over && (reading || !pieces.empty())) {
    pollfd wait = {reading && !stalled && pieces.size() < 256 ? from : -1, POLLIN, 0};
    ::poll(&wait, 1, pieces.empty() ? 10 : 1);
    if (wait.revents != 0) {
      std::vector<char> data(16384);
      const ssize_t got = ::recv(from, data.data(), data.size(), 0);
      if (got <= 0) {
        reading = false;
      } else {
        data.resize(static_cast<size_t>(got));
        if (corrupt_next.exchange(false))
          for (size_t i = data.size() / 2; i < data.size(); i += 7) data[i] = static_cast<char>(data[i] ^ 0x55);
        pieces.push_back({Clock::now() + std::chrono::milliseconds(delay_ms), std::move(data)});
      }
    }
    while (!stalled && !pieces.empty() && pieces.front().due <= Clock::now() && !connection.over) {
      const Piece piece = std::move(pieces.front());
      pieces.pop_front();
      if (const int rate = bytes_per_second; rate > 0)
        std::this_thread::sleep_for(std::chrono::microseconds(1'000'000 * static_cast<int64_t>(piece.data.size()) / rate));
      size_t sent = 0;
      while (sent < piece.data.size()) {
        const ssize_t wrote = ::send(to, piece.data.data() + sent, piece.data.size() - sent, MSG_NOSIGNAL);
        if (wrote <= 0) {
          connection.over = true;
          break;
        }
        sent += static_cast<size_t>(wrote);
      }
      count += sent;
    }
  }
  ::shutdown(to, SHUT_WR);
  ::shutdown(from, SHUT_RD);
}

void FaultProxy::ResetAll() {
  const std::lock_guard lock(mutex_);
  for (auto& connection : open_) {
    if (connection->over.exchange(true)) continue;
    Reset(connection->client);
    Reset(connection->board);
  }
}

void FaultProxy::HalfCloseAll() {
  const std::lock_guard lock(mutex_);
  for (auto& connection : open_) ::shutdown(connection->client, SHUT_WR);
}

void FaultProxy::Drop() {
  refusing = true;
  ResetAll();
}

void FaultProxy::Restore() { refusing = false; }

}  // namespace lathe
