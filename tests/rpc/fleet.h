// Machines under a pool, and what comes back from it.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "machine.h"
#include "rpc/client/board_pool.h"

namespace lathe {

inline PoolOptions Quick() {
  PoolOptions options;
  options.silence = std::chrono::milliseconds(400);
  options.grace = std::chrono::milliseconds(150);
  options.wait = std::chrono::milliseconds(1500);
  options.least_retry = std::chrono::milliseconds(20);
  options.most_retry = std::chrono::milliseconds(100);
  options.heartbeat = std::chrono::milliseconds(50);
  options.steal_after = std::chrono::milliseconds(200);
  return options;
}

struct Fleet {
  explicit Fleet(size_t count) {
    for (size_t i = 0; i < count; ++i) machines.push_back(std::make_unique<Machine>("board" + std::to_string(i)));
  }
  std::unique_ptr<BoardPool> Pool(PoolOptions options = Quick()) {
    options.notice = [this](const std::string& text) {
      const std::lock_guard lock(mutex);
      notices.push_back(text);
    };
    std::vector<std::unique_ptr<BoardLink>> links;
    for (const auto& machine : machines) links.push_back(std::make_unique<DirectLink>(machine.get()));
    auto pool = BoardPool::Create(std::move(links), std::move(options));
    if (!pool) {
      error = pool.error().message;
      return nullptr;
    }
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (std::any_of(machines.begin(), machines.end(), [](auto& m) { return m->reachable(); }) && Settled(**pool) < Reachable() &&
           std::chrono::steady_clock::now() < end)
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    return std::move(*pool);
  }
  size_t Reachable() {
    return static_cast<size_t>(std::count_if(machines.begin(), machines.end(), [](auto& m) { return m->reachable(); }));
  }
  static size_t Settled(const BoardPool& pool) {
    const auto boards = pool.boards();
    return static_cast<size_t>(
        std::count_if(boards.begin(), boards.end(), [](const BoardState& b) { return b.state == "up" || b.state == "refused"; }));
  }
  int Runs() const {
    int runs = 0;
    for (const auto& machine : machines) runs += machine->runs;
    return runs;
  }
  std::vector<std::string> Notices() {
    const std::lock_guard lock(mutex);
    return notices;
  }
  std::vector<std::unique_ptr<Machine>> machines;
  std::string error;

 private:
  std::mutex mutex;
  std::vector<std::string> notices;
};

inline void Submit(BoardPool& pool, uint64_t from, uint64_t to, int64_t delay_ms = 5) {
  for (uint64_t id = from; id <= to; ++id) ASSERT_TRUE(pool.Submit({id, ScriptedCandidate(static_cast<int64_t>(id), delay_ms), 0, false}));
}

// Fails when a ticket is answered twice.
inline std::map<uint64_t, Measurement> Collect(BoardPool& pool, size_t count, std::string* error = nullptr) {
  std::map<uint64_t, Measurement> all;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (all.size() < count && std::chrono::steady_clock::now() < end) {
    auto some = pool.Wait(std::chrono::milliseconds(50));
    if (!some) {
      if (error != nullptr) *error = some.error().message;
      return all;
    }
    for (Measurement& measurement : *some) {
      const uint64_t ticket = measurement.ticket;
      EXPECT_TRUE(all.emplace(ticket, std::move(measurement)).second) << "ticket " << ticket << " was answered twice";
    }
  }
  EXPECT_EQ(all.size(), count);
  // Nothing more comes.
  auto more = pool.Wait(std::chrono::milliseconds(50));
  EXPECT_TRUE(!more || more->empty());
  return all;
}

}  // namespace lathe
