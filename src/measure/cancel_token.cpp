#include "measure/cancel_token.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>

namespace lathe {

CancelToken::CancelToken() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

CancelToken::~CancelToken() {
  if (fd_ >= 0) ::close(fd_);
}

void CancelToken::Cancel() {
  cancelled_.store(true, std::memory_order_release);
  const uint64_t one = 1;
  if (fd_ >= 0) [[maybe_unused]]
    const ssize_t ignored = ::write(fd_, &one, sizeof one);
}

}  // namespace lathe
