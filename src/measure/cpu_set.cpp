#include "measure/cpu_set.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>

namespace lathe {

std::vector<int> AvailableCpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cpus;
  if (::sched_getaffinity(0, sizeof set, &set) == 0)
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
      if (CPU_ISSET(static_cast<size_t>(cpu), &set)) cpus.push_back(cpu);
  if (cpus.empty()) cpus.push_back(0);
  return cpus;
}

bool PinThisThread(const std::vector<int>& cpus) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int cpu : cpus)
    if (cpu >= 0 && cpu < CPU_SETSIZE) CPU_SET(static_cast<size_t>(cpu), &set);
  return !cpus.empty() && ::sched_setaffinity(0, sizeof set, &set) == 0;
}

CpuPlan PlanCpus(const std::vector<int>& available, int kernel_threads) {
  CpuPlan plan;
  const auto wanted = static_cast<size_t>(std::max(1, kernel_threads));
  if (wanted >= available.size()) {
    plan.measuring = plan.others = available;
    plan.exclusive = true;
    return plan;
  }
  // The last ones: interrupts and whatever else a system runs tend to sit on the first.
  const auto cut = available.end() - static_cast<std::ptrdiff_t>(wanted);
  plan.measuring.assign(cut, available.end());
  plan.others.assign(available.begin(), cut);
  return plan;
}

}  // namespace lathe
