#include "measure/artifact_cache.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <unistd.h>
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <vector>

#include "core/file.h"

namespace lathe {
namespace fs = std::filesystem;
namespace {

uint64_t FileBytes(const fs::path& file) {
  std::error_code failure;
  const uint64_t bytes = fs::file_size(file, failure);
  return failure ? 0 : bytes;
}

}  // namespace

fs::path ArtifactCache::DefaultDirectory() {
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && *cache != 0) return fs::path(cache) / "lathe/artifacts";
  if (const char* home = std::getenv("HOME"); home != nullptr && *home != 0) return fs::path(home) / ".cache/lathe/artifacts";
  return {};
}

Result<ArtifactCache> ArtifactCache::Open(fs::path directory, uint64_t max_bytes) {
  std::error_code failure;
  fs::create_directories(directory, failure);
  if (failure) return Error{ErrorCode::kUnavailable, fmt::format("create artifact cache '{}': {}", directory.string(), failure.message())};
  ArtifactCache cache(std::move(directory), max_bytes);
  cache.CleanLocked();
  return cache;
}

ArtifactCache::ArtifactCache(ArtifactCache&& other) noexcept
    : directory_(std::move(other.directory_)), max_bytes_(other.max_bytes_), bytes_(other.bytes_) {}

std::optional<Artifact> ArtifactCache::Find(const std::string& key) {
  const fs::path path = directory_ / (key + ".so");
  if (::utimensat(AT_FDCWD, path.c_str(), nullptr, 0) != 0) return std::nullopt;
  Artifact artifact{path, key, {}};
  if (const Result<std::string> text = ReadFile(directory_ / (key + ".facts")); text) {
    const auto json = nlohmann::json::parse(*text, nullptr, false);
    if (json.is_object())
      for (const auto& [name, value] : json.items())
        if (value.is_number()) artifact.facts[name] = value.get<double>();
  }
  return artifact;
}

Result<Artifact> ArtifactCache::Add(const std::string& key, const fs::path& file, const std::map<std::string, double>& facts) {
  static std::atomic<unsigned> next{0};
  const fs::path path = directory_ / (key + ".so");
  const fs::path beside = directory_ / fmt::format("{}.{}-{}.new", key, ::getpid(), next.fetch_add(1));
  const auto failed = [&](const std::string& why) {
    std::error_code ignored;
    fs::remove(beside, ignored);
    return Error{ErrorCode::kUnavailable, fmt::format("add '{}' to the artifact cache: {}", path.string(), why)};
  };
  if (Status written = WriteFile(directory_ / (key + ".facts"), nlohmann::json(facts).dump()); !written)
    return failed(written.error().message);
  std::error_code failure;
  fs::rename(file, beside, failure);
  if (failure) {
    failure.clear();
    fs::copy_file(file, beside, fs::copy_options::overwrite_existing, failure);
  }
  if (failure) return failed(failure.message());
  const uint64_t bytes = FileBytes(beside);
  ::chmod(beside.c_str(), 0644);  // a worker may run as another user
  fs::rename(beside, path, failure);
  if (failure) return failed(failure.message());

  const std::lock_guard lock(mutex_);
  bytes_ += bytes;
  if (max_bytes_ > 0 && bytes_ > max_bytes_) CleanLocked();
  return Artifact{path, key, facts};
}

void ArtifactCache::CleanLocked() {
  struct Entry {
    fs::file_time_type used;
    uint64_t bytes;
    fs::path path;
  };
  std::vector<Entry> entries;
  std::error_code failure;
  bytes_ = 0;
  const auto now = fs::file_time_type::clock::now();
  for (const auto& entry : fs::directory_iterator(directory_, failure)) {
    std::error_code gone;
    const auto used = entry.last_write_time(gone);
    if (gone) continue;
    // What a killed process left half written.
    if (entry.path().extension() == ".new" || entry.path().extension() == ".tmp") {
      if (now - used > std::chrono::hours(1)) fs::remove(entry.path(), gone);
    } else if (entry.path().extension() == ".so") {
      entries.push_back({used, FileBytes(entry.path()), entry.path()});
      bytes_ += entries.back().bytes;
    }
  }
  if (max_bytes_ == 0 || bytes_ <= max_bytes_) return;
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.used < b.used; });
  // Down to four fifths, so that the next few additions need no look at the whole directory.
  for (const Entry& entry : entries) {
    if (bytes_ <= max_bytes_ / 5 * 4) break;
    std::error_code ignored;
    fs::remove(entry.path, ignored);
    fs::remove(fs::path(entry.path).replace_extension(".facts"), ignored);
    bytes_ -= std::min(bytes_, entry.bytes);
  }
}

}  // namespace lathe
