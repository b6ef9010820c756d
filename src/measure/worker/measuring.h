// One job from start to end: load, prepare, first run, samples, last run.
#pragma once

#include "measure/worker/runner.h"

namespace lathe::worker {

[[noreturn]] void Measure(const Job& job, Runner& runner, ResultFile& results);

}  // namespace lathe::worker
