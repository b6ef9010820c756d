// lathe-worker: runs one candidate, in a process of its own. See measure/worker_protocol.h.
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "measure/worker/clock_locker.h"
#include "measure/worker/compiler_sandbox.h"
#include "measure/worker/cuda_tool.h"
#include "measure/worker/measuring.h"
#include "measure/worker/opencl_tool.h"
#include "measure/worker/runner.h"
#include "measure/worker/sandbox.h"

#if defined(__SANITIZE_ADDRESS__)
// Looking for leaks when a candidate calls exit() would need other processes, which it is denied.
extern "C" const char* __asan_default_options() { return "detect_leaks=0"; }
#endif

namespace lathe::worker {
namespace {

bool ReadJob(Job& job) {
  char* at = reinterpret_cast<char*>(&job);
  size_t done = 0;
  while (done < sizeof job) {
    const ssize_t got = ::pread(kJobFd, at + done, sizeof job - done, static_cast<off_t>(done));
    if (got <= 0) return false;
    done += static_cast<size_t>(got);
  }
  return job.magic == kMagic && job.version == kVersion && job.tensor_count <= kMaxTensors && job.dynamic_count <= kMaxDynamic &&
         job.cpu_count <= kMaxCpus && job.threads >= 1;
}

int RunJob() {
  static Job job;
  static ResultFile results;
  if (!ReadJob(job)) {
    std::fputs("lathe-worker: fd 3 holds no job of this version; this program is started by the measuring process, not by hand\n", stderr);
    return 2;
  }
  TieToParent(job, results);
  job.runner[sizeof job.runner - 1] = 0;
  const std::unique_ptr<Runner> runner = MakeRunner(job.runner, job, results);
  if (!runner) results.End(Outcome::kJobUnusable, "this worker has no runner '%s'", job.runner);
  Measure(job, *runner, results);
}

void PinTo(const char* cpus) {
  cpu_set_t set;
  CPU_ZERO(&set);
  int count = 0;
  while (*cpus != 0) {
    char* end = nullptr;
    const long cpu = std::strtol(cpus, &end, 10);
    if (end == cpus) return;
    if (cpu >= 0 && cpu < CPU_SETSIZE) {
      CPU_SET(static_cast<size_t>(cpu), &set);
      ++count;
    }
    cpus = *end == ',' ? end + 1 : end;
  }
  if (count > 0) ::sched_setaffinity(0, sizeof set, &set);
}

// Becomes the program, with limits that whatever it starts inherits.
[[noreturn]] void Execute(char** arguments) {
  ::signal(SIGTERM, SIG_DFL);
  const rlimit none = {0, 0};
  ::setrlimit(RLIMIT_CORE, &none);
  if (const rlim_t seconds = std::strtoull(arguments[0], nullptr, 10); seconds > 0) {
    const rlimit limit = {seconds, seconds + 1};
    ::setrlimit(RLIMIT_CPU, &limit);
  }
  PinTo(arguments[2]);
#ifdef __NR_close_range
  ::syscall(__NR_close_range, 3, ~0U, 0);
#endif
  if (const rlim_t bytes = std::strtoull(arguments[1], nullptr, 10); bytes > 0) {
    const rlimit limit = {bytes, bytes};
    ::setrlimit(RLIMIT_AS, &limit);
  }
  if (!ConfineCompiler(arguments[3])) ::_exit(126);
  ::execvp(arguments[5], arguments + 5);
  std::fprintf(stderr, "start '%s': %s\n", arguments[5], std::strerror(errno));
  ::_exit(127);
}

// --launch SECONDS BYTES CPUS SANDBOX -- ARGV…
int Launch(char** arguments) {
  // Stays between, for should our parent be killed: a compiler's own children die with nobody, so their whole group is killed from here.
  ::signal(SIGTERM, [](int) { ::kill(0, SIGKILL); });
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  const pid_t child = ::fork();  // of a process this small, cheaper than posix_spawn
  if (child == 0) Execute(arguments);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!WIFSIGNALED(status)) return child < 0 ? 126 : WEXITSTATUS(status);
  ::signal(WTERMSIG(status), SIG_DFL);
  ::raise(WTERMSIG(status));
  return 128 + WTERMSIG(status);
}

}  // namespace
}  // namespace lathe::worker

int main(int argc, char** argv) {
  if (argc >= 8 && std::strcmp(argv[1], "--launch") == 0 && std::strcmp(argv[6], "--") == 0) return lathe::worker::Launch(argv + 2);
  if (argc == 2 && std::strcmp(argv[1], "--opencl-devices") == 0) return lathe::worker::PrintOpenClDevices();
  if (argc == 7 && std::strcmp(argv[1], "--opencl-build") == 0) return lathe::worker::BuildOpenClProgram(argv + 2);
  if (argc == 2 && std::strcmp(argv[1], "--cuda-devices") == 0) return lathe::worker::PrintCudaDevices();
  if (argc == 4 && std::strcmp(argv[1], "--lock-gpu-clock") == 0) return lathe::worker::LockGpuClock(argv + 2);
  if (argc >= 2 && std::strcmp(argv[1], "--cuda-compilers") == 0) return lathe::worker::PrintCudaCompilers(argv + 2);
  if (argc >= 6 && std::strcmp(argv[1], "--cuda-compile") == 0) return lathe::worker::CompileCuda(argv + 2);
  if (argc > 1) {
    std::puts("lathe-worker runs one kernel candidate for lathe or lathe-agent, which start it; it does nothing by hand.");
    return std::strcmp(argv[1], "--help") == 0 ? 0 : 2;
  }
  return lathe::worker::RunJob();
}
