// Whole files in and out, with errors that name the file.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "core/result.h"

namespace lathe {

Result<std::string> ReadFile(const std::filesystem::path& path);
// Writes beside the target and renames: a reader, or a crash, never sees half a file.
Status WriteFile(const std::filesystem::path& path, std::string_view content);

// A directory of our own that is removed with everything in it.
class TempDir {
 public:
  // Under $TMPDIR or /tmp, named "lathe-PURPOSE-XXXXXX".
  static Result<TempDir> Create(const std::string& purpose);
  TempDir(TempDir&& other) noexcept;
  TempDir& operator=(TempDir&& other) noexcept;
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir();

  const std::filesystem::path& path() const { return path_; }

 private:
  explicit TempDir(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path path_;
};

}  // namespace lathe
