// ReferenceCache: inputs and expected outputs of workloads, computed once each by running the operator's reference in a worker of its own
// (a reference may crash as well), kept in memory while recently used.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "core/result.h"
#include "measure/cancel_token.h"
#include "measure/candidate_text.h"
#include "measure/cpu_builder.h"
#include "measure/reference_data.h"
#include "measure/worker_run.h"
#include "space/template_library.h"

namespace lathe {

class ReferenceCache {
 public:
  struct Options {
    WorkerOptions worker;                // the reference's time limit, threads and CPUs; sampling is not used
    uint64_t seed = 1;                   // of the inputs
    size_t max_bytes = size_t{1} << 30;  // what is kept besides the newest
  };
  // All outlive the cache. `library` may be null: then only references that come as text can be had.
  ReferenceCache(const TemplateLibrary* library, CpuBuilder* builder, const Scratch* scratch, Options options);

  // Thread-safe; who asks for a workload that another thread is computing waits for it. The workload must be normalised. Fails when the
  // reference does not build, crashes, or runs out of time, and fails the same way when asked again.
  Result<std::shared_ptr<const ReferenceData>> Get(const Workload& workload, const CancelToken* cancel = nullptr);
  // The same for a reference that came as text.
  Result<std::shared_ptr<const ReferenceData>> Get(const ReferenceText& text, const CancelToken* cancel = nullptr);

 private:
  struct Entry {
    bool ready = false;
    Result<std::shared_ptr<const ReferenceData>> data = std::shared_ptr<const ReferenceData>();
    uint64_t last_use = 0;
  };
  using Render = std::function<Result<ReferenceText>()>;
  Result<std::shared_ptr<const ReferenceData>> Get(const std::string& key, const Render& render, const CancelToken* cancel);
  Result<std::shared_ptr<const ReferenceData>> Compute(const std::string& key, const Render& render, const CancelToken* cancel);
  void EvictLocked();

  const TemplateLibrary* library_;
  CpuBuilder* builder_;
  const Scratch* scratch_;
  Options options_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, Entry> entries_;
  uint64_t uses_ = 0;
};

}  // namespace lathe
