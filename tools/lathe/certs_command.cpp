// lathe certs: a private authority, and certificates for boards and for those who use them.
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "rpc/client/remote_measurer.h"
#include "rpc/security/certificates.h"
#include "tools/lathe/board_commands.h"

namespace lathe {
namespace {

struct CertsFlags {
  std::string directory, name;
  std::vector<std::string> addresses;
  CertificateOptions options;
};

std::string DirectoryOf(const CertsFlags& flags) { return flags.directory.empty() ? DefaultCertificates() : flags.directory; }

int Done(const CommonOptions& common, const std::string& made, const std::string& next) {
  if (common.json)
    PrintJson(nlohmann::json{{"made", made}});
  else
    fmt::print("made {}\n{}\n", made, next);
  return kExitOk;
}

int RunInit(const CommonOptions& common, const CertsFlags& flags) {
  if (Status made = MakeAuthority(DirectoryOf(flags), flags.options); !made) return Fail(made.error());
  return Done(common, DirectoryOf(flags),
              "keep ca.key here and private; next: lathe certs board NAME --address HOST, lathe certs client NAME");
}

int RunBoard(const CommonOptions& common, const CertsFlags& flags) {
  Result<std::filesystem::path> folder = IssueBoard(DirectoryOf(flags), flags.name, flags.addresses, flags.options);
  if (!folder) return Fail(folder.error());
  return Done(common, folder->string(), "copy the folder to the board: lathe-agent --listen 0.0.0.0:7200 --certs FOLDER --config FILE");
}

int RunClient(const CommonOptions& common, const CertsFlags& flags) {
  Result<std::filesystem::path> folder = IssueClient(DirectoryOf(flags), flags.name, flags.options);
  if (!folder) return Fail(folder.error());
  return Done(common, folder->string(),
              fmt::format("use it with --certs {}; a board's configuration says what '{}' may do", folder->string(), flags.name));
}

}  // namespace

void RegisterCerts(CLI::App& app, CommonOptions& common, Action& chosen) {
  CLI::App* command = app.add_subcommand("certs", "Make certificates for boards that are reached over a network");
  command->require_subcommand(1);
  auto flags = std::make_shared<CertsFlags>();
  command->add_option("--dir", flags->directory, "Where the authority lies (default: ~/.config/lathe/certs)");
  command->add_option("--days", flags->options.days, "How long certificates hold")->capture_default_str()->check(CLI::Range(1, 36500));
  command->footer(
      "Examples:\n  lathe certs init\n  lathe certs board jetson-1 --address 192.168.1.20 --address jetson-1.local\n"
      "  lathe certs client alice");
  CLI::App* init = command->add_subcommand("init", "Make the authority");
  init->callback([&common, &chosen, flags] { chosen = [&common, flags] { return RunInit(common, *flags); }; });
  CLI::App* board = command->add_subcommand("board", "A certificate for an agent");
  board->add_option("name", flags->name, "What the board is called")->required();
  board->add_option("--address", flags->addresses, "Host name or number by which clients reach it; repeatable")->required();
  board->callback([&common, &chosen, flags] { chosen = [&common, flags] { return RunBoard(common, *flags); }; });
  CLI::App* client = command->add_subcommand("client", "A certificate for a person or a program");
  client->add_option("name", flags->name, "As the agents' configuration names it")->required();
  client->callback([&common, &chosen, flags] { chosen = [&common, flags] { return RunClient(common, *flags); }; });
}

}  // namespace lathe
