#include <algorithm>
#include <string>
#include <vector>

#include "gpu_data.h"

namespace {

thread_local char last_error[1024];

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

// Whether a kernel's workload is of the same operator and has every attribute that is wanted.
bool Answers(const char* workload, const char* wanted) {
  const std::vector<std::string> has = PartsOf(workload), asked = PartsOf(wanted);
  return std::all_of(asked.begin(), asked.end(), [&](const std::string& part) { return std::find(has.begin(), has.end(), part) != has.end(); });
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
  for (size_t i = 0; workload != nullptr && i < lathe_gpu_count; ++i) {
    if (!Answers(lathe_gpu_infos[i].workload, workload)) continue;
    if (found >= 0) {
      lathe_gpu_fail(LATHE_GPU_INVALID_ARGUMENT, "lathe_gpu_find: '%s' may be %s or %s", workload, lathe_gpu_infos[found].workload,
                     lathe_gpu_infos[i].workload);
      return -1;
    }
    found = static_cast<int>(i);
  }
  if (found < 0)
    lathe_gpu_fail(LATHE_GPU_INVALID_ARGUMENT, "lathe_gpu_find: there is no kernel for '%s'", workload == nullptr ? "(null)" : workload);
  return found;
}
