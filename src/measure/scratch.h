// Scratch: the one directory under which everything temporary of a measuring process lies. It is locked while its owner lives, so that the
// next one to start recognises, and removes, what a killed one left behind.
#pragma once

#include <atomic>
#include <filesystem>
#include <string>

#include "core/result.h"

namespace lathe {

// A directory inside a Scratch; removed with all it holds.
class ScratchDir {
 public:
  explicit ScratchDir(std::filesystem::path path) : path_(std::move(path)) {}
  ScratchDir(ScratchDir&& other) noexcept;
  ScratchDir& operator=(ScratchDir&&) = delete;
  ~ScratchDir();
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

class Scratch {
 public:
  // Under `root`, or $TMPDIR or /tmp when empty. Removes abandoned ones beside it.
  static Result<Scratch> Create(std::filesystem::path root = {});
  Scratch(Scratch&& other) noexcept;
  Scratch& operator=(Scratch&&) = delete;
  ~Scratch();

  const std::filesystem::path& path() const { return path_; }
  // Thread-safe.
  Result<ScratchDir> NewDir(const std::string& purpose) const;

 private:
  Scratch(std::filesystem::path path, int lock_fd) : path_(std::move(path)), lock_fd_(lock_fd) {}
  std::filesystem::path path_;
  int lock_fd_ = -1;
  mutable std::atomic<unsigned> next_{0};
};

}  // namespace lathe
