// The OpenCL device of the GPU runner: a program as BuildOpenClProgram left it. Where the device is the CPU, the driver's threads run in
// this process, so a wild store may also end it with a signal.
#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "measure/worker/gpu_device.h"
#include "measure/worker/opencl_library.h"

namespace lathe::worker {
namespace {

std::string Failure(cl_int result) { return result == CL_SUCCESS ? std::string() : OpenClErrorName(result); }
cl_mem Memory(uint64_t handle) { return reinterpret_cast<cl_mem>(handle); }
uint64_t Handle(const void* object) { return reinterpret_cast<uint64_t>(object); }

class OpenClGpu : public GpuDevice {
 public:
  std::string Open(uint64_t number, uint32_t threads) override {
    // The tuner's threads are not ours to take: a driver for CPUs gets as many as the job says.
    ::setenv("POCL_MAX_PTHREAD_COUNT", std::to_string(threads).c_str(), 1);
    std::string error;
    if (!cl_.Open(error)) return error;
    const std::vector<OpenClDevice> devices = OpenClDevices(cl_);
    if (number >= devices.size())
      return "OpenCL device " + std::to_string(number) + " is gone; there are " + std::to_string(devices.size());
    device_ = devices[number].device;
    watches_itself_ = PlatformText(cl_, devices[number].platform, CL_PLATFORM_NAME) == "Oclgrind";
    cl_int result = CL_SUCCESS;
    context_ = cl_.CreateContext(nullptr, 1, &device_, nullptr, nullptr, &result);
    if (result != CL_SUCCESS) return "create a context: " + Failure(result);
    queue_ = cl_.CreateCommandQueue(context_, device_, CL_QUEUE_PROFILING_ENABLE, &result);
    return result == CL_SUCCESS ? std::string() : "create a queue: " + Failure(result);
  }

  std::string Allocate(size_t bytes, size_t guard, DeviceMemory& memory) override {
    // Sub-buffers start where the device wants them to.
    const size_t align = std::max<size_t>(DeviceValue<cl_uint>(cl_, device_, CL_DEVICE_MEM_BASE_ADDR_ALIGN) / 8, 1);
    guard = guard == 0 || watches_itself_ ? 0 : std::max(align, guard);
    cl_int result = CL_SUCCESS;
    const cl_mem whole = cl_.CreateBuffer(context_, CL_MEM_READ_WRITE, guard + bytes + guard, nullptr, &result);
    memory = {Handle(whole), Handle(whole), guard, bytes};
    if (result != CL_SUCCESS || guard == 0) return Failure(result);
    const cl_buffer_region region = {guard, bytes};
    const cl_mem inner = cl_.CreateSubBuffer(whole, CL_MEM_READ_WRITE, CL_BUFFER_CREATE_TYPE_REGION, &region, &result);
    memory.inner = Handle(inner);
    return Failure(result);
  }

  std::string Fill(uint64_t memory, unsigned char pattern, size_t offset, size_t bytes) override {
    return Failure(cl_.EnqueueFillBuffer(queue_, Memory(memory), &pattern, 1, offset, bytes, 0, nullptr, nullptr));
  }

  std::string Write(uint64_t memory, const void* from, size_t bytes) override {
    return Failure(cl_.EnqueueWriteBuffer(queue_, Memory(memory), CL_TRUE, 0, bytes, from, 0, nullptr, nullptr));
  }

  std::string Read(uint64_t memory, size_t offset, void* to, size_t bytes) override {
    return Failure(cl_.EnqueueReadBuffer(queue_, Memory(memory), CL_TRUE, offset, bytes, to, 0, nullptr, nullptr));
  }

  std::string Load(const std::string& artifact) override {
    const size_t line = artifact.find('\n');
    if (line == std::string::npos) return "the artifact is no OpenCL program";
    const std::string kind = artifact.substr(0, line), content = artifact.substr(line + 1);
    cl_int result = CL_SUCCESS;
    const char* text = content.data();
    const auto* binary = reinterpret_cast<const unsigned char*>(text);
    const size_t length = content.size();
    const bool is_source = kind.rfind("source ", 0) == 0;
    program_ = is_source ? cl_.CreateProgramWithSource(context_, 1, &text, &length, &result)
                         : cl_.CreateProgramWithBinary(context_, 1, &device_, &length, &binary, nullptr, &result);
    if (result != CL_SUCCESS) return Failure(result);
    result = cl_.BuildProgram(program_, 1, &device_, is_source ? kind.c_str() + 7 : "", nullptr, nullptr);
    return result == CL_SUCCESS ? std::string() : BuildLog(cl_, program_, device_) + ": " + Failure(result);
  }

  std::string FindKernel(const std::string& name, const std::vector<KernelArgument>& arguments, uint64_t& kernel) override {
    cl_int result = CL_SUCCESS;
    const cl_kernel found = cl_.CreateKernel(program_, name.c_str(), &result);
    if (result != CL_SUCCESS) return Failure(result);
    kernel = Handle(found);
    cl_uint takes = 0;
    result = cl_.GetKernelInfo(found, CL_KERNEL_NUM_ARGS, sizeof takes, &takes, nullptr);
    if (result == CL_SUCCESS && takes != arguments.size())
      return "it takes " + std::to_string(takes) + " arguments, but there are " + std::to_string(arguments.size()) +
             ": tensors, dynamic attributes, the workspace where there is one, the launch's own";
    for (cl_uint i = 0; i < arguments.size(); ++i) {
      const KernelArgument& argument = arguments[i];
      const cl_mem memory = Memory(argument.memory);
      result = argument.is_memory ? cl_.SetKernelArg(found, i, sizeof memory, &memory)
                                  : cl_.SetKernelArg(found, i, sizeof argument.number, &argument.number);
      if (result != CL_SUCCESS) return "pass argument " + std::to_string(i) + ": " + Failure(result);
    }
    return "";
  }

  std::string Launch(uint64_t kernel, const KernelLaunch& launch, const std::vector<KernelArgument>&, bool first, bool last) override {
    if (launch.dynamic_local_bytes > 0) return "OpenCL kernels declare their local memory; 'dynamic_local' is CUDA's";
    const std::vector<size_t> global(launch.global.begin(), launch.global.end()), local(launch.local.begin(), launch.local.end());
    if (first) Release();
    cl_event event = nullptr;
    const cl_int result = cl_.EnqueueNDRangeKernel(queue_, reinterpret_cast<cl_kernel>(kernel), static_cast<cl_uint>(global.size()),
                                                   nullptr, global.data(), local.data(), 0, nullptr, &event);
    if (result != CL_SUCCESS) return Failure(result);
    if (first) first_ = event;
    if (last) last_ = event;
    if (!first && !last) cl_.ReleaseEvent(event);
    return "";
  }

  std::string Finish() override {
    cl_int result = cl_.Finish(queue_);
    cl_int state = CL_COMPLETE;
    if (result == CL_SUCCESS && last_ != nullptr &&
        cl_.GetEventInfo(last_, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof state, &state, nullptr) == CL_SUCCESS && state < 0)
      result = state;
    out_of_resources_ = result == CL_OUT_OF_RESOURCES || result == CL_MEM_OBJECT_ALLOCATION_FAILURE;
    return Failure(result);
  }

  bool OutOfResources() const override { return out_of_resources_; }

  double Seconds() override {
    cl_ulong begin = 0, end = 0;
    if (first_ == nullptr || last_ == nullptr ||
        cl_.GetEventProfilingInfo(first_, CL_PROFILING_COMMAND_START, sizeof begin, &begin, nullptr) != CL_SUCCESS ||
        cl_.GetEventProfilingInfo(last_, CL_PROFILING_COMMAND_END, sizeof end, &end, nullptr) != CL_SUCCESS)
      return 0;
    if (first_end_ == 0) first_end_ = end;
    last_end_ = end;
    return begin > 0 && end > begin ? 1e-9 * static_cast<double>(end - begin) : 0;
  }

  double SecondsSinceFirstRun() override { return 1e-9 * (static_cast<double>(last_end_) - static_cast<double>(first_end_)); }

 private:
  void Release() {
    if (last_ != nullptr && last_ != first_) cl_.ReleaseEvent(last_);
    if (first_ != nullptr) cl_.ReleaseEvent(first_);
    first_ = last_ = nullptr;
  }

  OpenClLibrary cl_;
  cl_device_id device_ = nullptr;
  cl_context context_ = nullptr;
  cl_command_queue queue_ = nullptr;
  cl_program program_ = nullptr;
  cl_ulong first_end_ = 0, last_end_ = 0;  // of the first and of the last run
  bool out_of_resources_ = false;
  bool watches_itself_ = false;                // a simulator that sees each access: guards would hide from it what leaves a tensor
  cl_event first_ = nullptr, last_ = nullptr;  // of the last run
};

}  // namespace

std::unique_ptr<Runner> MakeOpenClRunner(const Job& job, ResultFile& results) {
  return MakeGpuRunner(job, results, std::make_unique<OpenClGpu>());
}

}  // namespace lathe::worker
