// lathe-agent: offers this machine to `lathe tune --board HOST:PORT`. It runs what its clients send, in workers that may do next to
// nothing.
#include <fmt/format.h>
#include <pwd.h>
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "measure/artifact_cache.h"
#include "measure/clock_lock.h"
#include "measure/conditions.h"
#include "measure/cpu_set.h"
#include "measure/worker/compiler_sandbox.h"
#include "rpc/agent/local_board.h"
#include "rpc/version.h"
#include "tools/duration_option.h"
#include "tools/lathe-agent/agent_options.h"

namespace lathe {
namespace {

enum ExitCode { kExitOk = 0, kExitFailed = 1, kExitUsage = 2, kExitInvalidInput = 3 };

std::atomic<int> stop_signals{0};

int Fail(const Error& error) {
  fmt::print(stderr, "lathe-agent: {}\n", error.message);
  return error.code == ErrorCode::kInvalidInput || error.code == ErrorCode::kNotFound ? kExitInvalidInput : kExitFailed;
}

// One JSON object a line, to standard error: what journald keeps.
AgentLog JsonLines() {
  auto mutex = std::make_shared<std::mutex>();
  return [mutex](const std::string& event, nlohmann::json fields) {
    nlohmann::ordered_json line;
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    line["unix_ms"] = std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
    line["event"] = event;
    for (const auto& [name, value] : fields.items()) line[name] = value;
    const std::lock_guard lock(*mutex);
    fmt::print(stderr, "{}\n", line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  };
}

std::map<std::string, std::string> Now(const ConditionReader& reader) {
  const Conditions now = reader.Read();
  std::map<std::string, std::string> named;
  const auto add = [&](const char* name, double value) {
    if (value >= 0) named[name] = fmt::format("{:.6g}", value);
  };
  add("load", now.load);
  add("mhz", now.mhz);
  add("temperature_c", now.temperature_c);
  add("throttle_count", now.throttle_count);
  return named;
}

Status DropPrivileges(const AgentFlags& flags, WorkerLimits& limits) {
  if (::geteuid() != 0) return {};
  const std::string user = flags.user.empty() ? "nobody" : flags.user;
  if (user == "root") return {};
  const passwd* entry = ::getpwnam(user.c_str());
  if (entry == nullptr)
    return Error{ErrorCode::kInvalidInput, fmt::format("run workers as '{}': there is no such user; name one with --user", user)};
  limits.uid = entry->pw_uid;
  limits.gid = entry->pw_gid;
  return {};
}

int Serve(AgentFlags flags, const std::set<std::string>& given) {
  if (Status read = ReadConfig(flags, given); !read) return Fail(read.error());
  char host[256] = "board";
  ::gethostname(host, sizeof host - 1);
  if (flags.name.empty()) flags.name = host;

  LocalBoardOptions here;
  WorkshopOptions& shop = here.workshop;
  std::filesystem::path directory = flags.directory;
  if (directory.empty()) directory = ArtifactCache::DefaultDirectory().parent_path();
  if (directory.empty()) return Fail({ErrorCode::kInvalidInput, "keep artifacts: there is no home directory; give --directory"});
  shop.cache_dir = directory / "artifacts";
  shop.scratch_root = flags.scratch;
  shop.sysfs_root = flags.sysfs_root;
  if (!flags.lock_clocks.empty()) {
    if (Result<std::string> clock = ParseClock(flags.lock_clocks); !clock) return Fail(clock.error());
    if (Status can = CanLockClocks(flags.sysfs_root); !can) return Fail(can.error());
  }
  shop.lock_clocks = flags.lock_clocks;
  shop.build.readable.assign(flags.compiler_reads.begin(), flags.compiler_reads.end());
  shop.run.timeout = std::chrono::milliseconds(static_cast<int64_t>(1000 * flags.run_seconds));
  shop.build.timeout = std::chrono::milliseconds(static_cast<int64_t>(1000 * flags.build_seconds));
  if (Status dropped = DropPrivileges(flags, shop.run); !dropped) return Fail(dropped.error());

  const AgentLog log = JsonLines();
  here.log = log;
  Result<std::unique_ptr<UploadStore>> store = UploadStore::Open(directory / "uploads", {});
  if (!store) return Fail(store.error());
  Board::Options options;
  options.name = flags.name;
  options.lease = std::chrono::milliseconds(static_cast<int64_t>(1000 * flags.lease_seconds));
  Board board(options, MeasuringHere(here));

  const ConditionReader conditions(PlanCpus(AvailableCpus(), 1).measuring, flags.sysfs_root);
  AgentOptions serve;
  serve.listen = flags.listen;
  serve.clients = flags.clients;
  if (!flags.certs.empty()) serve.tls = TlsFiles{flags.certs + "/ca.pem", flags.certs + "/board.pem", flags.certs + "/board.key"};
  serve.targets = OfferedTargets(shop);
  serve.sysfs_root = flags.sysfs_root;
  serve.max_threads = static_cast<int>(AvailableCpus().size());
  serve.conditions = [&] { return Now(conditions); };
  serve.drain = [] {
    int none = 0;  // asking twice must not end what runs
    stop_signals.compare_exchange_strong(none, 1);
  };
  serve.log = log;
  Result<std::unique_ptr<AgentServer>> server = AgentServer::Start(&board, store->get(), serve);
  if (!server) return Fail(server.error());
  for (const OfferedTarget& target : serve.targets)
    log("offers", {{"target", target.choice}, {"key", target.target.Key()}, {"problem", target.problem}});
  log("listening", {{"address", flags.listen},
                    {"port", (*server)->port()},
                    {"board", flags.name},
                    {"boot_id", board.boot_id()},
                    {"tls", serve.tls.has_value()},
                    {"compiler_sandbox", worker::CompilerSandbox(shop.run.uid)},
                    {"version", kVersion}});
  // For whoever started us on port 0.
  fmt::print("listening on port {}\n", (*server)->port());
  std::fflush(stdout);

  while (stop_signals == 0) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  log("draining", {});
  (*server)->SetServing(false);
  board.Drain();
  while (stop_signals == 1 && !board.Drained()) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  log("stopped", {});
  return kExitOk;
}

}  // namespace
}  // namespace lathe

int main(int argc, char** argv) {
  ::setenv("GRPC_VERBOSITY", "NONE", 0);  // what matters comes as errors of our own
  CLI::App app{"lathe-agent offers this machine to `lathe tune --board HOST:PORT`."};
  app.footer(
      "An agent runs what its clients send. On loopback it needs nothing; on any other address it demands mutual TLS (--certs, see `lathe "
      "certs`)\nand lets each client do only what the configuration says.\n\n"
      "SIGTERM: nothing new is begun, what runs is finished and handed over, then it ends; a second one ends it at once.\n\n"
      "Exit status: 0 ended when asked to; 1 the world failed (address in use, disk); 2 wrong command line; 3 wrong configuration.\n\n"
      "Examples:\n  lathe-agent\n  lathe-agent --listen 0.0.0.0:7200 --certs /etc/lathe/certs --config /etc/lathe/agent.json\n\n"
      "Configuration (JSON, comments allowed; keys are listen, name, certs, user, scratch, directory, sysfs_root, lock_clocks, "
      "lease_seconds,\n"
      "run_seconds, build_seconds, clients; the command line goes before it):\n"
      "  {\"listen\": \"0.0.0.0:7200\", \"certs\": \"/etc/lathe/certs\", \"clients\": {\"alice\": [\"build\", \"measure\"], \"root\": "
      "[\"administer\"]}}");
  app.set_version_flag("--version", std::string("lathe-agent ") + lathe::kVersion);
  lathe::AgentFlags flags;
  app.add_option("--listen", flags.listen, "HOST:PORT; port 0: any that is free, printed on standard output")->capture_default_str();
  app.add_option("--name", flags.name, "What the board is called (default: the host's name)");
  app.add_option("--certs", flags.certs, "Directory with ca.pem, board.pem, board.key");
  app.add_option("--config", flags.config, "Configuration file");
  app.add_option("--directory", flags.directory, "Where artifacts and uploads are kept (default: ~/.cache/lathe)");
  app.add_option("--scratch", flags.scratch, "Where workers stand and compilers write (default: $TMPDIR or /tmp)");
  app.add_option("--user", flags.user, "Whom workers and compilers run as when the agent is root (default: nobody)");
  app.add_option("--compiler-reads", flags.compiler_reads,
                 "A directory that compilers may read besides the system's: where one of your own lies; repeatable");
  app.add_option("--sysfs-root", flags.sysfs_root, "Where power rails, clocks and temperatures are looked for (for tests and containers)")
      ->capture_default_str();
  app.add_option("--lock-clocks", flags.lock_clocks,
                 "While a client measures on a CUDA device, keep its clock at so many MHz, or at 'max'; needs root. On a Jetson run "
                 "jetson_clocks instead");
  lathe::AddDuration(app, "--lease", flags.lease_seconds, "Silence until another client may take the board")->capture_default_str();
  lathe::AddDuration(app, "--run-limit", flags.run_seconds, "What no candidate's run may exceed, whatever a client asks")
      ->capture_default_str();
  lathe::AddDuration(app, "--build-limit", flags.build_seconds, "Likewise for compiling")->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& failure) {
    return app.exit(failure) == 0 ? lathe::kExitOk : lathe::kExitUsage;
  }
  struct sigaction action = {};
  action.sa_handler = [](int) { ++lathe::stop_signals; };
  ::sigaction(SIGTERM, &action, nullptr);
  ::sigaction(SIGINT, &action, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  try {
    std::set<std::string> given;
    for (const CLI::Option* option : app.get_options())
      if (option->count() > 0 && !option->get_lnames().empty()) given.insert(option->get_lnames().front());
    return lathe::Serve(std::move(flags), given);
  } catch (const std::exception& failure) {
    return lathe::Fail({lathe::ErrorCode::kInternal, failure.what()});
  }
}
