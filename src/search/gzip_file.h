// Reading gzip files whole, through zlib; a file that is not compressed reads as it is.
#pragma once

#include <filesystem>
#include <string>

#include "core/result.h"

namespace lathe {

Result<std::string> ReadGzipFile(const std::filesystem::path& path);

}  // namespace lathe
