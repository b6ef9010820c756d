#include "search/gzip_file.h"

#include <fmt/format.h>
#include <zlib.h>

#include <array>
#include <memory>

namespace lathe {

Result<std::string> ReadGzipFile(const std::filesystem::path& path) {
  const std::unique_ptr<gzFile_s, decltype(&gzclose)> file(gzopen(path.c_str(), "rb"), &gzclose);
  if (!file) return Error{ErrorCode::kNotFound, fmt::format("read '{}': cannot open it", path.string())};
  std::string content;
  std::array<char, 1 << 16> buffer;
  for (;;) {
    const int got = gzread(file.get(), buffer.data(), static_cast<unsigned>(buffer.size()));
    if (got < 0) {
      int code = 0;
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("read '{}': not a whole gzip file ({})", path.string(), gzerror(file.get(), &code))};
    }
    if (got == 0) return content;
    content.append(buffer.data(), static_cast<size_t>(got));
  }
}

Status WriteGzipFile(const std::filesystem::path& path, const std::string& content) {
  gzFile file = gzopen(path.c_str(), "wb9");
  if (file == nullptr) return Error{ErrorCode::kUnavailable, fmt::format("write '{}': cannot open it", path.string())};
  const bool empty = content.empty();
  const bool whole = empty || gzwrite(file, content.data(), static_cast<unsigned>(content.size())) == static_cast<int>(content.size());
  const bool closed = gzclose(file) == Z_OK;
  if (whole && closed) return {};
  return Error{ErrorCode::kResourceExhausted, fmt::format("write '{}': the disk would not take all of it", path.string())};
}

}  // namespace lathe
