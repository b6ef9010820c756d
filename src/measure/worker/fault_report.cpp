#include "measure/worker/fault_report.h"

#include <csignal>
#include <cstring>

namespace lathe::worker {
namespace {

// Handlers cannot be given an argument.
ResultFile* g_results = nullptr;
std::span<const GuardedBuffer> g_buffers;

void Note(int number, siginfo_t* info, void*) {
  ResultHeader& header = g_results->header();
  header.fault_signal = number;
  header.fault_address = reinterpret_cast<uint64_t>(info->si_addr);
  header.fault_tensor = -1;
  if (number == SIGSEGV || number == SIGBUS)
    for (size_t i = 0; i < g_buffers.size(); ++i) {
      int64_t offset = 0;
      if (!g_buffers[i].Covers(info->si_addr, &offset)) continue;
      header.fault_tensor = static_cast<int32_t>(i);
      header.fault_offset = offset;
      // Protected pages can be read, so what failed there was a write.
      header.fault_is_write_protected =
          g_buffers[i].write_protected() && info->si_code == SEGV_ACCERR && g_buffers[i].InPages(info->si_addr) ? 1 : 0;
      break;
    }
  g_results->WriteHeader();
  // SA_RESETHAND has put the default back: returning repeats the faulting instruction; what was raised is raised again.
  if (info->si_code <= 0) ::raise(number);
}

}  // namespace

void ReportFaults(ResultFile& results, std::span<const GuardedBuffer> buffers) {
  g_results = &results;
  g_buffers = buffers;
  alignas(16) static unsigned char stack[64 * 1024];  // a kernel may have run out of its own
  stack_t alternative = {};
  alternative.ss_sp = stack;
  alternative.ss_size = sizeof stack;
  ::sigaltstack(&alternative, nullptr);
  struct sigaction action = {};
  action.sa_sigaction = Note;
  action.sa_flags = SA_SIGINFO | static_cast<int>(SA_RESETHAND) | SA_ONSTACK;
  for (const int number : {SIGSEGV, SIGBUS, SIGILL, SIGFPE}) ::sigaction(number, &action, nullptr);
}

}  // namespace lathe::worker
