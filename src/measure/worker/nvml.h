// What NVIDIA's management library tells of a GPU's clocks, what holds them down, temperature and power. It is opened at run time, by its
// documented binary interface; where it is missing, or does not know the device, nothing is told.
#pragma once

#include "measure/worker_protocol.h"

namespace lathe::worker {

class Nvml {
 public:
  // $LATHE_NVML, or libnvidia-ml.so.1. `pci_bus_id`: as the CUDA driver calls the device, "0000:01:00.0".
  void Open(const char* pci_bus_id);
  GpuConditions Read() const;

 private:
  using Result = int;  // 0: well
  void* device_ = nullptr;
  Result (*clock_)(void*, int, unsigned*) = nullptr;
  Result (*temperature_)(void*, int, unsigned*) = nullptr;
  Result (*power_)(void*, unsigned*) = nullptr;
  Result (*clock_reasons_)(void*, unsigned long long*) = nullptr;
};

}  // namespace lathe::worker
