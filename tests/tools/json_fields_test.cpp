// What docs/tools.md says of --json, held against what the program prints.
#include <fmt/format.h>
#include <signal.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <regex>
#include <thread>

#include "tests/rpc/agent_process.h"
#include "tests/tools/lathe_command.h"

namespace lathe {
namespace {

// "tasks[].best.seconds": the fields that the section's table names in its first column.
std::vector<std::string> Documented(const std::string& command) {
  const std::string page = *ReadFile(LATHE_SOURCE_DIR "/docs/tools.md");
  const size_t begin = page.find("\n## " + command + "\n");
  if (begin == std::string::npos) return {};
  const std::string section = page.substr(begin, page.find("\n## ", begin + 1) - begin);
  const std::regex row("\n\\| (`[^|]*) \\|"), name("`([^`]+)`");
  std::vector<std::string> fields;
  for (std::sregex_iterator line(section.begin(), section.end(), row), end; line != end; ++line) {
    const std::string cell = (*line)[1];
    for (std::sregex_iterator field(cell.begin(), cell.end(), name); field != end; ++field) fields.push_back((*field)[1]);
  }
  return fields;
}

bool Holds(const nlohmann::json& json, const std::string& path) {
  if (path.empty()) return true;
  if (path.starts_with("[]")) {
    const std::string rest = path.substr(path.size() > 2 && path[2] == '.' ? 3 : 2);
    return json.is_array() && (rest.empty() || (!json.empty() && Holds(json.front(), rest)));
  }
  const size_t end = std::min(path.find_first_of(".["), path.size());
  const auto found = json.is_object() ? json.find(path.substr(0, end)) : json.end();
  return found != json.end() && Holds(*found, path.substr(end + (end < path.size() && path[end] == '.' ? 1 : 0)));
}

void ExpectDocumented(const std::string& command, const std::string& out) {
  const std::vector<std::string> fields = Documented(command);
  EXPECT_GE(fields.size(), 3U) << command;
  const nlohmann::json json = nlohmann::json::parse(out, nullptr, false);
  for (const std::string& field : fields) EXPECT_TRUE(Holds(json, field)) << command << ' ' << field << '\n' << out;
}

TEST_F(LatheCommand, PrintsTheJsonFieldsThatItsDocumentsName) {
  const std::string log = Path("log.db");
  ExpectDocumented("tune", Run({"tune", "--workload", kSmall, "--log", log, "--trials", "3", "--strategy", "random", "--json"}).out);
  ExpectDocumented("query", Run({"query", "--log", log, "--best", "--json"}).out);
  ASSERT_TRUE(WriteFile(Path("tasks.json"), R"([{"operator": "resize", "workload": {"h": 24, "w": 40, "c": 3, "oh": 17, "ow": 19}}])"));
  ExpectDocumented("build", Run({"build", Path("tasks.json"), "--log", log, "--out", Path("kernels"), "--json"}).out);
  ExpectDocumented("check", Run({"check", "resize_cpu", "--workload", kSmall, "--configs", "1", "--json"}).out);
  AgentProcess agent;
  ExpectDocumented("boards", Run({"boards", agent.endpoint(), "--json"}).out);
}

TEST_F(LatheCommand, TellsThePhasesOfMeasuringTheLimitsAndStopsAtCtrlC) {
  const pid_t pid = Start({"limits", "--log", Path("log.db"), "--json"});
  const auto said = [&](const char* text) { return ReadFile(Path("err"))->find(text) != std::string::npos; };
  Eventually(std::chrono::seconds(60), [&] { return said("multiply-adds "); });
  ::kill(pid, SIGINT);
  int status = 0;
  waitpid(pid, &status, 0);
  EXPECT_TRUE(said("2 tasks, 32 trials: compiling")) << *ReadFile(Path("err"));
  EXPECT_TRUE(said(" to go, multiply-adds ")) << *ReadFile(Path("err"));
  EXPECT_TRUE(said(", copying ")) << *ReadFile(Path("err"));
  EXPECT_EQ(WIFEXITED(status) ? WEXITSTATUS(status) : -1, 130);
  ExpectDocumented("limits", *ReadFile(Path("out")));
}

}  // namespace
}  // namespace lathe
