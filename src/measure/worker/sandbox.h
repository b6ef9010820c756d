// What a worker may not do, laid on itself before the candidate's first instruction. Every step that the system refuses is left out and the
// answer says so: it ends up in the measurement's conditions.
#pragma once

#include "measure/worker/result_file.h"
#include "measure/worker_protocol.h"

namespace lathe::worker {

// First thing in the process: dies with its parent, keeps no file but ours open, leaves no core.
void TieToParent(const Job& job, ResultFile& results);
// Once memory and threads are there: limits, another user, no network, the filter of system calls.
void Confine(const Job& job, ResultFile& results);

// Linux's filter in its classic BPF form; false where the kernel has none. See the .cpp for what it denies.
bool InstallSystemCallFilter();

}  // namespace lathe::worker
