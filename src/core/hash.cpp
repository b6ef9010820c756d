#include "core/hash.h"

#include <fmt/format.h>
#include <openssl/sha.h>

namespace lathe {

std::string Sha256(std::string_view content) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(content.data()), content.size(), digest);
  std::string text;
  for (const unsigned char byte : digest) text += fmt::format("{:02x}", byte);
  return text;
}

std::string ShortHash(std::string_view content) { return Sha256(content).substr(0, 16); }

}  // namespace lathe
