// The CUDA device of the GPU runner: a cubin (or PTX, where the compiler makes no more) through the driver's own interface.
#include <array>
#include <string>
#include <vector>

#include "measure/worker/cuda_library.h"
#include "measure/worker/gpu_device.h"
#include "measure/worker/nvml.h"

namespace lathe::worker {
namespace {

// Of a device address: cudaMalloc's own, which templates may count on for vector loads.
constexpr size_t kDeviceAlignment = 256;

class CudaGpu : public GpuDevice {
 public:
  std::string Open(uint64_t number, uint32_t) override {
    std::string error;
    if (!cuda_.Open(error)) return error;
    int count = 0, device = 0;
    if (const CudaResult result = cuda_.DeviceGetCount(&count); result != kCudaSuccess) return "count devices: " + cuda_.Failure(result);
    if (number >= static_cast<uint64_t>(count))
      return "CUDA device " + std::to_string(number) + " is gone; there are " + std::to_string(count);
    void* context = nullptr;
    CudaResult result = cuda_.DeviceGet(&device, static_cast<int>(number));
    if (result == kCudaSuccess) result = cuda_.DevicePrimaryCtxRetain(&context, device);
    if (result == kCudaSuccess) result = cuda_.CtxSetCurrent(context);
    if (result != kCudaSuccess) return "create a context: " + cuda_.Failure(result);
    char name[64] = {};
    if (cuda_.DeviceGetName(name, sizeof name, device) == kCudaSuccess) watches_itself_ = std::string(name) == "PTX interpreter";
    char bus_id[32] = {};
    if (cuda_.DeviceGetPciBusId(bus_id, sizeof bus_id, device) == kCudaSuccess) (void)nvml_.Open(bus_id);  // without, nothing is told
    constexpr unsigned kNonBlocking = 1;  // beside the legacy stream, which nobody uses here
    result = cuda_.StreamCreate(&stream_, kNonBlocking);
    for (void** event : {&first_, &last_, &anchor_})
      if (result == kCudaSuccess) result = cuda_.EventCreate(event, 0);
    return result == kCudaSuccess ? std::string() : "create a stream and events: " + cuda_.Failure(result);
  }

  std::string Allocate(size_t bytes, size_t guard, DeviceMemory& memory) override {
    if (watches_itself_) guard = 0;
    guard = (guard + kDeviceAlignment - 1) / kDeviceAlignment * kDeviceAlignment;
    CudaAddress whole = 0;
    if (const CudaResult result = cuda_.MemAlloc(&whole, guard + bytes + guard); result != kCudaSuccess) return cuda_.Failure(result);
    memory = {whole, whole + guard, guard, bytes};
    return "";
  }

  std::string Fill(uint64_t memory, unsigned char pattern, size_t offset, size_t bytes) override {
    return cuda_.Failure(cuda_.MemsetD8Async(memory + offset, pattern, bytes, stream_));
  }

  std::string Write(uint64_t memory, const void* from, size_t bytes) override {
    if (std::string error = Finish(); !error.empty()) return error;
    return cuda_.Failure(cuda_.MemcpyHtoD(memory, from, bytes));
  }

  std::string Read(uint64_t memory, size_t offset, void* to, size_t bytes) override {
    if (std::string error = Finish(); !error.empty()) return error;
    return cuda_.Failure(cuda_.MemcpyDtoH(to, memory + offset, bytes));
  }

  std::string Load(const std::string& artifact) override { return cuda_.Failure(cuda_.ModuleLoadData(&module_, artifact.c_str())); }

  std::string FindKernel(const std::string& name, const std::vector<KernelArgument>&, uint64_t& kernel) override {
    void* function = nullptr;
    const CudaResult result = cuda_.ModuleGetFunction(&function, module_, name.c_str());
    kernel = reinterpret_cast<uint64_t>(function);
    return cuda_.Failure(result);
  }

  std::string Launch(uint64_t kernel, const KernelLaunch& launch, const std::vector<KernelArgument>& arguments, bool first,
                     bool last) override {
    std::array<unsigned, 3> groups = {1, 1, 1}, items = {1, 1, 1};
    for (size_t i = 0; i < launch.global.size(); ++i) {
      if (launch.local[i] == 0 || launch.global[i] % launch.local[i] != 0) return "the work items are not a multiple of the group";
      groups[i] = static_cast<unsigned>(launch.global[i] / launch.local[i]);
      items[i] = static_cast<unsigned>(launch.local[i]);
    }
    std::vector<void*> values;
    for (const KernelArgument& argument : arguments)
      values.push_back(const_cast<void*>(argument.is_memory ? static_cast<const void*>(&argument.memory) : &argument.number));
    auto* function = reinterpret_cast<void*>(kernel);
    const auto local_bytes = static_cast<unsigned>(launch.dynamic_local_bytes);
    CudaResult result = local_bytes > 0 ? cuda_.FuncSetAttribute(function, kMaxDynamicLocal, static_cast<int>(local_bytes)) : kCudaSuccess;
    if (result == kCudaSuccess && first) result = cuda_.EventRecord(first_, stream_);
    if (result == kCudaSuccess)
      result = cuda_.LaunchKernel(function, groups[0], groups[1], groups[2], items[0], items[1], items[2], local_bytes, stream_,
                                  values.data(), nullptr);
    if (result == kCudaSuccess && last) result = cuda_.EventRecord(last_, stream_);
    timed_ = result == kCudaSuccess && (timed_ || last);
    return cuda_.Failure(result);
  }

  std::string Finish() override {
    const CudaResult result = cuda_.StreamSynchronize(stream_);
    out_of_resources_ = result == kCudaOutOfMemory || result == kCudaOutOfResources;
    return cuda_.Failure(result);
  }

  bool OutOfResources() const override { return out_of_resources_; }

  double Seconds() override {
    float milliseconds = 0;
    if (!timed_ || cuda_.EventElapsedTime(&milliseconds, first_, last_) != kCudaSuccess) return 0;
    if (!has_anchor_) has_anchor_ = cuda_.EventRecord(anchor_, stream_) == kCudaSuccess && Finish().empty();
    return 1e-3 * static_cast<double>(milliseconds);
  }

  GpuConditions Conditions() override { return nvml_.Read(); }

  double SecondsSinceFirstRun() override {
    float milliseconds = 0;
    if (!has_anchor_ || cuda_.EventElapsedTime(&milliseconds, anchor_, last_) != kCudaSuccess) return 0;
    return 1e-3 * static_cast<double>(milliseconds);
  }

 private:
  CudaLibrary cuda_;
  Nvml nvml_;
  void *stream_ = nullptr, *module_ = nullptr;
  void *first_ = nullptr, *last_ = nullptr, *anchor_ = nullptr;  // events around the last run, and behind the first one
  bool timed_ = false, has_anchor_ = false, out_of_resources_ = false;
  bool watches_itself_ = false;  // knows each allocation's bounds: guards around tensors would hide reads beyond them
};

}  // namespace

std::unique_ptr<Runner> MakeCudaRunner(const Job& job, ResultFile& results) {
  return MakeGpuRunner(job, results, std::make_unique<CudaGpu>());
}

}  // namespace lathe::worker
