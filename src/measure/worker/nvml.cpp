#include "measure/worker/nvml.h"

#include <dlfcn.h>

#include <cstdlib>
#include <type_traits>

namespace lathe::worker {
namespace {

constexpr int kProcessorClock = 1, kMemoryClock = 2, kDieTemperature = 0;

}  // namespace

std::string Nvml::Open(const char* pci_bus_id) {
  const char* given = std::getenv("LATHE_NVML");
  const char* name = given != nullptr && *given != 0 ? given : "libnvidia-ml.so.1";
  void* library = ::dlopen(name, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return std::string("open NVIDIA's management library: ") + ::dlerror();
  const auto find = [&](auto& function, const char* symbol) {
    function = reinterpret_cast<std::decay_t<decltype(function)>>(::dlsym(library, symbol));
    return function != nullptr;
  };
  Result (*start)() = nullptr;
  Result (*find_device)(const char*, void**) = nullptr;
  if (!find(start, "nvmlInit_v2") || !find(find_device, "nvmlDeviceGetHandleByPciBusId_v2"))
    return std::string("'") + name + "' is no management library";
  find(error_, "nvmlErrorString");
  if (const Result result = start(); result != 0) return "start NVIDIA's management library: " + Failure(result);
  if (const Result result = find_device(pci_bus_id, &device_); result != 0) {
    device_ = nullptr;
    return std::string("find device ") + pci_bus_id + " in NVIDIA's management library: " + Failure(result);
  }
  // Each for itself: boards' libraries know some of them.
  find(clock_, "nvmlDeviceGetClockInfo");
  find(temperature_, "nvmlDeviceGetTemperature");
  find(power_, "nvmlDeviceGetPowerUsage");
  find(clock_reasons_, "nvmlDeviceGetCurrentClocksThrottleReasons");
  find(max_clock_, "nvmlDeviceGetMaxClockInfo");
  find(lock_, "nvmlDeviceSetGpuLockedClocks");
  find(unlock_, "nvmlDeviceResetGpuLockedClocks");
  return "";
}

std::string Nvml::Failure(Result result) const {
  if (result == 0) return "";
  const char* text = error_ != nullptr ? error_(result) : nullptr;
  return (text != nullptr ? std::string(text) : std::string("error")) + " (" + std::to_string(result) + ')';
}

std::string Nvml::MaxMhz(unsigned& mhz) const {
  return max_clock_ != nullptr ? Failure(max_clock_(device_, kProcessorClock, &mhz)) : "this library does not tell the highest clock";
}

std::string Nvml::LockMhz(unsigned mhz) {
  return lock_ != nullptr && unlock_ != nullptr ? Failure(lock_(device_, mhz, mhz)) : "this library cannot lock clocks";
}

std::string Nvml::UnlockMhz() { return unlock_ != nullptr ? Failure(unlock_(device_)) : ""; }

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
