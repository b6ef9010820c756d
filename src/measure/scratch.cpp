#include "measure/scratch.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace lathe {
namespace fs = std::filesystem;
namespace {

constexpr const char* kPrefix = "lathe-measure-";
constexpr const char* kLock = "lock";

// One whose lock can be had belongs to nobody. Between making a directory and locking it lies an instant, hence the minute of grace.
void RemoveAbandoned(const fs::path& root) {
  std::error_code failure;
  for (const auto& entry : fs::directory_iterator(root, failure)) {
    if (entry.path().filename().string().rfind(kPrefix, 0) != 0) continue;
    struct stat facts = {};
    if (::lstat(entry.path().c_str(), &facts) != 0 || !S_ISDIR(facts.st_mode) || facts.st_uid != ::geteuid()) continue;
    const int fd = ::open((entry.path() / kLock).c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    const bool abandoned = fd >= 0 ? ::flock(fd, LOCK_EX | LOCK_NB) == 0 : facts.st_mtime + 60 < ::time(nullptr);
    std::error_code ignored;
    if (abandoned) fs::remove_all(entry.path(), ignored);
    if (fd >= 0) ::close(fd);
  }
}

}  // namespace

ScratchDir::ScratchDir(ScratchDir&& other) noexcept : path_(std::exchange(other.path_, fs::path())) {}

ScratchDir::~ScratchDir() {
  std::error_code ignored;
  if (!path_.empty()) fs::remove_all(path_, ignored);
}

Result<Scratch> Scratch::Create(fs::path root) {
  if (root.empty()) {
    const char* given = std::getenv("TMPDIR");
    root = given != nullptr && *given != 0 ? given : "/tmp";
  }
  RemoveAbandoned(root);
  std::string name = (root / (std::string(kPrefix) + "XXXXXX")).string();
  const auto failed = [&](const char* doing) {
    const ErrorCode code = errno == ENOSPC || errno == EDQUOT ? ErrorCode::kResourceExhausted : ErrorCode::kUnavailable;
    return Error{code, fmt::format("{} '{}': {}", doing, name, std::strerror(errno))};
  };
  if (::mkdtemp(name.data()) == nullptr) return failed("create scratch directory");
  // Workers may run as another user and must get through to their own directory.
  ::chmod(name.c_str(), 0711);
  const int fd = ::open((fs::path(name) / kLock).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0 || ::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    const Error error = failed("lock scratch directory");
    if (fd >= 0) ::close(fd);
    std::error_code ignored;
    fs::remove_all(name, ignored);
    return error;
  }
  return Scratch(name, fd);
}

Scratch::Scratch(Scratch&& other) noexcept
    : path_(std::exchange(other.path_, fs::path())), lock_fd_(std::exchange(other.lock_fd_, -1)), next_(other.next_.load()) {}

Scratch::~Scratch() {
  std::error_code ignored;
  if (!path_.empty()) fs::remove_all(path_, ignored);
  if (lock_fd_ >= 0) ::close(lock_fd_);
}

Result<ScratchDir> Scratch::NewDir(const std::string& purpose) const {
  const fs::path path = path_ / fmt::format("{}-{}", purpose, next_.fetch_add(1));
  if (::mkdir(path.c_str(), 0700) != 0) {
    const ErrorCode code = errno == ENOSPC || errno == EDQUOT ? ErrorCode::kResourceExhausted : ErrorCode::kUnavailable;
    return Error{code, fmt::format("create '{}': {}", path.string(), std::strerror(errno))};
  }
  return ScratchDir(path);
}

}  // namespace lathe
