// CancelToken: one flag that stops whatever waits on it, from any thread, once.
#pragma once

#include <atomic>

namespace lathe {

class CancelToken {
 public:
  CancelToken();
  ~CancelToken();
  CancelToken(const CancelToken&) = delete;
  CancelToken& operator=(const CancelToken&) = delete;

  void Cancel();
  bool cancelled() const { return cancelled_.load(std::memory_order_acquire); }
  int fd() const { return fd_; }  // readable once cancelled; -1 where the system had no descriptor left

 private:
  std::atomic<bool> cancelled_{false};
  int fd_;
};

}  // namespace lathe
