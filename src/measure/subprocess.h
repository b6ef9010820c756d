// Runs a program to its end, or to a deadline, whichever comes first, and leaves nothing of it behind.
//
// The program is the leader of a process group of its own, and the group is killed when the leader has ended, however it did. posix_spawn
// only: our own process may be large and full of threads. Deadlines by pidfd and poll where the kernel has them.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "core/result.h"
#include "measure/cancel_token.h"

namespace lathe {

struct SubprocessOptions {
  std::vector<std::string> argv;                // argv[0] is looked up in $PATH
  std::vector<std::pair<int, int>> files;       // {ours, its}; everything else but stdout and stderr stays closed if opened close-on-exec
  std::filesystem::path directory;              // to stand in; empty: ours
  std::vector<std::string> environment;         // "NAME=value", in place of ours where the name is there already
  std::chrono::milliseconds deadline{0};        // from its start; 0: none
  size_t head_bytes = 6000, tail_bytes = 2000;  // what is kept of stderr (and stdout, which goes there too)
  const CancelToken* cancel = nullptr;
};

struct SubprocessResult {
  enum class End { kExited, kSignalled, kDeadline, kCancelled };
  End end = End::kExited;
  int code = 0;        // exit status, or the signal's number
  std::string output;  // "…" stands for what was left out
  double seconds = 0;
  double cpu_seconds = 0;  // of the program and the children it waited for
  long peak_kilobytes = 0;

  // Whether a limit of CPU time is what ended it; what is charged at its end may fall a little short of the limit.
  bool UsedUp(double cpu_limit) const { return cpu_seconds >= 0.95 * cpu_limit; }
};

// Fails when the program could not be started.
Result<SubprocessResult> RunSubprocess(const SubprocessOptions& options);

// "SIGSEGV" for 11.
std::string SignalName(int number);

// Kills every process that stands in `directory` or below: what left its process group. A scan of /proc. Returns how many.
int KillProcessesIn(const std::filesystem::path& directory);

}  // namespace lathe
