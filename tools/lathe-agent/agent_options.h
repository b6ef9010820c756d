// What lathe-agent is told: command line, and a configuration file of the same names for those that a service needs.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>

#include "core/result.h"
#include "rpc/agent/agent_server.h"

namespace lathe {

struct AgentFlags {
  std::string listen = "127.0.0.1:7200";
  std::string name;                         // of the board; empty: the host's
  std::string certs;                        // directory with ca.pem, board.pem, board.key; empty: no TLS
  std::string config;                       // JSON, see below
  std::string directory;                    // for artifacts and uploads; empty: $XDG_CACHE_HOME/lathe or ~/.cache/lathe
  std::string scratch;                      // for workers; empty: $TMPDIR or /tmp
  std::string user;                         // workers and compilers run as, when the agent is root
  std::vector<std::string> compiler_reads;  // besides the system's folders
  std::string sysfs_root = "/";             // where power rails, clocks and temperatures are looked for
  double lease_seconds = 10;
  double run_seconds = 60, build_seconds = 120;  // no candidate gets more, whatever a client asks
  std::string lock_clocks;                       // of CUDA devices while a session measures: MHz or "max"; empty: not
  std::map<std::string, Rights> clients;         // from the file: {"clients": {"alice": ["build", "measure", "administer"]}}
};

// Reads flags.config, when given, into what it names and the command line, by the same names, does not: `given` are the options named
// there, without dashes. An error says file, key and reason.
Status ReadConfig(AgentFlags& flags, const std::set<std::string>& given);

}  // namespace lathe
