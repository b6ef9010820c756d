// `lathe log`, and logs that cannot be made or read, as a user meets them.
#include <nlohmann/json.hpp>

#include "tests/tools/lathe_command.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;

class LogCommand : public LatheCommand {
 protected:
  void Tune(const std::string& log) const {
    const Outcome tune = Run({"tune", "--workload", kSmall, "--template", "resize_cpu", "--log", log, "--trials", "1"});
    ASSERT_EQ(tune.exit_code, 0) << tune.err;
  }
  int Measurements(const std::string& log) const {
    const Outcome summary = Run({"log", "summary", log, "--json"});
    EXPECT_EQ(summary.exit_code, 0) << summary.err;
    return nlohmann::json::parse(summary.out)["measurements"].get<int>();
  }
};

TEST_F(LogCommand, TakesTheLogAsItsFirstFileOrByName) {
  const std::string log = Path("log.db");
  Tune(log);
  const int rows = Measurements(log);
  ASSERT_GT(rows, 0);
  for (const char* command : {"summary", "runs"}) {
    const Outcome placed = Run({"log", command, log}), named = Run({"log", command, "--log", log});
    EXPECT_EQ(placed.exit_code, 0) << placed.err;
    EXPECT_EQ(placed.out, named.out);
  }
  EXPECT_EQ(Run({"log", "export", log, Path("a.jsonl")}).exit_code, 0);
  EXPECT_EQ(Run({"log", "export", Path("b.jsonl"), "--log", log}).exit_code, 0);
  EXPECT_EQ(*ReadFile(Path("a.jsonl")), *ReadFile(Path("b.jsonl")));
  EXPECT_EQ(Run({"log", "import", Path("c.db"), Path("a.jsonl")}).exit_code, 0);
  EXPECT_EQ(Measurements(Path("c.db")), rows);
  EXPECT_EQ(Run({"log", "merge", Path("d.db"), Path("c.db"), log}).exit_code, 0);
  EXPECT_EQ(Run({"log", "merge", "--log", Path("e.db"), Path("c.db"), log}).exit_code, 0);
  EXPECT_EQ(Measurements(Path("d.db")), Measurements(Path("e.db")));
}

TEST_F(LogCommand, SaysHowToWriteItWhereALogOrAFileIsMissing) {
  for (const std::vector<std::string>& rest : {std::vector<std::string>{"import", Path("a.jsonl")},
                                               {"merge", Path("a.db")},
                                               {"merge", "--log", Path("a.db")},
                                               {"export", Path("a.db")},
                                               {"export", Path("a.db"), Path("b"), Path("c")},
                                               {"summary", Path("a.db"), Path("b.db")},
                                               {"summary", "--log", Path("a.db"), Path("b.db")}}) {
    std::vector<std::string> arguments = {"log"};
    arguments.insert(arguments.end(), rest.begin(), rest.end());
    const Outcome outcome = Run(arguments);
    EXPECT_EQ(outcome.exit_code, 2) << rest.front();
    EXPECT_NE(outcome.err.find("write `lathe log " + rest.front() + " LOG"), std::string::npos) << outcome.err;
  }
  EXPECT_FALSE(fs::exists(Path("a.db")));
}

TEST_F(LogCommand, LeavesNoNewLogBehindForAFileItCannotRead) {
  ASSERT_TRUE(WriteFile(Path("junk.txt"), "neither a log nor lines of one\n"));
  ASSERT_TRUE(WriteFile(Path("half.jsonl"), "{\"kind\": \"lathe\n"));
  fs::create_directory(Path("folder"));
  for (const char* file : {"junk.txt", "half.jsonl", "folder"}) {
    EXPECT_EQ(Run({"log", "import", Path("new.db"), Path(file)}).exit_code, 3) << file;
    EXPECT_EQ(Run({"log", "merge", Path("new.db"), Path(file)}).exit_code, 3) << file;
    EXPECT_FALSE(fs::exists(Path("new.db"))) << file;
  }
}

TEST_F(LogCommand, SaysThatTheFolderOfALogIsMissingAndMakesNone) {
  const std::string log = Path("nodir/a.db"), make = "mkdir -p " + Path("nodir");
  for (const std::vector<std::string>& arguments : {std::vector<std::string>{"tune", "--workload", kSmall, "--log", log},
                                                    {"tune", "--workload", kSmall, "--log", log, "--board", "127.0.0.1:1"},
                                                    {"limits", "--log", log},
                                                    {"query", "--log", log},
                                                    {"log", "merge", log, Path("err")}}) {
    const Outcome outcome = Run(arguments);
    EXPECT_NE(outcome.exit_code, 0);
    EXPECT_NE(outcome.err.find("there is no folder"), std::string::npos) << outcome.err;
    EXPECT_NE(outcome.err.find(make), std::string::npos) << outcome.err;
  }
  EXPECT_FALSE(fs::exists(Path("nodir")));
}

}  // namespace
}  // namespace lathe
