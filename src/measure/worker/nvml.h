// What NVIDIA's management library tells of a GPU's clocks, what holds them down, temperature and power, and its hold on the processor's
// clock. It is opened at run time, by its documented binary interface; where it is missing, or does not know the device, nothing is told.
#pragma once

#include <string>

#include "measure/worker_protocol.h"

namespace lathe::worker {

class Nvml {
 public:
  // $LATHE_NVML, or libnvidia-ml.so.1. `pci_bus_id`: as the CUDA driver calls the device, "0000:01:00.0". Returns why there is nothing to
  // ask; nothing when there is.
  std::string Open(const char* pci_bus_id);
  GpuConditions Read() const;

  // Each returns what went wrong.
  std::string MaxMhz(unsigned& mhz) const;
  std::string LockMhz(unsigned mhz);
  std::string UnlockMhz();

 private:
  using Result = int;  // 0: well
  std::string Failure(Result result) const;

  void* device_ = nullptr;
  const char* (*error_)(Result) = nullptr;
  Result (*clock_)(void*, int, unsigned*) = nullptr;
  Result (*temperature_)(void*, int, unsigned*) = nullptr;
  Result (*power_)(void*, unsigned*) = nullptr;
  Result (*clock_reasons_)(void*, unsigned long long*) = nullptr;
  Result (*max_clock_)(void*, int, unsigned*) = nullptr;
  Result (*lock_)(void*, unsigned, unsigned) = nullptr;
  Result (*unlock_)(void*) = nullptr;
};

}  // namespace lathe::worker
