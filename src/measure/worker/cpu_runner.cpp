// The runner of the cpu backend: a shared object with the three entry points of abi.h.
#include <dlfcn.h>

#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "measure/worker/cache_flush.h"
#include "measure/worker/fault_report.h"
#include "measure/worker/guarded_buffer.h"
#include "measure/worker/runner.h"
#include "measure/worker/thread_pool.h"

namespace lathe::worker {
namespace {

class CpuRunner : public Runner {
 public:
  CpuRunner(const Job& job, ResultFile& results)
      : job_(job), results_(results), buffers_(2 * job.tensor_count + 1), tensors_(job.tensor_count), packed_(job.tensor_count) {}

  void Allocate() override {
    for (uint32_t i = 0; i < job_.tensor_count; ++i) {
      const JobTensor& tensor = job_.tensors[i];
      if (tensor.present == 0) continue;
      const bool own = tensor.role == Role::kOut || (job_.flags & kMakeInputs) != 0;
      const bool there = own ? Plain(i).Allocate(tensor.bytes, i) : Plain(i).MapReadOnly(kInputsFd, tensor.input_offset, tensor.bytes);
      if (!there) OutOfMemory(tensor.name, tensor.bytes);
      tensors_[i] = Plain(i).data();
      if (tensor.packed == 0) continue;
      if (!Packed(i).Allocate(tensor.packed_bytes, i + job_.tensor_count)) OutOfMemory(tensor.name, tensor.packed_bytes);
      packed_[i] = Packed(i).data();
    }
    if (job_.workspace_bytes > 0) {
      if (!Workspace().Allocate(job_.workspace_bytes, 2 * job_.tensor_count)) OutOfMemory("workspace", job_.workspace_bytes);
      Workspace().Fill(0x7b);
    }
    ReportFaults(results_, buffers_);
    pool_ = std::make_unique<ThreadPool>(static_cast<int>(job_.threads), std::span(job_.cpus, job_.cpu_count));
    if (pool_->pinned()) results_.header().sandbox |= kPinned;
  }

  void Load() override {
    char path[32];
    std::snprintf(path, sizeof path, "/proc/self/fd/%d", kArtifactFd);
    void* library = ::dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) results_.End(Outcome::kNotLaunched, "load the artifact: %s", ::dlerror());
    run_ = reinterpret_cast<RunFunction>(::dlsym(library, "lathe_run"));
    prepare_ = reinterpret_cast<PrepareFunction>(::dlsym(library, "lathe_prepare"));
    make_inputs_ = reinterpret_cast<MakeInputsFunction>(::dlsym(library, "lathe_make_inputs"));
    if (run_ == nullptr) results_.End(Outcome::kNotLaunched, "the artifact exports no lathe_run");
    bool packs = false;
    for (uint32_t i = 0; i < job_.tensor_count; ++i) packs |= packed_[i] != nullptr;
    if (packs && prepare_ == nullptr)
      results_.End(Outcome::kNotLaunched, "constants are to be packed, but the artifact exports no lathe_prepare");
    if ((job_.flags & kMakeInputs) != 0 && make_inputs_ == nullptr)
      results_.End(Outcome::kNotLaunched, "the operator makes its inputs, but its reference exports no lathe_make_inputs");
  }

  void MakeInputs() override {
    Guarded([&] { make_inputs_(&call_, job_.seed); });
    CheckGuards("lathe_make_inputs");
    for (uint32_t i = 0; i < job_.tensor_count; ++i)
      if (job_.tensors[i].role != Role::kOut) Plain(i).Protect();
  }

  void Prepare() override {
    if (prepare_ == nullptr) return;
    std::vector<const void*> plain(job_.tensor_count);
    for (uint32_t i = 0; i < job_.tensor_count; ++i)
      if (job_.tensors[i].role == Role::kConstant) plain[i] = Plain(i).data();
    Guarded([&] { prepare_(plain.data(), packed_.data()); });
    CheckGuards("lathe_prepare");
    for (uint32_t i = 0; i < job_.tensor_count; ++i) {
      if (packed_[i] == nullptr) continue;
      Packed(i).Protect();
      tensors_[i] = packed_[i];
    }
  }

  void Run() override {
    int refused = 0;
    Guarded([&] { refused = run_(&call_); });
    if (refused == 0) return;
    results_.header().refused = refused;
    results_.End(Outcome::kRefused, "lathe_run returned %d", refused);
  }

  void Poison(unsigned char pattern) override {
    for (uint32_t i = 0; i < job_.tensor_count; ++i)
      if (job_.tensors[i].role == Role::kOut) Plain(i).Fill(pattern);
  }

  void Flush() override {
    for (const GuardedBuffer& buffer : buffers_)
      if (buffer.bytes() > 0) FlushFromCaches(buffer.data(), buffer.bytes());
  }

  void Collect(uint32_t slot) override {
    CheckGuards("lathe_run");
    for (uint32_t i = 0; i < job_.tensor_count; ++i) {
      const JobTensor& tensor = job_.tensors[i];
      if (tensor.present != 0 && (tensor.role == Role::kOut || (job_.flags & kMakeInputs) != 0))
        results_.Write(Plain(i).data(), tensor.bytes, job_.slot_offset[slot] + tensor.result_offset);
    }
    results_.header().slots = slot + 1;
    results_.WriteHeader();
  }

 private:
  using RunFunction = int (*)(const lathe_call*);
  using PrepareFunction = void (*)(const void* const*, void* const*);
  using MakeInputsFunction = void (*)(const lathe_call*, uint64_t);

  GuardedBuffer& Plain(uint32_t i) { return buffers_[i]; }
  GuardedBuffer& Packed(uint32_t i) { return buffers_[job_.tensor_count + i]; }
  GuardedBuffer& Workspace() { return buffers_[2 * job_.tensor_count]; }

  // The candidate's code, with the call it gets made up anew: it may have scribbled on the last one.
  template <typename Code>
  void Guarded(const Code& code) {
    call_ = {tensors_.data(), job_.dynamic, Workspace().data(), pool_->parallel()};
    try {
      code();
    } catch (const std::bad_alloc&) {
      results_.End(Outcome::kOutOfMemory, "out of memory");
    } catch (...) {
      results_.End(Outcome::kException, "an exception left the kernel");
    }
  }

  void CheckGuards(const char* who) {
    for (uint32_t i = 0; i < buffers_.size(); ++i) {
      int64_t first = 0;
      const size_t broken = buffers_[i].BrokenGuardBytes(&first);
      if (broken == 0) continue;
      const bool workspace = i == 2 * job_.tensor_count;
      const char* name = workspace ? "workspace" : job_.tensors[i % job_.tensor_count].name;
      const auto size = static_cast<int64_t>(buffers_[i].bytes());
      const char* kind = workspace ? "the" : i >= job_.tensor_count ? "packed" : "tensor";
      if (first < 0)
        results_.End(Outcome::kGuardBroken, "%s wrote %zu bytes outside %s '%s', the first %lld bytes before it", who, broken, kind, name,
                     static_cast<long long>(-first));
      results_.End(Outcome::kGuardBroken, "%s wrote %zu bytes outside %s '%s', the first %lld bytes past its end", who, broken, kind, name,
                   static_cast<long long>(first - size));
    }
  }

  [[noreturn]] void OutOfMemory(const char* name, uint64_t bytes) {
    results_.End(Outcome::kJobUnusable, "allocate %llu bytes for '%s': out of memory", static_cast<unsigned long long>(bytes), name);
  }

  const Job& job_;
  ResultFile& results_;
  std::vector<GuardedBuffer> buffers_;  // plain ones, packed ones, the workspace
  std::vector<void*> tensors_, packed_;
  std::unique_ptr<ThreadPool> pool_;
  lathe_call call_ = {};
  RunFunction run_ = nullptr;
  PrepareFunction prepare_ = nullptr;
  MakeInputsFunction make_inputs_ = nullptr;
};

}  // namespace

std::unique_ptr<Runner> MakeCpuRunner(const Job& job, ResultFile& results) { return std::make_unique<CpuRunner>(job, results); }

std::unique_ptr<Runner> MakeRunner(std::string_view name, const Job& job, ResultFile& results) {
  if (name == "cpu") return MakeCpuRunner(job, results);
  if (name == "opencl") return MakeOpenClRunner(job, results);
  if (name == "cuda") return MakeCudaRunner(job, results);
  return nullptr;
}

}  // namespace lathe::worker
