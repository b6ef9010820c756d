// lathe: tunes kernels, queries what was learned, generates the library a pipeline links. Thin: each sub-command stands in a file of its
// own.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <exception>
#include <string>

#include "tools/lathe/board_commands.h"
#include "tools/lathe/command.h"

int main(int argc, char** argv) {
  ::setenv("GRPC_VERBOSITY", "NONE", 0);  // what matters comes as errors of our own
  CLI::App app{
      "Lathe finds the fastest kernels for your board.\n\n"
      "  lathe tasks  model.onnx                                  what there is to tune\n"
      "  lathe tune   model.onnx --log tuning.db --time 10m       tune it on this machine\n"
      "  lathe query  --log tuning.db --operator conv2d --best    what was learned\n"
      "  lathe build  model.onnx --log tuning.db --out kernels/   the library for your pipeline"};
  app.footer(
      "Exit status: 0 done; 1 the world failed (disk, compiler, board, a device or driver that is not here); 2 wrong command line;\n"
      "3 a file or workload is wrong, or the file is not there; 4 nothing fits (no such name, no record, not tuned under --strict);\n"
      "5 done with findings (unknown nodes, failed checks, no winner, an operator left out);\n"
      "130 stopped by Ctrl-C (what was measured is in the log).");
  app.set_version_flag("--version", "lathe " LATHE_VERSION);
  app.require_subcommand(1);
  app.fallthrough();

  lathe::CommonOptions common;
  app.add_option("--templates", common.templates, "Folder of operator folders (default: $LATHE_TEMPLATES, else the installed ones)");
  app.add_flag("--json", common.json, "Print JSON for programs instead of tables for people");
  lathe::Action chosen;
  for (const lathe::Register add : {lathe::RegisterTasks, lathe::RegisterSpace, lathe::RegisterTune, lathe::RegisterLimits,
                                    lathe::RegisterQuery, lathe::RegisterBuild, lathe::RegisterCheck, lathe::RegisterRecord,
                                    lathe::RegisterReplay, lathe::RegisterLog, lathe::RegisterBoards, lathe::RegisterCerts})
    add(app, common, chosen);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& failure) {
    if (argc > 1 && argv[1][0] != '-' && app.get_subcommands().empty()) {
      std::string names;
      for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; }))
        names += (names.empty() ? "" : ", ") + command->get_name();
      return lathe::WrongCommandLine(fmt::format("there is no command '{}'; there are: {}", argv[1], names));
    }
    const int code = app.exit(failure);
    return code == 0 ? lathe::kExitOk : lathe::kExitUsage;
  }
  try {
    return chosen();
  } catch (const std::exception& failure) {  // out of memory, or our bug: a sentence, not a crash
    return lathe::Fail({lathe::ErrorCode::kInternal, failure.what()});
  }
}
