// lathe-agent and lathe as processes of their own, each with directories that a test can look into afterwards.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "core/file.h"

extern char** environ;

namespace lathe {

// Starts `program` with what it writes in `out` and `err`; killed when the test forgets it.
class Process {
 public:
  Process(const std::string& program, const std::vector<std::string>& arguments, const std::filesystem::path& out,
          const std::filesystem::path& err, const std::vector<std::string>& environment = {}) {
    std::vector<std::string> texts = {program};
    texts.insert(texts.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv, variables;
    for (std::string& text : texts) argv.push_back(text.data());
    argv.push_back(nullptr);
    std::vector<std::string> added = environment;
    for (std::string& text : added) variables.push_back(text.data());
    for (char** entry = environ; *entry != nullptr; ++entry) variables.push_back(*entry);
    variables.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_addopen(&actions, 1, out.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0600);
    ::posix_spawn_file_actions_addopen(&actions, 2, err.c_str(), O_CREAT | O_APPEND | O_WRONLY, 0600);
    EXPECT_EQ(::posix_spawn(&pid_, program.c_str(), &actions, nullptr, argv.data(), variables.data()), 0) << program;
    ::posix_spawn_file_actions_destroy(&actions);
  }
  ~Process() { Kill(); }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  void Signal(int signal) const { ::kill(pid_, signal); }
  // Without a chance to tidy up.
  void Kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    (void)Wait(std::chrono::seconds(10));
  }
  // Exit status, 128 and the signal, or -1 when it runs on.
  int Wait(std::chrono::milliseconds most) {
    const auto end = std::chrono::steady_clock::now() + most;
    int status = 0;
    while (::waitpid(pid_, &status, WNOHANG) == 0) {
      if (std::chrono::steady_clock::now() >= end) return -1;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    pid_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  pid_t pid_ = 0;
};

inline bool Eventually(std::chrono::milliseconds most, const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + most;
  while (!condition()) {
    if (std::chrono::steady_clock::now() >= end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return true;
}

// Processes whose working directory lies below `directory`, this one left out: workers and compilers stand there.
inline std::vector<pid_t> ProcessesIn(const std::filesystem::path& directory) {
  std::vector<pid_t> found;
  std::error_code failure;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", failure)) {
    const auto pid = static_cast<pid_t>(std::atoi(entry.path().filename().c_str()));
    std::error_code unreadable;
    if (pid <= 0 || pid == ::getpid()) continue;
    const std::string stands = std::filesystem::read_symlink(entry.path() / "cwd", unreadable).string();
    if (!unreadable && stands.rfind(directory.string(), 0) == 0) found.push_back(pid);
  }
  return found;
}

constexpr std::chrono::seconds kOverhead{5};  // of a fault, beyond the time limit of what it met

// What a fault took, for the table in docs/boards.md.
inline void RecordTime(std::chrono::steady_clock::time_point begin) {
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin);
  ::testing::Test::RecordProperty("milliseconds", static_cast<int>(took.count()));
}

class AgentProcess {
 public:
  explicit AgentProcess(std::vector<std::string> options = {}, std::vector<std::string> environment = {})
      : dir_(std::move(*TempDir::Create("agent-process"))), options_(std::move(options)), environment_(std::move(environment)) {
    std::filesystem::create_directory(scratch());
    Boot();
  }

  // On the port it had before, if it had one.
  void Boot() {
    std::vector<std::string> arguments = {"--listen",    "127.0.0.1:" + std::to_string(port_), "--name",    "bench",
                                          "--directory", (dir_.path() / "kept").string(),      "--scratch", scratch().string()};
    arguments.insert(arguments.end(), options_.begin(), options_.end());
    process_ = std::make_unique<Process>(LATHE_BIN_DIR "/lathe-agent", arguments, dir_.path() / "out", dir_.path() / "err", environment_);
    constexpr const char* kSays = "listening on port ";
    EXPECT_TRUE(Eventually(std::chrono::seconds(60), [&] {
      const Result<std::string> out = ReadFile(dir_.path() / "out");
      const size_t at = out ? out->find(kSays) : std::string::npos;
      if (at == std::string::npos || out->back() != '\n') return false;
      port_ = std::atoi(out->c_str() + at + std::char_traits<char>::length(kSays));
      return true;
    })) << Log();
  }
  void Kill() { process_->Kill(); }
  Process& process() { return *process_; }

  int port() const { return port_; }
  std::string endpoint() const { return "127.0.0.1:" + std::to_string(port_); }
  std::filesystem::path scratch() const { return dir_.path() / "scratch"; }
  std::string Log() const {
    const Result<std::string> text = ReadFile(dir_.path() / "err");
    return text ? *text : std::string();
  }
  // Nothing of any candidate: no process, no file but the lock of the scratch directory in use, no half upload.
  void ExpectNothingLeft() const {
    EXPECT_TRUE(Eventually(std::chrono::seconds(5), [&] { return ProcessesIn(scratch()).empty(); }))
        << ProcessesIn(scratch()).size() << " processes are left";
    // A board tidies up after a client without keeping it waiting.
    EXPECT_TRUE(Eventually(std::chrono::seconds(5), [&] { return FirstLeftover().empty(); })) << FirstLeftover() << " was left behind";
    for (const auto& entry : std::filesystem::recursive_directory_iterator(dir_.path() / "kept"))
      EXPECT_NE(entry.path().extension(), ".part") << entry.path() << " was left behind";
  }

 private:
  std::string FirstLeftover() const {
    std::error_code changing;
    for (std::filesystem::recursive_directory_iterator at(scratch(), changing), end; !changing && at != end; at.increment(changing)) {
      const bool own = at->is_directory(changing) ? at->path().parent_path() == scratch() : at->path().filename() == "lock";
      if (!own) return at->path().string();
    }
    return changing ? "something" : "";
  }

  TempDir dir_;
  std::vector<std::string> options_, environment_;
  int port_ = 0;
  std::unique_ptr<Process> process_;
};

inline std::vector<pid_t> Workers(const AgentProcess& agent) { return ProcessesIn(agent.scratch()); }

}  // namespace lathe
