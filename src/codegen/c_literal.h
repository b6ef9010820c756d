// Text as a string literal that C and C++ read back byte for byte.
#pragma once

#include <string>

namespace lathe {

std::string CLiteral(const std::string& text);

}  // namespace lathe
