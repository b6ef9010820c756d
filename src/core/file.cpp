#include "core/file.h"

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <system_error>

#include "core/system_error.h"

namespace lathe {
namespace fs = std::filesystem;

Result<std::string> ReadFile(const fs::path& path) {
  std::error_code failure;
  if (fs::is_directory(path, failure)) return FileError("read", path, EISDIR);
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  if (!in) return FileError("read", path, errno);
  std::ostringstream content;
  content << in.rdbuf();
  if (in.bad()) return FileError("read", path, EIO);
  return std::move(content).str();
}

Status WriteFile(const fs::path& path, std::string_view content) {
  static std::atomic<unsigned> next{0};  // two threads may write the same file
  const fs::path beside = path.string() + fmt::format(".{}-{}.tmp", ::getpid(), next.fetch_add(1));
  errno = 0;
  {
    std::ofstream out(beside, std::ios::binary | std::ios::trunc);
    if (!out) return FileError("write", path, errno);
    out.write(content.data(), static_cast<std::streamsize>(content.size()));
    out.flush();
    if (!out) {
      const int number = errno;
      std::error_code ignored;
      fs::remove(beside, ignored);
      return FileError("write", path, number);
    }
  }
  std::error_code failure;
  fs::rename(beside, path, failure);
  if (failure) {
    std::error_code ignored;
    fs::remove(beside, ignored);
    return FileError("write", path, failure.value());
  }
  return {};
}

Result<TempDir> TempDir::Create(const std::string& purpose) {
  const char* root = std::getenv("TMPDIR");
  std::string name = fmt::format("{}/lathe-{}-XXXXXX", root != nullptr && *root != 0 ? root : "/tmp", purpose);
  if (::mkdtemp(name.data()) == nullptr) return FileError("create temporary directory", name, errno);
  return TempDir(fs::path(name));
}

TempDir::TempDir(TempDir&& other) noexcept : path_(std::exchange(other.path_, fs::path())) {}

TempDir& TempDir::operator=(TempDir&& other) noexcept {
  std::swap(path_, other.path_);
  return *this;
}

TempDir::~TempDir() {
  std::error_code ignored;
  if (!path_.empty()) fs::remove_all(path_, ignored);
}

}  // namespace lathe
