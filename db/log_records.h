// What comes out of a tuning log, and how a question is narrowed. Plain data; ToJson gives the field names that docs/tuning-log.md lists.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/measurement.h"
#include "core/target.h"

namespace lathe {

// One stored measurement with where it came from.
struct LoggedMeasurement {
  int64_t id = 0;   // the order in which this log stored it; another log numbers differently
  std::string uid;  // 32 hexadecimal digits over the content: the same measurement in every log
  Measurement measurement;
  double seconds = 0;  // lathe::Seconds(measurement); infinity unless ok
  std::string run_id;
  std::string target_key;
  std::string target_hash;  // Target::FingerprintHash()
};

struct RunRecord {
  std::string id = {};
  std::string command = {};
  nlohmann::json options = {};
  std::string target_key = {}, target_hash = {};
  std::string state = {};  // "running" until it ends; "running" with nobody behind it is a run that was killed
  int64_t started_unix_ms = 0;
  std::optional<int64_t> ended_unix_ms = {};
  int64_t measurements = 0;
};

// A version of a template that counts as current.
struct TemplateVersion {
  std::string operator_name, template_name, template_hash;
};

// Empty fields ask for nothing.
struct LogFilter {
  std::string operator_name = {};
  std::string workload_key = {};  // Workload::Key()
  std::string target = {};        // Target::Key(), or its beginning up to a slash: "cpu", "cpu/x86_64-avx512"
  std::string target_hash = {};   // Target::FingerprintHash()
  std::string template_name = {}, template_hash = {};
  std::string run_id = {};
  std::optional<MeasureStatus> status = {};
  // Where given, rows of other template versions are history and left out.
  std::optional<std::vector<TemplateVersion>> current = {};
};

struct BestQuery {
  Workload workload = {};
  std::string target_key = {};   // Target::Key()
  std::string target_hash = {};  // Target::FingerprintHash(); empty: any fingerprint of that key is as good
  // Without an answer for the hash, take one measured under another compiler, driver or limit, and say so.
  bool allow_other_fingerprint = true;
  std::string template_name = {}, run_id = {};  // empty: any
  std::optional<std::vector<TemplateVersion>> current = {};
};

// How much a row found for a target may be trusted.
enum class TargetMatch {
  kExact,             // same device, same fingerprint
  kOtherFingerprint,  // same device, another compiler, driver, or limit: a hint, to be measured again
};
const char* ToString(TargetMatch match);  // "exact", "other_fingerprint"

struct BestConfig {
  LoggedMeasurement row;
  TargetMatch match = TargetMatch::kExact;
};

struct BestAnswer {
  std::vector<BestConfig> best;  // fastest first; one row a candidate; empty when nothing fits
  int64_t history_rows = 0;      // measurements of this workload and target left out, because their template has changed since
};

struct FailureCount {
  MeasureStatus status = MeasureStatus::kOk;
  int64_t count = 0;
  std::string latest_message;
};

// A step of a task's history.
struct TraceStep {
  int64_t trial = 0;  // from 1, in the order measured; board_lost counts no trial
  MeasureStatus status = MeasureStatus::kOk;
  double seconds = 0;       // infinity unless ok
  double best_seconds = 0;  // over all trials up to here; infinity before the first success
  Workload workload;
  std::string target_key;
  std::string template_name;
  Config config;
  int64_t finished_unix_ms = 0;
};

struct LogSummary {
  std::string path;
  int64_t schema = 0;
  int64_t bytes = 0;  // on disk, write-ahead log included; 0 in memory
  int64_t measurements = 0, runs = 0, unfinished_runs = 0, workloads = 0, templates = 0, configs = 0, targets = 0;
  std::map<std::string, int64_t> by_status;
  std::optional<int64_t> first_unix_ms, last_unix_ms;
};

struct MergeReport {
  int64_t added = 0, duplicates = 0, runs_added = 0;
};

// Infinite seconds become null.
nlohmann::ordered_json ToJson(const LoggedMeasurement& row);
nlohmann::ordered_json ToJson(const BestConfig& best);
nlohmann::ordered_json ToJson(const BestAnswer& answer);
nlohmann::ordered_json ToJson(const RunRecord& run);
nlohmann::ordered_json ToJson(const FailureCount& failure);
nlohmann::ordered_json ToJson(const TraceStep& step);
nlohmann::ordered_json ToJson(const LogSummary& summary);
nlohmann::ordered_json ToJson(const MergeReport& report);

}  // namespace lathe
