// The whole way over gRPC: the same results as in-process, and what happens when network, board or candidate misbehave.
#include "agent_fixture.h"
#include "rpc/agent/listen_problem.h"

namespace lathe {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Clock = std::chrono::steady_clock;

TEST(Remote, GivesTheStatusesThatTheLocalPathGives) {
  Agent agent(RealWorkers(seconds(2)));
  auto pool = Reach({agent.endpoint()}, QuickPool(), true);
  ASSERT_TRUE(pool) << pool.error().message;
  const std::vector<std::string> behaviours = {"ok",        "refuse",         "wrong_value",  "write_after",   "segfault",      "abort",
                                               "exit_zero", "exhaust_memory", "endless_loop", "compile_error", "missing_symbol"};
  const auto shop = MakeShop([] {
    WorkshopOptions options = TestOptions();
    options.run.timeout = seconds(2);
    return options;
  }());
  for (size_t i = 0; i < behaviours.size(); ++i) ASSERT_TRUE((*pool)->Submit({i, FaultCandidate(behaviours[i]), 0, false}));
  const auto all = Gather(**pool, behaviours.size(), seconds(120));
  for (size_t i = 0; i < behaviours.size(); ++i) {
    const Measurement local = shop->Measure({i, FaultCandidate(behaviours[i]), 0, false});
    const Measurement& remote = all.at(i);
    EXPECT_STREQ(ToString(remote.status), ToString(local.status)) << behaviours[i] << ": " << remote.message;
    EXPECT_EQ(remote.message.substr(0, 15), local.message.substr(0, 15)) << behaviours[i];
    EXPECT_EQ(remote.seconds.empty(), local.seconds.empty());
    EXPECT_EQ(remote.candidate.Key(), local.candidate.Key());
    EXPECT_EQ(remote.board, "bench");
    EXPECT_EQ(remote.build_facts, local.build_facts);
  }
  EXPECT_EQ((*pool)->target().Key(), shop->target().Key());
}

TEST(Remote, CandidatesThatForkFillTheDiskOrReachForTheNetworkAreHeldBackAndLeaveNothing) {
  Agent agent(RealWorkers());
  auto pool = Reach({agent.endpoint()}, QuickPool(), true);
  ASSERT_TRUE(pool) << pool.error().message;
  uint64_t ticket = 0;
  for (const char* behaviour : {"fork_child", "leave_daemon", "write_files", "kill_parent", "open_socket", "ok"})
    ASSERT_TRUE((*pool)->Submit({ticket++, FaultCandidate(behaviour), 0, false}));
  const auto all = Gather(**pool, 6);
  EXPECT_EQ(all.at(5).status, MeasureStatus::kOk) << all.at(5).message;
  EXPECT_NE(all.at(2).status, MeasureStatus::kOk);
  EXPECT_NE(all.at(4).status, MeasureStatus::kOk);
  pool->reset();
  agent.Kill();
  for (const auto& entry : std::filesystem::directory_iterator(SharedDir()))
    EXPECT_EQ(entry.path().filename().string().find("lathe-measure-"), std::string::npos) << entry.path() << " was left behind";
}

TEST(Remote, AnArtifactIsSentOnceThoughMeasuredOften) {
  Agent agent(RealWorkers());
  FaultProxy proxy(agent.port());
  PoolOptions options = QuickPool();
  // As a host with a cross compiler would: built here, padded to a megabyte.
  const auto shop = MakeShop();
  const Candidate candidate = FaultCandidate("ok");
  Result<CandidateText> text = RenderCandidate(FaultTemplates(), candidate, shop->target());
  ASSERT_TRUE(text);
  const BuildOutcome built = shop->backend().Build(*text, nullptr);
  ASSERT_EQ(built.status, MeasureStatus::kOk) << built.message;
  const TempDir dir = std::move(*TempDir::Create("artifact"));
  std::string content = *ReadFile(built.artifact.path);
  content.resize(1 << 20);
  unsigned state = 1;  // not compressible
  for (size_t i = content.size() / 2; i < content.size(); ++i) content[i] = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
  ASSERT_TRUE(WriteFile(dir.path() / "candidate.so", content));
  text->artifact = Artifact{dir.path() / "candidate.so", "", {}};
  text->source.clear();
  Result<ReferenceText> reference = RenderReference(FaultTemplates(), candidate.workload);
  ASSERT_TRUE(reference);
  text->reference = std::make_shared<const ReferenceText>(std::move(*reference));
  const auto shared = std::make_shared<const CandidateText>(std::move(*text));

  auto pool = Reach({proxy.endpoint()}, options);
  ASSERT_TRUE(pool) << pool.error().message;
  for (uint64_t i = 0; i < 100; ++i) ASSERT_TRUE((*pool)->Submit({i, candidate, 0, false, shared}));
  const auto all = Gather(**pool, 100);
  for (const auto& [ticket, measurement] : all) EXPECT_EQ(measurement.status, MeasureStatus::kOk) << measurement.message;
  EXPECT_GT(proxy.to_board(), 1U << 20);
  EXPECT_LT(proxy.to_board(), (1U << 20) + 300'000U) << "once, and a hundred small jobs";
  RecordProperty("bytes_to_board", static_cast<int>(proxy.to_board()));
}

class Faults : public ::testing::Test {
 protected:
  void Start(int64_t delay_ms, uint64_t jobs = 6) {
    auto pool = Reach({proxy_.endpoint(), other_.endpoint()});
    ASSERT_TRUE(pool) << pool.error().message;
    pool_ = std::move(*pool);
    const auto end = Clock::now() + seconds(10);
    while (pool_->boards()[0].state != "up" || pool_->boards()[1].state != "up") {
      ASSERT_LT(Clock::now(), end);
      std::this_thread::sleep_for(milliseconds(10));
    }
    for (uint64_t i = 1; i <= jobs; ++i) ASSERT_TRUE(pool_->Submit({i, ScriptedCandidate(static_cast<int64_t>(i), delay_ms), 0, false}));
    std::this_thread::sleep_for(milliseconds(100));
    fault_at_ = Clock::now();
  }
  // Every job has one good result, within the candidates' own time and five seconds.
  void ExpectAll(uint64_t jobs, milliseconds own) {
    const auto all = Gather(*pool_, jobs);
    EXPECT_LT(Clock::now() - fault_at_, own + seconds(5));
    for (const auto& [ticket, measurement] : all) EXPECT_EQ(measurement.status, MeasureStatus::kOk) << measurement.message;
    RecordProperty("overhead_ms", static_cast<int>(std::chrono::duration_cast<milliseconds>(Clock::now() - fault_at_ - own).count()));
  }

  Agent one_, two_;
  FaultProxy proxy_{one_.port()}, other_{two_.port()};
  std::unique_ptr<BoardPool> pool_;
  Clock::time_point fault_at_;
};

TEST_F(Faults, AnAgentKilledMidKernel) {
  Start(300);
  one_.Kill();
  ExpectAll(6, milliseconds(6 * 300));
  one_.Boot();
}

TEST_F(Faults, ABoardThatReboots) {
  Start(300);
  one_.Reboot();
  ExpectAll(6, milliseconds(6 * 300));
}

TEST_F(Faults, ALinkThatIsReset) {
  Start(300);
  proxy_.ResetAll();
  ExpectAll(6, milliseconds(4 * 300));
  EXPECT_EQ(one_.runs + two_.runs, 6) << "nothing was measured twice";
}

TEST_F(Faults, ALinkThatIsGoneForGood) {
  Start(300);
  proxy_.Drop();
  ExpectAll(6, milliseconds(6 * 300));
}

TEST_F(Faults, ALinkThatStalls) {
  Start(300);
  proxy_.stalled = true;
  ExpectAll(6, milliseconds(6 * 300));
}

TEST_F(Faults, AConnectionThatIsHalfClosed) {
  Start(300);
  proxy_.HalfCloseAll();
  ExpectAll(6, milliseconds(6 * 300));
}

TEST_F(Faults, ALinkWithFiftyMillisecondsOfDelayAndLittleBandwidth) {
  proxy_.delay_ms = 50;
  proxy_.bytes_per_second = 1'000'000;
  Start(20, 40);
  ExpectAll(40, milliseconds(40 * 20));
  EXPECT_GT(one_.runs, 5) << "the slow link's board takes its part";
}

// Corrupted data is tested with TLS, in stranger_test.cpp: only loopback goes without, and nothing there would notice flipped bits.

TEST(Remote, AWayDownForSecondsLosesNothingOnTheOnlyBoard) {
  Agent agent;
  FaultProxy proxy(agent.port());
  auto pool = Reach({proxy.endpoint()});
  ASSERT_TRUE(pool) << pool.error().message;
  for (uint64_t i = 1; i <= 4; ++i) ASSERT_TRUE((*pool)->Submit({i, ScriptedCandidate(static_cast<int64_t>(i), 200), 0, false}));
  std::this_thread::sleep_for(milliseconds(100));
  proxy.Drop();
  std::this_thread::sleep_for(seconds(3));
  proxy.Restore();
  const auto all = Gather(**pool, 4);
  for (const auto& [ticket, measurement] : all) EXPECT_EQ(measurement.status, MeasureStatus::kOk) << measurement.message;
  EXPECT_EQ(agent.runs, 4) << "the board worked on, and kept its results";
}

// In real time, and past the lease: nobody else wanted the board meanwhile.
TEST(RemoteSlow, ALinkThatIsDownForThirtySecondsLosesNothingOnTheOnlyBoard) {
  Agent agent;
  FaultProxy proxy(agent.port());
  PoolOptions patient = QuickPool();
  patient.wait = seconds(60);
  std::mutex mutex;
  std::string notices;
  patient.notice = [&](const std::string& text) {
    const std::lock_guard lock(mutex);
    notices += text + '\n';
  };
  auto pool = Reach({proxy.endpoint()}, patient);
  ASSERT_TRUE(pool) << pool.error().message;
  for (uint64_t i = 1; i <= 4; ++i) ASSERT_TRUE((*pool)->Submit({i, ScriptedCandidate(static_cast<int64_t>(i), 200), 0, false}));
  std::this_thread::sleep_for(milliseconds(100));
  proxy.Drop();
  std::this_thread::sleep_for(seconds(30));
  proxy.Restore();
  const auto back = Clock::now();
  const auto all = Gather(**pool, 4);
  EXPECT_LT(Clock::now() - back, seconds(5));
  for (const auto& [ticket, measurement] : all) EXPECT_EQ(measurement.status, MeasureStatus::kOk) << measurement.message;
  EXPECT_EQ(agent.runs, 4) << "the board worked on, and kept its results";
  const std::lock_guard lock(mutex);
  EXPECT_THAT(notices, testing::HasSubstr("waiting for a board"));
}

TEST(Remote, TwoTunersTakeTurnsAndTheSecondIsToldWhoIsFirst) {
  Agent agent;
  auto first = Reach({agent.endpoint()});
  ASSERT_TRUE(first) << first.error().message;
  PoolOptions hasty = QuickPool();
  hasty.wait = milliseconds(1500);
  const auto refused = Reach({agent.endpoint()}, hasty);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, testing::HasSubstr("has held it for"));
  first->reset();
  EXPECT_TRUE(Reach({agent.endpoint()}));
}

TEST(Remote, AHolderThatDiesFreesTheBoardAfterItsLease) {
  Agent::Setup setup;
  setup.lease = milliseconds(1000);
  Agent agent(setup);
  FaultProxy proxy(agent.port());
  auto dead = Reach({proxy.endpoint()});
  ASSERT_TRUE(dead) << dead.error().message;
  ASSERT_TRUE((*dead)->Submit({1, ScriptedCandidate(1, 600'000), 0, false}));
  std::this_thread::sleep_for(milliseconds(100));
  proxy.Drop();
  const auto begin = Clock::now();
  auto next = Reach({agent.endpoint()});
  ASSERT_TRUE(next) << next.error().message;
  EXPECT_LT(Clock::now() - begin, seconds(5));
  ASSERT_TRUE((*next)->Submit({1, ScriptedCandidate(1, 1), 0, false}));
  EXPECT_EQ(Gather(**next, 1).size(), 1U) << "what the dead one had running is gone";
}

TEST(Remote, AnotherProtocolVersionIsRefusedWithBothRanges) {
  Agent::Setup setup;
  setup.serve.protocol = {7, 9};
  Agent agent(setup);
  const auto refused = Reach({agent.endpoint()});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, testing::HasSubstr("speaks protocol 7 to 9, the client 1 to 3"));
}

TEST(Remote, NeighbouringProtocolVersionsWorkTogether) {
  for (const ProtocolRange range : {ProtocolRange{1, 1}, ProtocolRange{2, 3}}) {
    Agent::Setup setup;
    setup.serve.protocol = range;
    Agent agent(setup);
    auto pool = Reach({agent.endpoint()});
    ASSERT_TRUE(pool) << pool.error().message;
    ASSERT_TRUE((*pool)->Submit({1, ScriptedCandidate(1), 0, false}));
    EXPECT_EQ(Gather(**pool, 1).at(1).status, MeasureStatus::kOk);
  }
}

TEST(Remote, AnAgentThatIsTooOldForEnergyIsRefusedRatherThanAskedInVain) {
  Agent::Setup setup;
  setup.serve.protocol = {1, 1};
  Agent agent(setup);
  PoolOptions options = QuickPool();
  options.session.energy = true;
  const auto refused = Reach({agent.endpoint()}, options);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, testing::HasSubstr("cannot measure energy"));
}

TEST(Remote, AnAgentOnATakenPortSaysSo) {
  Agent agent;
  const auto store = std::move(*UploadStore::Open(SharedDir() / "uploads", {}));
  Board board({}, [](const SessionSpec&) -> Result<std::unique_ptr<Measurer>> { return Error{}; });
  AgentOptions options;
  options.listen = agent.endpoint();
  const auto second = AgentServer::Start(&board, store.get(), options);
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().message, testing::HasSubstr(agent.endpoint()));
  EXPECT_THAT(second.error().message, testing::HasSubstr("in use"));
  EXPECT_THAT(second.error().message, testing::HasSubstr("--listen"));
  EXPECT_THAT(second.error().message, testing::Not(testing::HasSubstr("certificate")));
}

TEST(Remote, SaysWhatIsWrongWithAnAddressToListenOn) {
  const auto store = std::move(*UploadStore::Open(SharedDir() / "uploads", {}));
  Board board({}, [](const SessionSpec&) -> Result<std::unique_ptr<Measurer>> { return Error{}; });
  for (const auto& [address, problem] : std::vector<std::pair<std::string, std::string>>{
           {"127.0.0.1:80a", "no number"}, {"nohost", "no port"}, {"127.0.0.1:0,127.0.0.2:0", "one address"}}) {
    AgentOptions options;
    options.listen = address;
    const auto server = AgentServer::Start(&board, store.get(), options);
    ASSERT_FALSE(server) << address;
    EXPECT_THAT(server.error().message, testing::HasSubstr(problem));
  }
  EXPECT_THAT(ListenProblem("192.0.2.1:7200"), testing::HasSubstr("no address of this machine")) << "an address for documents";
  EXPECT_EQ(ListenProblem("127.0.0.1:0"), "");
}

TEST(Remote, OnlyLoopbackIsServedAndReachedWithoutCertificates) {
  const auto store = std::move(*UploadStore::Open(SharedDir() / "uploads", {}));
  Board board({}, [](const SessionSpec&) -> Result<std::unique_ptr<Measurer>> { return Error{}; });
  AgentOptions options;
  options.listen = "0.0.0.0:0";
  const auto server = AgentServer::Start(&board, store.get(), options);
  ASSERT_FALSE(server);
  EXPECT_THAT(server.error().message, testing::HasSubstr("needs certificates"));
  LinkOptions link;
  link.endpoint = "192.0.2.1:7200";
  EXPECT_FALSE(MakeGrpcLink(link));
}

}  // namespace
}  // namespace lathe
