#include "measure/subprocess.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <map>
#include <memory>

#include "measure/descriptor.h"

extern char** environ;

namespace lathe {
namespace {
using Clock = std::chrono::steady_clock;

// The first and the last of a stream that may be endless.
class Excerpt {
 public:
  Excerpt(size_t head, size_t tail) : head_bytes_(head), tail_bytes_(tail) {}
  void Add(const char* text, size_t bytes) {
    const size_t first = std::min(bytes, head_bytes_ - head_.size());
    head_.append(text, first);
    tail_.append(text + first, bytes - first);
    if (tail_.size() > 2 * tail_bytes_) {
      tail_.erase(0, tail_.size() - tail_bytes_);
      cut_ = true;
    }
  }
  std::string Take() {
    if (tail_.size() > tail_bytes_) {
      tail_.erase(0, tail_.size() - tail_bytes_);
      cut_ = true;
    }
    return head_ + (cut_ ? "\n…\n" : "") + tail_;
  }

 private:
  size_t head_bytes_, tail_bytes_;
  std::string head_, tail_;
  bool cut_ = false;
};

void Drain(int fd, Excerpt& excerpt) {
  char buffer[4096];
  while (true) {
    const ssize_t got = ::read(fd, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return;
    excerpt.Add(buffer, static_cast<size_t>(got));
  }
}

std::vector<std::string> Environment(const std::vector<std::string>& changes) {
  std::map<std::string, std::string> all;
  const auto add = [&](const std::string& entry) { all[entry.substr(0, entry.find('='))] = entry; };
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) add(*entry);
  for (const std::string& entry : changes) add(entry);
  std::vector<std::string> entries;
  for (auto& [name, entry] : all) entries.push_back(std::move(entry));
  return entries;
}

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

struct Started {
  pid_t pid = 0;
  Descriptor output;  // read end
};

Result<Started> Start(const SubprocessOptions& options) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0)
    return Error{ErrorCode::kResourceExhausted, fmt::format("start '{}': pipe: {}", options.argv[0], std::strerror(errno))};
  Started started;
  started.output = Descriptor(ends[0]);
  const Descriptor write_end(ends[1]);
  ::fcntl(ends[0], F_SETFL, O_NONBLOCK);

  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  // Out of the way of the numbers they are to get, first: a plain list of dup2 could overwrite one that is still needed.
  std::vector<Descriptor> high;
  const auto place = [&](int ours, int its) {
    high.emplace_back(::fcntl(ours, F_DUPFD_CLOEXEC, 100));
    ::posix_spawn_file_actions_adddup2(&actions, high.back().get(), its);
    return high.back().get() >= 0;
  };
  bool placed = place(write_end.get(), 1) && place(write_end.get(), 2);
  for (const auto& [ours, its] : options.files) placed = placed && place(ours, its);
  if (!options.directory.empty()) ::posix_spawn_file_actions_addchdir_np(&actions, options.directory.c_str());
  sigset_t none, all;
  ::sigemptyset(&none);
  ::sigfillset(&all);
  ::posix_spawnattr_setpgroup(&attributes, 0);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setsigdefault(&attributes, &all);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);

  std::vector<std::string> argv = options.argv, environment = Environment(options.environment);
  const int failure =
      placed ? ::posix_spawnp(&started.pid, argv[0].c_str(), &actions, &attributes, Pointers(argv).data(), Pointers(environment).data())
             : EMFILE;
  ::posix_spawn_file_actions_destroy(&actions);
  ::posix_spawnattr_destroy(&attributes);
  if (failure != 0) {
    const ErrorCode code = failure == ENOENT ? ErrorCode::kNotFound : ErrorCode::kUnavailable;
    return Error{code, fmt::format("start '{}': {}", options.argv[0], std::strerror(failure))};
  }
  return started;
}

bool HasEnded(pid_t pid) {
  siginfo_t info = {};
  return ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT | WNOHANG) == 0 && info.si_pid == pid;
}

// Until the leader has ended (its zombie is kept, so that the group's number cannot be another's), the deadline passed, or we are
// cancelled.
SubprocessResult::End Await(const SubprocessOptions& options, pid_t pid, int output, Clock::time_point begin, Excerpt& excerpt) {
  using End = SubprocessResult::End;
  const Descriptor pidfd(static_cast<int>(::syscall(434 /* pidfd_open */, pid, 0)));
  bool open = true;
  while (true) {
    if (options.cancel != nullptr && options.cancel->cancelled()) return End::kCancelled;
    int timeout_ms = -1;
    if (options.deadline.count() > 0) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(begin + options.deadline - Clock::now()).count();
      if (left <= 0) return HasEnded(pid) ? End::kExited : End::kDeadline;
      timeout_ms = static_cast<int>(std::min<long long>(left, 1'000'000));
    }
    if (pidfd.get() < 0) timeout_ms = timeout_ms < 0 ? 2 : std::min(timeout_ms, 2);  // an old kernel: look again and again
    pollfd waits[3] = {{pidfd.get(), POLLIN, 0}, {open ? output : -1, POLLIN, 0}, {options.cancel ? options.cancel->fd() : -1, POLLIN, 0}};
    ::poll(waits, 3, timeout_ms);
    if (waits[1].revents != 0) {
      Drain(output, excerpt);
      if ((waits[1].revents & POLLHUP) != 0) open = false;
    }
    if (pidfd.get() >= 0 ? waits[0].revents != 0 : HasEnded(pid)) return End::kExited;
  }
}

// What was killed may take a moment to go, and what still runs would disturb the next one. A zombie that nobody collects is not waited for
// forever.
void AwaitEndOfGroup(pid_t group) {
  constexpr int kMostTries = 250;
  for (int i = 0; i < kMostTries && ::kill(-group, SIGKILL) == 0; ++i) ::usleep(2000);
}

double Seconds(const timeval& time) { return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec); }

}  // namespace

Result<SubprocessResult> RunSubprocess(const SubprocessOptions& options) {
  if (options.argv.empty()) return Error{ErrorCode::kInternal, "start a program: no name given"};
  const Clock::time_point begin = Clock::now();
  Result<Started> started = Start(options);
  if (!started) return started.error();

  SubprocessResult result;
  Excerpt excerpt(options.head_bytes, options.tail_bytes);
  result.end = Await(options, started->pid, started->output.get(), begin, excerpt);
  ::kill(-started->pid, SIGKILL);
  int status = 0;
  rusage usage = {};
  while (::wait4(started->pid, &status, 0, &usage) < 0 && errno == EINTR) {
  }
  AwaitEndOfGroup(started->pid);
  result.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  result.cpu_seconds = Seconds(usage.ru_utime) + Seconds(usage.ru_stime);
  result.peak_kilobytes = usage.ru_maxrss;
  Drain(started->output.get(), excerpt);
  result.output = excerpt.Take();
  if (result.end == SubprocessResult::End::kExited && WIFSIGNALED(status)) result.end = SubprocessResult::End::kSignalled;
  result.code = WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
  return result;
}

std::string SignalName(int number) {
  const char* name = ::sigabbrev_np(number);
  return name != nullptr ? std::string("SIG") + name : fmt::format("signal {}", number);
}

namespace {

int KillOnceIn(const std::string& directory) {
  int killed = 0;
  std::error_code failure;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", failure)) {
    const pid_t pid = static_cast<pid_t>(std::atoi(entry.path().filename().c_str()));
    if (pid <= 0 || pid == ::getpid()) continue;
    std::error_code unreadable;  // zombies stand nowhere
    const std::string stands = std::filesystem::read_symlink(entry.path() / "cwd", unreadable).string();
    if (unreadable || stands.rfind(directory, 0) != 0) continue;
    if (::kill(pid, SIGKILL) == 0) ++killed;
  }
  return killed;
}

}  // namespace

int KillProcessesIn(const std::filesystem::path& directory) {
  // Again until none is found: one may have been forking, and what was killed may take a moment to go.
  constexpr int kMostTries = 100;
  int most = 0;
  for (int i = 0; i < kMostTries; ++i) {
    const int killed = KillOnceIn(directory.string());
    most = std::max(most, killed);
    if (killed == 0) break;
    ::usleep(2000);
  }
  return most;
}

}  // namespace lathe
