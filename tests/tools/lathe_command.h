// The program as a user meets it: a folder of its own for each test, what a command printed, how it exited.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "core/file.h"

extern char** environ;

namespace lathe {

inline const std::string kModels = LATHE_SOURCE_DIR "/models/";
// Builds in a fraction of a second and has hundreds of valid configs.
inline const std::string kSmall = "resize:h=24,w=40,c=3,oh=17,ow=19";

struct Outcome {
  int exit_code = -1;
  std::string out, err;
};

class LatheCommand : public ::testing::Test {
 protected:
  void SetUp() override {
    Result<TempDir> dir = TempDir::Create("command");
    ASSERT_TRUE(dir);
    dir_ = std::make_unique<TempDir>(*std::move(dir));
    ::setenv("XDG_CACHE_HOME", (dir_->path() / "cache").c_str(), 1);
  }

  std::string Path(const char* name) const { return (dir_->path() / name).string(); }

  pid_t Start(const std::vector<std::string>& arguments) const {
    std::vector<char*> argv;
    std::string program = LATHE_BIN_DIR "/lathe";
    argv.push_back(program.data());
    for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, Path("out").c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0600);
    posix_spawn_file_actions_addopen(&actions, 2, Path("err").c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0600);
    pid_t pid = 0;
    EXPECT_EQ(posix_spawn(&pid, program.c_str(), &actions, nullptr, argv.data(), environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    return pid;
  }

  Outcome Run(const std::vector<std::string>& arguments) const {
    const pid_t pid = Start(arguments);
    int status = 0;
    waitpid(pid, &status, 0);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), *ReadFile(Path("out")), *ReadFile(Path("err"))};
  }

  std::unique_ptr<TempDir> dir_;
};

}  // namespace lathe
