// ClockLock: a CUDA device's clock kept at one frequency while this lives, so that measurements minutes apart can be compared. A process of
// the worker's does it (worker/clock_locker.h), and gives the clock back when this ends, or this program does, however it does.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <string>

#include "core/result.h"
#include "measure/descriptor.h"

namespace lathe {

class ClockLock {
 public:
  // `clock`: MHz, or "max". Where the driver refuses (who is not root may not, or it has no such clock), there is a lock that holds nothing
  // and says why in `refusal`. Fails for a device that does not exist.
  // A driver that does not answer within `patience` (those of large machines take their time to start) is left to the process, which gives
  // back at once what it still gets. `notice` is told of a clock that could not be given back; what it refers to outlives the lock.
  using Notice = std::function<void(const std::string&)>;
  static Result<ClockLock> Take(const std::filesystem::path& worker_program, size_t device, const std::string& clock,
                                Notice notice = nullptr, std::chrono::milliseconds patience = std::chrono::minutes(1));

  ClockLock(ClockLock&& other) noexcept;
  ClockLock& operator=(ClockLock&&) = delete;
  ~ClockLock();

  bool locked() const { return process_ > 0; }
  const std::string& mhz() const { return mhz_; }          // "1300"; empty where it is not locked
  const std::string& refusal() const { return refusal_; }  // "Insufficient Permissions (4)"; empty where it is locked
  std::string state() const { return locked() ? mhz_ : "refused: " + refusal_; }  // for conditions and logs

 private:
  ClockLock() = default;
  void Release();
  void Leave();  // to end by itself

  pid_t process_ = 0;
  Descriptor input_;   // its standard input: what ends with us
  Descriptor output_;  // where it says what came of giving the clock back
  std::string mhz_, refusal_;
  Notice notice_;
};

// "max", or a whole number of MHz, as it was given.
Result<std::string> ParseClock(const std::string& text);

// Whether clocks can be locked on this machine at all. On a Tegra (Jetson) they cannot; the error says what to do there.
Status CanLockClocks(const std::filesystem::path& sysfs_root);

}  // namespace lathe
