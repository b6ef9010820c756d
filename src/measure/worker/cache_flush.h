// Puts memory out of the caches, for kernels that a pipeline will find cold.
#pragma once

#include <cstddef>

namespace lathe::worker {

// Line by line where the machine lets a program do so (x86, aarch64): exact, and the cost is that of the tensor rather than of a last-level
// cache, which on a server is hundreds of megabytes. Elsewhere reads through 64 MiB.
void FlushFromCaches(const void* from, size_t bytes);

}  // namespace lathe::worker
