#include "measure/toolchain_profile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "core/file.h"

namespace lathe {
namespace {
namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::HasSubstr;

class ToolchainProfile : public ::testing::Test {
 protected:
  void SetUp() override {
    Result<TempDir> dir = TempDir::Create("profile");
    ASSERT_TRUE(dir);
    dir_ = std::make_unique<TempDir>(*std::move(dir));
    ::setenv("LATHE_TOOLCHAINS", LATHE_SOURCE_DIR "/toolchains", 1);
  }
  std::string File(const std::string& text) const {
    const fs::path file = dir_->path() / "board.json";
    std::ofstream(file) << text;
    return file.string();
  }
  std::string ErrorOf(const std::string& text) const {
    const Result<Toolchain> toolchain = ReadToolchainProfile(File(text));
    EXPECT_FALSE(toolchain) << text;
    return toolchain ? "" : toolchain.error().message;
  }
  std::unique_ptr<TempDir> dir_;
};

TEST_F(ToolchainProfile, AllThatShipAreReadable) {
  int count = 0;
  for (const auto& entry : fs::directory_iterator(LATHE_SOURCE_DIR "/toolchains")) {
    const Result<Toolchain> toolchain = ReadToolchainProfile(entry.path().stem().string());
    ASSERT_TRUE(toolchain) << toolchain.error().message;
    EXPECT_EQ(toolchain->profile, entry.path().stem().string());
    EXPECT_EQ(toolchain->architecture, "aarch64");
    EXPECT_TRUE(toolchain->cross());
    ++count;
  }
  EXPECT_GE(count, 5);
  EXPECT_THAT(ReadToolchainProfile("jetson-tx2")->flags, Contains("-mcpu=cortex-a57"));
  EXPECT_THAT(ReadToolchainProfile("jetson-orin")->features, Contains("asimddp"));
}

TEST_F(ToolchainProfile, TakesAFileWithPathsBesideIt) {
  fs::create_directory(dir_->path() / "root");
  const Result<Toolchain> toolchain = ReadToolchainProfile(File(
      R"({"architecture": "aarch64", "compiler": "bin/g++", "cpu": "cortex-a72", "flags": ["-fno-plt"], "sysroot": "root", "worker": "w"})"));
  ASSERT_TRUE(toolchain) << toolchain.error().message;
  EXPECT_EQ(toolchain->compiler, (dir_->path() / "bin/g++").string());
  EXPECT_EQ(toolchain->worker, dir_->path() / "w");
  for (const std::string& flag :
       {std::string("-mcpu=cortex-a72"), std::string("-fno-plt"), "--sysroot=" + (dir_->path() / "root").string()})
    EXPECT_THAT(toolchain->flags, Contains(flag));
}

TEST_F(ToolchainProfile, SaysWhichShipWhenThereIsNoSuch) {
  const Result<Toolchain> toolchain = ReadToolchainProfile("jetson-nine");
  ASSERT_FALSE(toolchain);
  EXPECT_THAT(toolchain.error().message, HasSubstr("jetson-orin"));
  EXPECT_FALSE(ReadToolchainProfile("./none.json"));
  EXPECT_FALSE(ReadToolchainProfile(""));
}

TEST_F(ToolchainProfile, NamesTheKeyThatIsWrong) {
  EXPECT_THAT(ErrorOf(""), HasSubstr("line 1, column 1: found the end of the text where a value was expected"));
  EXPECT_THAT(ErrorOf("[1]"), HasSubstr("no JSON object"));
  EXPECT_THAT(ErrorOf(R"({"architecture": "aarch64", "compiler": "g++")"), HasSubstr("where ',' or '}' was expected"));
  EXPECT_THAT(ErrorOf(R"({"compiler": "g++"})"), HasSubstr("'architecture'"));
  EXPECT_THAT(ErrorOf(R"({"architecture": "armv7", "compiler": "g++"})"), HasSubstr("'armv7' is not supported"));
  EXPECT_THAT(ErrorOf(R"({"architecture": "x86_64", "compiler": "g++"})"), HasSubstr("only aarch64 is; other boards build for themselves"));
  EXPECT_THAT(ErrorOf(R"({"architecture": "aarch64"})"), HasSubstr("'compiler'"));
  EXPECT_THAT(ErrorOf(R"({"architecture": "aarch64", "compiler": 7})"), HasSubstr("'compiler': it must be a text"));
  EXPECT_THAT(ErrorOf(R"({"architecture": "aarch64", "compiler": "g++", "mcpu": "x"})"), HasSubstr("'mcpu': no such key"));
  EXPECT_THAT(ErrorOf(R"({"architecture": "aarch64", "compiler": "g++", "cpu": "a -o /x"})"), HasSubstr("'cpu'"));
  EXPECT_THAT(ErrorOf(R"({"architecture": "aarch64", "compiler": "g++", "cpu": "native"})"), HasSubstr("not the board"));
  EXPECT_THAT(ErrorOf(R"({"architecture": "aarch64", "compiler": "g++", "flags": "-O2"})"), HasSubstr("'flags': it must be a list"));
  EXPECT_THAT(ErrorOf(R"({"architecture": "aarch64", "compiler": "g++", "flags": ["O2"]})"), HasSubstr("begins with no '-'"));
  EXPECT_THAT(ErrorOf(R"({"architecture": "aarch64", "compiler": "g++", "flags": ["-march=native"]})"), HasSubstr("not the board"));
  EXPECT_THAT(ErrorOf(R"({"architecture": "aarch64", "compiler": "g++", "sysroot": "/nowhere"})"), HasSubstr("there is no directory"));
  EXPECT_THAT(ErrorOf(R"({"architecture": "aarch64", "compiler": "g++", "launcher": ["qemu", 1]})"), HasSubstr("'launcher'"));
}

TEST_F(ToolchainProfile, FitsOnlyTargetsThatCanRunWhatItBuilds) {
  const Toolchain orin = *ReadToolchainProfile("jetson-orin");
  Target board{"cpu", "aarch64-neon", "Board", {}, {{"cpu_features", "atomics fphp asimdhp asimddp"}}};
  EXPECT_TRUE(CheckRunsOn(orin, board));
  board.fingerprint["cpu_features"] = "atomics asimdhp";
  Status runs = CheckRunsOn(orin, board);
  ASSERT_FALSE(runs);
  EXPECT_THAT(runs.error().message, HasSubstr("asimddp"));
  EXPECT_TRUE(CheckRunsOn(*ReadToolchainProfile("jetson-xavier"), board));
  board.architecture = "x86_64-avx2";
  runs = CheckRunsOn(*ReadToolchainProfile("aarch64"), board);
  ASSERT_FALSE(runs);
  EXPECT_THAT(runs.error().message, HasSubstr("builds for aarch64"));
  EXPECT_TRUE(CheckRunsOn(Toolchain::Default(), board));
}

}  // namespace
}  // namespace lathe
