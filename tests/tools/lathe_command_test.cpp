// The program as a user meets it: what it prints, how it exits, and what survives kill -9.
#include "tests/tools/lathe_command.h"

#include <fmt/format.h>
#include <signal.h>

#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <thread>

#include "db/tuning_log.h"

namespace lathe {
namespace {

TEST_F(LatheCommand, SaysWhatIsWrongWithAToolchainProfile) {
  const Outcome unknown = Run({"check", "resize_cpu", "--toolchain", "kettle"});
  EXPECT_EQ(unknown.exit_code, 4);
  EXPECT_NE(unknown.err.find("jetson-orin"), std::string::npos) << unknown.err;
  const Outcome local = Run({"tune", "--workload", kSmall, "--toolchain", "aarch64", "--log", Path("log.db")});
  EXPECT_EQ(local.exit_code, 2);
  EXPECT_FALSE(std::filesystem::exists(Path("log.db"))) << "nothing began, so nothing is left";
  EXPECT_NE(local.err.find("--board"), std::string::npos) << local.err;
  std::ofstream(Path("mine.json")) << R"({"architecture": "aarch64", "compiler": "no-such-compiler"})";
  const Outcome missing =
      Run({"tune", "--workload", kSmall, "--board", "127.0.0.1:1", "--toolchain", Path("mine.json"), "--log", Path("log.db")});
  EXPECT_EQ(missing.exit_code, 1);
  EXPECT_NE(missing.err.find("no-such-compiler"), std::string::npos) << missing.err;
}

TEST_F(LatheCommand, CallsAValueItCannotReadAWrongCommandLine) {
  for (const std::vector<std::string>& flags :
       {std::vector<std::string>{"--time", "10x"}, {"--objective", "speed"}, {"--shape", "image"}, {"--trials", "-1"}}) {
    const Outcome tune = Run({"tune", "--workload", kSmall, "--log", Path("log.db"), flags[0], flags[1]});
    EXPECT_EQ(tune.exit_code, 2) << flags[0] << tune.err;
    EXPECT_NE(tune.err.find(flags[0]), std::string::npos) << tune.err;
  }
  EXPECT_FALSE(std::filesystem::exists(Path("log.db")));
}

// The reference does not compile, so nothing can be judged.
TEST_F(LatheCommand, EndsWithFindingsWhenATaskHasNoWinner) {
  const std::filesystem::path templates = dir_->path() / "templates";
  std::filesystem::create_directories(templates);
  std::filesystem::copy(LATHE_SOURCE_DIR "/templates/prelude", templates / "prelude", std::filesystem::copy_options::recursive);
  std::filesystem::copy(LATHE_SOURCE_DIR "/templates/resize", templates / "resize");
  ASSERT_TRUE(WriteFile(templates / "resize" / "reference.cpp", "no reference;"));
  const std::vector<std::string> tune = {"--templates", templates.string(), "tune", "--workload", kSmall, "--log", Path("log.db")};
  const Outcome tuned = Run(tune);
  EXPECT_EQ(tuned.exit_code, 5) << tuned.err;
  EXPECT_NE(tuned.err.find("resize/reference.cpp:1"), std::string::npos) << tuned.err;
  const Outcome checked = Run({"--templates", templates.string(), "check", "resize_cpu", "--workload", kSmall, "--configs", "1", "--json"});
  EXPECT_EQ(checked.exit_code, 5) << checked.err;
  EXPECT_NE(checked.out.find("reference as fallback"), std::string::npos) << "a library compiles it with its attributes as variables";
}

TEST_F(LatheCommand, LeavesOutAnOperatorWithAWrongManifestAndGoesOnWithTheOthers) {
  const std::filesystem::path templates = dir_->path() / "templates";
  std::filesystem::create_directories(templates);
  for (const char* folder : {"prelude", "resize", "nms"})
    std::filesystem::copy(std::filesystem::path(LATHE_SOURCE_DIR "/templates") / folder, templates / folder,
                          std::filesystem::copy_options::recursive);
  ASSERT_TRUE(WriteFile(templates / "nms/nms_cpu.json", "{\"template\": }"));
  const auto with = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"--templates", templates.string()});
    return Run(arguments);
  };
  const std::string mistake = "nms_cpu.json': line 1, column 14: found '}' where a value was expected";
  const Outcome space = with({"space", "resize_cpu", "--workload", kSmall});
  EXPECT_EQ(space.exit_code, 0) << space.err;
  EXPECT_NE(space.err.find("operator 'nms' is left out: "), std::string::npos) << space.err;
  EXPECT_NE(space.err.find(mistake), std::string::npos) << space.err;
  for (const std::vector<std::string>& wants_it : {std::vector<std::string>{"tune", "--workload", "nms:n=9", "--log", Path("a.db")},
                                                   {"space", "nms/nms_cpu", "--workload", "nms:n=9"},
                                                   {"check"}}) {
    const Outcome outcome = with(wants_it);
    EXPECT_EQ(outcome.exit_code, 3) << wants_it.front() << outcome.err;
    EXPECT_NE(outcome.err.rfind("lathe: read manifest"), std::string::npos) << outcome.err;
  }
  ASSERT_TRUE(
      WriteFile(Path("tasks.json"), "[{\"operator\": \"resize\", \"workload\": {\"h\": 9, \"w\": 9, \"c\": 3, \"oh\": 5, \"ow\": 5}}]"));
  EXPECT_EQ(with({"tasks", Path("tasks.json")}).exit_code, 5) << "all operators were asked for, and one is missing";
}

TEST_F(LatheCommand, TunesOnlyTheTemplatesItIsTold) {
  const Outcome tune = Run({"tune", "--workload", kSmall, "--template", "resize_cpu", "--log", Path("log.db"), "--trials", "3", "--json"});
  ASSERT_EQ(tune.exit_code, 0) << tune.err;
  const Outcome rows = Run({"query", "--log", Path("log.db"), "--top", "9", "--json"});
  for (const auto& row : nlohmann::json::parse(rows.out)["measurements"]) EXPECT_EQ(row["template"], "resize_cpu");
  EXPECT_EQ(Run({"tune", "--workload", kSmall, "--template", "kettle", "--log", Path("log.db")}).exit_code, 4);
  const Outcome none = Run({"tune", "--workload", kSmall, "--template", "nms_cpu", "--log", Path("log.db")});
  EXPECT_EQ(none.exit_code, 4);
  EXPECT_NE(none.err.find("nms_cpu"), std::string::npos) << none.err;
}

TEST_F(LatheCommand, FindsTwentyFourConvolutionsInResNet50) {
  const Outcome tasks = Run({"tasks", kModels + "resnet50_224.onnx", "--json"});
  ASSERT_EQ(tasks.exit_code, 0) << tasks.err;
  int distinct = 0, nodes = 0;
  const nlohmann::json json = nlohmann::json::parse(tasks.out);
  for (const auto& task : json["tasks"])
    if (task["operator"] == "conv2d") ++distinct, nodes += task["count"].get<int>();
  EXPECT_EQ(distinct, 24);
  EXPECT_EQ(nodes, 53);
}

TEST_F(LatheCommand, FindsEveryOperatorOfFasterRCnn) {
  const Outcome tasks = Run({"tasks", kModels + "fasterrcnn_r50fpn_1080p.onnx", "--json"});
  ASSERT_EQ(tasks.exit_code, 0) << tasks.err;
  std::set<std::string> operators;
  const nlohmann::json json = nlohmann::json::parse(tasks.out);
  for (const auto& task : json["tasks"]) operators.insert(task["operator"]);
  EXPECT_EQ(operators, (std::set<std::string>{"conv2d", "nms", "resize", "roi_align"}));
  EXPECT_TRUE(json["unknown"].empty());
}

// Of `lathe check --json`: what was said of one template.
nlohmann::json ReportOf(const std::string& name, const Outcome& check) {
  const nlohmann::json json = nlohmann::json::parse(check.out);
  for (const nlohmann::json& report : json["templates"])
    if (report["template"] == name) return report;
  ADD_FAILURE() << "nothing of " << name << ": " << check.out;
  return {};
}

TEST_F(LatheCommand, DealsSoManyDifferentConfigsOutOverTheShapes) {
  const Outcome check = Run({"check", "resize_cpu", "--total", "5", "--workload", kSmall, "--workload", "resize:h=30,w=20,c=1,oh=11,ow=9",
                             "--workload", "resize:h=9,w=8,c=4,oh=5,ow=6", "--json"});
  ASSERT_EQ(check.exit_code, 0) << check.err;
  EXPECT_EQ(ReportOf("resize/resize_cpu", check)["checked"], 5);
  EXPECT_EQ(ReportOf("resize/resize_cpu", check)["shapes"], 3);
}

// More than there are: each once, and the end.
TEST_F(LatheCommand, ChecksNoConfigTwiceWhereASpaceIsSmall) {
  const std::string shape = "machine_fma:elements=24,steps=3";
  const Outcome space = Run({"space", "machine_fma_cpu", "--workload", shape, "--json"});
  const Outcome check = Run({"check", "machine_fma_cpu", "--total", "50", "--workload", shape, "--json"});
  ASSERT_EQ(check.exit_code, 0) << check.err;
  EXPECT_EQ(ReportOf("machine_fma/machine_fma_cpu", check)["checked"], nlohmann::json::parse(space.out)["valid"]) << space.out;
}

TEST_F(LatheCommand, CountsABareSpace) {
  const Outcome space = Run({"space", "--definition", LATHE_SOURCE_DIR "/tests/space/data/hotspot.json", "--json"});
  ASSERT_EQ(space.exit_code, 0) << space.err;
  const nlohmann::json json = nlohmann::json::parse(space.out);
  EXPECT_EQ(json["valid"], 349853);
  EXPECT_EQ(json["raw"], 22200000);
}

TEST_F(LatheCommand, TunesThenAnswersThenBuildsALibrary) {
  const std::string log = Path("tuning.db");
  const Outcome tune = Run({"tune", "--workload", kSmall, "--log", log, "--trials", "6", "--strategy", "random", "--json"});
  ASSERT_EQ(tune.exit_code, 0) << tune.err;
  const nlohmann::json report = nlohmann::json::parse(tune.out);
  ASSERT_EQ(report["tasks"].size(), 1u);
  EXPECT_EQ(report["tasks"][0]["trials"], 6);

  const Outcome best = Run({"query", "--log", log, "--operator", "resize", "--best", "--json"});
  ASSERT_EQ(best.exit_code, 0) << best.err;
  EXPECT_EQ(nlohmann::json::parse(best.out)["measurements"].size(), 1u);

  ASSERT_TRUE(WriteFile(Path("tasks.json"), R"([{"operator": "resize", "workload": {"h": 24, "w": 40, "c": 3, "oh": 17, "ow": 19}}])"));
  const Outcome build = Run({"build", Path("tasks.json"), "--log", log, "--out", Path("kernels"), "--strict"});
  EXPECT_EQ(build.exit_code, 0) << build.err;
  EXPECT_TRUE(std::filesystem::exists(Path("kernels") + "/include/lathe_kernels.h"));

  ASSERT_TRUE(WriteFile(Path("more.json"), R"([{"operator": "resize", "workload": {"h": 24, "w": 40, "c": 4, "oh": 17, "ow": 19}}])"));
  const Outcome strict = Run({"build", Path("more.json"), "--log", log, "--out", Path("kernels2"), "--strict"});
  EXPECT_EQ(strict.exit_code, 4) << strict.err;
  EXPECT_FALSE(std::filesystem::exists(Path("kernels2")));

  // What was never tuned, nor anything like it, is built all the same, and has one name in every place.
  ASSERT_TRUE(WriteFile(Path("other.json"), R"([{"operator": "nms", "workload": {"n": 100, "max_out": 10}}])"));
  const Outcome untuned = Run({"build", Path("other.json"), "--log", log, "--out", Path("kernels3"), "--json"});
  ASSERT_EQ(untuned.exit_code, 0) << untuned.err;
  const nlohmann::json kernel = nlohmann::json::parse(untuned.out)["kernels"][0];
  EXPECT_EQ(kernel["match"], "untuned");
  EXPECT_EQ(kernel["template"], "nms_cpu");
  EXPECT_TRUE(std::filesystem::exists(Path("kernels3") + "/src/kernels/nms_0.cpp"));
  EXPECT_NE(ReadFile(Path("kernels3") + "/src/nms.cpp")->find("LATHE_MATCH_UNTUNED, \"no workload of 'nms' was tuned"), std::string::npos);
  EXPECT_NE(ReadFile(Path("kernels3") + "/README.md")->find("| untuned | nms_cpu |"), std::string::npos);
  EXPECT_NE(Run({"build", Path("other.json"), "--log", log, "--out", Path("kernels3")}).out.find("untuned"), std::string::npos);
  EXPECT_EQ(Run({"build", Path("other.json"), "--log", log, "--out", Path("kernels4"), "--strict"}).exit_code, 4);
}

TEST_F(LatheCommand, RecordsAWholeSpaceReplaysItAndSaysWhatMatters) {
  const std::vector<std::string> record = {"record", "resize_cpu", "--workload", kSmall,        "--fix", "TASKS=1",
                                           "--fix",  "LANES=8",    "--out",      Path("small"), "--json"};
  const Outcome recorded = Run(record);
  ASSERT_EQ(recorded.exit_code, 0) << recorded.err;
  const nlohmann::json summary = nlohmann::json::parse(recorded.out);
  EXPECT_GE(summary["configurations"], 20);
  EXPECT_EQ(summary["measurements"], summary["configurations"]);
  const Outcome again = Run(record);
  EXPECT_EQ(nlohmann::json::parse(again.out)["measurements"], 0) << "nothing is measured twice";

  const Outcome replay = Run({"replay", Path("small.json"), "--budgets", "10", "--seeds", "2", "--json"});
  ASSERT_EQ(replay.exit_code, 0) << replay.err;
  EXPECT_GT(nlohmann::json::parse(replay.out)["overall"]["at"]["10"], 0.2);

  const Outcome importance = Run({"query", "--log", Path("small.db"), "--importance", "--json"});
  ASSERT_EQ(importance.exit_code, 0) << importance.err;
  const nlohmann::json insight = nlohmann::json::parse(importance.out)["insights"][0];
  EXPECT_EQ(insight["template"], "resize_cpu");
  EXPECT_FALSE(insight["importance"].empty());

  const Outcome wide = Run({"record", "resize_cpu", "--workload", kSmall, "--out", Path("wide"), "--most", "10"});
  EXPECT_EQ(wide.exit_code, 3);
  EXPECT_NE(wide.err.find("narrow it with --fix"), std::string::npos) << wide.err;
}

TEST_F(LatheCommand, SaysWhatIsWrongWithItsInput) {
  const std::vector<std::tuple<std::vector<std::string>, int, std::string>> cases = {
      {{"tune", "--workload", "resize:h=24,nonesuch=1", "--log", Path("a.db")}, 3, "nonesuch"},
      {{"tune", "--workload", "nonesuch:h=24", "--log", Path("a.db")}, 4, "nonesuch"},
      {{"tasks", Path("missing.onnx")}, 3, "missing.onnx"},
      {{"query", "--log", Path("missing.db"), "--best"}, 3, "missing.db"},
      {{"log", "merge", "--log", Path("a.db"), Path("missing.db")}, 3, "missing.db"},
      {{"replay", Path("missing.json")}, 3, "missing.json"},
      {{"--templates", Path("missing"), "tasks", kModels + "resnet50_224.onnx"}, 3, "missing"},
      {{"tune", "--workload", kSmall, "--log", Path("no/folder/a.db")}, 1, "no/folder/a.db"},
      {{"tune", "--workload", kSmall, "--log", Path("a.db"), "--target", "gpu"}, 2, "'gpu' is no target"},
      {{"check", "resize_cpu", "--target", "cpu,gpu"}, 2, "'gpu' is no target"},
      {{"check", "resize_gpu", "--target", "opencl:99"}, 1, "OpenCL"},
      {{"tune", "--workload", kSmall, "--log", Path("a.db"), "--target", "cuda/sm_87"}, 2, "--build-only"},
      {{"tune", "--workload", kSmall, "--log", Path("a.db"), "--trials", "0"}, 2, "'0' is not a whole number from 1 up"},
      {{"space", "nonesuch", "--workload", kSmall}, 4, "nonesuch"},
      {{"space", "resize", "--workload", kSmall}, 4, "'resize' has: resize/"},
      {{"space"}, 2, "--definition"},
      {{"tune"}, 2, "nothing to tune"},
      {{"nonesuch"}, 2, "no command 'nonesuch'; there are: tasks, "},
      {{"tune", "--workload", kSmall, "--time", "soon", "--log", Path("a.db")}, 2, "soon"},
      {{"tune", "--workload", kSmall, "--time", "-1", "--log", Path("a.db")}, 2, "'-1' is not a duration"},
      {{"tune", "--workload", kSmall, "--time", "0", "--log", Path("a.db")}, 2, "'0' is not a duration"},
      {{"tune", "--workload", kSmall, "--board", "far:1", "--log", Path("a.db")}, 3, "far:1"},
      {{"tune", "--workload", kSmall, "--board", "far", "--log", Path("a.db")}, 2, "--board: "},
      {{"boards", "far"}, 2, "'far'"},
      {{"record", "resize_cpu", "--workload", kSmall, "--out", Path("none"), "--most", "0"}, 2, "'0' is not a whole number from 1 up"},
      {{"tune", "--workload", kSmall, "--lock-clocks", "fast", "--log", Path("a.db")}, 2, "'fast'"},
      {{"tune", "--workload", kSmall, "--lock-clocks", "max", "--log", Path("a.db")}, 2, "--target is cpu"},
      {{"tune", "--workload", kSmall, "--lock-clocks", "max", "--target", "cuda/sm_87", "--build-only"}, 2, "measures nothing"},
      {{"limits", "--log", Path("a.db"), "--target", "cuda/sm_87"}, 2, "give --target cuda where one is\n"},
      {{"check", "resize_cpu", "--time-limit", "soon"}, 2, "soon"},
  };
  for (const auto& [arguments, code, text] : cases) {
    const Outcome outcome = Run(arguments);
    EXPECT_EQ(outcome.exit_code, code) << fmt::format("{}", arguments.front()) << ": " << outcome.err;
    EXPECT_NE(outcome.err.find(text), std::string::npos) << outcome.err;
  }
  EXPECT_FALSE(std::filesystem::exists(Path("a.db"))) << "none of them began";
}

TEST_F(LatheCommand, TakesASpanOfTimeInOneWayWhereverOneIsWanted) {
  const std::vector<std::pair<std::string, std::string>> options = {{"tune", "--time"},    {"tune", "--wait"},
                                                                    {"limits", "--wait"},  {"check", "--time-limit"},
                                                                    {"boards", "--every"}, {"boards", "--patience"}};
  for (const auto& [command, option] : options) {
    std::string help = Run({command, "--help"}).out;
    help.erase(0, help.find("\n  " + option) + 1);
    help.erase(help.find("\n  --", 1));
    EXPECT_NE(help.find("(10m, 90s, 2h; a bare number is seconds)"), std::string::npos) << command << ' ' << help;
    const Outcome wrong = Run({command, option, "soon"});
    EXPECT_EQ(wrong.exit_code, 2) << command << ' ' << option;
    EXPECT_NE(wrong.err.find("'soon' is not a duration"), std::string::npos) << wrong.err;
  }
  // Patience of 0.02 minutes is no hang.
  EXPECT_EQ(Run({"boards", "127.0.0.1:1", "--patience", "0.02m"}).exit_code, 1);
  EXPECT_EQ(Run({"boards", "127.0.0.1:1", "--patience", "2h"}).exit_code, 2) << "two hours are more than the 600 seconds allowed";
}

TEST_F(LatheCommand, EndsWithLinesThatANewcomerCanRead) {
  const Outcome tune = Run({"tune", "--workload", kSmall, "--log", Path("log.db"), "--trials", "4", "--strategy", "random"});
  ASSERT_EQ(tune.exit_code, 0) << tune.err;
  EXPECT_NE(tune.out.find("4 candidates tried in "), std::string::npos) << tune.out;
  EXPECT_NE(tune.out.find("of that time, kernels were measured"), std::string::npos) << tune.out;
  EXPECT_NE(tune.out.find("lathe limits --log " + Path("log.db")), std::string::npos) << tune.out;
  EXPECT_NE(tune.err.find("1 task, 4 trials: compiling"), std::string::npos) << "said before anything slow: " << tune.err;
  const Outcome few = Run({"query", "--log", Path("log.db"), "--importance"});
  EXPECT_EQ(few.exit_code, 4);
  EXPECT_NE(few.err.find("left out: fewer than 20 of their configs"), std::string::npos) << few.err;
  EXPECT_EQ(few.err.find("resize:"), std::string::npos) << "not one by one: " << few.err;
  const nlohmann::json json = nlohmann::json::parse(Run({"query", "--log", Path("log.db"), "--importance", "--json"}).out);
  ASSERT_FALSE(json["left_out"].empty());
  EXPECT_TRUE(json["left_out"][0]["workload"].get<std::string>().starts_with("resize:"));
}

TEST_F(LatheCommand, SaysThatALogWithoutPowerHoldsNoWinnerByEnergy) {
  const std::string log = Path("log.db");
  ASSERT_EQ(Run({"tune", "--workload", kSmall, "--log", log, "--trials", "1", "--template", "resize_cpu"}).exit_code, 0);
  const Outcome query = Run({"query", "--log", log, "--best", "--objective", "energy"});
  EXPECT_EQ(query.exit_code, 4);
  EXPECT_NE(query.err.find("`lathe tune --objective energy`"), std::string::npos) << query.err;
  ASSERT_TRUE(WriteFile(Path("tasks.json"), R"([{"operator": "resize", "workload": {"h": 24, "w": 40, "c": 3, "oh": 17, "ow": 19}}])"));
  const Outcome build = Run({"build", Path("tasks.json"), "--log", log, "--out", Path("kernels"), "--objective", "edp"});
  EXPECT_EQ(build.exit_code, 0) << build.err;
  EXPECT_NE(build.err.find("no winners by --objective edp"), std::string::npos) << build.err;
  const std::filesystem::path bare = dir_->path() / "bare";  // a machine without rails, whatever this one has
  std::filesystem::create_directory(bare);
  const Outcome tune =
      Run({"tune", "--workload", kSmall, "--log", Path("new.db"), "--objective", "time@15", "--sysfs-root", bare.string()});
  EXPECT_EQ(tune.exit_code, 1);
  EXPECT_NE(tune.err.find("no power rail"), std::string::npos) << tune.err;
  EXPECT_FALSE(std::filesystem::exists(Path("new.db")));
}

TEST_F(LatheCommand, NamesWhatALogHoldsWhereAskedForWhatItDoesNot) {
  ASSERT_EQ(Run({"tune", "--workload", kSmall, "--template", "resize_cpu", "--log", Path("log.db"), "--trials", "1"}).exit_code, 0);
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{"--template", "resiz_cpu"}, "it has: resize/resize_cpu"},
      {{"--target", "cpu/arm"}, "it has: cpu/"},
      {{"--run", "nonesuch"}, "it has: "},
      {{"--operator", "nms"}, "it has: resize"},
      {{"--workload", "resize:h=25,w=40,c=3,oh=17,ow=19"}, "h=24"},
  };
  for (const auto& [flags, text] : cases) {
    const Outcome outcome = Run({"query", "--log", Path("log.db"), flags[0], flags[1]});
    EXPECT_EQ(outcome.exit_code, 4) << flags[0];
    EXPECT_NE(outcome.err.find(text), std::string::npos) << outcome.err;
  }
  const Outcome trace = Run({"query", "--log", Path("log.db"), "--template", "resize/resize_cpu", "--workload", kSmall, "--trace"});
  EXPECT_EQ(trace.exit_code, 0) << trace.err;
  EXPECT_NE(trace.err.find("taken by default: coordinate_mode=half_pixel,"), std::string::npos) << trace.err;
  EXPECT_EQ(trace.out.rfind("resize n=1,", 0), 0u) << "a trace says of what: " << trace.out;
}

TEST_F(LatheCommand, ChecksAllTemplatesOfAnOperator) {
  const Outcome check = Run({"check", "resize", "--workload", kSmall, "--configs", "1", "--json"});
  ASSERT_EQ(check.exit_code, 0) << check.err;
  std::set<std::string> names;
  const nlohmann::json json = nlohmann::json::parse(check.out);
  for (const auto& entry : json["templates"]) names.insert(entry["template"]);
  EXPECT_EQ(names.count("resize_cpu") + names.count("resize/resize_cpu"), 1u) << check.out;
  EXPECT_GT(names.size(), 2u) << "another one besides, and the reference";
}

TEST_F(LatheCommand, RefusesALogThatIsNone) {
  ASSERT_TRUE(WriteFile(Path("junk.db"), "this is not a database, whatever its name says"));
  const Outcome query = Run({"query", "--log", Path("junk.db"), "--best"});
  EXPECT_NE(query.exit_code, 0);
  EXPECT_NE(query.err.find("junk.db"), std::string::npos);
  EXPECT_EQ(*ReadFile(Path("junk.db")), "this is not a database, whatever its name says");
}

TEST_F(LatheCommand, GoesOnAfterTenKillsAndMeasuresNothingTwice) {
  constexpr size_t kTrials = 40;
  const std::vector<std::string> tune = {
      "tune", "--workload", kSmall, "--log", Path("tuning.db"), "--trials", std::to_string(kTrials), "--strategy", "random"};
  std::mt19937 random(1);
  std::set<std::string> known;  // candidates the log held after each kill
  for (int kill = 0; kill < 10; ++kill) {
    const pid_t pid = Start(tune);
    std::this_thread::sleep_for(std::chrono::milliseconds(std::uniform_int_distribution<int>(50, 1200)(random)));
    ::kill(pid, SIGKILL);
    int status = 0;
    waitpid(pid, &status, 0);
    if (WIFEXITED(status)) continue;  // it was faster than we were
    if (!std::filesystem::exists(Path("tuning.db"))) continue;
    Result<std::unique_ptr<TuningLog>> log = TuningLog::Open(Path("tuning.db"));
    ASSERT_TRUE(log) << log.error().message;
    std::set<std::string> now;
    ASSERT_TRUE((*log)->ForEach({}, [&](const LoggedMeasurement& row) {
      now.insert(row.measurement.candidate.Key());
      return true;
    }));
    for (const std::string& key : known) EXPECT_TRUE(now.count(key)) << "lost " << key;
    known = std::move(now);
  }
  const Outcome last = Run(tune);
  ASSERT_EQ(last.exit_code, 0) << last.err;

  Result<std::unique_ptr<TuningLog>> log = TuningLog::Open(Path("tuning.db"));
  ASSERT_TRUE(log);
  std::map<std::string, int> measured;
  ASSERT_TRUE((*log)->ForEach({}, [&](const LoggedMeasurement& row) {
    ++measured[row.measurement.candidate.Key()];
    return true;
  }));
  EXPECT_EQ(measured.size(), kTrials);
  // Only the finals measure a candidate again: at most eight of them and the first config, in six rounds.
  size_t again = 0;
  for (const auto& [key, times] : measured) {
    again += times > 1 ? 1 : 0;
    EXPECT_LE(times, 7) << key;
  }
  EXPECT_LE(again, 9u);
  EXPECT_EQ((*log)->Runs()->size(), 1u) << "a resumed run keeps its id";
}

}  // namespace
}  // namespace lathe
