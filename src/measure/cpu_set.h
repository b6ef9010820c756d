// Which CPUs there are, and who uses which: measured kernels get the last ones to themselves, compilers and our own threads the rest.
#pragma once

#include <vector>

namespace lathe {

// The CPUs this thread may run on, ascending. Pinning the main thread before asking changes the answer.
std::vector<int> AvailableCpus();
// False where the system refuses. Threads started later by this one inherit it.
bool PinThisThread(const std::vector<int>& cpus);

struct CpuPlan {
  std::vector<int> measuring;  // as many as the kernel has threads, or all there are
  std::vector<int> others;     // compilers, references, our own threads
  bool exclusive = false;      // nothing is left for compilers: building and measuring take turns
};
CpuPlan PlanCpus(const std::vector<int>& available, int kernel_threads);

}  // namespace lathe
