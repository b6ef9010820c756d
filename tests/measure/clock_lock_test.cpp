// The GPU's clock, kept and given back, by a management library of our own making.
#include "measure/clock_lock.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "fake_cuda_fixture.h"

namespace lathe {
namespace {

class LockedClock : public FakeCuda {};

TEST_F(LockedClock, LastsWhileItIsMeasuredAndIsGivenBack) {
  ::setenv("LATHE_NVML", LATHE_FAKE_CUDA_DRIVER, 1);
  WorkshopOptions options = Options();
  for (const auto& [clock, mhz] : {std::pair("max", "1300"), {"612", "612"}}) {
    options.lock_clocks = clock;
    std::error_code ignored;
    std::filesystem::remove(dir_->path() / "log", ignored);
    const Measurement measurement = Measure(16, options);
    ASSERT_STREQ(ToString(measurement.status), "ok") << measurement.message;
    EXPECT_EQ(measurement.conditions.at("gpu_clock_lock"), mhz);
    const std::string log = Log(), lock = std::string("nvmlDeviceSetGpuLockedClocks ") + mhz + ' ' + mhz + '\n';
    const size_t locked = log.find(lock), first_launch = log.find("cuLaunchKernel"), last_launch = log.rfind("cuLaunchKernel");
    const size_t reset = log.find("nvmlDeviceResetGpuLockedClocks");
    ASSERT_NE(locked, std::string::npos) << log;
    ASSERT_NE(reset, std::string::npos) << log;
    EXPECT_LT(locked, first_launch);
    EXPECT_LT(last_launch, reset) << "the lock lasts as long as the workshop";
    EXPECT_EQ(reset, log.rfind("nvmlDeviceResetGpuLockedClocks"));
  }
}

TEST_F(LockedClock, IsNoneWhereThatIsNotAllowedAndTheMeasurementSaysSo) {
  WorkshopOptions options = Options();
  options.lock_clocks = "max";
  ::setenv("LATHE_NVML", LATHE_FAKE_CUDA_DRIVER, 1);
  ::setenv("LATHE_FAKE_CUDA_FAIL", "nvmlDeviceSetGpuLockedClocks=4", 1);
  const Measurement denied = Measure(16, options);
  EXPECT_STREQ(ToString(denied.status), "ok") << denied.message;
  EXPECT_EQ(denied.conditions.at("gpu_clock_lock"), "refused: Insufficient Permissions (4)");
  EXPECT_THAT(Log(), testing::Not(testing::HasSubstr("nvmlDeviceResetGpuLockedClocks"))) << "somebody else's lock is not ours to take away";
  ::setenv("LATHE_NVML", "none.so", 1);
  const Measurement without = Measure(16, options);
  EXPECT_STREQ(ToString(without.status), "ok") << without.message;
  EXPECT_THAT(without.conditions.at("gpu_clock_lock"), testing::HasSubstr("none.so"));
}

TEST_F(LockedClock, IsGivenBackWhoeverIsKilled) {
  ::setenv("LATHE_NVML", LATHE_FAKE_CUDA_DRIVER, 1);
  for (const bool by_force : {true, false}) {
    std::error_code ignored;
    std::filesystem::remove(dir_->path() / "log", ignored);
    const pid_t tuner = ::fork();
    if (tuner == 0) {
      const Result<ClockLock> lock = ClockLock::Take(TestOptions().worker_program, 0, "max");
      if (lock && lock->locked()) ::pause();
      ::_exit(1);
    }
    EXPECT_TRUE(LogComesToHave("nvmlDeviceSetGpuLockedClocks"));
    ::kill(tuner, by_force ? SIGKILL : SIGTERM);
    int status = 0;
    ::waitpid(tuner, &status, 0);
    EXPECT_TRUE(WIFSIGNALED(status));
    EXPECT_TRUE(LogComesToHave("nvmlDeviceResetGpuLockedClocks"));
  }
}

// What is killed could not give back what the driver may do later.
TEST_F(LockedClock, IsUndoneWhereTheDriverAnswersTooLate) {
  ::setenv("LATHE_NVML", LATHE_FAKE_CUDA_DRIVER, 1);
  ::setenv("LATHE_FAKE_CUDA_SLEEP", "nvmlDeviceSetGpuLockedClocks=1000", 1);
  const auto take = [](std::chrono::milliseconds patience) {
    return ClockLock::Take(TestOptions().worker_program, 0, "max", nullptr, patience);
  };
  {
    const Result<ClockLock> late = take(std::chrono::milliseconds(50));
    ASSERT_TRUE(late) << late.error().message;
    EXPECT_FALSE(late->locked());
    EXPECT_EQ(late->state(), "refused: " + late->refusal());
    EXPECT_THAT(late->state(), testing::HasSubstr("the driver did not answer"));
  }
  EXPECT_TRUE(LogComesToHave("nvmlDeviceSetGpuLockedClocks"));
  EXPECT_TRUE(LogComesToHave("nvmlDeviceResetGpuLockedClocks"));
  ::unsetenv("LATHE_FAKE_CUDA_SLEEP");
  // The next one reaps it.
  const auto children_are_left = [] {
    siginfo_t info;
    return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
  };
  EXPECT_TRUE(children_are_left());
  for (int i = 0; i < 100 && children_are_left(); ++i) EXPECT_TRUE(take(std::chrono::minutes(1)));
  EXPECT_FALSE(children_are_left());
}

TEST_F(LockedClock, SaysSoWhereTheDriverDoesNotTakeItBack) {
  ::setenv("LATHE_NVML", LATHE_FAKE_CUDA_DRIVER, 1);
  ::setenv("LATHE_FAKE_CUDA_FAIL", "nvmlDeviceResetGpuLockedClocks=999", 1);
  std::string told;
  {
    const Result<ClockLock> lock = ClockLock::Take(TestOptions().worker_program, 0, "max", [&](const std::string& text) { told = text; });
    ASSERT_TRUE(lock) << lock.error().message;
    EXPECT_TRUE(lock->locked());
    EXPECT_EQ(lock->mhz(), "1300");
    EXPECT_EQ(lock->state(), "1300");
    EXPECT_EQ(told, "");
  }
  EXPECT_THAT(told, testing::AllOf(testing::HasSubstr("Some Error (999)"), testing::HasSubstr("--reset-gpu-clocks")));
}

TEST(ClockLock, IsRefusedOnATegraWithWhatToDoInstead) {
  Result<TempDir> root = TempDir::Create("tegra");
  ASSERT_TRUE(root);
  EXPECT_TRUE(CanLockClocks(root->path()));
  std::filesystem::create_directories(root->path() / "proc/device-tree");
  ASSERT_TRUE(WriteFile(root->path() / "proc/device-tree/compatible", std::string("nvidia,p3701-0000\0nvidia,tegra234\0", 35)));
  const Status refused = CanLockClocks(root->path());
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, testing::HasSubstr("sudo jetson_clocks"));
}

TEST(ClockLock, TakesMegahertzOrMax) {
  for (const char* clock : {"max", "1300", "1"}) EXPECT_TRUE(ParseClock(clock)) << clock;
  for (const char* clock : {"", "0", "-5", "1.3GHz", "1300 ", "min"}) EXPECT_FALSE(ParseClock(clock)) << clock;
}

}  // namespace
}  // namespace lathe
