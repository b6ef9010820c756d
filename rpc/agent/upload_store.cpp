#include "rpc/agent/upload_store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "measure/descriptor.h"

namespace lathe {
namespace fs = std::filesystem;
namespace {

constexpr const char* kHalf = ".part";

struct Digest {
  EVP_MD_CTX* context = ::EVP_MD_CTX_new();
  Digest() { ::EVP_DigestInit_ex(context, ::EVP_sha256(), nullptr); }
  ~Digest() { ::EVP_MD_CTX_free(context); }
  Digest(const Digest&) = delete;
  Digest& operator=(const Digest&) = delete;
  std::string Hex() {
    unsigned char bytes[32];
    ::EVP_DigestFinal_ex(context, bytes, nullptr);
    std::string text;
    for (const unsigned char byte : bytes) text += fmt::format("{:02x}", byte);
    return text;
  }
};

Error Failed(const char* doing, const fs::path& path) {
  const ErrorCode code = errno == ENOSPC || errno == EDQUOT ? ErrorCode::kResourceExhausted : ErrorCode::kUnavailable;
  return {code, fmt::format("{} '{}': {}", doing, path.string(), std::strerror(errno))};
}

}  // namespace

struct UploadStore::Upload::State {
  UploadStore* store = nullptr;
  std::string sha256;
  uint64_t bytes = 0, written = 0;
  fs::path half;
  Descriptor file;
  Digest digest;
};

UploadStore::Upload::Upload(std::unique_ptr<State> state) : state_(std::move(state)) {}

UploadStore::Upload::~Upload() {
  std::error_code ignored;
  if (!state_->half.empty()) fs::remove(state_->half, ignored);
  const std::lock_guard lock(state_->store->mutex_);
  --state_->store->under_way_;
}

Status UploadStore::Upload::Append(std::string_view data) {
  if (data.size() > state_->bytes - state_->written)
    return Error{ErrorCode::kInvalidInput, fmt::format("upload {}: more came than the {} bytes announced", state_->sha256, state_->bytes)};
  ::EVP_DigestUpdate(state_->digest.context, data.data(), data.size());
  state_->written += data.size();
  while (!data.empty()) {
    const ssize_t written = ::write(state_->file.get(), data.data(), data.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return Failed("write", state_->half);
    data.remove_prefix(static_cast<size_t>(written));
  }
  return {};
}

Status UploadStore::Upload::Commit() {
  if (state_->written != state_->bytes)
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("upload {}: {} bytes came, {} were announced", state_->sha256, state_->written, state_->bytes)};
  if (const std::string actual = state_->digest.Hex(); actual != state_->sha256)
    return Error{ErrorCode::kInvalidInput, fmt::format("upload {}: what came has the SHA-256 {}", state_->sha256, actual)};
  const fs::path whole = state_->store->directory_ / state_->sha256;
  if (::rename(state_->half.c_str(), whole.c_str()) != 0) return Failed("rename", state_->half);
  state_->half.clear();
  return {};
}

Result<std::unique_ptr<UploadStore>> UploadStore::Open(fs::path directory, Limits limits) {
  std::error_code failure;
  fs::create_directories(directory, failure);
  if (failure)
    return Error{ErrorCode::kUnavailable, fmt::format("create the directory for uploads '{}': {}", directory.string(), failure.message())};
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(directory, failure))
    if (entry.path().extension() == kHalf) fs::remove(entry.path(), ignored);
  return std::unique_ptr<UploadStore>(new UploadStore(std::move(directory), limits));
}

bool UploadStore::IsHash(const std::string& text) {
  return text.size() == 64 &&
         std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

std::optional<fs::path> UploadStore::Find(const std::string& sha256) {
  if (!IsHash(sha256)) return std::nullopt;
  fs::path path = directory_ / sha256;
  if (::utimensat(AT_FDCWD, path.c_str(), nullptr, 0) != 0) return std::nullopt;
  return path;
}

void UploadStore::MakeRoom(uint64_t bytes) {
  struct Entry {
    fs::path path;
    uint64_t bytes;
    timespec used;
  };
  std::vector<Entry> entries;
  uint64_t total = 0;
  std::error_code failure;
  for (const auto& entry : fs::directory_iterator(directory_, failure)) {
    struct stat facts = {};
    if (entry.path().extension() == kHalf || ::lstat(entry.path().c_str(), &facts) != 0) continue;
    entries.push_back({entry.path(), static_cast<uint64_t>(facts.st_size), facts.st_mtim});
    total += entries.back().bytes;
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return a.used.tv_sec != b.used.tv_sec ? a.used.tv_sec < b.used.tv_sec : a.used.tv_nsec < b.used.tv_nsec;
  });
  for (const Entry& entry : entries) {
    if (total + bytes <= limits_.total_bytes) return;
    fs::remove(entry.path, failure);
    total -= entry.bytes;
  }
}

Result<std::unique_ptr<UploadStore::Upload>> UploadStore::Begin(const std::string& sha256, uint64_t bytes) {
  if (!IsHash(sha256)) return Error{ErrorCode::kInvalidInput, "upload: the name is no SHA-256 of 64 hexadecimal digits"};
  if (bytes > limits_.file_bytes || bytes > limits_.total_bytes)
    return Error{ErrorCode::kResourceExhausted, fmt::format("upload {}: {} bytes; this board takes {}", sha256, bytes, limits_.file_bytes)};
  const std::lock_guard lock(mutex_);
  if (under_way_ >= limits_.at_once)
    return Error{ErrorCode::kResourceExhausted, fmt::format("upload {}: {} uploads are under way already", sha256, under_way_)};
  MakeRoom(bytes);
  auto state = std::make_unique<Upload::State>();
  state->store = this;
  state->sha256 = sha256;
  state->bytes = bytes;
  state->half = directory_ / fmt::format("{}-{}{}", sha256, next_++, kHalf);
  state->file = Descriptor(::open(state->half.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (state->file.get() < 0) return Failed("create", state->half);
  ++under_way_;
  return std::unique_ptr<Upload>(new Upload(std::move(state)));
}

}  // namespace lathe
