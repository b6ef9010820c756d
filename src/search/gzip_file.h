// Reading and writing gzip files whole, through zlib; a file that is not compressed reads as it is.
#pragma once

#include <filesystem>
#include <string>

#include "core/result.h"

namespace lathe {

Result<std::string> ReadGzipFile(const std::filesystem::path& path);
// No time stamp inside: the same content gives the same bytes.
Status WriteGzipFile(const std::filesystem::path& path, const std::string& content);

}  // namespace lathe
