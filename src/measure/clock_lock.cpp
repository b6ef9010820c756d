#include "measure/clock_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "core/file.h"

extern char** environ;

namespace lathe {
namespace {

constexpr std::chrono::seconds kLastWait{10};

// What the process says next; empty when it ends, nothing when it keeps silent.
std::optional<std::string> NextLine(int output, std::chrono::milliseconds patience) {
  std::string line;
  const auto end = std::chrono::steady_clock::now() + patience;
  for (char byte = 0;;) {
    const auto left = std::max<long long>(0, std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now()).count());
    pollfd wait = {output, POLLIN, 0};
    const int ready = ::poll(&wait, 1, static_cast<int>(left));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return std::nullopt;
    if (::read(output, &byte, 1) != 1) return "";
    if (byte == '\n') return line;
    line += byte;
  }
}

// Whether it has ended; it is then reaped.
bool HasEnded(pid_t process) {
  const pid_t ended = ::waitpid(process, nullptr, WNOHANG);
  return ended == process || (ended < 0 && errno != EINTR);
}

// Processes that a driver kept longer than we waited. They end by themselves.
class Leftovers {
 public:
  void Add(pid_t process) {
    const std::lock_guard lock(mutex_);
    processes_.push_back(process);
  }
  void Reap() {
    const std::lock_guard lock(mutex_);
    std::erase_if(processes_, HasEnded);
  }

 private:
  std::mutex mutex_;
  std::vector<pid_t> processes_;
};

Leftovers& TheLeftovers() {
  static Leftovers leftovers;
  return leftovers;
}

}  // namespace

Result<ClockLock> ClockLock::Take(const std::filesystem::path& worker_program, size_t device, const std::string& clock, Notice notice,
                                  std::chrono::milliseconds patience) {
  TheLeftovers().Reap();
  const std::string doing = fmt::format("lock the clock of CUDA device {} at '{}'", device, clock);
  int to[2], from[2];
  if (::pipe2(to, O_CLOEXEC) != 0) return Error{ErrorCode::kResourceExhausted, fmt::format("{}: pipe: {}", doing, std::strerror(errno))};
  const Descriptor its_input(to[0]);
  ClockLock lock;
  lock.input_ = Descriptor(to[1]);
  if (::pipe2(from, O_CLOEXEC) != 0) return Error{ErrorCode::kResourceExhausted, fmt::format("{}: pipe: {}", doing, std::strerror(errno))};
  lock.output_ = Descriptor(from[0]);
  Descriptor its_output(from[1]);

  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, its_input.get(), STDIN_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, its_output.get(), STDOUT_FILENO);
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  sigset_t none;
  ::sigemptyset(&none);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setpgroup(&attributes, 0);  // a terminal's Ctrl-C is for us: its process ends after we have
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
  std::array<std::string, 4> words = {worker_program.string(), "--lock-gpu-clock", std::to_string(device), clock};
  std::array<char*, 5> argv = {words[0].data(), words[1].data(), words[2].data(), words[3].data(), nullptr};
  const int failure = ::posix_spawn(&lock.process_, argv[0], &actions, &attributes, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  ::posix_spawnattr_destroy(&attributes);
  if (failure != 0) {
    lock.process_ = 0;
    return Error{ErrorCode::kUnavailable, fmt::format("{}: start '{}': {}", doing, words[0], std::strerror(failure))};
  }

  its_output.Close();  // else its end would not be ours to see
  const std::optional<std::string> answer = NextLine(lock.output_.get(), patience);
  const std::string line = answer.value_or("");
  const size_t space = std::min(line.find(' '), line.size());
  const std::string word = line.substr(0, space), rest = line.substr(std::min(space + 1, line.size()));
  if (word == "locked") {
    lock.mhz_ = rest;
    lock.notice_ = std::move(notice);
    return lock;
  }
  if (answer)
    lock.Release();
  else
    lock.Leave();  // killed, it could not give back what the driver may yet do
  if (word == "unusable") return Error{ErrorCode::kInvalidInput, fmt::format("{}: {}", doing, rest)};
  lock.refusal_ = word == "refused" ? rest
                  : answer ? "the process that talks to the driver ended; nvidia-smi --reset-gpu-clocks undoes what it may have done"
                           : "the driver did not answer; should it still lock the clock, that is undone at once";
  return lock;
}

ClockLock::ClockLock(ClockLock&& other) noexcept
    : process_(std::exchange(other.process_, 0)),
      input_(std::move(other.input_)),
      output_(std::move(other.output_)),
      mhz_(std::move(other.mhz_)),
      refusal_(std::move(other.refusal_)),
      notice_(std::move(other.notice_)) {}

ClockLock::~ClockLock() { Release(); }

void ClockLock::Release() {
  input_.Close();
  if (process_ <= 0) return;
  // A driver that hangs must not keep us, too.
  const auto end = std::chrono::steady_clock::now() + kLastWait;
  bool ended = HasEnded(process_);
  for (; !ended && std::chrono::steady_clock::now() < end; ended = HasEnded(process_))
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  if (!ended) {
    if (notice_) notice_("give the GPU's clock back: the driver does not answer yet; a process waits for it and does it then");
    Leave();
    return;
  }
  process_ = 0;
  const std::string line = NextLine(output_.get(), std::chrono::milliseconds(0)).value_or("");
  if (notice_ && line.starts_with("kept "))
    notice_(fmt::format("give the GPU's clock back: {}; nvidia-smi --reset-gpu-clocks does it", line.substr(5)));
}

void ClockLock::Leave() {
  input_.Close();
  TheLeftovers().Add(std::exchange(process_, 0));
}

Result<std::string> ParseClock(const std::string& text) {
  unsigned mhz = 0;
  const auto [stopped, error] = std::from_chars(text.data(), text.data() + text.size(), mhz);
  if (text == "max" || (error == std::errc() && stopped == text.data() + text.size() && mhz > 0)) return text;
  return Error{ErrorCode::kInvalidInput, fmt::format("clock '{}': write a number of MHz, or max", text)};
}

Status CanLockClocks(const std::filesystem::path& sysfs_root) {
  std::error_code failure;
  const Result<std::string> kinds = ReadFile(sysfs_root / "proc/device-tree/compatible");
  if (!std::filesystem::exists(sysfs_root / "etc/nv_tegra_release", failure) &&
      (!kinds || kinds->find("nvidia,tegra") == std::string::npos))
    return {};
  return Error{ErrorCode::kInvalidInput,
               "lock the GPU's clock: this is a Tegra (Jetson), where no driver interface does that; run `sudo jetson_clocks` before "
               "measuring (`sudo jetson_clocks --restore` after it) and leave the option away"};
}

}  // namespace lathe
