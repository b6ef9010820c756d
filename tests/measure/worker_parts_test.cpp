// The worker's own parts that need no process: threads and guarded memory.
#include <gtest/gtest.h>

#include <atomic>
#include <numeric>
#include <vector>

#include "measure/worker/guarded_buffer.h"
#include "measure/worker/thread_pool.h"

namespace lathe::worker {
namespace {

struct Counts {
  std::vector<std::atomic<int>> done;
  explicit Counts(size_t tasks) : done(tasks) {}
};

void CountTask(void* arg, int32_t task) { static_cast<Counts*>(arg)->done[static_cast<size_t>(task)].fetch_add(1); }

TEST(WorkerThreads, EveryTaskRunsExactlyOnceWhateverTheNumbers) {
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads, {});
    for (int round = 0; round < 300; ++round)
      for (const size_t tasks : {1U, 2U, 7U, 33U}) {
        Counts counts(tasks);
        pool.parallel()->run(pool.parallel()->pool, static_cast<int32_t>(tasks), CountTask, &counts);
        for (const auto& done : counts.done) ASSERT_EQ(done.load(), 1);
      }
  }
}

TEST(WorkerThreads, ACallFromInsideATaskRunsInPlace) {
  ThreadPool pool(3, {});
  struct Nested {
    ThreadPool* pool;
    Counts counts{64};
  } nested{&pool};
  pool.Run(
      8,
      [](void* arg, int32_t) {
        auto* self = static_cast<Nested*>(arg);
        self->pool->Run(64, CountTask, &self->counts);
      },
      &nested);
  for (const auto& done : nested.counts.done) EXPECT_EQ(done.load(), 8);
}

TEST(WorkerThreads, NoTasksIsNoWork) {
  ThreadPool pool(2, {});
  pool.Run(
      0, [](void*, int32_t) { FAIL(); }, nullptr);
}

#if !defined(__SANITIZE_ADDRESS__)  // which sees these writes itself
TEST(GuardedBuffer, NoticesWritesOnEitherSide) {
  for (const size_t bytes : {size_t{0}, size_t{1}, size_t{63}, size_t{4096}, size_t{10001}}) {
    GuardedBuffer buffer;
    ASSERT_TRUE(buffer.Allocate(bytes, 3));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % 64, 0U);
    buffer.Fill(0xC5);  // the guard's own pattern inside means nothing
    int64_t first = 0;
    EXPECT_EQ(buffer.BrokenGuardBytes(&first), 0U);
    auto* data = static_cast<volatile unsigned char*>(buffer.data());
    data[bytes] = 1;
    EXPECT_EQ(buffer.BrokenGuardBytes(&first), 1U);
    EXPECT_EQ(first, static_cast<int64_t>(bytes));
    data[-1] = 1;
    data[-64] = 1;
    EXPECT_EQ(buffer.BrokenGuardBytes(&first), 3U);
    EXPECT_EQ(first, -64);
  }
}
#endif

TEST(GuardedBuffer, KnowsWhichAddressesAreItsOwn) {
  GuardedBuffer buffer;
  ASSERT_TRUE(buffer.Allocate(1000, 0));
  const auto* data = static_cast<const unsigned char*>(buffer.data());
  int64_t offset = 0;
  EXPECT_TRUE(buffer.Covers(data + 20000, &offset));
  EXPECT_EQ(offset, 20000);
  EXPECT_FALSE(buffer.InPages(data + 20000));
  EXPECT_TRUE(buffer.InPages(data + 999));
  EXPECT_FALSE(buffer.Covers(&offset, &offset));
  EXPECT_FALSE(GuardedBuffer().Covers(data, &offset));
}

TEST(GuardedBuffer, TensorsStartAtDifferentPlacesOfTheirPages) {
  GuardedBuffer first, second;
  ASSERT_TRUE(first.Allocate(100, 0) && second.Allocate(100, 1));
  EXPECT_NE(reinterpret_cast<uintptr_t>(first.data()) % 4096, reinterpret_cast<uintptr_t>(second.data()) % 4096);
}

}  // namespace
}  // namespace lathe::worker
