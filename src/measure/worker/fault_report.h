// When a signal strikes, notes where: the fault address, and which tensor it is near. Then the signal takes its course.
#pragma once

#include <span>

#include "measure/worker/guarded_buffer.h"
#include "measure/worker/result_file.h"

namespace lathe::worker {

// Both outlive the process's run. Call before the first code of the candidate.
void ReportFaults(ResultFile& results, std::span<const GuardedBuffer> buffers);

}  // namespace lathe::worker
