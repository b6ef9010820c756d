// What boards say of themselves, for `lathe boards` and for programs.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/result.h"
#include "core/target.h"
#include "rpc/client/grpc_link.h"

namespace lathe {

struct BoardReport {
  struct OfferedTarget {
    std::string choice, problem;
    Target target;
    int max_threads = 1;
  };
  std::string endpoint, name, boot_id, agent_version;
  ProtocolRange protocol;
  std::vector<OfferedTarget> targets;
  bool held = false, lease_expired = false, draining = false;
  std::string holder;
  double held_seconds = 0, silent_seconds = 0, uptime_seconds = 0;
  uint64_t queued = 0, running = 0, unacknowledged = 0, finished = 0;
  std::string last_error;
  std::map<std::string, std::string> conditions;
  std::vector<std::string> rails;
};

// Asks all at once; an answer, or why there is none, for each. At most `options.call_seconds`.
std::vector<Result<BoardReport>> AskBoards(const std::vector<LinkOptions>& boards);

// For administrators: frees a board whoever holds it; lets a board finish and end.
Status ReleaseBoard(const LinkOptions& board);
Status DrainBoard(const LinkOptions& board);

}  // namespace lathe
