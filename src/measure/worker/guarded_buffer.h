// GuardedBuffer: memory for one tensor between zones that are watched.
//
//     inaccessible pages | guard zone | data, 64-byte aligned | guard zone | inaccessible pages
//
// A store into a guard zone is found by comparing afterwards, one further out stops at once with a fault. Tensors start at different places
// within their pages, so that kernels do not all meet the same accidental cache-set conflicts that equal addresses modulo 4096 bring.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lathe::worker {

class GuardedBuffer {
 public:
  GuardedBuffer() = default;
  GuardedBuffer(const GuardedBuffer&) = delete;
  GuardedBuffer& operator=(const GuardedBuffer&) = delete;

  // Anonymous memory, writable. `place` staggers the start within the page. False: out of memory.
  bool Allocate(size_t bytes, unsigned place);
  // Read-only pages of `fd`, the data at `offset` there. A candidate's store to them is a fault.
  bool MapReadOnly(int fd, uint64_t offset, size_t bytes);
  void Protect();  // read-only from here on

  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  bool write_protected() const { return write_protected_; }
  void Fill(unsigned char pattern);

  // How many guard bytes were overwritten, and where the first of them lies relative to data() (negative: before it).
  size_t BrokenGuardBytes(int64_t* first) const;
  // Whether `address` lies in this buffer's pages, the inaccessible ones included; its distance from data() in `*offset`.
  bool Covers(const void* address, int64_t* offset) const;
  // The same without the inaccessible ones.
  bool InPages(const void* address) const { return address >= base_ && address < end_; }

 private:
  bool Reserve(size_t pages_bytes);
  void WriteGuards();

  unsigned char *base_ = nullptr, *data_ = nullptr, *end_ = nullptr;  // base_ .. end_: the accessible pages
  size_t bytes_ = 0;
  bool write_protected_ = false;
};

}  // namespace lathe::worker
