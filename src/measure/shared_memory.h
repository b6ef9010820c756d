// SharedMemory: memory that is handed to another process as an open file and has no name anywhere: gone with the last process that holds
// it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/result.h"

namespace lathe {

class SharedMemory {
 public:
  // `purpose` shows in /proc/PID/fd. All zero.
  static Result<SharedMemory> Create(const char* purpose, size_t bytes);
  SharedMemory() = default;
  SharedMemory(SharedMemory&& other) noexcept;
  SharedMemory& operator=(SharedMemory&& other) noexcept;
  ~SharedMemory();

  // No one can change the content from here on, where the system can promise that; no one can change the size in any case.
  void SealContent();

  int fd() const { return fd_; }
  size_t bytes() const { return bytes_; }
  Status Write(const void* from, size_t bytes, uint64_t offset);
  Status Read(void* to, size_t bytes, uint64_t offset) const;

 private:
  int fd_ = -1;
  size_t bytes_ = 0;
};

}  // namespace lathe
