// Every status a candidate can come to really occurs, says why, and leaves nothing behind.
#include <signal.h>
#include <sys/resource.h>

#include <fstream>

#include "fault_fixture.h"
#include "measure/cpu_set.h"
#include "measure/subprocess.h"

namespace lathe {
namespace {
namespace fs = std::filesystem;
using testing::Test;

// Processes whose command line is a worker's or whose directory is below ours, zombies aside.
std::vector<std::string> ProcessesLeft() {
  std::vector<std::string> left;
  std::error_code failure;
  for (const auto& entry : fs::directory_iterator("/proc", failure)) {
    std::error_code unreadable;
    const std::string cwd = fs::read_symlink(entry.path() / "cwd", unreadable).string();
    if (unreadable || cwd.rfind(SharedDir().string(), 0) != 0) continue;
    left.push_back(entry.path().filename().string() + " in " + cwd);
  }
  return left;
}

std::vector<std::string> FilesLeft(const Scratch& scratch) {
  std::vector<std::string> left;
  for (const auto& entry : fs::recursive_directory_iterator(scratch.path()))
    if (entry.path().filename() != "lock") left.push_back(entry.path());
  return left;
}

class Faults : public Test {
 protected:
  static void SetUpTestSuite() { shop_ = MakeShop().release(); }
  static void TearDownTestSuite() { delete shop_; }
  void TearDown() override {
    EXPECT_THAT(ProcessesLeft(), testing::IsEmpty());
    EXPECT_THAT(FilesLeft(shop_->scratch()), testing::IsEmpty());
  }

  Measurement Measure(const std::string& behaviour) { return shop_->Measure({1, FaultCandidate(behaviour), 0, false}); }
  static void Expect(const Measurement& measurement, MeasureStatus status, const std::string& message) {
    EXPECT_STREQ(ToString(measurement.status), ToString(status)) << measurement.message;
    EXPECT_THAT(measurement.message, testing::HasSubstr(message));
    EXPECT_TRUE(measurement.status == MeasureStatus::kOk || measurement.seconds.empty());
  }
  void ExpectStatus(const std::string& behaviour, MeasureStatus status, const std::string& message) {
    Expect(Measure(behaviour), status, message);
  }

  static Workshop* shop_;
};
Workshop* Faults::shop_ = nullptr;

TEST_F(Faults, AGoodCandidateIsTimedVerifiedAndDescribed) {
  const Measurement measurement = Measure("ok");
  Expect(measurement, MeasureStatus::kOk, "");
  EXPECT_GE(measurement.seconds.size(), 3U);
  EXPECT_LT(Seconds(measurement), 1e-3);
  EXPECT_GT(Seconds(measurement), 1e-8);
  EXPECT_LE(measurement.max_error, 1);
  EXPECT_GT(measurement.build_seconds, 0);
  EXPECT_GT(measurement.run_seconds, 0);
  EXPECT_GT(measurement.build_facts.at("code_bytes"), 0);
  EXPECT_EQ(measurement.build_facts.count("stack_bytes"), 1U);
  EXPECT_EQ(measurement.ticket, 1U);
  EXPECT_GT(measurement.finished_unix_ms, 1'600'000'000'000);
  EXPECT_GT(std::stoi(measurement.conditions.at("repeats")), 1);
  const Measurement again = Measure("ok");
  EXPECT_EQ(again.build_seconds, 0) << "the artifact was there already";
  EXPECT_EQ(again.build_facts, measurement.build_facts);
}

TEST_F(Faults, ARefusalIsAnInvalidConfig) { ExpectStatus("refuse", MeasureStatus::kInvalidConfig, "lathe_run returned 7"); }

TEST_F(Faults, AWrongElementIsNamedWithBothValues) {
  ExpectStatus("wrong_value", MeasureStatus::kWrongResult, "first run: output[1,0] is ");
  EXPECT_GT(Measure("wrong_value").max_error, 1);
}
TEST_F(Faults, ANanIsAWrongResult) { ExpectStatus("not_a_number", MeasureStatus::kWrongResult, "output[1,999] is nan"); }
TEST_F(Faults, AnElementNeverWrittenIsAWrongResult) { ExpectStatus("forgets_last", MeasureStatus::kWrongResult, "output[1,999]"); }
TEST_F(Faults, ResultsThatTurnWrongAreCaught) {
  ExpectStatus("wrong_later", MeasureStatus::kWrongResult, "right at first, wrong in the last run");
}
TEST_F(Faults, AKernelThatWorksOnlyOnceIsCaught) {
  ExpectStatus("works_once", MeasureStatus::kWrongResult, "right at first, wrong in the last run");
}

TEST_F(Faults, AWriteJustPastTheOutputIsAWrongResult) {
  ExpectStatus("write_after", MeasureStatus::kWrongResult, "outside tensor 'output', the first 0 bytes past its end");
}
TEST_F(Faults, AWriteJustBeforeTheOutputIsAWrongResult) {
  ExpectStatus("write_before", MeasureStatus::kWrongResult, "outside tensor 'output', the first 8 bytes before it");
}
TEST_F(Faults, AWritePastTheWorkspaceIsAWrongResult) {
  ExpectStatus("write_workspace_end", MeasureStatus::kWrongResult, "outside the 'workspace', the first 0 bytes past its end");
}
TEST_F(Faults, AWriteToAnInputIsAWrongResult) {
  ExpectStatus("write_input", MeasureStatus::kWrongResult, "wrote to byte 12 of 'input', which is read-only, in the first run");
}
TEST_F(Faults, AWriteToAPackedConstantIsAWrongResult) {
  ExpectStatus("write_packed", MeasureStatus::kWrongResult, "wrote to byte 12 of packed 'weight', which is read-only");
}
TEST_F(Faults, AWriteFarOutsideCrashesAndIsLocated) {
  ExpectStatus("write_far_after", MeasureStatus::kCrashed, "SIGSEGV in the first run");
}
TEST_F(Faults, AReadFarOutsideCrashes) { ExpectStatus("read_far_before", MeasureStatus::kCrashed, "SIGSEGV in the first run"); }

TEST_F(Faults, ASegmentationFaultIsNamed) { ExpectStatus("segfault", MeasureStatus::kCrashed, "SIGSEGV in the first run at address 0x10"); }
TEST_F(Faults, AStackOverflowIsNamed) { ExpectStatus("stack_overflow", MeasureStatus::kCrashed, "SIGSEGV"); }
TEST_F(Faults, AnAbortIsNamed) { ExpectStatus("abort", MeasureStatus::kCrashed, "SIGABRT in the first run"); }
TEST_F(Faults, AnExitIsACrashWhateverItsStatus) { ExpectStatus("exit_zero", MeasureStatus::kCrashed, "exit status 0 in the first run"); }
TEST_F(Faults, AnExceptionIsACrash) { ExpectStatus("throw", MeasureStatus::kCrashed, "exception"); }
TEST_F(Faults, AnExceptionInATaskIsACrash) { ExpectStatus("throw_in_task", MeasureStatus::kCrashed, ""); }
TEST_F(Faults, ACrashInPrepareIsNamed) { ExpectStatus("prepare_crash", MeasureStatus::kCrashed, "SIGSEGV in lathe_prepare"); }
TEST_F(Faults, ACrashWhileLoadingIsNamed) { ExpectStatus("crash_while_loading", MeasureStatus::kCrashed, "SIGABRT in loading it"); }

TEST_F(Faults, EatingMemoryIsACrash) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers need an address space without limit";
#endif
  const auto begin = std::chrono::steady_clock::now();
  ExpectStatus("exhaust_memory", MeasureStatus::kCrashed, "out of memory");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(6));
}

TEST_F(Faults, AnUnresolvedSymbolIsALaunchError) { ExpectStatus("missing_symbol", MeasureStatus::kLaunchError, "undefined symbol"); }

TEST_F(Faults, CompilerErrorsAreShown) { ExpectStatus("compile_error", MeasureStatus::kBuildError, "this candidate is not C++"); }

TEST_F(Faults, AnEndlessCompileTimesOut) {
  WorkshopOptions options = TestOptions();
  options.build.timeout = std::chrono::milliseconds(700);
  const auto shop = MakeShop(options);
  const Measurement measurement = shop->Measure({1, FaultCandidate("endless_compile"), 0, false});
  Expect(measurement, MeasureStatus::kBuildTimeout, "used up");
  EXPECT_GE(measurement.build_seconds, 0.7);
  EXPECT_LT(measurement.build_seconds, 5 * 0.7 + 3);
  EXPECT_THAT(FilesLeft(shop->scratch()), testing::IsEmpty());
}

TEST_F(Faults, AnEndlessLoopTimesOut) {
  WorkshopOptions options = TestOptions();
  options.run.timeout = std::chrono::milliseconds(500);
  const Measurement measurement = MakeShop(options)->Measure({1, FaultCandidate("endless_loop"), 0, false});
  Expect(measurement, MeasureStatus::kRunTimeout, "in the first run");
  EXPECT_LT(measurement.run_seconds, 1.5);
}

// More threads than a candidate was given: their CPU time is used up before the time by the clock is.
TEST_F(Faults, ThreadsThatSpinRunOutOfCpuTimeWhichIsATimeoutToo) {
  if (AvailableCpus().size() < 2) GTEST_SKIP() << "one CPU: the clock's limit comes first";
  WorkshopOptions options = TestOptions();
  options.threads = 1;
  options.pin = false;
  options.run.timeout = std::chrono::seconds(6);  // and seven of CPU time
  const auto used = [] {
    rusage usage{};
    ::getrusage(RUSAGE_CHILDREN, &usage);
    return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec);
  };
  const double before = used();
  const Measurement measurement = MakeShop(options)->Measure({1, FaultCandidate("spin_on_threads"), 0, false});
  EXPECT_STREQ(ToString(measurement.status), "run_timeout") << measurement.message;
  // Without the limit two CPUs would have given it twelve; its compiler takes one or two.
  if (measurement.run_seconds >= 6 && used() - before < 10) GTEST_SKIP() << "other work on this machine left it too little CPU time";
  Expect(measurement, MeasureStatus::kRunTimeout, "s of CPU time in the first run");
}

TEST_F(Faults, ProcessesFilesSocketsAndSignalsAreDenied) {
  if (Measure("ok").conditions.at("sandbox").find("system_call_filter") == std::string::npos)
    GTEST_SKIP() << "this kernel has no system call filter";
  ExpectStatus("fork_child", MeasureStatus::kOk, "");  // fork fails, the kernel does not care
  ExpectStatus("write_files", MeasureStatus::kCrashed, "SIGABRT");
  ExpectStatus("kill_parent", MeasureStatus::kInvalidConfig, "returned 10");
  ExpectStatus("open_socket", MeasureStatus::kInvalidConfig, "returned 11");
}

class FaultsUnconfined : public Faults {
 protected:
  static WorkshopOptions Options() {
    WorkshopOptions options = TestOptions();
    options.run.confine = false;
    options.run.file_bytes = 8 << 20;
    return options;
  }
};

TEST_F(FaultsUnconfined, ChildrenLeftBehindAreKilled) {
  const Measurement measurement = MakeShop(Options())->Measure({1, FaultCandidate("fork_child"), 0, false});
  Expect(measurement, MeasureStatus::kOk, "");
}

TEST_F(FaultsUnconfined, ADaemonThatLeftTheProcessGroupIsKilled) {
  const Measurement measurement = MakeShop(Options())->Measure({1, FaultCandidate("leave_daemon"), 0, false});
  Expect(measurement, MeasureStatus::kOk, "");
}

TEST_F(FaultsUnconfined, FilesAreLimitedAndRemoved) {
  const auto shop = MakeShop(Options());
  const Measurement measurement = shop->Measure({1, FaultCandidate("write_files"), 0, false});
  Expect(measurement, MeasureStatus::kCrashed, "SIGXFSZ");
  EXPECT_THAT(FilesLeft(shop->scratch()), testing::IsEmpty());
}

TEST_F(Faults, RootCanRunWorkersAsSomebodyElse) {
  if (::geteuid() != 0) GTEST_SKIP() << "not root";
  WorkshopOptions options = TestOptions();
  options.run.uid = options.run.gid = 65534;
  const Measurement measurement = MakeShop(options)->Measure({1, FaultCandidate("ok"), 0, false});
  Expect(measurement, MeasureStatus::kOk, "");
  EXPECT_THAT(measurement.conditions.at("sandbox"), testing::HasSubstr("other_user"));
}

TEST_F(Faults, AMissingWorkerProgramIsAnErrorThatNamesIt) {
  WorkshopOptions options = TestOptions();
  options.worker_program = "/nonexistent/lathe-worker";
  const auto shop = Workshop::Create(&FaultTemplates(), options);
  ASSERT_FALSE(shop);
  EXPECT_THAT(shop.error().message, testing::HasSubstr("/nonexistent/lathe-worker"));
}

TEST_F(Faults, SlowCandidatesAreCutEarlyAgainstTheBest) {
  const Measurement whole = Measure("slow");
  Expect(whole, MeasureStatus::kOk, "");
  EXPECT_FALSE(whole.cut_early);
  const Measurement cut = shop_->Measure({1, FaultCandidate("slow"), 1e-6, false});
  Expect(cut, MeasureStatus::kOk, "");
  EXPECT_TRUE(cut.cut_early);
  EXPECT_LT(cut.seconds.size(), whole.seconds.size());
  const Measurement finalist = shop_->Measure({1, FaultCandidate("ok"), 1e-12, true});
  EXPECT_FALSE(finalist.cut_early);
  EXPECT_GE(finalist.seconds.size(), 15U);
}

TEST_F(Faults, VerifyingOnlyTakesNoSamples) {
  WorkshopOptions options = TestOptions();
  options.verify_only = true;
  const auto shop = MakeShop(options);
  const Measurement good = shop->Measure({1, FaultCandidate("ok"), 0, false});
  Expect(good, MeasureStatus::kOk, "");
  EXPECT_TRUE(good.seconds.empty());
  Expect(shop->Measure({1, FaultCandidate("works_once"), 0, false}), MeasureStatus::kWrongResult, "wrong in the last run");
}

TEST_F(Faults, ReadsOutsideTensorsAreFoundWithTheAddressSanitizer) {
  WorkshopOptions options = TestOptions();
  UseAddressSanitizer(options);
  if (!std::filesystem::exists(options.worker_program)) GTEST_SKIP() << "built with another sanitizer";
  const auto shop = MakeShop(options);
  Expect(shop->Measure({1, FaultCandidate("ok"), 0, false}), MeasureStatus::kOk, "");
  Expect(shop->Measure({1, FaultCandidate("read_after"), 0, false}), MeasureStatus::kCrashed, "AddressSanitizer: use-after-poison");
  Expect(Measure("read_after"), MeasureStatus::kOk, "");
}

TEST_F(Faults, ColdCachesMakeALargeKernelSlower) {
  WorkshopOptions options = TestOptions();
  options.toolchain.flags[1] = "-O3";  // vectors wait for memory; one value at a time is slower than that
  const auto warm_shop = MakeShop(options);
  options.cold_cache = true;
  const auto cold_shop = MakeShop(options);
  const Candidate candidate = FaultCandidate("ok", 0, 20000);  // the second-level cache holds its tensors: others share the third
  // A neighbour may slow either side of one comparison, hardly the warm side of each.
  bool slower = false;
  for (int attempt = 0; attempt < 8 && !slower; ++attempt) {
    const Measurement warm = warm_shop->Measure({1, candidate, 0, false});
    const Measurement cold = cold_shop->Measure({1, candidate, 0, false});
    Expect(cold, MeasureStatus::kOk, "");
    EXPECT_EQ(cold.conditions.at("repeats"), "1");
    slower = Seconds(cold) > 1.1 * Seconds(warm);
  }
  EXPECT_TRUE(slower);
}

TEST_F(Faults, KernelThreadsShareTheTasks) {
  WorkshopOptions options = TestOptions();
  options.threads = 2;
  Expect(MakeShop(options)->Measure({1, FaultCandidate("threads"), 0, false}), MeasureStatus::kOk, "");
}

}  // namespace
}  // namespace lathe
