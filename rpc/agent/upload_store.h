// UploadStore: what clients have sent, by the SHA-256 of its content. A file is there whole or not at all; the hash is computed here. Names
// come from hashes only. When the directory outgrows its bound, what was not used for longest goes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "core/result.h"

namespace lathe {

class UploadStore {
 public:
  struct Limits {
    uint64_t file_bytes = uint64_t{64} << 20;
    uint64_t total_bytes = uint64_t{1} << 30;
    int at_once = 8;  // uploads under way
  };
  // Creates the directory; what an earlier process left half-written goes.
  static Result<std::unique_ptr<UploadStore>> Open(std::filesystem::path directory, Limits limits);

  const Limits& limits() const { return limits_; }
  static bool IsHash(const std::string& text);  // 64 lower-case hexadecimal digits
  // And marks it as used.
  std::optional<std::filesystem::path> Find(const std::string& sha256);

  // One file under way; given up when destroyed before Commit.
  class Upload {
   public:
    ~Upload();
    Upload(const Upload&) = delete;
    Upload& operator=(const Upload&) = delete;
    Status Append(std::string_view data);
    Status Commit();  // fails when size or hash are others than announced

   private:
    friend class UploadStore;
    struct State;
    explicit Upload(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
  };
  Result<std::unique_ptr<Upload>> Begin(const std::string& sha256, uint64_t bytes);

 private:
  UploadStore(std::filesystem::path directory, Limits limits) : directory_(std::move(directory)), limits_(limits) {}
  void MakeRoom(uint64_t bytes);

  std::filesystem::path directory_;
  Limits limits_;
  std::mutex mutex_;
  uint64_t next_ = 0;
  int under_way_ = 0;
};

}  // namespace lathe
