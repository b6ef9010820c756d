// What happens on a board, with lathe-agent as a real process: kernels that misbehave, kills, draining. After each nothing of the
// candidates may be left on the board.
#include "agent_process.h"

#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include "agent_fixture.h"

namespace lathe {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;
using Clock = std::chrono::steady_clock;

constexpr seconds kLimit{2};  // of a candidate's run
const std::vector<std::string> kAgent = {"--run-limit", "2"};

// What the pools of a test had to say, and when: for whom a limit of time is not met.
class Notices {
 public:
  PoolOptions In(PoolOptions options) {
    options.notice = [this](const std::string& text) {
      const std::lock_guard lock(mutex_);
      const auto at = std::chrono::duration_cast<milliseconds>(Clock::now() - begin_);
      text_ += std::to_string(at.count()) + " ms: " + text + '\n';
    };
    return options;
  }
  std::string Text() {
    const std::lock_guard lock(mutex_);
    return text_;
  }

 private:
  const Clock::time_point begin_ = Clock::now();
  std::mutex mutex_;
  std::string text_;
};

PoolOptions Patient() {
  PoolOptions options = QuickPool();
  options.silence = milliseconds(4000);
  options.wait = seconds(60);
  return options;
}

// The harmless ones, so that what a fault costs is told from what compiling costs, which is up to the machine's other work.
void BuildBeforehand(const AgentProcess& agent, const std::vector<Candidate>& candidates) {
  auto pool = Reach({agent.endpoint()}, Patient(), true);
  ASSERT_TRUE(pool) << pool.error().message;
  for (size_t i = 0; i < candidates.size(); ++i) ASSERT_TRUE((*pool)->Submit({i, candidates[i], 0, false}));
  Gather(**pool, candidates.size());
}

class Misbehaves : public ::testing::TestWithParam<std::pair<const char*, MeasureStatus>> {};

TEST_P(Misbehaves, CostsItsTimeLimitAtMostAndLeavesNothing) {
  const auto& [behaviour, status] = GetParam();
  AgentProcess agent(kAgent);
  auto pool = Reach({agent.endpoint()}, Patient(), true);
  ASSERT_TRUE(pool) << pool.error().message;
  ASSERT_TRUE((*pool)->Submit({1, FaultCandidate("ok"), 0, false}));
  EXPECT_EQ(Gather(**pool, 1).at(1).status, MeasureStatus::kOk);
  auto begin = Clock::now();
  ASSERT_TRUE((*pool)->Submit({2, FaultCandidate(behaviour), 0, false}));
  const auto one = Gather(**pool, 1);
  ASSERT_EQ(one.count(2), 1U);
  EXPECT_STREQ(ToString(one.at(2).status), ToString(status)) << one.at(2).message;
  begin += std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(one.at(2).build_seconds));  // no part of the fault
  RecordTime(begin);
  EXPECT_LT(Clock::now() - begin, kLimit + kOverhead);
  ASSERT_TRUE((*pool)->Submit({3, FaultCandidate("ok", 1), 0, false}));
  EXPECT_EQ(Gather(**pool, 1).at(3).status, MeasureStatus::kOk) << "the board goes on";
  pool->reset();
  agent.ExpectNothingLeft();
}

INSTANTIATE_TEST_SUITE_P(Kernels, Misbehaves,
                         ::testing::Values(std::pair{"endless_loop", MeasureStatus::kRunTimeout},
                                           std::pair{"segfault", MeasureStatus::kCrashed}, std::pair{"fork_child", MeasureStatus::kOk},
                                           std::pair{"leave_daemon", MeasureStatus::kOk}, std::pair{"write_files", MeasureStatus::kCrashed},
                                           std::pair{"exhaust_memory", MeasureStatus::kCrashed},
                                           std::pair{"close_files", MeasureStatus::kCrashed}),
                         [](const auto& behaviour) { return std::string(behaviour.param.first); });

// Of all fault candidates one runs until it is killed; the agent dies under it.
TEST(AgentProcess, KilledMidKernelItsWorkMovesOnAndItsWorkerDiesWithIt) {
  AgentProcess one(kAgent), two(kAgent);
  std::vector<Candidate> candidates;
  for (int64_t i = 1; i <= 6; ++i) candidates.push_back(FaultCandidate(i <= 2 ? "endless_loop" : "ok", i));
  for (const AgentProcess* agent : {&one, &two}) BuildBeforehand(*agent, {candidates.begin() + 2, candidates.end()});
  Notices notices;
  auto pool = Reach({one.endpoint(), two.endpoint()}, notices.In(Patient()), true);
  ASSERT_TRUE(pool) << pool.error().message;
  ASSERT_TRUE(Eventually(seconds(20), [&] { return (*pool)->boards()[0].state == "up" && (*pool)->boards()[1].state == "up"; }));
  for (uint64_t i = 1; i <= 6; ++i) ASSERT_TRUE((*pool)->Submit({i, candidates[i - 1], 0, false}));
  ASSERT_TRUE(Eventually(seconds(30), [&] { return !Workers(one).empty() && !Workers(two).empty(); }));
  std::this_thread::sleep_for(milliseconds(500));
  const auto begin = Clock::now();
  one.Kill();
  EXPECT_TRUE(Eventually(seconds(2), [&] { return Workers(one).empty(); })) << "no worker outlives its agent";
  const auto all = Gather(**pool, 6);
  RecordTime(begin);
  EXPECT_LT(Clock::now() - begin, 2 * kLimit + kOverhead) << "both endless ones, and what the fault cost\n" << notices.Text();
  for (const auto& [ticket, measurement] : all)
    EXPECT_STREQ(ToString(measurement.status), ticket <= 2 ? "run_timeout" : "ok") << ticket << ": " << measurement.message;
  pool->reset();
  two.ExpectNothingLeft();
  one.Boot();
  // The next session on the board clears away what its predecessor could not.
  auto again = Reach({one.endpoint()}, Patient(), true);
  ASSERT_TRUE(again) << again.error().message;
  again->reset();
  one.ExpectNothingLeft();
}

TEST(AgentProcess, RebootedAloneItGoesOnWhereItWas) {
  AgentProcess agent(kAgent);
  std::vector<Candidate> candidates;
  for (int64_t i = 1; i <= 5; ++i) candidates.push_back(FaultCandidate(i == 1 ? "endless_loop" : "ok", i));
  BuildBeforehand(agent, {candidates.begin() + 1, candidates.end()});
  Notices notices;
  auto pool = Reach({agent.endpoint()}, notices.In(Patient()), true);
  ASSERT_TRUE(pool) << pool.error().message;
  for (uint64_t i = 1; i <= 5; ++i) ASSERT_TRUE((*pool)->Submit({i, candidates[i - 1], 0, false}));
  ASSERT_TRUE(Eventually(seconds(30), [&] { return !Workers(agent).empty(); }));
  std::this_thread::sleep_for(milliseconds(300));
  agent.Kill();
  agent.Boot();
  const auto begin = Clock::now();
  const auto all = Gather(**pool, 5);
  RecordTime(begin);
  EXPECT_LT(Clock::now() - begin, kLimit + kOverhead) << notices.Text();
  for (const auto& [ticket, measurement] : all)
    EXPECT_STREQ(ToString(measurement.status), ticket == 1 ? "run_timeout" : "ok") << ticket << ": " << measurement.message;
  pool->reset();
  agent.ExpectNothingLeft();
}

TEST(AgentProcess, DrainsOnSigtermHandsOverWhatRanAndEnds) {
  AgentProcess agent(kAgent);
  auto pool = Reach({agent.endpoint()}, Patient(), true);
  ASSERT_TRUE(pool) << pool.error().message;
  ASSERT_TRUE((*pool)->Submit({1, FaultCandidate("endless_loop"), 0, false}));
  ASSERT_TRUE(Eventually(seconds(30), [&] { return !Workers(agent).empty(); }));
  agent.process().Signal(SIGTERM);
  const auto all = Gather(**pool, 1);
  EXPECT_STREQ(ToString(all.at(1).status), "run_timeout") << "what ran was finished";
  EXPECT_EQ(agent.process().Wait(kLimit + seconds(10)), 0) << agent.Log();
  EXPECT_THAT(agent.Log(), HasSubstr("\"event\":\"draining\""));
  EXPECT_THAT(agent.Log(), HasSubstr("\"event\":\"stopped\""));
  agent.ExpectNothingLeft();
}

// A source may name any file; the compiler must not be able to read it out.
TEST(AgentProcess, ACompilerReadsNoSecretsOfTheAgents) {
  AgentProcess agent(kAgent);
  if (agent.Log().find("\"compiler_sandbox\":\"none\"") != std::string::npos) GTEST_SKIP() << "no Landlock here, and not root";
  const TempDir dir = std::move(*TempDir::Create("secret"));
  const std::filesystem::path secret = dir.path() / "board.key";
  ASSERT_TRUE(WriteFile(secret, "int hunter2"));
  auto pool = Reach({agent.endpoint()}, Patient());
  ASSERT_TRUE(pool) << pool.error().message;
  const auto rendering = RenderingFrom(FaultTemplates());
  const std::vector<std::string> ways = {"#include \"" + secret.string() + "\"\n", "asm(\".incbin \\\"" + secret.string() + "\\\"\");\n",
                                         ""};
  for (size_t i = 0; i < ways.size(); ++i) {
    const Candidate candidate = FaultCandidate("ok", static_cast<int64_t>(i));
    const auto text = rendering(candidate, (*pool)->target());
    ASSERT_TRUE(text) << text.error().message;
    auto changed = std::make_shared<CandidateText>(**text);
    changed->source = ways[i] + changed->source;
    if (i == 1) {
      EXPECT_STREQ(ToString(MakeShop()->Measure({i, candidate, 0, false, changed}).status), "ok") << "without the sandbox";
    }
    ASSERT_TRUE((*pool)->Submit({i, candidate, 0, false, changed}));
  }
  const auto all = Gather(**pool, ways.size());
  for (size_t i = 0; i + 1 < ways.size(); ++i) {
    EXPECT_STREQ(ToString(all.at(i).status), "build_error");
    EXPECT_THAT(all.at(i).message, ::testing::Not(HasSubstr("hunter2")));
    EXPECT_THAT(all.at(i).message, ::testing::AnyOf(HasSubstr("Permission denied"), HasSubstr("file not found")));
  }
  EXPECT_STREQ(ToString(all.at(ways.size() - 1).status), "ok") << all.at(ways.size() - 1).message;
}

// One unary call by name, as a tool that knows no stub of ours makes it. Bytes are protocol buffers written by hand.
std::string Call(const std::string& endpoint, const std::string& method, const std::string& bytes) {
  grpc::GenericStub stub(grpc::CreateChannel(endpoint, grpc::InsecureChannelCredentials()));
  grpc::CompletionQueue queue;
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + seconds(10));
  const auto next = [&] {
    void* tag = nullptr;
    bool ok = false;
    return queue.Next(&tag, &ok) && ok;
  };
  const auto call = stub.PrepareCall(&context, method, &queue);
  call->StartCall(nullptr);
  if (!next()) return "no call";
  const grpc::Slice slice(bytes);
  call->WriteLast(grpc::ByteBuffer(&slice, 1), grpc::WriteOptions(), nullptr);
  if (!next()) return "no write";
  grpc::ByteBuffer answer;
  call->Read(&answer, nullptr);
  const bool answered = next();
  grpc::Status status;
  call->Finish(&status, nullptr);
  next();
  if (!answered) return status.error_message();
  grpc::Slice whole;
  (void)answer.DumpToSingleSlice(&whole);
  return {reinterpret_cast<const char*>(whole.begin()), whole.size()};
}

TEST(AgentProcess, TellsItsHealthAndItsServices) {
  AgentProcess agent;
  const std::string check = "/grpc.health.v1.Health/Check", board = std::string("\x0a\x0e") + "lathe.v1.Board";
  EXPECT_EQ(Call(agent.endpoint(), check, board), "\x08\x01") << "serving";
  const std::string services = Call(agent.endpoint(), "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", {'\x3a', '\0'});
  EXPECT_THAT(services, HasSubstr("lathe.v1.Board"));
  EXPECT_THAT(services, HasSubstr("grpc.health.v1.Health"));
}

TEST(AgentProcess, ItsCommandLineGoesBeforeItsConfiguration) {
  const TempDir dir = std::move(*TempDir::Create("config"));
  ASSERT_TRUE(WriteFile(dir.path() / "agent.json", R"({"name": "from file", "listen": "127.0.0.1:1", "lease_seconds": 77})"));
  AgentProcess agent({"--config", (dir.path() / "agent.json").string()});
  EXPECT_THAT(agent.Log(), HasSubstr("\"board\":\"bench\""));
  EXPECT_THAT(agent.Log(), HasSubstr("\"address\":\"127.0.0.1:0\""));
}

}  // namespace
}  // namespace lathe
