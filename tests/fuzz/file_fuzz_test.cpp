// Damaged files of every kind that people hand us: an error that names the file, or something that makes sense; never a crash. Manifests
// and models have tests of their own.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <sstream>

#include "core/file.h"
#include "damage.h"
#include "db/exchange.h"
#include "measure/toolchain_profile.h"
#include "search/gzip_file.h"
#include "search/recorded_space.h"

namespace lathe {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
constexpr int kSeconds = 3;  // a test

class DamagedFiles : public ::testing::Test {
 protected:
  // Both ways must have been taken, or the test looks at nothing.
  ~DamagedFiles() override {
    EXPECT_GT(taken_, 20);
    EXPECT_GT(refused_, 20);
    RecordProperty("files", taken_ + refused_);
  }
  std::string Damaged(const std::string& json) { return damage_.Below(3) == 0 ? damage_.OfBytes(json) : damage_.OfValues(json); }
  fs::path Path(const char* name) const { return dir_.path() / name; }

  TempDir dir_ = *TempDir::Create("fuzz");
  Damage damage_{1};
  int taken_ = 0, refused_ = 0;
};

TEST_F(DamagedFiles, ToolchainProfiles) {
  std::vector<std::string> profiles;
  for (const auto& entry : fs::directory_iterator(LATHE_SOURCE_DIR "/toolchains")) profiles.push_back(*ReadFile(entry.path()));
  ASSERT_GT(profiles.size(), 3U);
  for (const auto end = FuzzEnd(kSeconds); Clock::now() < end;) {
    const std::string text = Damaged(profiles[damage_.Below(profiles.size())]);
    ASSERT_TRUE(WriteFile(Path("board.json"), text));
    const Result<Toolchain> toolchain = ReadToolchainProfile(Path("board.json").string());
    ++(toolchain ? taken_ : refused_);
    if (!toolchain) {
      EXPECT_NE(toolchain.error().message.find("board.json"), std::string::npos) << toolchain.error().message;
      continue;
    }
    EXPECT_FALSE(toolchain->compiler.empty()) << text;
    EXPECT_TRUE(toolchain->cross()) << text;
    (void)CheckRunsOn(*toolchain, {"cpu", "aarch64-neon", "Board", {}, {}});
  }
}

TEST_F(DamagedFiles, RecordedSpaces) {
  const std::string json = R"({"id": "bowl", "parameters": ["a", "b"], "values": {"a": [1, 2, 3, 4], "b": [0.5, 8, 16]},
    "fixed_parameters": {"limit": 4}, "constraints": ["a <= limit"]})";
  std::string rows = "a,b,time_ms,std_ms,error,compile_ms,bench_ms\n", samples = "a,b,ms_0,ms_1\n";
  for (const char* a : {"1", "2", "3", "4"})
    for (const char* b : {"0.5", "8", "16"}) {
      rows += fmt::format("{},{},{}.25,0.1,,100,50\n", a, b, a);
      samples += fmt::format("{},{},1.5,{}\n", a, b, a);
    }
  for (const auto end = FuzzEnd(kSeconds); Clock::now() < end;) {
    const size_t which = damage_.Below(4);
    ASSERT_TRUE(WriteFile(Path("bowl.json"), which == 0 ? Damaged(json) : json));
    ASSERT_TRUE(WriteGzipFile(Path("bowl.csv.gz"), which == 1 ? damage_.OfBytes(rows) : rows));
    ASSERT_TRUE(WriteGzipFile(Path("bowl.samples.csv.gz"), which == 2 ? damage_.OfBytes(samples) : samples));
    if (which == 3) {
      ASSERT_TRUE(WriteFile(Path("bowl.csv.gz"), damage_.OfBytes(*ReadFile(Path("bowl.csv.gz")))));
    }
    Result<RecordedSpace> space = RecordedSpace::Load(Path("bowl"));
    ++(space ? taken_ : refused_);
    if (!space) {
      EXPECT_NE(space.error().message.find("bowl"), std::string::npos) << space.error().message;
      continue;
    }
    ASSERT_FALSE(space->sorted_seconds().empty());
    EXPECT_TRUE(std::is_sorted(space->sorted_seconds().begin(), space->sorted_seconds().end()));
    for (const double seconds : space->sorted_seconds()) EXPECT_TRUE(std::isfinite(seconds) && seconds > 0) << seconds;
    (void)space->LoadSamples();
  }
}

TEST_F(DamagedFiles, Targets) {
  const std::string json =
      ToJson(Target{"cpu", "aarch64-neon", "Board", {{"threads", 4}, {"l2_bytes", 1 << 20}}, {{"compiler", "g++"}}}).dump();
  for (const auto end = FuzzEnd(kSeconds); Clock::now() < end;) {
    const Result<Target> target = TargetFromJson(nlohmann::json::parse(Damaged(json), nullptr, false));
    ++(target ? taken_ : refused_);
    if (!target) continue;
    for (const auto& [name, value] : target->limits) EXPECT_TRUE(std::isfinite(value)) << name;
  }
}

// Files of measurements, by ourselves and by others.
class DamagedLogs : public DamagedFiles {
 protected:
  // As JSON stands: Kernel Tuner's file is one.
  static std::vector<std::string> Lines(const std::string& text) {
    if (nlohmann::json::accept(text)) return {text};
    std::vector<std::string> lines;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
  }
  using Import = Result<ImportReport> (*)(TuningLog&, std::istream&, const ImportOptions&);
  void Try(const std::string& text, Import import) {
    std::unique_ptr<TuningLog> log;
    int64_t times = 0;
    for (const auto end = FuzzEnd(kSeconds); Clock::now() < end; ++times) {
      if (times % 64 == 0) log = *TuningLog::OpenInMemory();
      std::vector<std::string> lines = Lines(text);
      std::string& line = lines[damage_.Below(lines.size())];
      line = Damaged(line);
      std::istringstream in(fmt::format("{}", fmt::join(lines, "\n")));
      const Result<ImportReport> report = import(*log, in, {damage_.Below(2) == 0});
      ++(report && report->skipped == 0 ? taken_ : refused_);
      if (times % 16 != 0) continue;
      ASSERT_TRUE(log->ForEach({}, [](const LoggedMeasurement& row) {
        for (const double seconds : row.measurement.seconds) EXPECT_TRUE(std::isfinite(seconds) && seconds > 0) << seconds;
        return true;
      }));
    }
  }
};

TEST_F(DamagedLogs, OfOurs) {
  Measurement measurement;
  measurement.candidate = {
      {"conv2d", {{"h", Value(int64_t{7})}, {"layout", Value(std::string("nhwc"))}}}, "direct_cpu", "aaaa", {{"TILE", Value(int64_t{4})}}};
  measurement.seconds = {1e-3, 2e-3};
  measurement.build_facts = {{"code_bytes", 4096}};
  measurement.conditions = {{"clock_mhz", "3000"}};
  const auto log = *TuningLog::OpenInMemory();
  ASSERT_TRUE(log->BeginRun({"run-1", "lathe tune", {{"seed", 1}}, {"cpu", "x86_64-avx2", "CPU", {{"threads", 1}}, {}}}));
  ASSERT_TRUE(log->Record("run-1", {measurement}));
  std::ostringstream line;
  ASSERT_TRUE(ExportNative(*log, {}, line));
  Try(line.str(), ImportNative);
}

TEST_F(DamagedLogs, OfAutoTvm) {
  Try(R"({"input": ["llvm -mcpu=skylake", "conv2d_NCHWc.x86", [["TENSOR", [1, 3, 224, 224], "float32"], [2, 2], "NCHW", null, true], {}], "config": {"index": 172, "code_hash": null, "entity": [["tile_ic", "sp", [-1, 1]], ["unroll_kw", "ot", false]]}, "result": [[0.0045, 0.0044], 0, 0.53, 1676344759.52], "version": 0.2, "tvm_version": "0.10.0"})",
      ImportAutoTvm);
}

TEST_F(DamagedLogs, OfKernelTuner) {
  Try(R"({"device_name": "A100", "kernel_name": "convolution_kernel", "problem_size": [4096, 4096], "tune_params_keys": ["x", "pad", "method"],
    "tune_params": {"x": [16, 32], "pad": [false, true], "method": ["a", "b c"]}, "objective": "time", "cache": {
    "16,False,a": {"x": 16, "pad": false, "method": "a", "time": 1.5, "times": [1.25, 1.75], "compile_time": 2500.0, "timestamp": "2022-05-18 12:34:56+02:00"},
    "32,True,b c": {"x": 32, "pad": true, "method": "b c", "time": "RuntimeFailedConfig", "times": [], "timestamp": "2022-05-18 12:34:56"}}})",
      ImportKernelTuner);
}

}  // namespace
}  // namespace lathe
