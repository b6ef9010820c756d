// Content addresses: SHA-256, as OpenSSL computes it.
#pragma once

#include <string>
#include <string_view>

namespace lathe {

std::string Sha256(std::string_view content);     // 64 hexadecimal digits
std::string ShortHash(std::string_view content);  // the first 16 of them: enough to tell versions apart

}  // namespace lathe
