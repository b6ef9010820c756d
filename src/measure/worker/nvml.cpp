#include "measure/worker/nvml.h"

#include <dlfcn.h>

#include <cstdlib>
#include <type_traits>

namespace lathe::worker {
namespace {

constexpr int kProcessorClock = 1, kMemoryClock = 2, kDieTemperature = 0;

}  // namespace

void Nvml::Open(const char* pci_bus_id) {
  const char* given = std::getenv("LATHE_NVML");
  void* library = ::dlopen(given != nullptr && *given != 0 ? given : "libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return;
  const auto find = [&](auto& function, const char* name) {
    function = reinterpret_cast<std::decay_t<decltype(function)>>(::dlsym(library, name));
    return function != nullptr;
  };
  Result (*start)() = nullptr;
  Result (*find_device)(const char*, void**) = nullptr;
  if (!find(start, "nvmlInit_v2") || !find(find_device, "nvmlDeviceGetHandleByPciBusId_v2") || start() != 0) return;
  if (find_device(pci_bus_id, &device_) != 0) device_ = nullptr;
  // Each for itself: boards' libraries know some of them.
  find(clock_, "nvmlDeviceGetClockInfo");
  find(temperature_, "nvmlDeviceGetTemperature");
  find(power_, "nvmlDeviceGetPowerUsage");
  find(clock_reasons_, "nvmlDeviceGetCurrentClocksThrottleReasons");
}

GpuConditions Nvml::Read() const {
  GpuConditions now = {};
  if (device_ == nullptr) return now;
  unsigned value = 0;
  if (clock_ != nullptr && clock_(device_, kProcessorClock, &value) == 0) now.mhz = value;
  if (clock_ != nullptr && clock_(device_, kMemoryClock, &value) == 0) now.memory_mhz = value;
  if (temperature_ != nullptr && temperature_(device_, kDieTemperature, &value) == 0) now.temperature_c = value;
  if (power_ != nullptr && power_(device_, &value) == 0) now.milliwatts = value;
  unsigned long long reasons = 0;
  if (clock_reasons_ != nullptr && clock_reasons_(device_, &reasons) == 0) now.clock_reasons = reasons;
  return now;
}

}  // namespace lathe::worker
