#include "measure/worker/cache_flush.h"

#include <vector>

namespace lathe::worker {

void FlushFromCaches(const void* from, size_t bytes) {
  constexpr size_t kLine = 64;
  const char* at = static_cast<const char*>(from);
#if defined(__x86_64__)
  for (size_t i = 0; i < bytes; i += kLine) __builtin_ia32_clflush(at + i);
  __builtin_ia32_clflush(at + bytes - 1);
  __builtin_ia32_mfence();
#elif defined(__aarch64__)
  for (size_t i = 0; i < bytes; i += kLine) asm volatile("dc civac, %0" ::"r"(at + i) : "memory");
  asm volatile("dc civac, %0\n dsb sy" ::"r"(at + bytes - 1) : "memory");
#else
  static std::vector<char> other(size_t{64} << 20);
  for (size_t i = 0; i < other.size(); i += kLine) other[i] = static_cast<char>(other[i] + at[i % bytes]);
#endif
}

}  // namespace lathe::worker
