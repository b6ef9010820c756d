// `lathe tune` against lathe-agent, both real processes: several tuners, one that dies, clocks that jump, energy.
#include <gmock/gmock.h>

#include <atomic>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "agent_process.h"
#include "db/tuning_log.h"
#include "tests/power/board_tree.h"

namespace lathe {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;
using Clock = std::chrono::steady_clock;

const std::string kSmall = "resize:h=24,w=40,c=3,oh=17,ow=19";

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
    TuningLogOptions only_reading;
    only_reading.mode = TuningLogOptions::Mode::kReadOnly;
    Result<std::unique_ptr<TuningLog>> log = TuningLog::Open(Path(name + ".db"), only_reading);
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
  RecordTime(begin);
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
