// TuneSession: one run of the tuner on a board, as `lathe tune` and `lathe limits` start it: measurer, log, driver, progress.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/result.h"
#include "db/tuning_log.h"
#include "measure/local_measurer.h"
#include "rpc/client/board_pool.h"
#include "search/driver.h"
#include "space/template_library.h"
#include "tools/lathe/progress_line.h"

namespace lathe {

struct SessionOptions {
  std::string board = "local";  // or HOST:PORT, several separated by commas
  std::string certs;            // directory of certificates for boards; empty: the default one, where it exists
  std::string toolchain;        // profile: candidates for boards are built here; empty: on the board
  bool calibrate = true;        // boards, by a calibration kernel between candidates
  double wait_seconds = 60;     // for a board, while there is none
  std::string target = "cpu";   // see measure/target_choice.h
  std::string log = "tuning.db";
  std::vector<std::string> templates;  // only these, "NAME" or "OPERATOR/NAME"; empty: all
  std::string strategy = "model";
  size_t trials = 200;
  double seconds = 0;  // 0: no limit
  uint64_t seed = 1;
  int threads = 1;     // a kernel may use
  bool fresh = false;  // measure again what the log knows already
  bool cold_cache = false;
  std::string lock_clocks;    // of this machine's CUDA device meanwhile: MHz or "max"; empty: not
  bool warm = true;           // borrow from other workloads, targets and versions in the log
  double stop_when_gain = 0;  // see TuneOptions
  Objective objective;
  ProgressLine::Words progress = ProgressLine::Text;
  std::string sysfs_root = "/";  // where this machine's power rails and clocks are looked for
  std::string command;           // for the log
};

// Whether a run with these options may try the template.
bool TakesTemplate(const SessionOptions& options, const std::string& operator_name, const std::string& template_name);

struct SessionResult {
  TuneReport report;
  Target target;
  std::optional<PipelineStats> pipeline;  // of this machine, where it measured
  std::vector<BoardState> boards;
};

struct WeightedWorkload {
  Workload workload;
  double weight = 1;
};

// Which options do not go together; empty where they do. `build_only`: none where the command has no such option.
std::string Contradiction(const SessionOptions& options, std::optional<bool> build_only);

// Tunes every workload that some template computes; the others are named in `skipped` with the reason.
Result<SessionResult> RunSession(const TemplateLibrary& library, const std::vector<WeightedWorkload>& workloads,
                                 const SessionOptions& options, std::vector<std::string>& skipped);

}  // namespace lathe
