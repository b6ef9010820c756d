#include "core/system_error.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>

namespace lathe {

ErrorCode CodeOfErrno(int number) {
  switch (number) {
    case ENOENT:
      return ErrorCode::kNotFound;
    case ENOSPC:
    case EDQUOT:
      return ErrorCode::kResourceExhausted;
    default:
      return ErrorCode::kUnavailable;
  }
}

Error FileError(std::string_view doing, const std::filesystem::path& path, int number) {
  return {CodeOfErrno(number), fmt::format("{} '{}': {}", doing, path.string(), std::strerror(number != 0 ? number : EIO))};
}

}  // namespace lathe
