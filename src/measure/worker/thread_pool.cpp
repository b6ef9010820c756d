#include "measure/worker/thread_pool.h"

#include <sched.h>

#include <algorithm>

namespace lathe::worker {
namespace {

constexpr uint32_t kStop = 0xffffffff;  // a generation
constexpr int kSpins = 4000;            // some 50 us: longer than the serial part between two parallel ones of a kernel

thread_local bool t_inside = false;

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

uint64_t Pack(uint32_t generation, uint32_t left) { return uint64_t{generation} << 32 | left; }
uint32_t GenerationOf(uint64_t state) { return static_cast<uint32_t>(state >> 32); }
uint32_t LeftOf(uint64_t state) { return static_cast<uint32_t>(state); }

}  // namespace

bool PinThisThread(int32_t cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (cpu < 0 || cpu >= CPU_SETSIZE) return false;
  CPU_SET(static_cast<size_t>(cpu), &set);
  return ::sched_setaffinity(0, sizeof set, &set) == 0;
}

ThreadPool::ThreadPool(int threads, std::span<const int32_t> cpus) {
  threads = std::max(1, threads);
  parallel_ = {this, threads, [](void* pool, int32_t tasks, void (*body)(void*, int32_t), void* arg) {
                 static_cast<ThreadPool*>(pool)->Run(tasks, body, arg);
               }};
  pinned_ = !cpus.empty() && PinThisThread(cpus[0]);
  for (int i = 1; i < threads; ++i)
    threads_.emplace_back([this, cpu = cpus.empty() ? -1 : cpus[static_cast<size_t>(i) % cpus.size()]] {
      PinThisThread(cpu);
      t_inside = true;
      Work();
    });
}

ThreadPool::~ThreadPool() {
  state_.store(Pack(kStop, 0));
  state_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::TakeTasks(uint32_t generation) {
  uint64_t state = state_.load(std::memory_order_acquire);
  while (GenerationOf(state) == generation && LeftOf(state) > 0) {
    if (!state_.compare_exchange_weak(state, state - 1, std::memory_order_acq_rel, std::memory_order_acquire)) continue;
    // A task is ours, so this job cannot end before we say so, and what describes it holds still.
    body_(arg_, tasks_ - static_cast<int32_t>(LeftOf(state)));
    if (unfinished_.fetch_sub(1, std::memory_order_acq_rel) == 1) unfinished_.notify_one();
    state = state_.load(std::memory_order_acquire);
  }
}

void ThreadPool::Work() {
  uint64_t seen = 0;
  while (true) {
    uint64_t state = state_.load(std::memory_order_acquire);
    for (int spin = 0; GenerationOf(state) == GenerationOf(seen) && spin < kSpins; ++spin) {
      Pause();
      state = state_.load(std::memory_order_acquire);
    }
    while (GenerationOf(state) == GenerationOf(seen)) {
      state_.wait(state, std::memory_order_acquire);  // also wakes when tasks were taken; harmless
      state = state_.load(std::memory_order_acquire);
    }
    if (GenerationOf(state) == kStop) return;
    TakeTasks(GenerationOf(state));
    seen = state;
  }
}

void ThreadPool::Run(int32_t tasks, void (*body)(void*, int32_t), void* arg) {
  if (tasks <= 0) return;
  if (t_inside || threads_.empty()) {
    for (int32_t task = 0; task < tasks; ++task) body(arg, task);
    return;
  }
  t_inside = true;
  uint32_t generation = GenerationOf(state_.load(std::memory_order_relaxed)) + 1;
  if (generation == kStop) generation = 1;
  tasks_ = tasks;
  body_ = body;
  arg_ = arg;
  unfinished_.store(tasks, std::memory_order_relaxed);
  state_.store(Pack(generation, static_cast<uint32_t>(tasks)), std::memory_order_release);
  state_.notify_all();
  TakeTasks(generation);
  int32_t left = unfinished_.load(std::memory_order_acquire);
  for (int spin = 0; left != 0 && spin < kSpins; ++spin) {
    Pause();
    left = unfinished_.load(std::memory_order_acquire);
  }
  while (left != 0) {
    unfinished_.wait(left, std::memory_order_acquire);
    left = unfinished_.load(std::memory_order_acquire);
  }
  t_inside = false;
}

}  // namespace lathe::worker
