// lathe boards: what boards offer, who holds them, how they are.
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "rpc/client/board_report.h"
#include "rpc/client/remote_measurer.h"
#include "rpc/endpoint.h"
#include "tools/duration_option.h"
#include "tools/lathe/board_commands.h"
#include "tools/lathe/table.h"

namespace lathe {
namespace {

struct BoardsFlags {
  std::string boards, certs;
  bool watch = false, release = false, drain = false;
  double seconds = 2, patience = 5;
};

Result<std::vector<LinkOptions>> Named(const BoardsFlags& flags) {
  Result<std::vector<std::string>> endpoints = ParseEndpoints(flags.boards);
  if (!endpoints) return endpoints.error();
  std::vector<LinkOptions> boards;
  for (const std::string& endpoint : *endpoints) {
    Result<std::optional<ClientCertificates>> certificates = CertificatesFor(endpoint, flags.certs);
    if (!certificates) return certificates.error();
    LinkOptions board;
    board.endpoint = endpoint;
    board.certificates = std::move(*certificates);
    board.call_seconds = flags.patience;
    boards.push_back(std::move(board));
  }
  return boards;
}

std::string StateOf(const BoardReport& report) {
  if (report.draining) return "draining";
  if (!report.held) return "free";
  return report.lease_expired ? "holder silent" : "held";
}

std::string Condition(const BoardReport& report, const char* name) {
  const auto found = report.conditions.find(name);
  return found == report.conditions.end() ? "-" : found->second;
}

nlohmann::json ToJson(const BoardReport& report) {
  nlohmann::json json = {{"endpoint", report.endpoint},
                         {"name", report.name},
                         {"boot_id", report.boot_id},
                         {"agent_version", report.agent_version},
                         {"protocol", {{"oldest", report.protocol.oldest}, {"newest", report.protocol.newest}}},
                         {"state", StateOf(report)},
                         {"holder", report.holder},
                         {"held_seconds", report.held_seconds},
                         {"silent_seconds", report.silent_seconds},
                         {"queued", report.queued},
                         {"running", report.running},
                         {"unacknowledged", report.unacknowledged},
                         {"finished", report.finished},
                         {"last_error", report.last_error},
                         {"uptime_seconds", report.uptime_seconds},
                         {"conditions", report.conditions},
                         {"rails", report.rails},
                         {"targets", nlohmann::json::array()}};
  for (const auto& offered : report.targets)
    json["targets"].push_back({{"choice", offered.choice},
                               {"problem", offered.problem},
                               {"max_threads", offered.max_threads},
                               {"target", ToJson(offered.target)}});
  return json;
}

// Exit status: 0 when every board answered.
int Show(const CommonOptions& common, const std::vector<LinkOptions>& boards) {
  const std::vector<Result<BoardReport>> reports = AskBoards(boards);
  int code = kExitOk;
  nlohmann::json json = nlohmann::json::array();
  Table table({"board", "address", "state", "holder", "queue", "done", "deg C", "load", "targets", "last error"});
  for (size_t i = 0; i < boards.size(); ++i) {
    if (!reports[i]) {
      code = kExitFailed;
      json.push_back({{"endpoint", boards[i].endpoint}, {"state", "unreachable"}, {"problem", reports[i].error().message}});
      table.Add({"?", boards[i].endpoint, "unreachable", "", "", "", "", "", "", reports[i].error().message});
      continue;
    }
    const BoardReport& report = *reports[i];
    json.push_back(ToJson(report));
    std::string targets, trouble = report.last_error;
    for (const auto& offered : report.targets) {
      targets.append(targets.empty() ? "" : ", ").append(offered.choice).append(offered.problem.empty() ? "" : " (limited)");
      if (trouble.empty()) trouble = offered.problem;
    }
    table.Add({report.name, report.endpoint, StateOf(report),
               report.held ? fmt::format("{} for {}", report.holder, FormatSpan(report.held_seconds)) : "-",
               std::to_string(report.queued + report.running), std::to_string(report.finished), Condition(report, "temperature_c"),
               Condition(report, "load"), targets, trouble.substr(0, trouble.find('\n')).substr(0, 100)});
  }
  if (common.json)
    PrintJson(json);
  else
    fmt::print("{}", table.Text());
  std::fflush(stdout);
  return code;
}

int Run(const CommonOptions& common, const BoardsFlags& flags) {
  Result<std::vector<LinkOptions>> boards = Named(flags);
  if (!boards) return Fail(boards.error());
  if (flags.release || flags.drain) {
    for (const LinkOptions& board : *boards) {
      if (Status done = flags.release ? ReleaseBoard(board) : DrainBoard(board); !done) return Fail(done.error());
      fmt::print(stderr, "{} {}\n", board.endpoint, flags.release ? "is free" : "finishes what runs, then ends");
    }
    return kExitOk;
  }
  if (!flags.watch) return Show(common, *boards);
  for (;;) {  // until a signal
    if (!common.json && ::isatty(STDOUT_FILENO) != 0) fmt::print("\033[H\033[2J");
    Show(common, *boards);
    std::this_thread::sleep_for(std::chrono::duration<double>(flags.seconds));
  }
}

}  // namespace

void RegisterBoards(CLI::App& app, CommonOptions& common, Action& chosen) {
  CLI::App* command = app.add_subcommand("boards", "Show boards: targets, state, who holds them, temperature, queue, last error");
  auto flags = std::make_shared<BoardsFlags>();
  Parsed(command->add_option("boards", flags->boards, "HOST:PORT[,HOST:PORT…]"), ParseEndpoints)->required();
  command->add_option("--certs", flags->certs, "Directory with ca.pem, client.pem, client.key for boards beyond loopback");
  command->add_flag("--watch", flags->watch, "Again and again, until Ctrl-C");
  AddDuration(*command, "--every", flags->seconds, "With --watch: between looks")->capture_default_str()->check(CLI::Range(0.1, 3600.0));
  AddDuration(*command, "--patience", flags->patience, "How long to wait for an answer")
      ->capture_default_str()
      ->check(CLI::Range(0.1, 600.0));
  command->add_flag("--release", flags->release, "Free the boards, whoever holds them (administrators)");
  command->add_flag("--drain", flags->drain, "Let the boards finish what runs and end their agents (administrators)");
  command->footer(
      "Exit status 1 when a board does not answer.\n\nExamples:\n  lathe boards 192.168.1.20:7200,192.168.1.21:7200\n"
      "  lathe boards 127.0.0.1:7200 --watch\n  lathe boards 127.0.0.1:7200 --json");
  command->callback([&common, &chosen, flags] { chosen = [&common, flags] { return Run(common, *flags); }; });
}

}  // namespace lathe
