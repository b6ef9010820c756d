#include "measure/worker/guarded_buffer.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "measure/worker_protocol.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace lathe::worker {
namespace {

constexpr unsigned char kGuard = 0xC5;
constexpr size_t kNoMansLand = 256 * 1024;  // on either side; address space only

size_t PageBytes() {
  static const size_t bytes = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  return bytes;
}
size_t RoundUp(size_t value, size_t to) { return (value + to - 1) / to * to; }

}  // namespace

bool GuardedBuffer::Reserve(size_t pages_bytes) {
  void* all = ::mmap(nullptr, pages_bytes + 2 * kNoMansLand, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (all == MAP_FAILED) return false;
  base_ = static_cast<unsigned char*>(all) + kNoMansLand;
  end_ = base_ + pages_bytes;
  return true;
}

void GuardedBuffer::WriteGuards() {
  std::memset(base_, kGuard, static_cast<size_t>(data_ - base_));
  std::memset(data_ + bytes_, kGuard, static_cast<size_t>(end_ - data_) - bytes_);
#if defined(__SANITIZE_ADDRESS__)
  // A candidate built with the address sanitizer is then told about reads, too.
  __asan_poison_memory_region(base_, static_cast<size_t>(data_ - base_));
  __asan_poison_memory_region(data_ + bytes_, static_cast<size_t>(end_ - data_) - bytes_);
#endif
}

bool GuardedBuffer::Allocate(size_t bytes, unsigned place) {
  const size_t lead = kGuardBytes + kAlignment * ((place * 21) % 48);
  const size_t pages = RoundUp(lead + bytes + kGuardBytes, PageBytes());
  if (pages < bytes || !Reserve(pages)) return false;
  if (::mprotect(base_, pages, PROT_READ | PROT_WRITE) != 0) return false;
  data_ = base_ + lead;
  bytes_ = bytes;
  WriteGuards();
  return true;
}

bool GuardedBuffer::MapReadOnly(int fd, uint64_t offset, size_t bytes) {
  const size_t lead = static_cast<size_t>(offset % kPage);
  const size_t pages = RoundUp(lead + bytes + kGuardBytes, kPage);
  if (pages < bytes || !Reserve(RoundUp(pages, PageBytes()))) return false;
  data_ = base_ + lead;
  bytes_ = bytes;
  const uint64_t start = offset - lead;
  if (start % PageBytes() == 0) {
    if (::mmap(base_, pages, PROT_READ, MAP_PRIVATE | MAP_FIXED | MAP_POPULATE, fd, static_cast<off_t>(start)) == MAP_FAILED) return false;
  } else {
    if (::mprotect(base_, static_cast<size_t>(end_ - base_), PROT_READ | PROT_WRITE) != 0) return false;
    for (size_t done = 0; done < bytes;) {
      const ssize_t got = ::pread(fd, data_ + done, bytes - done, static_cast<off_t>(offset + done));
      if (got <= 0) return false;
      done += static_cast<size_t>(got);
    }
    if (::mprotect(base_, static_cast<size_t>(end_ - base_), PROT_READ) != 0) return false;
  }
#if defined(__SANITIZE_ADDRESS__)
  __asan_poison_memory_region(base_, lead);
  __asan_poison_memory_region(data_ + bytes_, static_cast<size_t>(end_ - data_) - bytes_);
#endif
  write_protected_ = true;
  return true;
}

void GuardedBuffer::Protect() {
  if (base_ != nullptr && ::mprotect(base_, static_cast<size_t>(end_ - base_), PROT_READ) == 0) write_protected_ = true;
}

void GuardedBuffer::Fill(unsigned char pattern) {
  if (bytes_ > 0) std::memset(data_, pattern, bytes_);
}

#if defined(__SANITIZE_ADDRESS__)
__attribute__((no_sanitize_address))
#endif
size_t
GuardedBuffer::BrokenGuardBytes(int64_t* first) const {
  size_t broken = 0;
  if (base_ == nullptr || write_protected_) return 0;
  for (const unsigned char* at = base_; at < end_; ++at) {
    if (at == data_) at += bytes_;
    if (at >= end_) break;
    if (*at != kGuard && broken++ == 0) *first = at - data_;
  }
  return broken;
}

bool GuardedBuffer::Covers(const void* address, int64_t* offset) const {
  if (base_ == nullptr) return false;
  const auto* at = static_cast<const unsigned char*>(address);
  if (at < base_ - kNoMansLand || at >= end_ + kNoMansLand) return false;
  *offset = at - data_;
  return true;
}

}  // namespace lathe::worker
