// Loaded before a program's own libraries: its wall clock is that of the machine plus the seconds in the file that $CLOCK_JUMP names, which
// a test changes while the program runs. Deadlines by the wall clock that are handed to the kernel are moved back, so that a wait is as
// long as it would be on a machine whose clock stands there. What a true jump does to a wait under way is not imitated.
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <cstdarg>
#include <cstdint>
#include <cstdlib>

namespace {

// Of the file, mapped; what is written there is seen at once.
const volatile int64_t* Shared() {
  static const volatile int64_t* const shared = [] {
    static const int64_t none = 0;
    const char* name = std::getenv("CLOCK_JUMP");
    const int fd = name != nullptr ? ::open(name, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return static_cast<const volatile int64_t*>(&none);
    void* mapped = ::mmap(nullptr, sizeof none, PROT_READ, MAP_SHARED, fd, 0);
    ::close(fd);
    return mapped == MAP_FAILED ? static_cast<const volatile int64_t*>(&none) : static_cast<const volatile int64_t*>(mapped);
  }();
  return shared;
}

template <typename Function>
Function Next(const char* name) {
  return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}

// Monotonic clocks count from the start of the machine.
bool IsWallClock(const timespec& at) { return at.tv_sec > 1'000'000'000; }

timespec Moved(const timespec& at) { return {at.tv_sec - (IsWallClock(at) ? *Shared() : 0), at.tv_nsec}; }

}  // namespace

extern "C" {

int clock_gettime(clockid_t clock, timespec* now) noexcept {
  const long failed = ::syscall(SYS_clock_gettime, clock, now);
  if (failed == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += *Shared();
  return static_cast<int>(failed);
}

int gettimeofday(timeval* now, void*) noexcept {
  timespec precise = {};
  ::clock_gettime(CLOCK_REALTIME, &precise);
  *now = {precise.tv_sec, precise.tv_nsec / 1000};
  return 0;
}

time_t time(time_t* now) noexcept {
  timespec precise = {};
  ::clock_gettime(CLOCK_REALTIME, &precise);
  if (now != nullptr) *now = precise.tv_sec;
  return precise.tv_sec;
}

int pthread_cond_timedwait(pthread_cond_t* condition, pthread_mutex_t* mutex, const timespec* until) {
  static const auto next = Next<int (*)(pthread_cond_t*, pthread_mutex_t*, const timespec*)>("pthread_cond_timedwait");
  const timespec moved = Moved(*until);
  return next(condition, mutex, &moved);
}

int pthread_cond_clockwait(pthread_cond_t* condition, pthread_mutex_t* mutex, clockid_t clock, const timespec* until) {
  static const auto next = Next<int (*)(pthread_cond_t*, pthread_mutex_t*, clockid_t, const timespec*)>("pthread_cond_clockwait");
  const timespec moved = Moved(*until);
  return next(condition, mutex, clock, &moved);
}

// Abseil, and with it gRPC, waits on futexes by hand.
long syscall(long number, ...) noexcept {
  static const auto next = Next<long (*)(long, long, long, long, long, long, long)>("syscall");
  va_list list;
  va_start(list, number);
  long arguments[6];
  for (long& argument : arguments) argument = va_arg(list, long);
  va_end(list);
  timespec moved;
  if (number == SYS_futex && (arguments[1] & FUTEX_CLOCK_REALTIME) != 0 && arguments[3] != 0) {
    moved = Moved(*reinterpret_cast<const timespec*>(arguments[3]));
    arguments[3] = reinterpret_cast<long>(&moved);
  }
  return next(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]);
}

}  // extern "C"
