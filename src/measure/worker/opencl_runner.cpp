// The runner of the opencl backend: a program as BuildOpenClProgram left it, and launches as the job's options state them:
//   "device 0", then "launch KERNEL DIMENSIONS GLOBAL… LOCAL…" for each, in order.
//
// A tensor is a sub-buffer in the middle of a larger one, whose ends are watched. The driver's threads run in this process where the device
// is the CPU, so a wild store may also end it with a signal.
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

#include "measure/worker/opencl_library.h"
#include "measure/worker/runner.h"

namespace lathe::worker {
namespace {

constexpr unsigned char kGuardByte = 0xC3, kWorkspaceByte = 0x7b;
constexpr size_t kFlushBytes = size_t{128} << 20;  // more than the last-level caches of GPUs and of most hosts

struct DeviceBuffer {
  cl_mem whole = nullptr, inner = nullptr;
  size_t guard = 0, bytes = 0, end = 0;  // of the inner one; where it ends counting from `whole`; the guard behind it is as long
};

struct KernelLaunch {
  std::string kernel_name;
  cl_kernel kernel = nullptr;
  std::vector<size_t> global, local;
};

std::string ReadAll(int fd, uint64_t offset, uint64_t bytes) {
  std::string text(bytes, 0);
  size_t done = 0;
  while (done < bytes) {
    const ssize_t got = ::pread(fd, text.data() + done, bytes - done, static_cast<off_t>(offset + done));
    if (got <= 0) break;
    done += static_cast<size_t>(got);
  }
  text.resize(done);
  return text;
}

class OpenClRunner : public Runner {
 public:
  OpenClRunner(const Job& job, ResultFile& results) : job_(job), results_(results), buffers_(job.tensor_count + 1) {}

  void Allocate() override {
    // The tuner's threads are not ours to take: a driver for CPUs gets as many as the job says.
    ::setenv("POCL_MAX_PTHREAD_COUNT", std::to_string(job_.threads).c_str(), 1);
    std::string error;
    if (!cl_.Open(error)) results_.End(Outcome::kJobUnusable, "%s", error.c_str());
    ReadOptions();
    const std::vector<OpenClDevice> devices = OpenClDevices(cl_);
    if (device_number_ >= devices.size())
      results_.End(Outcome::kJobUnusable, "OpenCL device %zu is gone; there are %zu", device_number_, devices.size());
    device_ = devices[device_number_].device;
    cl_int result = CL_SUCCESS;
    context_ = cl_.CreateContext(nullptr, 1, &device_, nullptr, nullptr, &result);
    Ours(result, "create an OpenCL context");
    queue_ = cl_.CreateCommandQueue(context_, device_, CL_QUEUE_PROFILING_ENABLE, &result);
    Ours(result, "create an OpenCL queue");
    for (uint32_t i = 0; i < job_.tensor_count; ++i)
      if (job_.tensors[i].present != 0) AllocateTensor(i);
    if (job_.workspace_bytes > 0) {
      Allocate(Workspace(), job_.workspace_bytes, "workspace");
      Fill(Workspace().inner, kWorkspaceByte, 0, Workspace().bytes);
    }
    Ours(cl_.Finish(queue_), "fill the tensors");
  }

  void Load() override {
    const off_t bytes = ::lseek(kArtifactFd, 0, SEEK_END);
    const std::string artifact = bytes > 0 ? ReadAll(kArtifactFd, 0, static_cast<uint64_t>(bytes)) : "";
    const size_t line = artifact.find('\n');
    if (line == std::string::npos) results_.End(Outcome::kNotLaunched, "the artifact is no OpenCL program");
    const std::string kind = artifact.substr(0, line), content = artifact.substr(line + 1);
    cl_int result = CL_SUCCESS;
    const char* text = content.data();
    const auto* binary = reinterpret_cast<const unsigned char*>(text);
    const size_t length = content.size();
    const bool is_source = kind.rfind("source ", 0) == 0;
    const cl_program program = is_source ? cl_.CreateProgramWithSource(context_, 1, &text, &length, &result)
                                         : cl_.CreateProgramWithBinary(context_, 1, &device_, &length, &binary, nullptr, &result);
    if (result != CL_SUCCESS) NotLaunched("load the program", result);
    result = cl_.BuildProgram(program, 1, &device_, is_source ? kind.c_str() + 7 : "", nullptr, nullptr);
    if (result != CL_SUCCESS) NotLaunched(("build the program: " + BuildLog(cl_, program, device_)).c_str(), result);
    for (KernelLaunch& launch : launches_) {
      launch.kernel = cl_.CreateKernel(program, launch.kernel_name.c_str(), &result);
      if (result != CL_SUCCESS) NotLaunched(("find kernel '" + launch.kernel_name + "'").c_str(), result);
      SetArguments(launch);
    }
  }

  void MakeInputs() override { results_.End(Outcome::kJobUnusable, "inputs are made on the cpu only"); }

  // Once, unmeasured: drivers put off part of compiling until they see the work-group size.
  void Prepare() override { Run(); }

  void Run() override {
    device_seconds_ = 0;
    cl_event first = nullptr, last = nullptr;
    for (const KernelLaunch& launch : launches_) {
      if (std::count(launch.global.begin(), launch.global.end(), size_t{0}) > 0) continue;  // nothing to do, which 1.2 cannot say
      cl_event event = nullptr;
      const cl_int result = cl_.EnqueueNDRangeKernel(queue_, launch.kernel, static_cast<cl_uint>(launch.global.size()), nullptr,
                                                     launch.global.data(), launch.local.data(), 0, nullptr, &event);
      if (result != CL_SUCCESS) NotLaunched(("launch kernel '" + launch.kernel_name + "'").c_str(), result);
      if (first == nullptr) first = event;
      if (last != nullptr && last != first) cl_.ReleaseEvent(last);
      last = event;
    }
    cl_int result = cl_.Finish(queue_);
    if (result == CL_SUCCESS && last != nullptr) {
      cl_int state = CL_COMPLETE;
      if (cl_.GetEventInfo(last, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof state, &state, nullptr) == CL_SUCCESS && state < 0)
        result = state;
    }
    if (result != CL_SUCCESS) results_.End(Outcome::kException, "the device gave up on the kernel: %s", OpenClErrorName(result).c_str());
    if (last == nullptr) return;
    cl_ulong begin = 0, end = 0;
    if (cl_.GetEventProfilingInfo(first, CL_PROFILING_COMMAND_START, sizeof begin, &begin, nullptr) == CL_SUCCESS &&
        cl_.GetEventProfilingInfo(last, CL_PROFILING_COMMAND_END, sizeof end, &end, nullptr) == CL_SUCCESS && end > begin)
      device_seconds_ = 1e-9 * static_cast<double>(end - begin);
    if (last != first) cl_.ReleaseEvent(last);
    cl_.ReleaseEvent(first);
  }

  double DeviceSeconds() const override { return device_seconds_; }

  void Poison(unsigned char pattern) override {
    for (uint32_t i = 0; i < job_.tensor_count; ++i)
      if (job_.tensors[i].role == Role::kOut && buffers_[i].inner != nullptr) Fill(buffers_[i].inner, pattern, 0, buffers_[i].bytes);
    Ours(cl_.Finish(queue_), "fill the outputs");
  }

  void Flush() override {
    if (flush_ == nullptr) {
      cl_int result = CL_SUCCESS;
      flush_ = cl_.CreateBuffer(context_, CL_MEM_READ_WRITE, kFlushBytes, nullptr, &result);
      Ours(result, "allocate memory to flush caches with");
    }
    Fill(flush_, 0, 0, kFlushBytes);
    Ours(cl_.Finish(queue_), "flush the caches");
  }

  void Collect(uint32_t slot) override {
    for (uint32_t i = 0; i < job_.tensor_count; ++i)
      if (buffers_[i].inner != nullptr) CheckGuards(buffers_[i], job_.tensors[i].name);
    if (Workspace().inner != nullptr) CheckGuards(Workspace(), "workspace");
    std::vector<unsigned char> bytes;
    for (uint32_t i = 0; i < job_.tensor_count; ++i) {
      const JobTensor& tensor = job_.tensors[i];
      if (tensor.present == 0 || tensor.bytes == 0) continue;
      Read(buffers_[i].whole, buffers_[i].guard, tensor.bytes, bytes);
      if (tensor.role == Role::kOut)
        results_.Write(bytes.data(), tensor.bytes, job_.slot_offset[slot] + tensor.result_offset);
      else if (ReadAll(kInputsFd, tensor.input_offset, tensor.bytes) != std::string(bytes.begin(), bytes.end()))
        results_.End(Outcome::kGuardBroken, "the kernel wrote to '%s', which is read-only", tensor.name);
    }
    results_.header().slots = slot + 1;
    results_.WriteHeader();
  }

 private:
  DeviceBuffer& Workspace() { return buffers_[job_.tensor_count]; }

  // A failure that says nothing about the candidate.
  void Ours(cl_int result, const char* doing) {
    if (result != CL_SUCCESS) results_.End(Outcome::kJobUnusable, "%s: %s", doing, OpenClErrorName(result).c_str());
  }
  [[noreturn]] void NotLaunched(const char* doing, cl_int result) {
    results_.End(Outcome::kNotLaunched, "%s: %s", doing, OpenClErrorName(result).c_str());
  }

  void ReadOptions() {
    std::istringstream options(ReadAll(kJobFd, job_.options_offset, job_.options_bytes));
    for (std::string word; options >> word;) {
      if (word == "device") {
        options >> device_number_;
        continue;
      }
      KernelLaunch launch;
      size_t dimensions = 0;
      options >> launch.kernel_name >> dimensions;
      if (word != "launch" || dimensions < 1 || dimensions > 3) results_.End(Outcome::kJobUnusable, "the job's launch is not understood");
      launch.global.resize(dimensions);
      launch.local.resize(dimensions);
      for (size_t& size : launch.global) options >> size;
      for (size_t& size : launch.local) options >> size;
      if (!options) results_.End(Outcome::kJobUnusable, "the job's launch is not understood");
      launches_.push_back(std::move(launch));
    }
  }

  void Fill(cl_mem buffer, unsigned char pattern, size_t offset, size_t bytes) {
    Ours(cl_.EnqueueFillBuffer(queue_, buffer, &pattern, 1, offset, bytes, 0, nullptr, nullptr), "fill device memory");
  }

  void Read(cl_mem buffer, size_t offset, size_t bytes, std::vector<unsigned char>& into) {
    into.resize(bytes);
    const cl_int result = cl_.EnqueueReadBuffer(queue_, buffer, CL_TRUE, offset, bytes, into.data(), 0, nullptr, nullptr);
    if (result != CL_SUCCESS) results_.End(Outcome::kException, "the device gave up on the kernel: %s", OpenClErrorName(result).c_str());
  }

  void Allocate(DeviceBuffer& buffer, size_t bytes, const char* name) {
    // Sub-buffers start where the device wants them to.
    const size_t align = DeviceValue<cl_uint>(cl_, device_, CL_DEVICE_MEM_BASE_ADDR_ALIGN) / 8;
    buffer.guard = std::max<size_t>({align, kPage, 1});
    buffer.bytes = std::max<size_t>(bytes, 1);
    buffer.end = buffer.guard + buffer.bytes;
    cl_int result = CL_SUCCESS;
    buffer.whole = cl_.CreateBuffer(context_, CL_MEM_READ_WRITE, buffer.end + buffer.guard, nullptr, &result);
    if (result != CL_SUCCESS)
      results_.End(Outcome::kJobUnusable, "allocate %zu bytes for '%s': %s", bytes, name, OpenClErrorName(result).c_str());
    const cl_buffer_region region = {buffer.guard, buffer.bytes};
    buffer.inner = cl_.CreateSubBuffer(buffer.whole, CL_MEM_READ_WRITE, CL_BUFFER_CREATE_TYPE_REGION, &region, &result);
    Ours(result, "allocate a tensor within its guards");
    Fill(buffer.whole, kGuardByte, 0, buffer.guard);
    Fill(buffer.whole, kGuardByte, buffer.end, buffer.guard);
  }

  void AllocateTensor(uint32_t i) {
    const JobTensor& tensor = job_.tensors[i];
    if (tensor.packed != 0) results_.End(Outcome::kJobUnusable, "'%s' is packed, which OpenCL templates cannot do", tensor.name);
    Allocate(buffers_[i], tensor.bytes, tensor.name);
    if (tensor.role == Role::kOut || tensor.bytes == 0) return;
    const std::string bytes = ReadAll(kInputsFd, tensor.input_offset, tensor.bytes);
    if (bytes.size() != tensor.bytes) results_.End(Outcome::kJobUnusable, "read input '%s': it ends early", tensor.name);
    Ours(cl_.EnqueueWriteBuffer(queue_, buffers_[i].inner, CL_TRUE, 0, tensor.bytes, bytes.data(), 0, nullptr, nullptr),
         "copy an input to the device");
  }

  void SetArguments(const KernelLaunch& launch) {
    const cl_uint wanted = job_.tensor_count + job_.dynamic_count + (job_.workspace_bytes > 0 ? 1U : 0U);
    cl_uint takes = 0;
    cl_int result = cl_.GetKernelInfo(launch.kernel, CL_KERNEL_NUM_ARGS, sizeof takes, &takes, nullptr);
    if (result == CL_SUCCESS && takes != wanted)
      results_.End(Outcome::kNotLaunched, "kernel '%s' takes %u arguments, but there are %u: %u tensors, %u dynamic attributes%s",
                   launch.kernel_name.c_str(), takes, wanted, job_.tensor_count, job_.dynamic_count,
                   job_.workspace_bytes > 0 ? ", the workspace" : "");
    cl_uint index = 0;
    for (uint32_t i = 0; i < job_.tensor_count; ++i) SetArgument(launch, index++, sizeof(cl_mem), &buffers_[i].inner);
    for (uint32_t i = 0; i < job_.dynamic_count; ++i) {
      const auto value = static_cast<cl_int>(job_.dynamic[i]);
      SetArgument(launch, index++, sizeof value, &value);
    }
    if (job_.workspace_bytes > 0) SetArgument(launch, index, sizeof(cl_mem), &Workspace().inner);
  }

  void SetArgument(const KernelLaunch& launch, cl_uint index, size_t bytes, const void* value) {
    const cl_int result = cl_.SetKernelArg(launch.kernel, index, bytes, value);
    if (result != CL_SUCCESS) NotLaunched(("pass argument " + std::to_string(index) + " to '" + launch.kernel_name + '\'').c_str(), result);
  }

  void CheckGuards(const DeviceBuffer& buffer, const char* name) {
    std::vector<unsigned char> before, after;
    Read(buffer.whole, 0, buffer.guard, before);
    Read(buffer.whole, buffer.end, buffer.guard, after);
    const auto whole = [](unsigned char byte) { return byte == kGuardByte; };
    const auto broken_before = std::find_if_not(before.begin(), before.end(), whole);
    if (broken_before != before.end())
      results_.End(Outcome::kGuardBroken, "the kernel wrote outside '%s', %lld bytes before it", name,
                   static_cast<long long>(before.end() - broken_before));
    const auto broken_after = std::find_if_not(after.begin(), after.end(), whole);
    if (broken_after != after.end())
      results_.End(Outcome::kGuardBroken, "the kernel wrote outside '%s', %lld bytes past its end", name,
                   static_cast<long long>(broken_after - after.begin()));
  }

  const Job& job_;
  ResultFile& results_;
  OpenClLibrary cl_;
  size_t device_number_ = 0;
  cl_device_id device_ = nullptr;
  cl_context context_ = nullptr;
  cl_command_queue queue_ = nullptr;
  std::vector<DeviceBuffer> buffers_;  // of the tensors, then of the workspace
  std::vector<KernelLaunch> launches_;
  cl_mem flush_ = nullptr;
  double device_seconds_ = 0;
};

}  // namespace

std::unique_ptr<Runner> MakeOpenClRunner(const Job& job, ResultFile& results) { return std::make_unique<OpenClRunner>(job, results); }

}  // namespace lathe::worker
