// Measurement: what came back for a candidate. A failure is a measurement too; it is stored and learned from.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/candidate.h"
#include "core/result.h"

namespace lathe {

enum class MeasureStatus {
  kOk,
  kInvalidConfig,  // the template itself refuses this config (lathe_run returned nonzero)
  kBuildError,
  kBuildTimeout,
  kLaunchError,  // the artifact could not be loaded or started, or the device refused the launch
  kCrashed,      // signal, exit, out of memory
  kRunTimeout,
  kWrongResult,  // differs from the reference, or wrote outside its buffers
  kBoardLost,    // says nothing about the candidate: tried again elsewhere
};

const char* ToString(MeasureStatus status);  // "ok", "invalid_config", …
std::optional<MeasureStatus> ParseMeasureStatus(const std::string& text);

struct Measurement {
  uint64_t ticket = 0;  // the request this answers; see measure/measurer.h
  Candidate candidate;
  MeasureStatus status = MeasureStatus::kOk;
  std::string message;                        // compiler output, signal, first differing element: for people
  std::vector<double> seconds;                // every sample, in the order taken, unsmoothed, each one run of the kernel; empty unless kOk
  double build_seconds = 0;                   // compiler's time; 0 when the artifact was already there
  double run_seconds = 0;                     // how long the device was held for it
  double max_error = 0;                       // largest deviation from the reference, in units of the tolerance (1 = just allowed)
  std::optional<double> joules;               // per run, idle subtracted; where a sensor was watched
  std::map<std::string, double> build_facts;  // code_bytes, registers, spills, …
  std::map<std::string, std::string> conditions;  // clocks, temperature, load before and after
  bool cut_early = false;                         // stopped after few samples because it was clearly slower than the best so far
  int64_t finished_unix_ms = 0;
  std::string board;  // where it ran; "local" in-process
};

// The robust statistic of the samples: their 20 % quantile, because noise on a shared machine only ever adds time.
// Infinity when there are none.
double Seconds(const Measurement& measurement);
double LowQuantile(std::vector<double> samples);

// What the board drew while the kernel ran, idling included; nothing where no power rail was watched.
std::optional<double> Watts(const Measurement& measurement);

}  // namespace lathe
