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

}  // namespace lathe
