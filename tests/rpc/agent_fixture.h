// Agents in this process on loopback ports, with a scripted device or with real workers.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/file.h"
#include "fault_proxy.h"
#include "rpc/agent/agent_server.h"
#include "rpc/agent/local_board.h"
#include "rpc/client/remote_measurer.h"
#include "scripted_measurer.h"
#include "tests/measure/fault_fixture.h"

namespace lathe {

class Agent {
 public:
  struct Setup {
    Board::MakeMeasurer make;  // empty: scripted
    std::chrono::milliseconds lease{10'000};
    AgentOptions serve;
    int port = 0;
  };
  Agent() : Agent(Setup()) {}
  explicit Agent(Setup setup) : dir_(std::move(*TempDir::Create("agent"))), setup_(std::move(setup)) { Boot(); }

  void Boot() {
    store_ = std::move(*UploadStore::Open(dir_.path() / "uploads", {}));
    Board::Options options;
    options.name = "bench";
    options.lease = setup_.lease;
    board_ = std::make_unique<Board>(
        options, setup_.make ? setup_.make : [this](const SessionSpec&) -> Result<std::unique_ptr<Measurer>> {
          return std::unique_ptr<Measurer>(std::make_unique<ScriptedMeasurer>("fake", 2, &runs));
        });
    AgentOptions serve = setup_.serve;
    if (serve.listen == "127.0.0.1:0") serve.listen = "127.0.0.1:" + std::to_string(port_);
    serve.heartbeat = std::chrono::milliseconds(200);
    serve.log = [this](const std::string& event, nlohmann::json fields) {
      const std::lock_guard lock(mutex_);
      log_.push_back(event + ' ' + fields.dump());
    };
    Result<std::unique_ptr<AgentServer>> server = AgentServer::Start(board_.get(), store_.get(), serve);
    ASSERT_TRUE(server) << server.error().message;
    server_ = std::move(*server);
    port_ = server_->port();
  }
  // As a power cut does it: every job and result is gone, the boot id is another.
  void Kill() {
    server_.reset();
    board_.reset();
    store_.reset();
  }
  void Reboot() {
    Kill();
    Boot();
  }

  int port() const { return port_; }
  std::string endpoint() const { return "127.0.0.1:" + std::to_string(port_); }
  Board& board() { return *board_; }
  AgentServer& server() { return *server_; }
  std::string Log() {
    const std::lock_guard lock(mutex_);
    std::string text;
    for (const std::string& line : log_) text += line + '\n';
    return text;
  }
  std::atomic<int> runs{0};

 private:
  TempDir dir_;
  Setup setup_;
  int port_ = 0;
  std::mutex mutex_;
  std::vector<std::string> log_;
  std::unique_ptr<UploadStore> store_;
  std::unique_ptr<Board> board_;
  std::unique_ptr<AgentServer> server_;
};

inline Agent::Setup RealWorkers(std::chrono::milliseconds timeout = std::chrono::seconds(8)) {
  LocalBoardOptions here;
  here.workshop = TestOptions();
  here.workshop.run.timeout = timeout;
  Agent::Setup setup;
  setup.make = MeasuringHere(here);
  return setup;
}

inline PoolOptions QuickPool() {
  PoolOptions options;
  options.silence = std::chrono::milliseconds(1500);
  options.grace = std::chrono::milliseconds(500);
  options.wait = std::chrono::milliseconds(8000);
  options.heartbeat = std::chrono::milliseconds(200);
  options.session.sampling = TestOptions().sampling;
  return options;
}

// Over gRPC, to those endpoints. `render`: the candidates' text travels, out of the fault templates.
inline Result<std::unique_ptr<BoardPool>> Reach(const std::vector<std::string>& endpoints, PoolOptions options = QuickPool(),
                                                bool render = false, const std::optional<ClientCertificates>& certificates = {}) {
  std::vector<std::unique_ptr<BoardLink>> links;
  for (const std::string& endpoint : endpoints) {
    LinkOptions link;
    link.endpoint = endpoint;
    link.certificates = certificates;
    link.call_seconds = 3;
    Result<std::unique_ptr<BoardLink>> made = MakeGrpcLink(std::move(link));
    if (!made) return made.error();
    links.push_back(std::move(*made));
  }
  if (render) options.render = RenderingFrom(FaultTemplates());
  return BoardPool::Create(std::move(links), std::move(options));
}

// Fails when a ticket is answered twice, or not all are within `most`.
inline std::map<uint64_t, Measurement> Gather(BoardPool& pool, size_t count, std::chrono::seconds most = std::chrono::seconds(60)) {
  std::map<uint64_t, Measurement> all;
  const auto end = std::chrono::steady_clock::now() + most;
  while (all.size() < count && std::chrono::steady_clock::now() < end) {
    auto some = pool.Wait(std::chrono::milliseconds(50));
    EXPECT_TRUE(some) << some.error().message;
    if (!some) break;
    for (Measurement& measurement : *some) {
      const uint64_t ticket = measurement.ticket;
      EXPECT_TRUE(all.emplace(ticket, std::move(measurement)).second) << "ticket " << ticket << " was answered twice";
    }
  }
  EXPECT_EQ(all.size(), count);
  return all;
}

}  // namespace lathe
