// What the system said through errno, as an error.
#pragma once

#include <filesystem>
#include <string_view>

#include "core/result.h"

namespace lathe {

// What is not there is kNotFound, a full disk or quota kResourceExhausted, all else kUnavailable.
ErrorCode CodeOfErrno(int number);

// "DOING 'PATH': Permission denied". An errno of 0, where a stream failed without one, counts as an input/output error.
Error FileError(std::string_view doing, const std::filesystem::path& path, int number);

}  // namespace lathe
