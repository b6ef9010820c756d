#include "tools/lathe/stop_signal.h"

#include <unistd.h>
#include <csignal>

namespace lathe {
namespace {

std::atomic<bool> stop{false};

void OnSignal(int number) {
  if (stop.exchange(true)) {
    std::signal(number, SIG_DFL);
    std::raise(number);
    return;
  }
  constexpr char kNote[] = "\nlathe: stopping; what was measured is in the log (again to quit at once)\n";
  (void)!write(STDERR_FILENO, kNote, sizeof kNote - 1);
}

}  // namespace

const std::atomic<bool>& StopRequested() {
  static const bool installed = [] {
    for (const int number : {SIGINT, SIGTERM}) std::signal(number, OnSignal);
    return true;
  }();
  (void)installed;
  return stop;
}

}  // namespace lathe
