// The sub-commands about boards.
#pragma once

#include "tools/lathe/command.h"

namespace lathe {

void RegisterBoards(CLI::App& app, CommonOptions& common, Action& chosen);
void RegisterCerts(CLI::App& app, CommonOptions& common, Action& chosen);

}  // namespace lathe
