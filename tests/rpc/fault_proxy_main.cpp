// fault-proxy HOST PORT DELAY_MS: the fault proxy as a program. Prints its port; ends with its standard input.
#include <cstdio>
#include <cstdlib>

#include "fault_proxy.h"

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fputs("usage: fault-proxy HOST PORT DELAY_MS\n", stderr);
    return 2;
  }
  lathe::FaultProxy proxy(std::atoi(argv[2]), argv[1]);
  proxy.delay_ms = std::atoi(argv[3]);
  std::printf("%d\n", proxy.port());
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
  std::fprintf(stderr, "fault-proxy: %d connections, %llu bytes to the board, %llu back\n", proxy.connections(),
               static_cast<unsigned long long>(proxy.to_board()), static_cast<unsigned long long>(proxy.from_board()));
  return 0;
}
