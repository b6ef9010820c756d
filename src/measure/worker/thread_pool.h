// The threads that a measured kernel borrows through lathe_parallel: pinned, spinning for a moment after each job before they sleep, as a
// kernel in a pipeline would find them.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <thread>
#include <vector>

#include "templates/prelude/abi.h"

namespace lathe::worker {

class ThreadPool {
 public:
  // The caller is thread 0 and works too; thread i is pinned to cpus[i % size] when there are any. Pins the caller as well.
  ThreadPool(int threads, std::span<const int32_t> cpus);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  const lathe_parallel* parallel() const { return &parallel_; }
  bool pinned() const { return pinned_; }

  // From one thread at a time; a call from inside a body runs its tasks in place.
  void Run(int32_t tasks, void (*body)(void*, int32_t), void* arg);

 private:
  void Work();
  // Takes tasks of `generation` until none is left.
  void TakeTasks(uint32_t generation);

  std::vector<std::thread> threads_;
  lathe_parallel parallel_;
  bool pinned_ = false;
  // {generation, tasks not yet taken}: taken by compare-and-swap, so that a thread late for one job can never take a task of the next as
  // its own.
  std::atomic<uint64_t> state_{0};
  std::atomic<int32_t> unfinished_{0};
  int32_t tasks_ = 0;  // these three are written before state_ is, and read after a task was taken
  void (*body_)(void*, int32_t) = nullptr;
  void* arg_ = nullptr;
};

// False where the system refuses.
bool PinThisThread(int32_t cpu);

}  // namespace lathe::worker
