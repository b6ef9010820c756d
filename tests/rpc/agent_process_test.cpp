// What happens on a board and to its tuners, with lathe-agent and lathe as real processes: kernels that misbehave, kills, clock jumps,
// several tuners, draining. After each nothing of the candidates may be left on the board.
#include "agent_process.h"

#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "agent_fixture.h"
#include "db/tuning_log.h"
#include "tests/power/board_tree.h"

namespace lathe {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;
using Clock = std::chrono::steady_clock;

constexpr seconds kLimit{2};     // of a candidate's run
constexpr seconds kOverhead{5};  // of a fault beyond that
const std::vector<std::string> kAgent = {"--run-limit", "2"};
const std::string kSmall = "resize:h=24,w=40,c=3,oh=17,ow=19";

PoolOptions Patient() {
  PoolOptions options = QuickPool();
  options.silence = milliseconds(4000);
  options.wait = seconds(60);
  return options;
}

std::vector<pid_t> Workers(const AgentProcess& agent) { return ProcessesIn(agent.scratch()); }

class Misbehaves : public ::testing::TestWithParam<std::pair<const char*, MeasureStatus>> {};

TEST_P(Misbehaves, CostsItsTimeLimitAtMostAndLeavesNothing) {
  const auto& [behaviour, status] = GetParam();
  AgentProcess agent(kAgent);
  auto pool = Reach({agent.endpoint()}, Patient(), true);
  ASSERT_TRUE(pool) << pool.error().message;
  // Compiled beforehand, with whatever headers it takes: the limit is one of running.
  ASSERT_TRUE((*pool)->Submit({1, FaultCandidate("ok"), 0, false}));
  EXPECT_EQ(Gather(**pool, 1).at(1).status, MeasureStatus::kOk);
  const auto begin = Clock::now();
  ASSERT_TRUE((*pool)->Submit({2, FaultCandidate(behaviour), 0, false}));
  const auto one = Gather(**pool, 1);
  const auto took = Clock::now() - begin;
  ASSERT_EQ(one.count(2), 1U);
  EXPECT_STREQ(ToString(one.at(2).status), ToString(status)) << one.at(2).message;
  EXPECT_LT(took, kLimit + kOverhead);
  RecordProperty("milliseconds", static_cast<int>(std::chrono::duration_cast<milliseconds>(took).count()));
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
  auto pool = Reach({one.endpoint(), two.endpoint()}, Patient(), true);
  ASSERT_TRUE(pool) << pool.error().message;
  ASSERT_TRUE(Eventually(seconds(20), [&] { return (*pool)->boards()[0].state == "up" && (*pool)->boards()[1].state == "up"; }));
  for (uint64_t i = 1; i <= 2; ++i) ASSERT_TRUE((*pool)->Submit({i, FaultCandidate("endless_loop", static_cast<int64_t>(i)), 0, false}));
  for (uint64_t i = 3; i <= 6; ++i) ASSERT_TRUE((*pool)->Submit({i, FaultCandidate("ok", static_cast<int64_t>(i)), 0, false}));
  ASSERT_TRUE(Eventually(seconds(30), [&] { return !Workers(one).empty() && !Workers(two).empty(); }));
  std::this_thread::sleep_for(milliseconds(500));
  const auto begin = Clock::now();
  one.Kill();
  EXPECT_TRUE(Eventually(seconds(2), [&] { return Workers(one).empty(); })) << "no worker outlives its agent";
  const auto all = Gather(**pool, 6);
  EXPECT_LT(Clock::now() - begin, 2 * kLimit + kOverhead) << "both endless ones, and what the fault cost";
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
  auto pool = Reach({agent.endpoint()}, Patient(), true);
  ASSERT_TRUE(pool) << pool.error().message;
  ASSERT_TRUE((*pool)->Submit({1, FaultCandidate("endless_loop"), 0, false}));
  for (uint64_t i = 2; i <= 5; ++i) ASSERT_TRUE((*pool)->Submit({i, FaultCandidate("ok", static_cast<int64_t>(i)), 0, false}));
  ASSERT_TRUE(Eventually(seconds(30), [&] { return !Workers(agent).empty(); }));
  std::this_thread::sleep_for(milliseconds(300));
  agent.Kill();
  agent.Boot();
  const auto begin = Clock::now();
  const auto all = Gather(**pool, 5);
  EXPECT_LT(Clock::now() - begin, kLimit + kOverhead);
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

// `lathe tune` against agents.
class Tuner : public ::testing::Test {
 protected:
  std::filesystem::path Path(const std::string& name) const { return dir_.path() / name; }
  std::string Text(const std::string& name) const {
    const Result<std::string> text = ReadFile(Path(name));
    return text ? *text : std::string();
  }
  std::unique_ptr<Process> Tune(const std::string& name, const std::string& boards, int trials, const std::vector<std::string>& more = {},
                                const std::vector<std::string>& environment = {}) const {
    std::vector<std::string> arguments = {"tune",
                                          "--workload",
                                          kSmall,
                                          "--board",
                                          boards,
                                          "--trials",
                                          std::to_string(trials),
                                          "--strategy",
                                          "random",
                                          "--json",
                                          "--no-calibration",
                                          "--wait",
                                          "120",
                                          "--log",
                                          Path(name + ".db").string()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return std::make_unique<Process>(LATHE_BIN_DIR "/lathe", arguments, Path(name + ".out"), Path(name + ".err"), environment);
  }
  // Measurements in the log so far.
  size_t Rows(const std::string& name) const {
    if (!std::filesystem::exists(Path(name + ".db"))) return 0;
    Result<std::unique_ptr<TuningLog>> log = TuningLog::Open(Path(name + ".db"));
    size_t rows = 0;
    if (log)
      (void)(*log)->ForEach({}, [&](const LoggedMeasurement&) {
        ++rows;
        return true;
      });
    return rows;
  }
  // So many candidates, each measured once but for the finals, none of them throttled.
  void ExpectWhole(const std::string& name, size_t trials) const {
    Result<std::unique_ptr<TuningLog>> log = TuningLog::Open(Path(name + ".db"));
    ASSERT_TRUE(log) << log.error().message;
    std::map<std::string, int> times;
    ASSERT_TRUE((*log)->ForEach({}, [&](const LoggedMeasurement& row) {
      ++times[row.measurement.candidate.Key()];
      EXPECT_EQ(row.measurement.conditions.count("throttled"), 0U);
      EXPECT_STRNE(ToString(row.measurement.status), "board_lost");
      return true;
    }));
    EXPECT_EQ(times.size(), trials);
    size_t again = 0;
    for (const auto& [key, count] : times) again += count > 1 ? 1 : 0;
    EXPECT_LE(again, 9U) << "only finalists are measured again";
  }
  TempDir dir_ = std::move(*TempDir::Create("tuner"));
};

TEST_F(Tuner, TwoWantOneBoardAndTakeTurns) {
  AgentProcess agent;
  const auto first = Tune("first", agent.endpoint(), 12);
  ASSERT_TRUE(Eventually(seconds(30), [&] { return agent.Log().find("\"event\":\"held\"") != std::string::npos; }));
  const auto second = Tune("second", agent.endpoint(), 12);
  EXPECT_EQ(first->Wait(seconds(90)), 0) << Text("first.err");
  EXPECT_EQ(second->Wait(seconds(90)), 0) << Text("second.err");
  ExpectWhole("first", 12);
  ExpectWhole("second", 12);
  agent.ExpectNothingLeft();
}

TEST_F(Tuner, AHolderThatIsKilledFreesTheBoardAndItsOwnRunGoesOnLater) {
  AgentProcess agent({"--lease", "2"});
  const auto dead = Tune("dead", agent.endpoint(), 200);
  ASSERT_TRUE(Eventually(seconds(30), [&] { return !Workers(agent).empty(); }));
  dead->Kill();
  const auto begin = Clock::now();
  const auto next = Tune("next", agent.endpoint(), 12);
  ASSERT_TRUE(Eventually(seconds(60), [&] {
    const std::string log = agent.Log();
    return log.find("held", log.find("held") + 4) != std::string::npos;
  }));
  EXPECT_LT(Clock::now() - begin, seconds(2) + kOverhead) << "the lease, and what the fault cost";
  EXPECT_EQ(next->Wait(seconds(90)), 0) << Text("next.err");
  ExpectWhole("next", 12);
  const auto again = Tune("dead", agent.endpoint(), 200, {"--time", "3s"});
  EXPECT_EQ(again->Wait(seconds(90)), 0) << Text("dead.err");
  EXPECT_THAT(Text("dead.err"), HasSubstr("continuing run"));
  agent.ExpectNothingLeft();
}

TEST_F(Tuner, ClocksThatJumpOnBoardAndHostChangeNothing) {
  // A file of eight bytes each: seconds to add to the wall clock, see clock_jump.cpp.
  const auto jump = [&](const std::string& who, int64_t by) {
    std::fstream file(Path(who), std::ios::in | std::ios::out | std::ios::binary);
    file.write(reinterpret_cast<const char*>(&by), sizeof by);
  };
  for (const char* who : {"board", "host"}) ASSERT_TRUE(WriteFile(Path(who), std::string(8, '\0')));
  const std::string preload = std::string("LD_PRELOAD=") + CLOCK_JUMP_LIBRARY;
  AgentProcess agent({}, {preload, "CLOCK_JUMP=" + Path("board").string()});
  const auto tune = Tune("jump", agent.endpoint(), 24, {}, {preload, "CLOCK_JUMP=" + Path("host").string()});
  // A few candidates between the jumps, however long they take.
  ASSERT_TRUE(Eventually(seconds(90), [&] { return Rows("jump") >= 3; })) << Text("jump.err");
  constexpr int64_t kDay = 86'400;
  for (const auto& [board, host] : {std::pair<int64_t, int64_t>{kDay, kDay}, {-kDay, kDay}, {-kDay, -kDay}, {kDay, -kDay}}) {
    jump("board", board);
    jump("host", host);
    const size_t before = Rows("jump");
    ASSERT_TRUE(Eventually(seconds(60), [&] { return Rows("jump") >= before + 3; })) << Text("jump.err");
  }
  EXPECT_EQ(tune->Wait(seconds(90)), 0) << Text("jump.err");
  EXPECT_THAT(Text("jump.err"), ::testing::Not(HasSubstr("lost board")));
  ExpectWhole("jump", 24);
  const std::string log = agent.Log();
  EXPECT_EQ(log.find("held", log.find("held") + 4), std::string::npos) << "held once, throughout";
  // And the clocks did jump.
  std::set<int64_t> board_days, host_days;
  std::istringstream lines(log);
  for (std::string line; std::getline(lines, line);)
    if (const nlohmann::json event = nlohmann::json::parse(line, nullptr, false); event.is_object())
      board_days.insert(event["unix_ms"].get<int64_t>() / (1000 * kDay));
  ASSERT_TRUE((*TuningLog::Open(Path("jump.db")))->ForEach({}, [&](const LoggedMeasurement& row) {
    host_days.insert(row.measurement.finished_unix_ms / (1000 * kDay));
    return true;
  }));
  EXPECT_GT(board_days.size(), 1U);
  EXPECT_GT(host_days.size(), 1U);
}

// A TX2 that draws 4 W, and 9 W while a worker of the agent runs.
class Tx2 {
 public:
  explicit Tx2(std::function<bool()> busy) : busy_(std::move(busy)) {
    tree_.MakeTx2();
    Draw(4000);
  }
  void Start() {
    thread_ = std::thread([this] {
      while (!stop_) {
        Draw(busy_() ? 9000 : 4000);
        std::this_thread::sleep_for(milliseconds(2));
      }
    });
  }
  ~Tx2() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }
  std::string root() const { return tree_.root().string(); }

 private:
  void Draw(int milliwatts) {
    std::fstream(tree_.root() / "sys/bus/i2c/devices/0-0041/iio:device1/in_power0_input", std::ios::in | std::ios::out) << milliwatts;
  }
  std::function<bool()> busy_;
  testing::BoardTree tree_;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

TEST_F(Tuner, TunesForEnergyOverTheWireAndLogsJoules) {
  std::atomic<const AgentProcess*> running = nullptr;
  Tx2 board([&] { return running.load() != nullptr && !Workers(*running.load()).empty(); });
  AgentProcess agent({"--sysfs-root", board.root()});
  running = &agent;
  board.Start();
  const auto tune = Tune("energy", agent.endpoint(), 6, {"--objective", "energy"});
  ASSERT_EQ(tune->Wait(seconds(100)), 0) << Text("energy.err");
  const nlohmann::json report = nlohmann::json::parse(Text("energy.out"));
  EXPECT_EQ(report["objective"], "energy");
  const nlohmann::json best = report["tasks"][0]["best"];
  ASSERT_TRUE(best.is_object()) << report["tasks"][0]["failures"];
  EXPECT_GT(best["watts"].get<double>(), 7) << "9 W, but for looks at the moment it began or ended";
  EXPECT_LE(best["watts"].get<double>(), 9);
  EXPECT_GT(best["joules"].get<double>(), 0);
  EXPECT_GT(best["objective"].get<double>(), 0);
  size_t known = 0;
  Result<std::unique_ptr<TuningLog>> log = TuningLog::Open(Path("energy.db"));
  ASSERT_TRUE(log);
  ASSERT_TRUE((*log)->ForEach({}, [&](const LoggedMeasurement& row) {
    known += row.measurement.joules ? 1 : 0;
    return true;
  }));
  EXPECT_GE(known, 6U);
  running = nullptr;
  agent.ExpectNothingLeft();
}

TEST_F(Tuner, ABoardWithoutRailsRefusesToTuneForEnergy) {
  testing::BoardTree bare;
  bare.MakeAtlasHost();
  AgentProcess agent({"--sysfs-root", bare.root().string()});
  const auto tune = Tune("energy", agent.endpoint(), 6, {"--objective", "edp"});
  EXPECT_NE(tune->Wait(seconds(30)), 0);
  EXPECT_THAT(Text("energy.err"), HasSubstr("no power rail"));
}

}  // namespace
}  // namespace lathe
