// FaultProxy: a TCP proxy on loopback that does to a connection what networks do: delay, little bandwidth, stalls, half-closing, resets,
// flipped bits, or nobody there. Needs no root and no kernel module, so it runs anywhere tests run.
#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

namespace lathe {

class FaultProxy {
 public:
  explicit FaultProxy(int to_port, const std::string& to_host = "127.0.0.1");
  ~FaultProxy();

  int port() const { return port_; }
  std::string endpoint() const { return "127.0.0.1:" + std::to_string(port_); }

  // Each way, for everything that arrives from now on.
  std::atomic<int> delay_ms{0};
  std::atomic<int> bytes_per_second{0};   // 0: no limit
  std::atomic<bool> stalled{false};       // nothing passes; connections stay up
  std::atomic<bool> refusing{false};      // new connections are reset
  std::atomic<bool> corrupt_next{false};  // flips bits in the next piece of data, then is false again
  void ResetAll();                        // as a dropped link is noticed: RST
  void HalfCloseAll();                    // nothing more to the client
  void Drop();                            // link gone: resets, and refuses until Restore()
  void Restore();

  uint64_t to_board() const { return to_board_; }  // bytes passed on
  uint64_t from_board() const { return from_board_; }
  int connections() const { return connections_; }

 private:
  struct Connection {
    int client = -1, board = -1;
    std::atomic<bool> over{false};
    std::thread there, back;
  };
  void Accept();
  void Pump(Connection& connection, int from, int to, std::atomic<uint64_t>& count);

  const std::string to_host_;
  const int to_port_;
  int listener_ = -1, port_ = 0;
  std::atomic<bool> stopping_{false};
  std::atomic<uint64_t> to_board_{0}, from_board_{0};
  std::atomic<int> connections_{0};
  std::mutex mutex_;
  std::list<std::unique_ptr<Connection>> open_;
  std::thread thread_;
};

}  // namespace lathe
