// Errors, memory, threads and the table of what was tuned. Generated.
#include "library.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <new>
#include <thread>
#include <vector>

namespace {

thread_local char last_error[1024] = "";

void RunHere(void*, int32_t tasks, void (*body)(void*, int32_t), void* arg) {
  for (int32_t task = 0; task < tasks; ++task) body(arg, task);
}

const lathe_parallel kOneThread = {nullptr, 1, RunHere};

const lathe_kernel_info kTable[] = {
@INFO_ROWS@    {nullptr, nullptr, LATHE_MATCH_FALLBACK, nullptr, nullptr, nullptr, nullptr, 0, 0, nullptr, 0},
};

}  // namespace

lathe_status lathe_fail(lathe_status status, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(last_error, sizeof last_error, format, arguments);
  va_end(arguments);
  return status;
}

lathe_status lathe_check_alignment(const char* op, const char* tensor, const void* pointer, size_t bytes) {
  if (bytes != 0 && reinterpret_cast<uintptr_t>(pointer) % 64 != 0)
    return lathe_fail(LATHE_INVALID_ARGUMENT, "%s: tensor '%s' must lie on a 64-byte boundary; lathe_alloc() gives such memory", op, tensor);
  return LATHE_OK;
}

lathe_status lathe_check_apart(const char* op, const char* tensor, const void* pointer, size_t bytes, const char* output, const void* output_pointer,
                               size_t output_bytes) {
  const uintptr_t begin = reinterpret_cast<uintptr_t>(pointer), output_begin = reinterpret_cast<uintptr_t>(output_pointer);
  if (bytes == 0 || output_bytes == 0 || begin + bytes <= output_begin || output_begin + output_bytes <= begin) return LATHE_OK;
  return lathe_fail(LATHE_INVALID_ARGUMENT, "%s: tensors '%s' and '%s' share memory; an output needs memory of its own", op, tensor, output);
}

const lathe_parallel* lathe_one_thread() { return &kOneThread; }

// Workers sleep between calls and take tasks one by one, so uneven tasks even out.
struct lathe_threads {
  lathe_parallel parallel;
  std::vector<std::thread> workers;
  std::mutex mutex;
  std::condition_variable wake, done;
  void (*body)(void*, int32_t) = nullptr;
  void* arg = nullptr;
  int32_t tasks = 0;
  std::atomic<int32_t> next{0};
  uint64_t round = 0;
  size_t working = 0;
  bool stop = false;

  void TakeTasks() {
    for (int32_t task = next.fetch_add(1); task < tasks; task = next.fetch_add(1)) body(arg, task);
  }
  void Work() {
    uint64_t seen = 0;
    std::unique_lock<std::mutex> lock(mutex);
    while (true) {
      wake.wait(lock, [&] { return stop || round != seen; });
      if (stop) return;
      seen = round;
      lock.unlock();
      TakeTasks();
      lock.lock();
      if (--working == 0) done.notify_one();
    }
  }
  static void Run(void* pool, int32_t tasks, void (*body)(void*, int32_t), void* arg) {
    lathe_threads* self = static_cast<lathe_threads*>(pool);
    {
      const std::lock_guard<std::mutex> lock(self->mutex);
      self->body = body, self->arg = arg, self->tasks = tasks;
      self->next = 0;
      self->working = self->workers.size();
      ++self->round;
    }
    self->wake.notify_all();
    self->TakeTasks();
    std::unique_lock<std::mutex> lock(self->mutex);
    self->done.wait(lock, [&] { return self->working == 0; });
  }
};

extern "C" {

const char* lathe_last_error(void) { return last_error; }

void* lathe_alloc(size_t bytes) { return bytes > PTRDIFF_MAX ? nullptr : aligned_alloc(64, (bytes + 63) / 64 * 64); }
void lathe_free(void* memory) { free(memory); }

lathe_threads* lathe_threads_create(int threads) {
  lathe_threads* made = new (std::nothrow) lathe_threads();
  if (made == nullptr || threads < 1) {
    lathe_fail(LATHE_INVALID_ARGUMENT, "threads: %d threads cannot be had", threads);
    delete made;
    return nullptr;
  }
  made->parallel = {made, threads, lathe_threads::Run};
  try {
    for (int i = 1; i < threads; ++i) made->workers.emplace_back([made] { made->Work(); });
  } catch (const std::exception& failure) {  // must not leave through C
    lathe_fail(LATHE_OUT_OF_MEMORY, "threads: %d threads cannot be had: %s", threads, failure.what());
    lathe_threads_destroy(made);
    return nullptr;
  }
  return made;
}

const lathe_parallel* lathe_threads_parallel(const lathe_threads* threads) { return &threads->parallel; }

void lathe_threads_destroy(lathe_threads* threads) {
  if (threads == nullptr) return;
  {
    const std::lock_guard<std::mutex> lock(threads->mutex);
    threads->stop = true;
  }
  threads->wake.notify_all();
  for (std::thread& worker : threads->workers) worker.join();
  delete threads;
}

const lathe_kernel_info* lathe_kernels_table(size_t* count) {
  *count = sizeof kTable / sizeof kTable[0] - 1;
  return kTable;
}

}  // extern "C"
