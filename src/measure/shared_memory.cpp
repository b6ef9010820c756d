#include "measure/shared_memory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace lathe {

Result<SharedMemory> SharedMemory::Create(const char* purpose, size_t bytes) {
  SharedMemory memory;
  memory.fd_ = ::memfd_create(purpose, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  memory.bytes_ = bytes;
  if (memory.fd_ < 0 || ::ftruncate(memory.fd_, static_cast<off_t>(bytes)) != 0)
    return Error{ErrorCode::kResourceExhausted,
                 fmt::format("create {} bytes of shared memory for {}: {}", bytes, purpose, std::strerror(errno))};
  // A worker that shrank the file would kill whoever reads it.
  ::fcntl(memory.fd_, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW);
  return memory;
}

SharedMemory::SharedMemory(SharedMemory&& other) noexcept : fd_(std::exchange(other.fd_, -1)), bytes_(std::exchange(other.bytes_, 0)) {}

SharedMemory& SharedMemory::operator=(SharedMemory&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

SharedMemory::~SharedMemory() {
  if (fd_ >= 0) ::close(fd_);
}

void SharedMemory::SealContent() { ::fcntl(fd_, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL); }

Status SharedMemory::Write(const void* from, size_t bytes, uint64_t offset) {
  const char* at = static_cast<const char*>(from);
  while (bytes > 0) {
    const ssize_t written = ::pwrite(fd_, at, bytes, static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0)
      return Error{ErrorCode::kResourceExhausted, fmt::format("write {} bytes to shared memory: {}", bytes, std::strerror(errno))};
    at += written;
    bytes -= static_cast<size_t>(written);
    offset += static_cast<uint64_t>(written);
  }
  return {};
}

Status SharedMemory::Read(void* to, size_t bytes, uint64_t offset) const {
  char* at = static_cast<char*>(to);
  while (bytes > 0) {
    const ssize_t got = ::pread(fd_, at, bytes, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return Error{ErrorCode::kUnavailable, fmt::format("read {} bytes of shared memory: it ends early", bytes)};
    at += got;
    bytes -= static_cast<size_t>(got);
    offset += static_cast<uint64_t>(got);
  }
  return {};
}

}  // namespace lathe
