#include "measure/subprocess.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <thread>

#include "core/file.h"
#include "measure/descriptor.h"
#include "measure/scratch.h"
#include "measure/shared_memory.h"

namespace lathe {
namespace {
namespace fs = std::filesystem;
using End = SubprocessResult::End;
using testing::HasSubstr;

SubprocessResult Shell(const std::string& script, SubprocessOptions options = {}) {
  options.argv = {"/bin/sh", "-c", script};
  Result<SubprocessResult> result = RunSubprocess(options);
  if (!result) {
    ADD_FAILURE() << result.error().message;
    return {};
  }
  return *result;
}

TEST(Subprocess, ReportsExitStatusAndOutput) {
  const SubprocessResult result = Shell("echo out; echo err >&2; exit 3");
  EXPECT_EQ(result.end, End::kExited);
  EXPECT_EQ(result.code, 3);
  EXPECT_EQ(result.output, "out\nerr\n");
}

TEST(Subprocess, ReportsTheSignalThatEndedIt) {
  const SubprocessResult result = Shell("kill -SEGV $$");
  EXPECT_EQ(result.end, End::kSignalled);
  EXPECT_EQ(SignalName(result.code), "SIGSEGV");
}

TEST(Subprocess, KillsTheWholeGroupAtTheDeadline) {
  SubprocessOptions options;
  options.deadline = std::chrono::milliseconds(300);
  const SubprocessResult result = Shell("sleep 100 & echo $!; sleep 100", options);
  EXPECT_EQ(result.end, End::kDeadline);
  EXPECT_LT(result.seconds, 5);
  EXPECT_FALSE(fs::exists("/proc/" + result.output.substr(0, result.output.find('\n')) + "/cwd/."));
}

TEST(Subprocess, KillsWhatALeaderLeavesBehindWithoutWaitingForIt) {
  const SubprocessResult result = Shell("sleep 100 & echo $!");
  EXPECT_EQ(result.end, End::kExited);
  EXPECT_LT(result.seconds, 5) << "the child still holds our pipe open";
  EXPECT_FALSE(fs::exists("/proc/" + result.output.substr(0, result.output.find('\n')) + "/cwd/."));
}

TEST(Subprocess, StopsAtOnceWhenCancelled) {
  CancelToken cancel;
  SubprocessOptions options;
  options.cancel = &cancel;
  std::thread other([&] { cancel.Cancel(); });
  const SubprocessResult result = Shell("sleep 100", options);
  other.join();
  EXPECT_EQ(result.end, End::kCancelled);
  EXPECT_LT(result.seconds, 5);
}

TEST(Subprocess, KeepsTheFirstAndTheLastOfEndlessOutput) {
  SubprocessOptions options;
  options.head_bytes = 20;
  options.tail_bytes = 20;
  const SubprocessResult result = Shell("echo first; i=0; while [ $i -lt 20000 ]; do echo line$i; i=$((i+1)); done; echo last", options);
  EXPECT_THAT(result.output, testing::StartsWith("first\n"));
  EXPECT_THAT(result.output, testing::EndsWith("last\n"));
  EXPECT_THAT(result.output, HasSubstr("…"));
  EXPECT_LT(result.output.size(), 60U);
}

TEST(Subprocess, PlacesFilesWhereAskedWhateverTheirNumbers) {
  Result<SharedMemory> first = SharedMemory::Create("first", 6), second = SharedMemory::Create("second", 7);
  ASSERT_TRUE(first && second);
  ASSERT_TRUE(first->Write("first\n", 6, 0) && second->Write("second\n", 7, 0));
  SubprocessOptions options;
  // Crossed on purpose: each goes where the other is.
  options.files = {{first->fd(), 9}, {second->fd(), 8}};
  EXPECT_EQ(Shell("cat /proc/self/fd/9 /proc/self/fd/8", options).output, "first\nsecond\n");
  options.files = {{first->fd(), second->fd()}, {second->fd(), first->fd()}};
  const std::string script = "cat /proc/self/fd/" + std::to_string(second->fd()) + " /proc/self/fd/" + std::to_string(first->fd());
  EXPECT_EQ(Shell(script, options).output, "first\nsecond\n");
}

TEST(Subprocess, StandsInItsDirectoryWithItsEnvironment) {
  SubprocessOptions options;
  options.directory = "/proc";
  options.environment = {"LATHE_TEST=here", "HOME=/nowhere"};
  EXPECT_EQ(Shell("pwd; echo $LATHE_TEST $HOME", options).output, "/proc\nhere /nowhere\n");
}

TEST(Subprocess, AMissingProgramIsAnErrorThatNamesIt) {
  SubprocessOptions options;
  options.argv = {"/nonexistent/program"};
  const Result<SubprocessResult> result = RunSubprocess(options);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(result.error().message, HasSubstr("/nonexistent/program"));
}

// What a compiler's launcher does when the process that started it is killed.
TEST(Launcher, KillsWhatItStartedWhenItsParentDies) {
  const std::string worker = std::string(LATHE_BIN_DIR) + "/lathe-worker";
  // The outer shell stands for us: it starts the launcher in a session of its own, as posix_spawn does for us, and is killed.
  SubprocessOptions options;
  options.deadline = std::chrono::seconds(20);
  const SubprocessResult result =
      Shell("setsid " + worker + " --launch 0 0 '' - -- /bin/sh -c 'sleep 100 & echo $!; wait' & sleep 0.3; kill -9 $$", options);
  ASSERT_EQ(result.end, End::kSignalled);
  const std::string proc = "/proc/" + result.output.substr(0, result.output.find('\n'));
  ASSERT_GT(proc.size(), 6U) << result.output;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (fs::exists(proc + "/cwd/.") && std::chrono::steady_clock::now() < end) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_FALSE(fs::exists(proc + "/cwd/."));
}

TEST(Launcher, PassesOnHowItEnded) {
  const std::string launch = std::string(LATHE_BIN_DIR) + "/lathe-worker --launch 5 0 '' - -- ";
  EXPECT_EQ(Shell("exec " + launch + "/bin/sh -c 'exit 7'").code, 7);
  const SubprocessResult killed = Shell("exec " + launch + "/bin/sh -c 'kill -SEGV $$'");
  EXPECT_EQ(killed.end, End::kSignalled);
  EXPECT_EQ(killed.code, SIGSEGV);
  EXPECT_EQ(Shell("exec " + launch + "/nonexistent").code, 127);
}

TEST(SharedMemory, SealedContentCannotBeChanged) {
  Result<SharedMemory> memory = SharedMemory::Create("test", 100);
  ASSERT_TRUE(memory);
  ASSERT_TRUE(memory->Write("abc", 3, 10));
  memory->SealContent();
  EXPECT_FALSE(memory->Write("xyz", 3, 10));
  char text[4] = {};
  ASSERT_TRUE(memory->Read(text, 3, 10));
  EXPECT_STREQ(text, "abc");
  EXPECT_FALSE(memory->Read(text, 4, 98)) << "past the end";
  EXPECT_NE(::ftruncate(memory->fd(), 5), 0);
}

TEST(Scratch, RemovesItselfAndWhatAKilledOneLeftBehind) {
  Result<TempDir> root = TempDir::Create("scratch-test");
  ASSERT_TRUE(root);
  // What kill -9 leaves: a directory whose lock nobody holds.
  const fs::path abandoned = root->path() / "lathe-measure-aaaaaa", busy = root->path() / "lathe-measure-bbbbbb";
  fs::create_directories(abandoned / "run-0");
  fs::create_directories(busy);
  std::ofstream(abandoned / "lock").put(' ');
  std::ofstream(busy / "lock").put(' ');
  const Descriptor holder(::open((busy / "lock").c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_EQ(::flock(holder.get(), LOCK_EX), 0);
  fs::path own;
  {
    Result<Scratch> scratch = Scratch::Create(root->path());
    ASSERT_TRUE(scratch) << scratch.error().message;
    own = scratch->path();
    EXPECT_FALSE(fs::exists(abandoned));
    EXPECT_TRUE(fs::exists(busy)) << "its owner lives";
    fs::path inner;
    {
      Result<ScratchDir> dir = scratch->NewDir("run");
      ASSERT_TRUE(dir);
      inner = dir->path();
      std::ofstream(inner / "file").put(' ');
    }
    EXPECT_FALSE(fs::exists(inner));
  }
  EXPECT_FALSE(fs::exists(own));
}

TEST(Scratch, AnUnwritableRootIsAnError) {
  const Result<Scratch> scratch = Scratch::Create("/nonexistent");
  ASSERT_FALSE(scratch);
  EXPECT_THAT(scratch.error().message, HasSubstr("/nonexistent"));
}

}  // namespace
}  // namespace lathe
