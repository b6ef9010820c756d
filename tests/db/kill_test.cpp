// kill -9 at any moment: what Record reported is in the log afterwards.
//
// A child process (this program again, with --record-forever FILE) records one measurement after another and prints each one's number once
// Record has returned. It is killed without warning at a random moment, ten times over the same file.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <random>
#include <set>
#include <thread>

#include "tests/db/made_up_rows.h"

namespace lathe {
namespace {

int RecordForever(const std::string& path, int64_t first) {
  const auto log = OpenLog(path);
  if (!log || !log->BeginRun(MakeRun())) return 1;
  for (int64_t i = first;; ++i) {
    // Batches of one and of three: the log must hold whole batches.
    std::vector<Measurement> batch = {MakeMeasurement(10 * i, 1)};
    if (i % 2 == 1) batch.insert(batch.end(), {MakeMeasurement(10 * i + 1, 1), MakeFailure(10 * i + 2, MeasureStatus::kCrashed)});
    if (!log->Record("run-1", batch)) return 2;
    std::printf("%lld\n", static_cast<long long>(i));
    std::fflush(stdout);
  }
}

class Killing : public InFolder {};

TEST_F(Killing, LosesNothingThatWasReported) {
  std::set<int64_t> reported;
  std::mt19937 random(std::random_device{}());
  const std::string path = At("a.db").string();
  for (int round = 0; round < 10; ++round) {
    int out[2];
    ASSERT_EQ(pipe(out), 0);
    const std::string first = std::to_string(round * 1000000);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      dup2(out[1], 1);
      close(out[0]);
      close(out[1]);
      execl("/proc/self/exe", "db_kill_test", "--record-forever", path.c_str(), first.c_str(), nullptr);
      _exit(127);
    }
    close(out[1]);
    FILE* lines = fdopen(out[0], "r");
    long long number = 0;
    // At least one report, so that every round proves something; then a random while.
    ASSERT_EQ(std::fscanf(lines, "%lld", &number), 1) << "the child recorded nothing";
    reported.insert(number);
    std::this_thread::sleep_for(std::chrono::microseconds(std::uniform_int_distribution<int>(0, 60000)(random)));
    kill(child, SIGKILL);
    while (std::fscanf(lines, "%lld", &number) == 1) reported.insert(number);
    fclose(lines);
    int state = 0;
    ASSERT_EQ(waitpid(child, &state, 0), child);
    ASSERT_TRUE(WIFSIGNALED(state)) << "the child ended by itself: " << WEXITSTATUS(state);

    const auto log = OpenLog(path);
    ASSERT_NE(log, nullptr);
    std::map<int64_t, int> rows;  // batch -> rows of it
    for (const LoggedMeasurement& row : AllRows(*log)) ++rows[std::get<int64_t>(*Find(row.measurement.candidate.config, "TILE_X")) / 10];
    for (const int64_t batch : reported) EXPECT_TRUE(rows.count(batch)) << "batch " << batch << " was reported and is gone";
    for (const auto& [batch, count] : rows) EXPECT_EQ(count, batch % 2 == 1 ? 3 : 1) << "batch " << batch << " is there in part";
    const auto resumable = log->RunsToResume(MakeRun().options, MakeTarget());
    ASSERT_TRUE(resumable);
    ASSERT_EQ(resumable->size(), 1u);
    EXPECT_EQ(resumable->front().id, "run-1");
  }
  EXPECT_GE(reported.size(), 10u);
}

}  // namespace
}  // namespace lathe

int main(int argc, char** argv) {
  if (argc == 4 && std::string(argv[1]) == "--record-forever") return lathe::RecordForever(argv[2], std::stoll(argv[3]));
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
