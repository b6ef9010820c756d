#include "measure/worker/clock_locker.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "measure/worker/cuda_library.h"
#include "measure/worker/nvml.h"

namespace lathe::worker {
namespace {

int nothing = -1;  // /dev/null

int Say(const char* word, const std::string& text) {
  std::printf("%s %s\n", word, text.c_str());
  std::fflush(stdout);
  return 1;
}

// A signal ends standard input, so that it is not missed between looking for it and reading.
void EndInput(int) { (void)::dup2(nothing, STDIN_FILENO); }

// Until the other end of standard input is closed, by whatever has become of who holds it, or a signal.
void WaitForTheEnd() {
  char byte = 0;
  for (;;) {
    const ssize_t got = ::read(STDIN_FILENO, &byte, 1);
    if (got == 0 || (got < 0 && errno != EINTR)) return;
  }
}

}  // namespace

int LockGpuClock(char** arguments) {
  CudaLibrary cuda;
  std::string error;
  if (!cuda.Open(error)) return Say("unusable", error);
  int device = 0;
  char bus_id[32] = {};
  CudaResult result = cuda.DeviceGet(&device, static_cast<int>(std::strtol(arguments[0], nullptr, 10)));
  if (result == kCudaSuccess) result = cuda.DeviceGetPciBusId(bus_id, sizeof bus_id, device);
  if (result != kCudaSuccess) return Say("unusable", std::string("find CUDA device ") + arguments[0] + ": " + cuda.Failure(result));

  Nvml nvml;
  unsigned mhz = 0;
  if (error = nvml.Open(bus_id); !error.empty()) return Say("refused", error);
  if (std::strcmp(arguments[1], "max") == 0) {
    if (error = nvml.MaxMhz(mhz); !error.empty()) return Say("refused", error);
  } else {
    mhz = static_cast<unsigned>(std::strtoul(arguments[1], nullptr, 10));
  }
  // Before there is something to give back.
  nothing = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (nothing < 0) return Say("refused", std::string("open /dev/null: ") + std::strerror(errno));
  struct sigaction action = {};
  action.sa_handler = EndInput;
  for (const int number : {SIGTERM, SIGHUP}) ::sigaction(number, &action, nullptr);
  for (const int number : {SIGINT, SIGQUIT, SIGPIPE}) ::signal(number, SIG_IGN);
  if (error = nvml.LockMhz(mhz); !error.empty()) return Say("refused", error);
  Say("locked", std::to_string(mhz));
  WaitForTheEnd();
  error = nvml.UnlockMhz();
  return error.empty() ? 0 : Say("kept", error);
}

}  // namespace lathe::worker
