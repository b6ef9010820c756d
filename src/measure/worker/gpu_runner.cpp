// The runner of every GPU backend. A tensor lies in the middle of a larger piece of device memory, whose ends are watched. Constants are
// packed by kernels of their own, once, before anything is timed.
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "measure/worker/gpu_device.h"

namespace lathe::worker {
namespace {

constexpr unsigned char kGuardByte = 0xC3, kWorkspaceByte = 0x7b, kPackedByte = 0x5d;
constexpr size_t kFlushBytes = size_t{128} << 20;  // more than the last-level caches of GPUs and of most hosts

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

double Now() {
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

uint64_t Checksum(const std::vector<unsigned char>& bytes) {  // FNV-1a
  uint64_t sum = 0xcbf29ce484222325;
  for (const unsigned char byte : bytes) sum = (sum ^ byte) * 0x100000001b3;
  return sum;
}

class GpuRunner : public Runner {
 public:
  GpuRunner(const Job& job, ResultFile& results, std::unique_ptr<GpuDevice> device)
      : job_(job),
        results_(results),
        device_(std::move(device)),
        plain_(job.tensor_count),
        packed_(job.tensor_count),
        packed_sums_(job.tensor_count) {}

  void Allocate() override {
    ReadOptions();
    Ours(device_->Open(device_number_, job_.threads), "open the device");
    for (uint32_t i = 0; i < job_.tensor_count; ++i)
      if (job_.tensors[i].present != 0) AllocateTensor(i);
    // What follows is the candidate's own wish: a device without room for it has refused the candidate.
    for (uint32_t i = 0; i < job_.tensor_count; ++i)
      if (job_.tensors[i].packed != 0) AllocateOwn(packed_[i], job_.tensors[i].packed_bytes, job_.tensors[i].name, kPackedByte);
    if (job_.workspace_bytes > 0) AllocateOwn(workspace_, job_.workspace_bytes, "workspace", kWorkspaceByte);
    Ours(device_->Finish(), "fill the tensors");
  }

  void Load() override {
    const off_t bytes = ::lseek(kArtifactFd, 0, SEEK_END);
    Refused(device_->Load(bytes > 0 ? ReadAll(kArtifactFd, 0, static_cast<uint64_t>(bytes)) : ""), "load the program");
    for (Step& step : steps_) {
      step.arguments = step.launch.prepares ? PrepareArguments() : RunArguments();
      for (const int64_t number : step.launch.arguments) step.arguments.push_back({false, 0, static_cast<int32_t>(number)});
      Refused(device_->FindKernel(step.launch.kernel, step.arguments, step.kernel), "find kernel '" + step.launch.kernel + '\'');
    }
  }

  void MakeInputs() override { results_.End(Outcome::kJobUnusable, "inputs are made on the cpu only"); }

  void Prepare() override {
    RunSteps(true);
    std::vector<unsigned char> bytes;
    for (uint32_t i = 0; i < job_.tensor_count; ++i) {
      if (packed_[i].whole == 0) continue;
      CheckGuards(packed_[i], job_.tensors[i].name);
      Read(packed_[i], packed_[i].guard, packed_[i].bytes, bytes);
      packed_sums_[i] = Checksum(bytes);
    }
    Run();  // once, unmeasured: drivers put off part of compiling until they see the work-group size
  }

  void Run() override {
    const double begin = Now();
    RunSteps(false);
    device_seconds_ = device_->Seconds();
    CheckClock(begin, Now());
    results_.header().device_clock = DeviceSeconds() > 0 ? 1 : 0;
  }

  double DeviceSeconds() const override { return clock_ == Clock::kRight ? device_seconds_ : 0; }

  GpuConditions Conditions() override { return device_->Conditions(); }

  void Poison(unsigned char pattern) override {
    for (uint32_t i = 0; i < job_.tensor_count; ++i)
      if (job_.tensors[i].role == Role::kOut && plain_[i].whole != 0)
        Ours(device_->Fill(plain_[i].inner, pattern, 0, plain_[i].bytes), "fill the outputs");
    Ours(device_->Finish(), "fill the outputs");
  }

  void Flush() override {
    if (flush_.whole == 0) Ours(device_->Allocate(kFlushBytes, 0, flush_), "allocate memory to flush caches with");
    Ours(device_->Fill(flush_.inner, 0, 0, kFlushBytes), "flush the caches");
    Ours(device_->Finish(), "flush the caches");
  }

  void Collect(uint32_t slot) override {
    for (uint32_t i = 0; i < job_.tensor_count; ++i) {
      CheckGuards(plain_[i], job_.tensors[i].name);
      CheckGuards(packed_[i], job_.tensors[i].name);
    }
    CheckGuards(workspace_, "workspace");
    std::vector<unsigned char> bytes;
    for (uint32_t i = 0; i < job_.tensor_count; ++i) {
      const JobTensor& tensor = job_.tensors[i];
      if (packed_[i].whole != 0) {
        Read(packed_[i], packed_[i].guard, packed_[i].bytes, bytes);
        if (Checksum(bytes) != packed_sums_[i])
          results_.End(Outcome::kGuardBroken, "the kernel wrote to packed '%s', which is read-only", tensor.name);
      }
      if (tensor.present == 0 || tensor.bytes == 0) continue;
      Read(plain_[i], plain_[i].guard, tensor.bytes, bytes);
      if (tensor.role == Role::kOut)
        results_.Write(bytes.data(), tensor.bytes, job_.slot_offset[slot] + tensor.result_offset);
      else if (ReadAll(kInputsFd, tensor.input_offset, tensor.bytes) != std::string(bytes.begin(), bytes.end()))
        results_.End(Outcome::kGuardBroken, "the kernel wrote to '%s', which is read-only", tensor.name);
    }
    results_.header().slots = slot + 1;
    results_.WriteHeader();
  }

 private:
  struct Step {
    KernelLaunch launch;
    uint64_t kernel = 0;
    std::vector<KernelArgument> arguments;
  };

  // The device's clock counts once it has kept pace with ours between two runs, and until a run takes longer by it than from before its
  // launch to after its end. Drivers exist that number their events instead of timing them.
  void CheckClock(double begin, double end) {
    constexpr double kLeastSpan = 2e-3, kPace = 0.3, kPaceSeconds = 0.5e-3, kSlack = 1.05, kSlackSeconds = 20e-6;
    if (clock_ == Clock::kWrong) return;
    if (first_end_ == 0) {
      first_end_ = end;
      return;
    }
    const double span = end - first_end_;
    if (span >= kLeastSpan)
      clock_ = std::abs(device_->SecondsSinceFirstRun() - span) <= kPace * span + kPaceSeconds ? Clock::kRight : Clock::kWrong;
    if (device_seconds_ > kSlack * (end - begin) + kSlackSeconds) clock_ = Clock::kWrong;
  }

  // A failure that says nothing about the candidate.
  void Ours(const std::string& error, const char* doing) {
    if (!error.empty()) results_.End(Outcome::kJobUnusable, "%s: %s", doing, error.c_str());
  }
  void Refused(const std::string& error, const std::string& doing) {
    if (!error.empty()) results_.End(Outcome::kNotLaunched, "%s: %s", doing.c_str(), error.c_str());
  }
  void GaveUp(const std::string& error) {
    if (error.empty()) return;
    if (device_->OutOfResources()) results_.End(Outcome::kNotLaunched, "out of resources: %s", error.c_str());
    results_.End(Outcome::kException, "the device gave up on the kernel: %s", error.c_str());
  }

  void ReadOptions() {
    std::vector<KernelLaunch> launches;
    if (!ParseLaunches(ReadAll(kJobFd, job_.options_offset, job_.options_bytes), launches, &device_number_))
      results_.End(Outcome::kJobUnusable, "the job's launches are not understood");
    for (KernelLaunch& launch : launches) steps_.push_back({std::move(launch), 0, {}});
  }

  void RunSteps(bool prepares) {
    const auto runs = [&](const Step& step) {  // no work items: nothing to do, which OpenCL 1.2 cannot say
      return step.launch.prepares == prepares && std::count(step.launch.global.begin(), step.launch.global.end(), uint64_t{0}) == 0;
    };
    const auto count = std::count_if(steps_.begin(), steps_.end(), runs);
    std::ptrdiff_t done = 0;
    for (const Step& step : steps_) {
      if (!runs(step)) continue;
      ++done;
      Refused(device_->Launch(step.kernel, step.launch, step.arguments, done == 1, done == count),
              "launch kernel '" + step.launch.kernel + '\'');
    }
    GaveUp(device_->Finish());
  }

  std::vector<KernelArgument> PrepareArguments() const {
    std::vector<KernelArgument> arguments;
    for (uint32_t i = 0; i < job_.tensor_count; ++i)
      if (job_.tensors[i].role == Role::kConstant) arguments.push_back({true, plain_[i].inner, 0});
    for (uint32_t i = 0; i < job_.tensor_count; ++i)
      if (job_.tensors[i].packed != 0) arguments.push_back({true, packed_[i].inner, 0});
    return arguments;
  }

  std::vector<KernelArgument> RunArguments() const {
    std::vector<KernelArgument> arguments;
    for (uint32_t i = 0; i < job_.tensor_count; ++i)
      arguments.push_back({true, packed_[i].whole != 0 ? packed_[i].inner : plain_[i].inner, 0});
    for (uint32_t i = 0; i < job_.dynamic_count; ++i) arguments.push_back({false, 0, static_cast<int32_t>(job_.dynamic[i])});
    if (job_.workspace_bytes > 0) arguments.push_back({true, workspace_.inner, 0});
    return arguments;
  }

  void Read(const DeviceMemory& memory, size_t offset, size_t bytes, std::vector<unsigned char>& into) {
    into.resize(bytes);
    GaveUp(device_->Read(memory.whole, offset, into.data(), bytes));
  }

  std::string AllocateWithin(DeviceMemory& memory, size_t bytes) {
    std::string error = device_->Allocate(std::max<size_t>(bytes, 1), kPage, memory);
    if (!error.empty() || memory.guard == 0) return error;
    error = device_->Fill(memory.whole, kGuardByte, 0, memory.guard);
    if (error.empty()) error = device_->Fill(memory.whole, kGuardByte, memory.guard + memory.bytes, memory.guard);
    return error;
  }

  void AllocateOwn(DeviceMemory& memory, size_t bytes, const char* name, unsigned char pattern) {
    const std::string doing = "allocate " + std::to_string(bytes) + " bytes for '" + name + '\'';
    Refused(AllocateWithin(memory, bytes), doing);
    Refused(device_->Fill(memory.inner, pattern, 0, memory.bytes), doing);
  }

  void AllocateTensor(uint32_t i) {
    const JobTensor& tensor = job_.tensors[i];
    Ours(AllocateWithin(plain_[i], tensor.bytes),
         ("allocate " + std::to_string(tensor.bytes) + " bytes for '" + tensor.name + '\'').c_str());
    if (tensor.role == Role::kOut || tensor.bytes == 0) return;
    const std::string bytes = ReadAll(kInputsFd, tensor.input_offset, tensor.bytes);
    if (bytes.size() != tensor.bytes) results_.End(Outcome::kJobUnusable, "read input '%s': it ends early", tensor.name);
    Ours(device_->Write(plain_[i].inner, bytes.data(), tensor.bytes), "copy an input to the device");
  }

  void CheckGuards(const DeviceMemory& memory, const char* name) {
    if (memory.guard == 0) return;  // not there, or a device that watches itself
    std::vector<unsigned char> before, after;
    Read(memory, 0, memory.guard, before);
    Read(memory, memory.guard + memory.bytes, memory.guard, after);
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
  std::unique_ptr<GpuDevice> device_;
  uint64_t device_number_ = 0;
  std::vector<DeviceMemory> plain_, packed_;  // of each tensor
  std::vector<uint64_t> packed_sums_;
  DeviceMemory workspace_, flush_;
  std::vector<Step> steps_;
  enum class Clock { kUnknown, kRight, kWrong } clock_ = Clock::kUnknown;
  double device_seconds_ = 0, first_end_ = 0;  // of the last run by the device's clock; of the first run by ours
};

}  // namespace

std::unique_ptr<Runner> MakeGpuRunner(const Job& job, ResultFile& results, std::unique_ptr<GpuDevice> device) {
  return std::make_unique<GpuRunner>(job, results, std::move(device));
}

}  // namespace lathe::worker
