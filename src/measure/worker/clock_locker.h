// Locks a CUDA device's clock, in a process that does nothing else: whatever becomes of the program that asked, this one ends and gives the
// clock back.
#pragma once

namespace lathe::worker {

// arguments: DEVICE CLOCK, a number in the driver's order, and MHz or "max". Prints one line, "locked MHZ", "refused WHY" (the driver does
// not let us, or has no such clock) or "unusable WHY" (no such device); the lock stays until standard input ends or SIGTERM or SIGHUP
// comes. A second line, "kept WHY", where the driver then does not take it back. Returns the exit status.
int LockGpuClock(char** arguments);

}  // namespace lathe::worker
