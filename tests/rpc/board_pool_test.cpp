// Boards come and go under a pool; every request has one answer.
#include "rpc/client/board_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "machine.h"

namespace lathe {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

PoolOptions Quick() {
  PoolOptions options;
  options.silence = milliseconds(400);
  options.grace = milliseconds(150);
  options.wait = milliseconds(1500);
  options.least_retry = milliseconds(20);
  options.most_retry = milliseconds(100);
  options.heartbeat = milliseconds(50);
  options.steal_after = milliseconds(200);
  return options;
}

struct Fleet {
  explicit Fleet(size_t count) {
    for (size_t i = 0; i < count; ++i) machines.push_back(std::make_unique<Machine>("board" + std::to_string(i)));
  }
  std::unique_ptr<BoardPool> Pool(PoolOptions options = Quick()) {
    options.notice = [this](const std::string& text) {
      const std::lock_guard lock(mutex);
      notices.push_back(text);
    };
    std::vector<std::unique_ptr<BoardLink>> links;
    for (const auto& machine : machines) links.push_back(std::make_unique<DirectLink>(machine.get()));
    auto pool = BoardPool::Create(std::move(links), std::move(options));
    if (!pool) {
      error = pool.error().message;
      return nullptr;
    }
    const auto end = Clock::now() + std::chrono::seconds(10);
    while (std::any_of(machines.begin(), machines.end(), [](auto& m) { return m->reachable(); }) && Settled(**pool) < Reachable() &&
           Clock::now() < end)
      std::this_thread::sleep_for(milliseconds(5));
    return std::move(*pool);
  }
  size_t Reachable() {
    return static_cast<size_t>(std::count_if(machines.begin(), machines.end(), [](auto& m) { return m->reachable(); }));
  }
  static size_t Settled(const BoardPool& pool) {
    const auto boards = pool.boards();
    return static_cast<size_t>(
        std::count_if(boards.begin(), boards.end(), [](const BoardState& b) { return b.state == "up" || b.state == "refused"; }));
  }
  int Runs() const {
    int runs = 0;
    for (const auto& machine : machines) runs += machine->runs;
    return runs;
  }
  std::vector<std::unique_ptr<Machine>> machines;
  std::mutex mutex;
  std::vector<std::string> notices;
  std::string error;
};

void Submit(BoardPool& pool, uint64_t from, uint64_t to, int64_t delay_ms = 5) {
  for (uint64_t id = from; id <= to; ++id) ASSERT_TRUE(pool.Submit({id, ScriptedCandidate(static_cast<int64_t>(id), delay_ms), 0, false}));
}

// Fails when a ticket is answered twice.
std::map<uint64_t, Measurement> Collect(BoardPool& pool, size_t count, std::string* error = nullptr) {
  std::map<uint64_t, Measurement> all;
  const auto end = Clock::now() + std::chrono::seconds(30);
  while (all.size() < count && Clock::now() < end) {
    auto some = pool.Wait(milliseconds(50));
    if (!some) {
      if (error != nullptr) *error = some.error().message;
      return all;
    }
    for (Measurement& measurement : *some) {
      const uint64_t ticket = measurement.ticket;
      EXPECT_TRUE(all.emplace(ticket, std::move(measurement)).second) << "ticket " << ticket << " was answered twice";
    }
  }
  EXPECT_EQ(all.size(), count);
  // Nothing more comes.
  auto more = pool.Wait(milliseconds(50));
  EXPECT_TRUE(!more || more->empty());
  return all;
}

TEST(BoardPool, SharesWorkAmongItsBoards) {
  Fleet fleet(3);
  const auto pool = fleet.Pool();
  ASSERT_TRUE(pool) << fleet.error;
  EXPECT_EQ(pool->capacity(), 3U * (2 + 2));
  Submit(*pool, 1, 60);
  const auto all = Collect(*pool, 60);
  std::map<std::string, int> by_board;
  for (const auto& [ticket, measurement] : all) {
    EXPECT_EQ(measurement.status, MeasureStatus::kOk);
    EXPECT_EQ(measurement.candidate.workload.Key(), "scripted:n=" + std::to_string(ticket));
    ++by_board[measurement.board];
  }
  EXPECT_EQ(by_board.size(), 3U);
  EXPECT_EQ(fleet.Runs(), 60);
}

TEST(BoardPool, MovesTheWorkOfABoardThatIsCutOff) {
  Fleet fleet(2);
  const auto pool = fleet.Pool();
  ASSERT_TRUE(pool) << fleet.error;
  Submit(*pool, 1, 8, 30);
  std::this_thread::sleep_for(milliseconds(20));
  fleet.machines[0]->Crash();
  const auto begin = Clock::now();
  const auto all = Collect(*pool, 8);
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds(5));
  for (const auto& [ticket, measurement] : all) EXPECT_EQ(measurement.status, MeasureStatus::kOk) << measurement.message;
}

TEST(BoardPool, NoticesABoardThatFreezesWithoutAWord) {
  Fleet fleet(2);
  const auto pool = fleet.Pool();
  ASSERT_TRUE(pool) << fleet.error;
  Submit(*pool, 1, 8, 30);
  std::this_thread::sleep_for(milliseconds(20));
  fleet.machines[1]->Unplug(false);
  const auto all = Collect(*pool, 8);
  for (const auto& [ticket, measurement] : all) EXPECT_EQ(measurement.status, MeasureStatus::kOk) << measurement.message;
  EXPECT_THAT(fleet.notices, testing::Contains(testing::HasSubstr("silent")));
}

TEST(BoardPool, ALinkThatComesBackLosesAndRepeatsNothing) {
  Fleet fleet(1);
  const auto pool = fleet.Pool();
  ASSERT_TRUE(pool) << fleet.error;
  Submit(*pool, 1, 4, 40);
  std::this_thread::sleep_for(milliseconds(60));
  fleet.machines[0]->Unplug(true);
  std::this_thread::sleep_for(milliseconds(300));
  fleet.machines[0]->Plug();
  const auto all = Collect(*pool, 4);
  for (const auto& [ticket, measurement] : all) EXPECT_EQ(measurement.status, MeasureStatus::kOk) << measurement.message;
  EXPECT_EQ(fleet.Runs(), 4) << "the board kept its results";
}

TEST(BoardPool, ARebootedBoardIsSentItsWorkAgain) {
  Fleet fleet(1);
  const auto pool = fleet.Pool();
  ASSERT_TRUE(pool) << fleet.error;
  Submit(*pool, 1, 4, 40);
  std::this_thread::sleep_for(milliseconds(20));
  fleet.machines[0]->Reboot();
  const auto all = Collect(*pool, 4);
  for (const auto& [ticket, measurement] : all) EXPECT_EQ(measurement.status, MeasureStatus::kOk) << measurement.message;
  EXPECT_THAT(fleet.notices, testing::Contains(testing::HasSubstr("restarted")));
}

TEST(BoardPool, ACandidateUnderWhichTwoBoardsVanishIsRecordedAsSuch) {
  Fleet fleet(3);
  const auto pool = fleet.Pool();
  ASSERT_TRUE(pool) << fleet.error;
  ASSERT_TRUE(pool->Submit({1, ScriptedCandidate(1, 600'000), 0, false}));
  const auto wait_for_start = [&](const std::set<size_t>& but) -> size_t {
    const auto end = Clock::now() + std::chrono::seconds(10);
    while (Clock::now() < end) {
      for (size_t i = 0; i < 3; ++i)
        if (but.count(i) == 0 && fleet.machines[i]->board()->facts().running == 1) return i;
      std::this_thread::sleep_for(milliseconds(5));
    }
    return 99;
  };
  const size_t first = wait_for_start({});
  ASSERT_LT(first, 3U);
  fleet.machines[first]->Reboot();
  const size_t second = wait_for_start({first});
  ASSERT_LT(second, 3U) << "it is tried once elsewhere";
  fleet.machines[second]->Reboot();
  const auto all = Collect(*pool, 1);
  EXPECT_EQ(all.at(1).status, MeasureStatus::kCrashed);
  EXPECT_THAT(all.at(1).message, testing::HasSubstr("takes boards down"));
  EXPECT_EQ(all.at(1).conditions.count("kills_boards"), 1U);
  Submit(*pool, 2, 4);
  EXPECT_EQ(Collect(*pool, 3).size(), 3U) << "the boards are back at work";
}

TEST(BoardPool, ACandidateThatRebootsTheOnlyBoardTwiceIsRecordedAsSuch) {
  Fleet fleet(1);
  const auto pool = fleet.Pool();
  ASSERT_TRUE(pool) << fleet.error;
  ASSERT_TRUE(pool->Submit({1, ScriptedCandidate(1, 600'000), 0, false}));
  for (int i = 0; i < 2; ++i) {
    const auto end = Clock::now() + std::chrono::seconds(10);
    while (fleet.machines[0]->board()->facts().running == 0 && Clock::now() < end) std::this_thread::sleep_for(milliseconds(5));
    std::this_thread::sleep_for(milliseconds(150));
    fleet.machines[0]->Reboot();
  }
  const auto all = Collect(*pool, 1);
  EXPECT_EQ(all.at(1).status, MeasureStatus::kCrashed);
}

TEST(BoardPool, BlameIsTakenBackWhenOnlyTheLinkWasLost) {
  Fleet fleet(1);
  const auto pool = fleet.Pool();
  ASSERT_TRUE(pool) << fleet.error;
  ASSERT_TRUE(pool->Submit({1, ScriptedCandidate(1, 1500), 0, false}));
  for (int i = 0; i < 3; ++i) {
    std::this_thread::sleep_for(milliseconds(200));
    fleet.machines[0]->Unplug(true);
    std::this_thread::sleep_for(milliseconds(200));
    fleet.machines[0]->Plug();
  }
  const auto all = Collect(*pool, 1);
  EXPECT_EQ(all.at(1).status, MeasureStatus::kOk) << all.at(1).message;
  EXPECT_EQ(fleet.Runs(), 1);
}

TEST(BoardPool, AnIdleBoardTakesWorkFromASlowOne) {
  Fleet fleet(2);
  const auto pool = fleet.Pool();
  ASSERT_TRUE(pool) << fleet.error;
  // The first board's first job holds everything behind it up.
  ASSERT_TRUE(pool->Submit({1, ScriptedCandidate(1, 4000), 0, false}));
  ASSERT_TRUE(pool->Submit({2, ScriptedCandidate(2, 1), 0, false}));
  Submit(*pool, 3, 7, 1);
  const auto begin = Clock::now();
  std::map<uint64_t, Measurement> all;
  while (all.size() < 6 && Clock::now() - begin < std::chrono::seconds(10))
    if (const auto some = pool->Wait(milliseconds(50)); some)
      for (const Measurement& measurement : *some) all.emplace(measurement.ticket, measurement);
  EXPECT_EQ(all.size(), 6U);
  EXPECT_EQ(all.count(1), 0U);
  EXPECT_LT(Clock::now() - begin, milliseconds(3500)) << "nobody waited for the slow one";
}

TEST(BoardPool, WaitsForABoardAndSaysForWhichThenGivesUp) {
  Fleet fleet(1);
  fleet.machines[0]->Unplug(true);
  const auto begin = Clock::now();
  EXPECT_FALSE(fleet.Pool());
  EXPECT_GE(Clock::now() - begin, milliseconds(1500));
  EXPECT_THAT(fleet.error, testing::HasSubstr("waited 2 s for a board: board0 does not answer"));
}

TEST(BoardPool, ARunWhoseBoardsAreAllGoneEndsWithAReason) {
  Fleet fleet(2);
  const auto pool = fleet.Pool();
  ASSERT_TRUE(pool) << fleet.error;
  Submit(*pool, 1, 2, 5000);
  for (const auto& machine : fleet.machines) machine->Unplug(true);
  std::string error;
  (void)[&] {
    std::map<uint64_t, Measurement> all;
    const auto end = Clock::now() + std::chrono::seconds(20);
    while (error.empty() && Clock::now() < end) {
      auto some = pool->Wait(milliseconds(50));
      if (!some) error = some.error().message;
    }
  }
  ();
  EXPECT_THAT(error, testing::HasSubstr("for a board"));
  EXPECT_FALSE(pool->Submit({9, ScriptedCandidate(9), 0, false}));
}

TEST(BoardPool, ABoardThatJoinsLateGetsWork) {
  Fleet fleet(2);
  fleet.machines[1]->Unplug(true);
  const auto pool = fleet.Pool();
  ASSERT_TRUE(pool) << fleet.error;
  Submit(*pool, 1, 30, 30);
  fleet.machines[1]->Plug();
  const auto all = Collect(*pool, 30);
  EXPECT_GT(fleet.machines[1]->runs, 3);
}

TEST(BoardPool, ABoardOfAnotherKindIsLeftOut) {
  Fleet fleet(2);
  fleet.machines[1] = std::make_unique<Machine>("odd", "another kind");
  fleet.machines[1]->Unplug(true);
  const auto pool = fleet.Pool();
  ASSERT_TRUE(pool) << fleet.error;
  fleet.machines[1]->Plug();
  Submit(*pool, 1, 20, 20);
  Collect(*pool, 20);
  EXPECT_EQ(fleet.machines[1]->runs, 0);
  EXPECT_EQ(pool->boards()[1].state, "refused");
  EXPECT_THAT(pool->boards()[1].problem, testing::HasSubstr("another kind"));
}

PoolOptions WantingDotProducts() {
  PoolOptions options = Quick();
  options.accepts = [](const Target& target) -> Status {
    if (target.fingerprint.at("cpu_features").find("asimddp") != std::string::npos) return {};
    return Error{ErrorCode::kIncompatible, "it has no asimddp"};
  };
  return options;
}

TEST(BoardPool, OfMixedBoardsOnlyThoseThatAreAcceptedGetWork) {
  Fleet fleet(3);  // of one kind, as their targets' keys say
  fleet.machines[1]->features = "atomics asimddp";
  const auto pool = fleet.Pool(WantingDotProducts());
  ASSERT_TRUE(pool) << fleet.error;
  Submit(*pool, 1, 20);
  Collect(*pool, 20);
  EXPECT_EQ(fleet.machines[1]->runs, 20);
  for (const size_t other : {0U, 2U}) {
    EXPECT_EQ(pool->boards()[other].state, "refused");
    EXPECT_THAT(pool->boards()[other].problem, testing::HasSubstr("is left out: it has no asimddp"));
  }
}

TEST(BoardPool, ABoardThatComesBackIsHeldAgainstWhatIsAcceptedOnceMore) {
  Fleet fleet(2);
  for (const auto& machine : fleet.machines) machine->features = "asimddp";
  const auto pool = fleet.Pool(WantingDotProducts());
  ASSERT_TRUE(pool) << fleet.error;
  fleet.machines[0]->features = "";  // another processor behind the same address
  fleet.machines[0]->Reboot();
  const auto end = Clock::now() + std::chrono::seconds(10);
  while (pool->boards()[0].state != "refused" && Clock::now() < end) std::this_thread::sleep_for(milliseconds(5));
  EXPECT_EQ(pool->boards()[0].state, "refused");
  const int before = fleet.machines[0]->runs;
  Submit(*pool, 1, 10);
  Collect(*pool, 10);
  EXPECT_EQ(fleet.machines[0]->runs, before);
}

TEST(BoardPool, WhereNoBoardIsAcceptedTheRunEndsWithTheReason) {
  Fleet fleet(2);
  PoolOptions options = WantingDotProducts();
  options.wait = std::chrono::minutes(10);  // there is nothing to wait for
  EXPECT_FALSE(fleet.Pool(options));
  EXPECT_THAT(fleet.error, testing::HasSubstr("board 'board0' is left out: it has no asimddp; board 'board1'"));
}

TEST(BoardPool, WaitsWhileSomebodyElseHasTheBoard) {
  Fleet fleet(1);
  const auto theirs = fleet.machines[0]->board()->Hold("bob", "");
  ASSERT_TRUE(theirs);
  std::thread releases([&] {
    std::this_thread::sleep_for(milliseconds(400));
    fleet.machines[0]->board()->Release(theirs->id);
  });
  const auto pool = fleet.Pool();
  releases.join();
  ASSERT_TRUE(pool) << fleet.error;
  Submit(*pool, 1, 1);
  EXPECT_EQ(Collect(*pool, 1).size(), 1U);
}

TEST(BoardPool, MovesOnFromABoardThatIsShutDown) {
  Fleet fleet(2);
  const auto pool = fleet.Pool();
  ASSERT_TRUE(pool) << fleet.error;
  Submit(*pool, 1, 8, 40);
  fleet.machines[0]->board()->Drain();
  const auto all = Collect(*pool, 8);
  for (const auto& [ticket, measurement] : all) EXPECT_EQ(measurement.status, MeasureStatus::kOk) << measurement.message;
}

TEST(BoardPool, CancelDropsEverythingAndGoesOn) {
  Fleet fleet(2);
  const auto pool = fleet.Pool();
  ASSERT_TRUE(pool) << fleet.error;
  Submit(*pool, 1, 8, 600'000);
  std::this_thread::sleep_for(milliseconds(50));
  pool->Cancel();
  Submit(*pool, 20, 23);
  const auto all = Collect(*pool, 4);
  EXPECT_EQ(all.begin()->first, 20U);
}

TEST(BoardPool, FreesItsBoardsAtTheEnd) {
  Fleet fleet(2);
  fleet.Pool().reset();
  for (const auto& machine : fleet.machines) EXPECT_FALSE(machine->board()->facts().held);
}

TEST(Calibration, TakesTheBestOfThreeReadingsAsABoardsSpeed) {
  Calibration calibration(0.25);
  EXPECT_EQ(calibration.Add(1.4), Calibration::Verdict::kAgain);
  EXPECT_EQ(calibration.Add(1.0), Calibration::Verdict::kAgain);
  EXPECT_EQ(calibration.Add(1.2), Calibration::Verdict::kSteady);
  EXPECT_EQ(calibration.baseline(), 1.0);
  EXPECT_EQ(calibration.Add(1.2), Calibration::Verdict::kSteady) << "within the tolerance";
}

TEST(Calibration, BelievesASlowReadingOnlyTheThirdTime) {
  Calibration calibration(0.25);
  for (int i = 0; i < 3; ++i) (void)calibration.Add(1.0);
  EXPECT_EQ(calibration.Add(2.0), Calibration::Verdict::kAgain);
  EXPECT_EQ(calibration.Add(1.05), Calibration::Verdict::kSteady) << "that was somebody else's work";
  EXPECT_EQ(calibration.Add(2.0), Calibration::Verdict::kAgain);
  EXPECT_EQ(calibration.Add(2.0), Calibration::Verdict::kAgain);
  EXPECT_EQ(calibration.Add(2.0), Calibration::Verdict::kDrifted);
  EXPECT_EQ(calibration.Add(1.0), Calibration::Verdict::kSteady) << "and is as before";
}

TEST(Calibration, ABoardThatStaysSlowHasSettled) {
  Calibration calibration(0.25);
  for (int i = 0; i < 3; ++i) (void)calibration.Add(1.0);
  for (int i = 0; i < 2; ++i) (void)calibration.Add(2.0);
  EXPECT_EQ(calibration.Add(2.0), Calibration::Verdict::kDrifted);
  for (int i = 0; i < 2; ++i) (void)calibration.Add(2.1);
  EXPECT_EQ(calibration.Add(2.1), Calibration::Verdict::kSettled);
  EXPECT_EQ(calibration.baseline(), 2.1);
  EXPECT_EQ(calibration.Add(2.0), Calibration::Verdict::kSteady);
}

TEST(BoardPool, SamplesOfABoardThatSlowedDownAreTakenAgain) {
  Fleet fleet(1);
  PoolOptions options = Quick();
  options.calibration = [](const Target&) { return Result<Candidate>(ScriptedCandidate(0, 10)); };
  options.calibrate_after = 4;
  options.rest = milliseconds(100);
  const auto pool = fleet.Pool(options);
  ASSERT_TRUE(pool) << fleet.error;
  Submit(*pool, 1, 4, 20);
  auto all = Collect(*pool, 4);
  for (const auto& [ticket, measurement] : all) EXPECT_EQ(measurement.conditions.count("calibration"), 1U);
  EXPECT_EQ(pool->boards()[0].tainted, 0U);

  // Twice as slow while the next are measured; as before a little later.
  fleet.machines[0]->slowness = 2;
  Submit(*pool, 11, 14, 20);
  const auto end = Clock::now() + std::chrono::seconds(20);
  while (pool->boards()[0].tainted == 0 && Clock::now() < end) std::this_thread::sleep_for(milliseconds(2));
  fleet.machines[0]->slowness = 1;
  all = Collect(*pool, 4);
  EXPECT_GE(pool->boards()[0].tainted, 1U);
  for (const auto& [ticket, measurement] : all) EXPECT_LT(Seconds(measurement), 0.030) << "ticket " << ticket << " is from the slow time";
  EXPECT_THAT(fleet.notices, testing::Contains(testing::HasSubstr("taken again")));
}

TEST(BoardPool, BoardsAreHeardWhileTheCalibrationKernelIsBuilt) {
  Fleet fleet(1);
  PoolOptions options = Quick();
  options.silence = milliseconds(1000);
  options.calibration = [](const Target&) {
    std::this_thread::sleep_for(milliseconds(2000));  // as a compiler may
    return Result<Candidate>(ScriptedCandidate(0, 1));
  };
  const auto pool = fleet.Pool(options);
  ASSERT_TRUE(pool) << fleet.error;
  Submit(*pool, 1, 4);
  Collect(*pool, 4);
  EXPECT_THAT(fleet.notices, testing::Each(testing::Not(testing::HasSubstr("lost board"))));
}

TEST(BoardPool, ACalibrationKernelThatCannotBeMadeIsTheReasonThatNothingStarts) {
  Fleet fleet(1);
  PoolOptions options = Quick();
  options.calibration = [](const Target&) -> Result<Candidate> { return Error{ErrorCode::kNotFound, "no such kernel"}; };
  EXPECT_FALSE(fleet.Pool(options));
  EXPECT_THAT(fleet.error, testing::HasSubstr("do without: --no-calibration): no such kernel"));
}

TEST(BoardPool, AThrottledSampleIsTakenAgain) {
  Fleet fleet(1);
  PoolOptions options = Quick();
  options.calibration = [](const Target&) { return Result<Candidate>(ScriptedCandidate(0, 1)); };
  const auto pool = fleet.Pool(options);
  ASSERT_TRUE(pool) << fleet.error;
  fleet.machines[0]->throttled_samples = 1;
  Submit(*pool, 1, 1, 2);
  const auto all = Collect(*pool, 1);
  EXPECT_EQ(all.at(1).status, MeasureStatus::kOk);
  EXPECT_EQ(all.at(1).conditions.count("throttled"), 0U);
  EXPECT_EQ(pool->boards()[0].tainted, 1U);
}

TEST(BoardPool, SurvivesBoardsThatComeAndGoAtRandom) {
  Fleet fleet(4);
  const auto pool = fleet.Pool();
  ASSERT_TRUE(pool) << fleet.error;
  std::atomic<bool> stop{false};
  std::thread chaos([&] {
    unsigned seed = 7;
    while (!stop) {
      Machine& machine = *fleet.machines[seed % 3];  // one stays
      seed = seed * 1664525 + 1013904223;
      switch ((seed >> 16) % 3) {
        case 0:
          machine.Reboot();
          break;
        case 1:
          machine.Unplug((seed & 64) != 0);
          break;
        default:
          machine.Plug();
      }
      std::this_thread::sleep_for(milliseconds(30));
    }
  });
  Submit(*pool, 1, 200, 3);
  const auto all = Collect(*pool, 200);
  stop = true;
  chaos.join();
  int ok = 0;
  for (const auto& [ticket, measurement] : all) ok += measurement.status == MeasureStatus::kOk ? 1 : 0;
  EXPECT_GE(ok, 150) << "some may be blamed for two reboots";
}

}  // namespace
}  // namespace lathe
