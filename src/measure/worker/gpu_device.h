// GpuDevice: what a GPU runner needs of a device and its driver. A second driver interface (CUDA) is a second implementation; guards,
// tensors, arguments and the order of things are the runner's.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "measure/launch_list.h"
#include "measure/worker/runner.h"

namespace lathe::worker {

// Device memory with as much again before and behind it as the runner watches for writes.
struct DeviceMemory {
  uint64_t whole = 0, inner = 0;  // what the device calls them; 0: none
  size_t guard = 0, bytes = 0;    // bytes before the inner one, which is as many behind it; of the inner one
};

struct KernelArgument {
  bool is_memory = true;
  uint64_t memory = 0;  // 0: null
  int32_t number = 0;
};

class GpuDevice {
 public:
  virtual ~GpuDevice() = default;
  // Each returns what went wrong; nothing when nothing did.
  virtual std::string Open(uint64_t number, uint32_t threads) = 0;
  // `guard`: at least so many bytes; the device may need more to align what lies within.
  virtual std::string Allocate(size_t bytes, size_t guard, DeviceMemory& memory) = 0;
  virtual std::string Fill(uint64_t memory, unsigned char pattern, size_t offset, size_t bytes) = 0;
  virtual std::string Write(uint64_t memory, const void* from, size_t bytes) = 0;        // complete on return
  virtual std::string Read(uint64_t memory, size_t offset, void* to, size_t bytes) = 0;  // complete on return
  virtual std::string Load(const std::string& artifact) = 0;
  // Fills `kernel`. A kernel that takes another number of arguments is refused where the driver can tell.
  virtual std::string FindKernel(const std::string& name, const std::vector<KernelArgument>& arguments, uint64_t& kernel) = 0;
  // Enqueues; `first` and `last` of a run mark where the device's clock is read.
  virtual std::string Launch(uint64_t kernel, const KernelLaunch& launch, const std::vector<KernelArgument>& arguments, bool first,
                             bool last) = 0;
  virtual std::string Finish() = 0;
  // Whether the last failure was for want of registers, local memory or the like: it is the launch that was too large then.
  virtual bool OutOfResources() const = 0;
  // From the start of the run's first launch to the end of its last, after Finish(); 0 where the device has no clock.
  virtual double Seconds() = 0;
  // By the same clock, from the end of the first run of all to the end of the last.
  virtual double SecondsSinceFirstRun() = 0;
  // Of the device, now; nothing where its driver does not tell.
  virtual GpuConditions Conditions() { return {}; }
};

std::unique_ptr<Runner> MakeGpuRunner(const Job& job, ResultFile& results, std::unique_ptr<GpuDevice> device);

}  // namespace lathe::worker
