#include <cstring>

#include "gpu_data.h"

namespace {
thread_local char last_error[1024];
}

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
  for (size_t i = 0; workload != nullptr && i < lathe_gpu_count; ++i)
    if (std::strcmp(lathe_gpu_infos[i].workload, workload) == 0) return static_cast<int>(i);
  return -1;
}
