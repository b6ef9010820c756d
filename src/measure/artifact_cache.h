// ArtifactCache: built files by what they were built from. One directory, shared by any number of threads and processes.
//
// An entry is KEY.so with its facts in KEY.facts, both written beside and renamed, facts first: who sees the .so sees a whole one. Reading
// an entry touches its time; when the directory outgrows its bound, the entries not used for longest go. Whoever has an entry open keeps
// it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "core/result.h"

namespace lathe {

struct Artifact {
  std::filesystem::path path;
  std::string key;                      // content address of what it was built from
  std::map<std::string, double> facts;  // code_bytes, stack_bytes
};

class ArtifactCache {
 public:
  // Creates the directory. `max_bytes` == 0: unbounded.
  static Result<ArtifactCache> Open(std::filesystem::path directory, uint64_t max_bytes);
  // $XDG_CACHE_HOME/lathe/artifacts, or ~/.cache/lathe/artifacts; empty when there is no home.
  static std::filesystem::path DefaultDirectory();
  ArtifactCache(ArtifactCache&& other) noexcept;

  std::optional<Artifact> Find(const std::string& key);
  // Moves `file` in (it may lie on another file system). The key's entry may exist already: the same content, so either will do.
  Result<Artifact> Add(const std::string& key, const std::filesystem::path& file, const std::map<std::string, double>& facts);
  const std::filesystem::path& directory() const { return directory_; }

 private:
  ArtifactCache(std::filesystem::path directory, uint64_t max_bytes) : directory_(std::move(directory)), max_bytes_(max_bytes) {}
  void CleanLocked();

  std::filesystem::path directory_;
  uint64_t max_bytes_;
  std::mutex mutex_;
  uint64_t bytes_ = 0;  // as this process knows it; counted again when cleaning
};

}  // namespace lathe
