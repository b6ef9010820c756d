// Handles and their runs, over what gpu_data.h asks of a driver.
#include <algorithm>
#include <string>
#include <vector>

#include "gpu_data.h"

namespace {

thread_local char last_error[1024];

struct Step {
  void* kernel;
  const LatheLaunch* launch;
};

// "operator:name=value,..." -> "operator:", then each "name=value".
std::vector<std::string> PartsOf(const std::string& workload) {
  const size_t colon = std::min(workload.find(':'), workload.size());
  std::vector<std::string> parts = {workload.substr(0, colon) + ':'};
  for (size_t at = colon + 1; at < workload.size();) {
    const size_t end = std::min(workload.find(',', at), workload.size());
    parts.push_back(workload.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

// What is wanted and a kernel's workload does not have; empty where it answers. The operator stands first.
std::vector<std::string> Lacking(const char* workload, const char* wanted) {
  const std::vector<std::string> has = PartsOf(workload);
  std::vector<std::string> lacking;
  for (const std::string& part : PartsOf(wanted))
    if (std::find(has.begin(), has.end(), part) == has.end()) lacking.push_back(part);
  return lacking;
}

}  // namespace

extern "C" const char* lathe_gpu_last_error(void) { return last_error; }

lathe_gpu_status lathe_gpu_fail(lathe_gpu_status status, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(last_error, sizeof last_error, format, arguments);
  va_end(arguments);
  return status;
}

extern "C" const lathe_gpu_kernel_info* lathe_gpu_kernels_table(size_t* count) {
  if (count != nullptr) *count = lathe_gpu_count;
  return lathe_gpu_infos;
}

extern "C" int lathe_gpu_find(const char* workload) {
  int found = -1;
  size_t near = lathe_gpu_count;  // the kernel of that operator that lacks the fewest
  std::vector<std::string> near_lacks;
  for (size_t i = 0; workload != nullptr && i < lathe_gpu_count; ++i) {
    const std::vector<std::string> lacks = Lacking(lathe_gpu_infos[i].workload, workload);
    if (!lacks.empty()) {
      const bool same_operator = lacks.front().empty() || lacks.front().back() != ':';
      if (same_operator && (near == lathe_gpu_count || lacks.size() < near_lacks.size())) near = i, near_lacks = lacks;
      continue;
    }
    if (found >= 0) {
      lathe_gpu_fail(LATHE_GPU_INVALID_ARGUMENT, "lathe_gpu_find: '%s' may be %s or %s", workload, lathe_gpu_infos[found].workload,
                     lathe_gpu_infos[i].workload);
      return -1;
    }
    found = static_cast<int>(i);
  }
  if (found >= 0) return found;
  std::string why;
  for (const std::string& lacks : near_lacks) why += (why.empty() ? "; the one most like it does not have " : ", ") + lacks;
  if (near < lathe_gpu_count) why += std::string(": ") + lathe_gpu_infos[near].workload;
  lathe_gpu_fail(LATHE_GPU_INVALID_ARGUMENT, "lathe_gpu_find: there is no kernel for '%s'%s", workload == nullptr ? "(null)" : workload, why.c_str());
  return -1;
}

struct lathe_gpu_kernel {
  size_t index = 0;
  void* program = nullptr;
  std::vector<Step> prepare, run;
  std::vector<lathe_gpu_memory> packed;
  // Of a launch; here, so that running allocates nothing.
  std::vector<lathe_gpu_memory> memory;
  std::vector<const void*> values;
  std::vector<size_t> bytes;
};

namespace {

lathe_gpu_status FindKernels(lathe_gpu_kernel& handle, const LatheLaunch* launches, int count, std::vector<Step>& steps) {
  for (int i = 0; i < count; ++i) {
    steps.push_back({nullptr, &launches[i]});
    if (const auto bad = lathe_gpu_find_kernel(handle.program, launches[i], &steps.back().kernel); bad != LATHE_GPU_OK) return bad;
  }
  return LATHE_GPU_OK;
}

// The kernel's arguments: what lies in handle.memory, then `count` numbers, then the workspace where there is one, then the launch's own.
lathe_gpu_status Enqueue(lathe_gpu_kernel& handle, const Step& step, lathe_gpu_queue queue, const int* numbers, int count,
                         const lathe_gpu_memory* workspace) {
  handle.values.clear();
  handle.bytes.clear();
  const auto pass = [&](const void* value, size_t bytes) {
    handle.values.push_back(value);
    handle.bytes.push_back(bytes);
  };
  for (const lathe_gpu_memory& each : handle.memory) pass(&each, sizeof each);
  for (int i = 0; i < count; ++i) pass(&numbers[i], sizeof numbers[i]);
  if (workspace != nullptr) pass(workspace, sizeof *workspace);
  for (int i = 0; i < step.launch->argument_count; ++i) pass(&step.launch->arguments[i], sizeof step.launch->arguments[i]);
  return lathe_gpu_launch(step.kernel, *step.launch, queue, handle.values.size(), handle.values.data(), handle.bytes.data());
}

// Refuses a tensor that is missing, and one that would be ignored. `doing` is the function that the caller called.
lathe_gpu_status CheckPresence(const char* doing, size_t index, size_t tensor, lathe_gpu_memory memory) {
  const lathe_gpu_kernel_info& info = lathe_gpu_infos[index];
  const char* unless = lathe_gpu_data[index].absent_unless[tensor];
  const char* name = info.tensors[tensor].name;
  if (memory == lathe_gpu_memory{} && info.tensors[tensor].bytes > 0)
    return lathe_gpu_fail(LATHE_GPU_INVALID_ARGUMENT, "%s: tensor '%s' must not be null for %s", doing, name, info.workload);
  if (memory != lathe_gpu_memory{} && unless != nullptr)
    return lathe_gpu_fail(LATHE_GPU_INVALID_ARGUMENT, "%s: tensor '%s' was given, but it counts only with %s; take a kernel of such a workload, or pass a null, for %s",
                          doing, name, unless, info.workload);
  return LATHE_GPU_OK;
}

lathe_gpu_status Pack(lathe_gpu_kernel& handle, lathe_gpu_device device, lathe_gpu_queue queue, const lathe_gpu_memory* constants) {
  const LatheKernelData& data = lathe_gpu_data[handle.index];
  const lathe_gpu_kernel_info& info = lathe_gpu_infos[handle.index];
  for (size_t i = 0; i < info.tensor_count; ++i)
    if (info.tensors[i].role == 'c') handle.memory.push_back(info.tensors[i].bytes > 0 ? constants[i] : lathe_gpu_memory{});
  for (size_t i = 0; i < info.tensor_count; ++i) {
    if (data.packed_bytes[i] == 0) continue;
    if (const auto bad = lathe_gpu_allocate(device, data.packed_bytes[i], &handle.packed[i]); bad != LATHE_GPU_OK) return bad;
    handle.memory.push_back(handle.packed[i]);
  }
  for (const Step& step : handle.prepare)
    if (const auto bad = Enqueue(handle, step, queue, nullptr, 0, nullptr); bad != LATHE_GPU_OK) return bad;
  return LATHE_GPU_OK;
}

// Kernels read their inputs after they have begun to write.
lathe_gpu_status CheckOutputsAreApart(const lathe_gpu_kernel& handle) {
  const LatheKernelData& data = lathe_gpu_data[handle.index];
  const lathe_gpu_kernel_info& info = lathe_gpu_infos[handle.index];
  for (size_t out = 0; out < info.tensor_count; ++out) {
    if (info.tensors[out].role != 'o' || info.tensors[out].bytes == 0) continue;
    for (size_t i = 0; i < info.tensor_count; ++i) {
      if (i == out || info.tensors[i].bytes == 0 || data.packed_bytes[i] > 0) continue;
      if (lathe_gpu_overlap(handle.memory[i], info.tensors[i].bytes, handle.memory[out], info.tensors[out].bytes))
        return lathe_gpu_fail(LATHE_GPU_INVALID_ARGUMENT, "lathe_gpu_run: %s: tensors '%s' and '%s' share memory; an output needs memory of its own",
                              info.workload, info.tensors[i].name, info.tensors[out].name);
    }
  }
  return LATHE_GPU_OK;
}

}  // namespace

extern "C" lathe_gpu_status lathe_gpu_create(size_t index, lathe_gpu_device device, lathe_gpu_queue queue, const lathe_gpu_memory* constants,
                                             const char* cache, lathe_gpu_kernel** kernel) {
  if (kernel != nullptr) *kernel = nullptr;
  if (kernel == nullptr || index >= lathe_gpu_count) return lathe_gpu_fail(LATHE_GPU_INVALID_ARGUMENT, "lathe_gpu_create: no kernel %zu", index);
  for (size_t i = 0; i < lathe_gpu_infos[index].tensor_count; ++i)
    if (lathe_gpu_infos[index].tensors[i].role == 'c')
      if (const auto bad = CheckPresence("lathe_gpu_create", index, i, constants != nullptr ? constants[i] : lathe_gpu_memory{}); bad != LATHE_GPU_OK)
        return bad;
  auto* made = new lathe_gpu_kernel;
  made->index = index;
  made->packed.resize(lathe_gpu_infos[index].tensor_count);
  const LatheKernelData& data = lathe_gpu_data[index];
  lathe_gpu_status status = lathe_gpu_load(index, device, cache, &made->program);
  if (status == LATHE_GPU_OK) status = FindKernels(*made, data.prepare, data.prepare_count, made->prepare);
  if (status == LATHE_GPU_OK) status = FindKernels(*made, data.run, data.run_count, made->run);
  if (status == LATHE_GPU_OK) status = Pack(*made, device, queue, constants);
  if (status != LATHE_GPU_OK) {
    lathe_gpu_destroy(made);
    return status;
  }
  made->memory.resize(made->packed.size());
  size_t arguments = 0;
  for (const Step& step : made->run)
    arguments = std::max(arguments, made->memory.size() + static_cast<size_t>(data.dynamic_count + 1 + step.launch->argument_count));
  made->values.reserve(arguments);
  made->bytes.reserve(arguments);
  *kernel = made;
  return LATHE_GPU_OK;
}

extern "C" lathe_gpu_status lathe_gpu_run(lathe_gpu_kernel* kernel, lathe_gpu_queue queue, const lathe_gpu_memory* tensors,
                                          lathe_gpu_memory workspace) {
  if (kernel == nullptr || tensors == nullptr) return lathe_gpu_fail(LATHE_GPU_INVALID_ARGUMENT, "lathe_gpu_run: a null pointer");
  const LatheKernelData& data = lathe_gpu_data[kernel->index];
  const lathe_gpu_kernel_info& info = lathe_gpu_infos[kernel->index];
  if (info.workspace_bytes > 0 && workspace == lathe_gpu_memory{})
    return lathe_gpu_fail(LATHE_GPU_INVALID_ARGUMENT, "lathe_gpu_run: %s needs a workspace of %zu bytes", info.workload, info.workspace_bytes);
  for (size_t i = 0; i < info.tensor_count; ++i)
    if (data.packed_bytes[i] == 0)
      if (const auto bad = CheckPresence("lathe_gpu_run", kernel->index, i, tensors[i]); bad != LATHE_GPU_OK) return bad;
  for (size_t i = 0; i < info.tensor_count; ++i)
    kernel->memory[i] = data.packed_bytes[i] > 0 ? kernel->packed[i] : info.tensors[i].bytes > 0 ? tensors[i] : lathe_gpu_memory{};
  if (const auto bad = CheckOutputsAreApart(*kernel); bad != LATHE_GPU_OK) return bad;
  for (const Step& step : kernel->run)
    if (const auto bad = Enqueue(*kernel, step, queue, data.dynamic, data.dynamic_count, info.workspace_bytes > 0 ? &workspace : nullptr);
        bad != LATHE_GPU_OK)
      return bad;
  return LATHE_GPU_OK;
}

extern "C" void lathe_gpu_destroy(lathe_gpu_kernel* kernel) {
  if (kernel == nullptr) return;
  for (const std::vector<Step>* steps : {&kernel->prepare, &kernel->run})
    for (const Step& step : *steps)
      if (step.kernel != nullptr) lathe_gpu_release_kernel(step.kernel);
  for (const lathe_gpu_memory memory : kernel->packed)
    if (memory != lathe_gpu_memory{}) lathe_gpu_free(memory);
  if (kernel->program != nullptr) lathe_gpu_unload(kernel->program);
  delete kernel;
}
