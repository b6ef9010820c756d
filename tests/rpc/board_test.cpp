// What a board does without the network: who holds it, and that each job has one result, once.
#include "rpc/agent/board.h"

#include <gtest/gtest.h>

#include "core/file.h"
#include "core/hash.h"
#include "rpc/agent/flag_rules.h"
#include "rpc/agent/upload_store.h"
#include "scripted_measurer.h"

namespace lathe {
namespace {

using std::chrono::milliseconds;

class Heard : public BoardListener {
 public:
  void OnOpened(const Target&, size_t, const std::vector<uint64_t>& unknown) override {
    const std::lock_guard lock(mutex_);
    opened = true;
    unknown_ids = unknown;
    changed_.notify_all();
  }
  void OnStarted(uint64_t id) override {
    const std::lock_guard lock(mutex_);
    started.push_back(id);
    changed_.notify_all();
  }
  void OnResult(const Measurement& measurement) override {
    const std::lock_guard lock(mutex_);
    results.push_back(measurement);
    changed_.notify_all();
  }
  void OnDraining() override {
    const std::lock_guard lock(mutex_);
    draining = true;
  }
  void OnEnd(const Error& error) override {
    const std::lock_guard lock(mutex_);
    ended = error.message;
    changed_.notify_all();
  }
  template <typename Condition>
  bool Until(const Condition& condition) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(20), condition);
  }
  bool UntilResults(size_t count) {
    return Until([&] { return results.size() >= count; });
  }

  std::vector<Measurement> results;
  std::vector<uint64_t> started, unknown_ids;
  std::string ended;
  bool opened = false, draining = false;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
};

class BoardTest : public ::testing::Test {
 protected:
  BoardTest() {
    Board::Options options;
    options.name = "bench";
    options.lease = milliseconds(10'000);
    options.clock = [this] { return std::chrono::steady_clock::time_point(milliseconds(now_ms_.load())); };
    board_ = std::make_unique<Board>(options, [this](const SessionSpec& spec) -> Result<std::unique_ptr<Measurer>> {
      if (spec.target != "cpu") return Error{ErrorCode::kNotFound, "no such target here"};
      return std::unique_ptr<Measurer>(std::make_unique<ScriptedMeasurer>("fake", 2, &runs_));
    });
  }
  std::shared_ptr<Heard> Open(const std::string& lease, const std::vector<uint64_t>& outstanding = {}) {
    auto heard = std::make_shared<Heard>();
    EXPECT_TRUE(board_->Open(lease, {}, outstanding, heard));
    EXPECT_TRUE(heard->Until([&] { return heard->opened; }));
    return heard;
  }
  Status Submit(const std::shared_ptr<Heard>& heard, uint64_t id, int64_t delay_ms = 1) {
    return board_->Submit(heard.get(), {id, ScriptedCandidate(static_cast<int64_t>(id), delay_ms), 0, false});
  }

  std::atomic<int64_t> now_ms_{1'000'000};
  std::atomic<int> runs_{0};
  std::unique_ptr<Board> board_;
};

TEST_F(BoardTest, MeasuresForItsHolder) {
  const auto lease = board_->Hold("alice", "");
  ASSERT_TRUE(lease);
  const auto heard = Open(lease->id);
  for (uint64_t id = 1; id <= 5; ++id) ASSERT_TRUE(Submit(heard, id));
  ASSERT_TRUE(heard->UntilResults(5));
  EXPECT_EQ(heard->started.size(), 5U);
  EXPECT_EQ(board_->facts().unacknowledged, 5U);
  board_->Acknowledge(heard.get(), {1, 2, 3, 4, 5});
  EXPECT_EQ(board_->facts().unacknowledged, 0U);
}

TEST_F(BoardTest, TellsTheSecondWhoHasIt) {
  ASSERT_TRUE(board_->Hold("alice", ""));
  now_ms_ += 4000;
  const auto second = board_->Hold("bob", "");
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().message.find("alice has held it for 4 s"), std::string::npos) << second.error().message;
}

TEST_F(BoardTest, IsFreeOnceItsHolderWasSilentForTheLease) {
  const auto first = board_->Hold("alice", "");
  ASSERT_TRUE(first);
  const auto heard = Open(first->id);
  now_ms_ += 10'001;
  const auto second = board_->Hold("bob", "");
  ASSERT_TRUE(second);
  EXPECT_TRUE(heard->Until([&] { return !heard->ended.empty(); })) << "whoever lost the board is told";
  EXPECT_FALSE(board_->Open(first->id, {}, {}, std::make_shared<Heard>()));
}

TEST_F(BoardTest, AnExpiredLeaseGoesOnWhenNobodyTookTheBoard) {
  const auto first = board_->Hold("alice", "");
  auto heard = Open(first->id);
  ASSERT_TRUE(Submit(heard, 7));
  ASSERT_TRUE(heard->UntilResults(1));
  board_->Detach(heard.get());
  now_ms_ += 30'000;
  const auto again = board_->Hold("alice", first->id);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->id, first->id);
  heard = Open(again->id, {7});
  ASSERT_TRUE(heard->UntilResults(1)) << "the result waited";
  EXPECT_TRUE(heard->unknown_ids.empty());
  EXPECT_EQ(runs_, 1);
}

TEST_F(BoardTest, AClockThatJumpsBackFreesNothingAndBreaksNothing) {
  const auto first = board_->Hold("alice", "");
  now_ms_ -= 500'000;
  EXPECT_FALSE(board_->Hold("bob", ""));
  EXPECT_TRUE(board_->Hold("alice", first->id));
}

TEST_F(BoardTest, AJobSentTwiceRunsOnce) {
  const auto lease = board_->Hold("alice", "");
  const auto heard = Open(lease->id);
  ASSERT_TRUE(Submit(heard, 1, 50));
  ASSERT_TRUE(Submit(heard, 1, 50));
  ASSERT_TRUE(heard->UntilResults(1));
  ASSERT_TRUE(Submit(heard, 1, 50));
  ASSERT_TRUE(Submit(heard, 2));
  ASSERT_TRUE(heard->UntilResults(2));
  EXPECT_EQ(runs_, 2);
}

TEST_F(BoardTest, KeepsWorkingWhileTheStreamIsDownAndThenHandsOverEverythingOnce) {
  const auto lease = board_->Hold("alice", "");
  auto heard = Open(lease->id);
  for (uint64_t id = 1; id <= 4; ++id) ASSERT_TRUE(Submit(heard, id, 20));
  board_->Detach(heard.get());
  const size_t before = heard->results.size();
  EXPECT_EQ(before, 0U);
  heard = Open(lease->id, {1, 2, 3, 4, 99});
  EXPECT_EQ(heard->unknown_ids, std::vector<uint64_t>{99});
  ASSERT_TRUE(heard->UntilResults(4));
  EXPECT_EQ(runs_, 4);
  std::set<uint64_t> ids;
  for (const Measurement& result : heard->results) EXPECT_TRUE(ids.insert(result.ticket).second);
}

TEST_F(BoardTest, ForgetsJobsThatTheHolderDoesNotAskForAgain) {
  const auto lease = board_->Hold("alice", "");
  auto heard = Open(lease->id);
  ASSERT_TRUE(Submit(heard, 1));
  ASSERT_TRUE(heard->UntilResults(1));
  heard = Open(lease->id, {});
  EXPECT_EQ(board_->facts().unacknowledged, 0U);
}

TEST_F(BoardTest, AnAnswerToAForgottenJobIsNotTakenForTheNextOfItsId) {
  const auto lease = board_->Hold("alice", "");
  auto heard = Open(lease->id);
  ASSERT_TRUE(board_->Submit(heard.get(), {1, ScriptedCandidate(1, 200), 0, false}));
  ASSERT_TRUE(heard->Until([&] { return !heard->started.empty(); }));
  heard = Open(lease->id, {});
  ASSERT_TRUE(board_->Submit(heard.get(), {1, ScriptedCandidate(2, 1, "wrong_result"), 0, false}));
  ASSERT_TRUE(heard->UntilResults(1));
  std::this_thread::sleep_for(milliseconds(100));
  ASSERT_EQ(heard->results.size(), 1U);
  EXPECT_EQ(heard->results[0].status, MeasureStatus::kWrongResult) << "the first one's, which was ok";
}

TEST_F(BoardTest, ASecondStreamOfTheHolderEndsTheFirst) {
  const auto lease = board_->Hold("alice", "");
  const auto first = Open(lease->id);
  const auto second = Open(lease->id);
  EXPECT_TRUE(first->Until([&] { return !first->ended.empty(); }));
  ASSERT_TRUE(Submit(first, 1)) << "an old stream's words have no effect";
  EXPECT_EQ(board_->facts().queued + board_->facts().running, 0U);
}

TEST_F(BoardTest, WithdrawsWhatHasNotStarted) {
  const auto lease = board_->Hold("alice", "");
  const auto heard = Open(lease->id);
  for (uint64_t id = 1; id <= 6; ++id) ASSERT_TRUE(Submit(heard, id, 100));
  board_->Withdraw(heard.get(), {1, 2, 3, 4, 5, 6});
  ASSERT_TRUE(heard->UntilResults(2)) << "two were with the device already";
  std::this_thread::sleep_for(milliseconds(250));
  EXPECT_EQ(runs_, 2);
}

TEST_F(BoardTest, CancellingStopsWhatRuns) {
  const auto lease = board_->Hold("alice", "");
  const auto heard = Open(lease->id);
  ASSERT_TRUE(Submit(heard, 1, 600'000));
  ASSERT_TRUE(heard->Until([&] { return heard->started.size() == 1; }));
  board_->CancelAll(heard.get());
  ASSERT_TRUE(Submit(heard, 2));
  ASSERT_TRUE(heard->UntilResults(1));
  EXPECT_EQ(heard->results[0].ticket, 2U);
}

TEST_F(BoardTest, TakesNoMoreJobsThanItCanRemember) {
  const auto lease = board_->Hold("alice", "");
  const auto heard = Open(lease->id);
  Status status;
  uint64_t sent = 0;
  while (status && sent < 10'000) status = Submit(heard, ++sent, 600'000);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kResourceExhausted);
  EXPECT_EQ(sent, 257U);
}

TEST_F(BoardTest, DrainingHandsBackWhatHasNotStartedAndTakesNobodyNew) {
  const auto lease = board_->Hold("alice", "");
  const auto heard = Open(lease->id);
  for (uint64_t id = 1; id <= 6; ++id) ASSERT_TRUE(Submit(heard, id, 50));
  board_->Drain();
  ASSERT_TRUE(heard->UntilResults(6));
  EXPECT_TRUE(heard->draining);
  EXPECT_EQ(std::count_if(heard->results.begin(), heard->results.end(),
                          [](const Measurement& m) { return m.status == MeasureStatus::kBoardLost; }),
            4);
  EXPECT_FALSE(board_->Drained());
  board_->Acknowledge(heard.get(), {1, 2, 3, 4, 5, 6});
  EXPECT_TRUE(board_->Drained());
  board_->Release(lease->id);
  EXPECT_FALSE(board_->Hold("bob", ""));
}

TEST_F(BoardTest, ATargetThatCannotBeUsedEndsTheSessionWithTheReason) {
  const auto lease = board_->Hold("alice", "");
  const auto heard = std::make_shared<Heard>();
  SessionSpec spec;
  spec.target = "abacus";
  ASSERT_TRUE(board_->Open(lease->id, spec, {}, heard));
  ASSERT_TRUE(heard->Until([&] { return !heard->ended.empty(); }));
  EXPECT_EQ(heard->ended, "no such target here");
}

TEST(CheckFlags, LetsOptimisationPassAndNothingThatNamesAFile) {
  EXPECT_TRUE(CheckFlags({"-O2", "-ffast-math", "-mprefer-vector-width=512", "-DX=3", "-include", "sys/socket.h", "-std=c++20",
                          "-fconstexpr-ops-limit=9000000000000", "-funroll-loops", "-cl-fast-relaxed-math", "-Wno-psabi"}));
  for (const char* flag : {"-fplugin=evil.so",
                           "-o",
                           "-o/etc/passwd",
                           "@file",
                           "-Wl,-rpath",
                           "-Wa,-x",
                           "-Wp,-MD,x",
                           "-specs=x",
                           "-include",
                           "-I/etc",
                           "-wrapper",
                           "-B.",
                           "-fprofile-use=x",
                           "-fdump-tree-all",
                           "-save-temps",
                           "candidate.cpp",
                           "-x",
                           "-fuse-ld=evil",
                           "-DA=\"/etc\"",
                           "-imacros",
                           "",
                           "-fself-test=x",
                           "-L.",
                           "-lc",
                           "-fsanitize=address",
                           "-gsplit-dwarf",
                           "-aux-info"})
    EXPECT_FALSE(CheckFlags({flag})) << flag;
  EXPECT_FALSE(CheckFlags({"-include", "/etc/shadow"}));
  EXPECT_FALSE(CheckFlags({"-include", "../../x.h"}));
  EXPECT_FALSE(CheckFlags({"-include", "a/b/c.h"}));
}

class UploadStoreTest : public ::testing::Test {
 protected:
  UploadStoreTest() : dir_(std::move(*TempDir::Create("uploads"))) {}
  std::unique_ptr<UploadStore> Open(UploadStore::Limits limits = {}) { return std::move(*UploadStore::Open(dir_.path() / "u", limits)); }
  static Status Put(UploadStore& store, const std::string& content) {
    auto upload = store.Begin(Sha256(content), content.size());
    if (!upload) return upload.error();
    if (Status appended = (*upload)->Append(content); !appended) return appended.error();
    return (*upload)->Commit();
  }
  size_t Files() const {
    size_t count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(dir_.path() / "u")) ++count;
    return count;
  }
  TempDir dir_;
};

TEST_F(UploadStoreTest, KeepsContentUnderItsHash) {
  const auto store = Open();
  ASSERT_TRUE(Put(*store, "hello"));
  const auto path = store->Find(Sha256("hello"));
  ASSERT_TRUE(path);
  EXPECT_EQ(*ReadFile(*path), "hello");
  EXPECT_FALSE(store->Find(Sha256("other")));
}

TEST_F(UploadStoreTest, RefusesContentThatIsNotWhatItsHashSays) {
  const auto store = Open();
  auto upload = store->Begin(Sha256("hello"), 5);
  ASSERT_TRUE(upload);
  ASSERT_TRUE((*upload)->Append("jello"));
  EXPECT_FALSE((*upload)->Commit());
  EXPECT_FALSE((*store->Begin(Sha256("hello"), 5))->Append("hello, world"));
  EXPECT_FALSE((*store->Begin(Sha256("hello"), 5))->Commit());
  upload->reset();
  EXPECT_EQ(Files(), 0U);
}

TEST_F(UploadStoreTest, RefusesNamesThatAreNoHashes) {
  const auto store = Open();
  for (const char* name : {"../../etc/passwd", "", "abc", "/"}) {
    EXPECT_FALSE(store->Begin(name, 5));
    EXPECT_FALSE(store->Find(name));
  }
}

TEST_F(UploadStoreTest, IsBoundedByFileInNumberAndInAll) {
  const auto store = Open({10, 25, 2});
  EXPECT_FALSE(store->Begin(Sha256("x"), 11));
  auto one = store->Begin(Sha256("1"), 1), two = store->Begin(Sha256("2"), 1);
  EXPECT_FALSE(store->Begin(Sha256("3"), 1)) << "two at a time";
  one->reset();
  two->reset();
  for (const char* content : {"0123456789", "1123456789", "2123456789"}) {
    ASSERT_TRUE(Put(*store, content));
    std::this_thread::sleep_for(milliseconds(10));
  }
  EXPECT_EQ(Files(), 2U) << "the oldest made room";
  EXPECT_FALSE(store->Find(Sha256("0123456789")));
}

}  // namespace
}  // namespace lathe
