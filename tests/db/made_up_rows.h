// Targets, runs and measurements that the log's tests make up.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/file.h"
#include "core/measurement.h"
#include "core/target.h"
#include "db/tuning_log.h"
#include "search/journal.h"

namespace lathe {

inline Target MakeTarget(const std::string& compiler = "gcc 12") {
  return {"cpu", "x86_64-avx2", "Some CPU", {{"threads", 1}, {"l2_bytes", 1048576}}, {{"compiler", compiler}}};
}

inline Workload MakeWorkload(int64_t height = 56) { return {"conv2d", {{"h", height}, {"layout", std::string("nhwc")}, {"scale", 0.5}}}; }

inline Measurement MakeMeasurement(int64_t tile, double seconds, int64_t height = 56, const std::string& hash = "aaaa") {
  Measurement m;
  // Not in alphabetical order: a config keeps its template's order.
  m.candidate = {MakeWorkload(height), "direct_cpu", hash, {{"TILE_X", tile}, {"LANES", int64_t{8}}, {"ORDER", std::string("kxy")}}};
  m.seconds = {seconds * 1.5, seconds, seconds * 1.1};
  m.build_seconds = 0.75;
  m.run_seconds = 0.25;
  m.max_error = 0.125;
  m.build_facts = {{"code_bytes", 4096}};
  m.conditions = {{"clock_mhz", "3000"}};
  m.finished_unix_ms = 1700000000000 + tile;
  m.board = "local";
  return m;
}

inline Measurement MakeFailure(int64_t tile, MeasureStatus status, const std::string& message = "it failed") {
  Measurement m = MakeMeasurement(tile, 1);
  m.status = status;
  m.message = message;
  m.seconds.clear();
  return m;
}

inline RunInfo MakeRun(const std::string& id = "run-1", const Target& target = MakeTarget()) {
  return {id, "lathe tune conv2d", {{"strategy", "random"}, {"seed", 1}}, target};
}

// Opens or fails the test.
inline std::unique_ptr<TuningLog> OpenLog(const std::filesystem::path& path) {
  TuningLogOptions options;
  options.now_unix_ms = [] { return int64_t{1700000000000}; };
  Result<std::unique_ptr<TuningLog>> log = path.empty() ? TuningLog::OpenInMemory(options) : TuningLog::Open(path, options);
  EXPECT_TRUE(log) << log.error().message;
  return log ? *std::move(log) : nullptr;
}

// A log with one begun run and these measurements in it.
inline std::unique_ptr<TuningLog> LogOf(const std::vector<Measurement>& measurements, const std::filesystem::path& path = {}) {
  std::unique_ptr<TuningLog> log = OpenLog(path);
  EXPECT_TRUE(log->BeginRun(MakeRun()));
  Status recorded = log->Record("run-1", measurements);
  EXPECT_TRUE(recorded) << recorded.error().message;
  return log;
}

inline std::vector<LoggedMeasurement> AllRows(TuningLog& log, const LogFilter& filter = {}) {
  std::vector<LoggedMeasurement> rows;
  Status read = log.ForEach(filter, [&](const LoggedMeasurement& row) {
    rows.push_back(row);
    return true;
  });
  EXPECT_TRUE(read) << (read ? "" : read.error().message);
  return rows;
}

inline BestQuery AskFor(int64_t height = 56, const Target& target = MakeTarget()) {
  return {.workload = MakeWorkload(height), .target_key = target.Key(), .target_hash = target.FingerprintHash()};
}

class InFolder : public ::testing::Test {
 protected:
  void SetUp() override {
    Result<TempDir> made = TempDir::Create("db-test");
    ASSERT_TRUE(made) << made.error().message;
    folder_.emplace(*std::move(made));
  }
  std::filesystem::path At(const std::string& name) const { return folder_->path() / name; }

 private:
  std::optional<TempDir> folder_;
};

}  // namespace lathe
