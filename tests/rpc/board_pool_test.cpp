// Boards come and go under a pool; every request has one answer.
#include "rpc/client/board_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fleet.h"

namespace lathe {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

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
  EXPECT_THAT(fleet.Notices(), testing::Contains(testing::HasSubstr("silent")));
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
  EXPECT_THAT(fleet.Notices(), testing::Contains(testing::HasSubstr("restarted")));
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
