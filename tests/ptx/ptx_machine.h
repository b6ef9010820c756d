// Runs a grid of a PTX kernel on the host, and looks at what its threads do.
//
// Execution. Blocks run one after the other, each on fresh shared memory that holds a pattern. Within a block a warp runs until it waits or
// ends, then the next one. Lanes of a warp that are at the same instruction form a group, for which it is done at once; a branch that they
// do not agree about splits the group. The group at the lowest instruction goes on first, and groups that meet are one again: NVRTC lays
// its blocks out so that they meet where the branches join. shfl.sync, vote.sync and bar.warp.sync wait for the lanes in their mask, wmma
// for the whole warp, bar.sync for the block.
//
// What is checked, and told as a finding:
// - Accesses to global memory, against the bounds and the alignment of each allocation. Beyond them the launch ends as on a device (700,
//   716). Asked for: reads of bytes that nobody wrote. Also ld.global.nc of what the launch itself writes, before or after.
// - Accesses to shared memory, against what is declared and what the launch adds, and reads of bytes that the block has not written.
// - Races (access_shadow.h). A write of the value that is there already is none. An asynchronous copy writes from its beginning until its
//   thread has waited for it, and arrives only then, as late as can be.
// - Barriers that lanes of a warp reach at different instructions, or that threads have exited without reaching; deadlock.
// - Matrix instructions with lanes missing, with different addresses, or misaligned.
//
// What is not modelled: time; what ptxas makes of PTX (registers, spills, its bugs); caches, and memory seen out of order by blocks that
// signal each other through it (what they hand over so counts as a race). mul and add that ptxas may join to one fma stay two.
// Approximations (ex2.approx, div.full) are computed exactly and rounded: a device's may differ within the bounds of the PTX ISA. The sum
// of a wmma is added in the order of k; tensor cores promise none.
#pragma once

#include <string>

#include "warp.h"

namespace lathe::ptx {

// Codes of the CUDA driver.
enum LaunchCode : int {
  kLaunched = 0,
  kIllegalAddress = 700,
  kMisalignedAddress = 716,
  kLaunchTimeout = 702,  // a deadlock: a device would hang
  kLaunchFailed = 719,
};

// Runs the whole grid. What it returns a device would tell at the next synchronisation.
int RunGrid(Grid& grid);

}  // namespace lathe::ptx
