// In and out: native lines, AutoTVM logs, Kernel Tuner caches.
#include "db/exchange.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <sstream>

#include "db/compact_value.h"
#include "db/foreign_json.h"
#include "tests/db/made_up_rows.h"

namespace lathe {
namespace {

using Json = nlohmann::ordered_json;
using ::testing::HasSubstr;

class Exchange : public InFolder {};

template <typename Import>
ImportReport In(TuningLog& log, const std::string& text, Import import, const ImportOptions& options = {}) {
  std::istringstream in(text);
  Result<ImportReport> report = import(log, in, options);
  EXPECT_TRUE(report) << report.error().message;
  return report ? *report : ImportReport{};
}

template <typename Import>
std::string FailureOf(TuningLog& log, const std::string& text, Import import) {
  std::istringstream in(text);
  Result<ImportReport> report = import(log, in, ImportOptions{});
  EXPECT_FALSE(report);
  return report ? "" : report.error().message;
}

template <typename Export>
std::string Out(TuningLog& log, Export write, const LogFilter& filter = {}) {
  std::ostringstream out;
  Result<int64_t> written = write(log, filter, out);
  EXPECT_TRUE(written) << written.error().message;
  return out.str();
}

std::vector<std::string> Uids(TuningLog& log) {
  std::vector<std::string> uids;
  for (const LoggedMeasurement& row : AllRows(log)) uids.push_back(row.uid);
  return uids;
}

TEST(NativeFormat, LosesNothing) {
  Measurement odd = MakeFailure(2, MeasureStatus::kWrongResult, "element 3: \"1\" \n \xc3\xa9");
  odd.max_error = std::numeric_limits<double>::infinity();
  odd.build_facts["ratio"] = std::nan("");
  Measurement third = MakeMeasurement(3, 1.0 / 3);
  third.joules = 0.1;
  const auto log = LogOf({MakeMeasurement(1, 1), odd, third});
  ASSERT_TRUE(log->BeginRun(MakeRun("run-2", MakeTarget("gcc 13"))));
  ASSERT_TRUE(log->Record("run-2", {MakeMeasurement(5, 1e-7)}));
  ASSERT_TRUE(log->EndRun("run-2", "finished"));
  const std::string lines = Out(*log, ExportNative);
  const auto copy = OpenLog({});
  EXPECT_EQ(In(*copy, lines, ImportNative).added, 4);
  EXPECT_EQ(Uids(*copy), Uids(*log)) << "the uid is a hash of all content";
  EXPECT_EQ(Out(*copy, ExportNative), lines);
  EXPECT_EQ(copy->FindRun("run-2").value()->state, "finished");
  EXPECT_EQ(In(*copy, lines, ImportNative).duplicates, 4);
}

TEST(NativeFormat, ExportsOnlyWhatTheFilterLetsThrough) {
  const auto log = LogOf({MakeMeasurement(1, 1), MakeMeasurement(2, 1, 28)});
  const auto copy = OpenLog({});
  In(*copy, Out(*log, ExportNative, {.workload_key = MakeWorkload(28).Key()}), ImportNative);
  ASSERT_EQ(copy->Count({}).value(), 1);
  EXPECT_EQ(AllRows(*copy)[0].measurement.candidate.workload, MakeWorkload(28));
}

TEST(NativeFormat, NamesTheMalformedLineAndImportsNothing) {
  const auto log = LogOf({MakeMeasurement(1, 1), MakeMeasurement(2, 1)});
  std::string lines = Out(*log, ExportNative);
  lines.insert(lines.rfind("{\"kind\""), "{\"kind\": \"measurement\", \"run\": 3}\n");
  const auto copy = OpenLog({});
  EXPECT_THAT(FailureOf(*copy, lines, ImportNative), HasSubstr("line 4: "));
  EXPECT_EQ(copy->Count({}).value(), 0);
  EXPECT_EQ(copy->Runs()->size(), 0u);
  const ImportReport report = In(*copy, lines, ImportNative, {.skip_malformed = true});
  EXPECT_EQ(report.added, 2);
  ASSERT_EQ(report.skipped, 1);
  EXPECT_EQ(report.first_skipped[0].line, 4);
}

TEST(NativeFormat, TellsWhatIsWrongWithALine) {
  const auto log = OpenLog({});
  EXPECT_THAT(FailureOf(*log, "{\"kind\": \"song\"}", ImportNative), HasSubstr("no line is of the kind 'song'"));
  EXPECT_THAT(FailureOf(*log, "half a {", ImportNative), HasSubstr("line 1: "));
  EXPECT_THAT(FailureOf(*log, "[]", ImportNative), HasSubstr("line 1: "));
  EXPECT_THAT(FailureOf(*log, R"({"kind":"measurement","run":"r","target":"0","measurement":{}})", ImportNative),
              HasSubstr("target '0' has no line of its own before this one"));
}

TEST(NativeFormat, RefusesBracketsThatWouldExhaustTheStack) {
  const auto log = OpenLog({});
  const std::string deep = std::string(200000, '[') + std::string(200000, ']');
  EXPECT_THAT(FailureOf(*log, "{\"kind\":" + deep + "}", ImportNative), HasSubstr("nested"));
  EXPECT_THAT(FailureOf(*log, "{\"input\":" + deep + "}", ImportAutoTvm), HasSubstr("nested"));
  EXPECT_THAT(FailureOf(*log, "{\"cache\":" + deep + "}", ImportKernelTuner), HasSubstr("not a Kernel Tuner cache"));
}

// Every line cut short and every byte of a line changed in turn: an error or a row, never a crash.
TEST(NativeFormat, SurvivesDamagedLines) {
  const auto source = LogOf({MakeMeasurement(1, 1)});
  const std::string lines = Out(*source, ExportNative);
  const auto log = OpenLog({});
  for (size_t i = 0; i < lines.size(); i += 3) {
    std::string cut = lines.substr(0, i), changed = lines;
    changed[i] = static_cast<char>('0' + i % 60);
    for (const std::string& text : {cut, changed}) {
      std::istringstream in(text);
      (void)ImportNative(*log, in, {.skip_malformed = i % 2 == 0});
    }
  }
  EXPECT_TRUE(log->Count({}));
}

constexpr const char* kAutoTvm =
    R"({"input": ["llvm -keys=cpu -mcpu=skylake-avx512", "conv2d_NCHWc.x86", [["TENSOR", [1, 3, 224, 224], "float32"], [2, 2], "NCHW", null, true], {}], "config": {"index": 172, "code_hash": null, "entity": [["tile_ic", "sp", [-1, 1]], ["tile_ow", "sp", [-1, 64]], ["unroll_kw", "ot", false], ["auto_unroll", "ot", 1500]]}, "result": [[0.0045, 0.0044], 0, 0.53, 1676344759.52], "version": 0.2, "tvm_version": "0.10.0"}
{"input": ["llvm -keys=cpu -mcpu=skylake-avx512", "conv2d_NCHWc.x86", [["TENSOR", [1, 3, 224, 224], "float32"], [2, 2], "NCHW", null, true], {}], "config": {"index": 47, "code_hash": "abc", "entity": [["tile_ic", "sp", [-1, 3]], ["tile_ow", "sp", [-1, 64]], ["unroll_kw", "ot", true], ["auto_unroll", "ot", 0]]}, "result": [[1000000000.0], 7, 10.25, 1676344770.25], "version": 0.2, "tvm_version": "0.10.0"}
)";

TEST(AutoTvmFormat, ReadsTasksKnobsAndErrors) {
  const auto log = OpenLog({});
  EXPECT_EQ(In(*log, kAutoTvm, ImportAutoTvm).added, 2);
  const auto rows = AllRows(*log);
  ASSERT_EQ(rows.size(), 2u);
  const Measurement& first = rows[0].measurement;
  EXPECT_EQ(first.candidate.workload.Key(),
            "conv2d_NCHWc.x86:arg00=(TENSOR (1 3 224 224) float32),arg01=(2 2),arg02=NCHW,arg03=None,arg04=True");
  EXPECT_EQ(ToString(first.candidate.config), "tile_ic=(sp (-1 1)),tile_ow=(sp (-1 64)),unroll_kw=False,auto_unroll=1500");
  EXPECT_EQ(first.seconds, (std::vector<double>{0.0045, 0.0044}));
  EXPECT_EQ(first.finished_unix_ms, 1676344759520);
  EXPECT_EQ(rows[1].measurement.status, MeasureStatus::kRunTimeout);
  EXPECT_TRUE(rows[1].measurement.seconds.empty()) << "1e9 stands for a failure, it is no time";
  const Target target = log->FindTarget(rows[0].target_hash).value();
  EXPECT_EQ(target.Key(), "cpu/skylake-avx512/llvm -keys=cpu -mcpu=skylake-avx512");
  EXPECT_EQ(log->BestPerWorkload({.operator_name = "conv2d_NCHWc.x86"})->size(), 1u);
  EXPECT_EQ(In(*log, kAutoTvm, ImportAutoTvm).duplicates, 2);
}

TEST(AutoTvmFormat, GivesItsOwnLinesBackAsTheyWere) {
  const auto log = OpenLog({});
  In(*log, kAutoTvm, ImportAutoTvm);
  std::istringstream before(kAutoTvm), after(Out(*log, ExportAutoTvm));
  std::string a, b;
  while (std::getline(before, a)) {
    ASSERT_TRUE(std::getline(after, b));
    const Json x = Json::parse(a), y = Json::parse(b);
    for (const char* part : {"input", "config", "result", "version"}) EXPECT_EQ(x[part], y[part]) << part;
  }
}

TEST(AutoTvmFormat, ReadsTheShortNamesOfItsFirstVersion) {
  const auto log = OpenLog({});
  const std::string line =
      R"({"i": ["opencl -device=mali", "topi_nn_conv2d", [["TENSOR", [1, 3], "float32"]], {}, ["conv2d", 1], {"i": 5, "t": "direct", "c": null, "e": [["a", "sp", [2, 2]]]}], "r": [[0.5], 0, 1.5, 100.0], "v": 0.1})";
  EXPECT_EQ(In(*log, line, ImportAutoTvm).added, 1);
  EXPECT_EQ(AllRows(*log)[0].measurement.candidate.workload.operator_name, "topi_nn_conv2d");
}

TEST(AutoTvmFormat, CarriesOurOwnMeasurementsThereAndBack) {
  const auto log = LogOf({MakeMeasurement(1, 0.001), MakeFailure(2, MeasureStatus::kLaunchError, "refused")});
  const std::string lines = Out(*log, ExportAutoTvm);
  const auto copy = OpenLog({});
  EXPECT_EQ(In(*copy, lines, ImportAutoTvm).added, 2);
  const auto rows = AllRows(*copy);
  EXPECT_EQ(rows[0].measurement.candidate.Key(), MakeMeasurement(1, 1).candidate.Key());
  EXPECT_EQ(rows[0].measurement.seconds, MakeMeasurement(1, 0.001).seconds);
  EXPECT_EQ(rows[1].measurement.status, MeasureStatus::kLaunchError);
  EXPECT_EQ(rows[1].measurement.message, "refused");
}

TEST(AutoTvmFormat, NamesTheMalformedLine) {
  const auto log = OpenLog({});
  EXPECT_THAT(FailureOf(*log, std::string(kAutoTvm) + "# a comment\n\n{\"input\": 3}\n", ImportAutoTvm), HasSubstr("line 5: "));
  EXPECT_THAT(FailureOf(*log, "llvm\tpickled\trow", ImportAutoTvm), HasSubstr("line 1: "));
  EXPECT_EQ(log->Count({}).value(), 0);
}

constexpr const char* kKernelTuner = R"({
"device_name": "NVIDIA A100",
"kernel_name": "convolution_kernel",
"problem_size": [4096, 4096],
"tune_params_keys": ["block_size_x", "use_padding", "method"],
"tune_params": {"block_size_x": [16, 32], "use_padding": [false, true], "method": ["a", "b c"]},
"objective": "time",
"cache": {
"16,False,a": {"block_size_x": 16, "use_padding": false, "method": "a", "time": 1.5, "times": [1.25, 1.75], "GFLOP/s": NaN, "compile_time": 2500.0, "verification_time": 1, "benchmark_time": 9.0, "strategy_time": 0, "framework_time": 1.5, "timestamp": "2022-05-18 12:34:56.789000+02:00"},
"16,True,a": {"block_size_x": 16, "use_padding": true, "method": "a", "time": "CompilationFailedConfig", "compile_time": 0, "verification_time": 0, "benchmark_time": 0, "strategy_time": 0, "framework_time": 0, "timestamp": "2022-05-18T10:34:57Z"},
"32,False,b c": {"block_size_x": 32, "use_padding": false, "method": "b c", "time": 1e20, "compile_time": 0, "verification_time": 0, "benchmark_time": 0, "strategy_time": 0, "framework_time": 0, "timestamp": "?"})";

TEST(KernelTunerFormat, ReadsACacheFile) {
  const auto log = OpenLog({});
  EXPECT_EQ(In(*log, std::string(kKernelTuner) + "\n}}", ImportKernelTuner).added, 3);
  const auto rows = AllRows(*log);
  ASSERT_EQ(rows.size(), 3u);
  const Measurement& first = rows[0].measurement;
  EXPECT_EQ(first.candidate.workload.Key(), "convolution_kernel:problem_size=(4096 4096)");
  EXPECT_EQ(ToString(first.candidate.config), "block_size_x=16,use_padding=False,method=a");
  EXPECT_EQ(first.seconds, (std::vector<double>{0.00125, 0.00175})) << "milliseconds there, seconds here";
  EXPECT_EQ(first.build_seconds, 2.5);
  EXPECT_EQ(first.run_seconds, 0.01);
  EXPECT_EQ(first.finished_unix_ms, 1652870096789) << "12:34:56.789 at +02:00";
  EXPECT_EQ(rows[1].measurement.status, MeasureStatus::kBuildError);
  EXPECT_EQ(rows[1].measurement.finished_unix_ms, 1652870097000);
  EXPECT_EQ(rows[2].measurement.status, MeasureStatus::kLaunchError);
  EXPECT_EQ(rows[0].target_key, "external/unknown/NVIDIA A100");
}

TEST(KernelTunerFormat, ReadsACacheThatWasNeverClosed) {
  for (const char* end : {"", ",", ",\n", "\n}", "}\n}\n"}) {
    const auto log = OpenLog({});
    const ImportReport report = In(*log, std::string(kKernelTuner) + end, ImportKernelTuner);
    EXPECT_EQ(report.added, 3) << "end '" << end << "'";
    EXPECT_EQ(report.skipped, 0);
  }
  const auto log = OpenLog({});
  const ImportReport report = In(*log, std::string(kKernelTuner) + ",\n\"32,True,a\": {\"block_size_x\": 3", ImportKernelTuner);
  EXPECT_EQ(report.added, 3);
  EXPECT_EQ(report.skipped, 1) << "the half entry is reported";
}

TEST(KernelTunerFormat, NamesTheEntryThatIsWrong) {
  const auto log = OpenLog({});
  const std::string text = std::string(kKernelTuner) + ",\n\"64\": {\"block_size_x\": 64, \"time\": 3}}}";
  EXPECT_THAT(FailureOf(*log, text, ImportKernelTuner), HasSubstr("line 12: entry '64': "));
  EXPECT_EQ(log->Count({}).value(), 0);
  EXPECT_EQ(In(*log, text, ImportKernelTuner, {.skip_malformed = true}).added, 3);
}

TEST(KernelTunerFormat, SurvivesEveryTruncation) {
  const std::string text = std::string(kKernelTuner) + "\n}}";
  for (size_t length = 0; length < text.size(); length += 5) {
    const auto log = OpenLog({});
    std::istringstream in(text.substr(0, length));
    (void)ImportKernelTuner(*log, in, {.skip_malformed = true});
    EXPECT_LE(log->Count({}).value(), 3);
  }
}

TEST(KernelTunerFormat, GivesItsOwnCacheBack) {
  const auto log = OpenLog({});
  In(*log, std::string(kKernelTuner) + "\n}}", ImportKernelTuner);
  const Json before = ParseForeignJson(std::string(kKernelTuner) + "\n}}").value(), after = Json::parse(Out(*log, ExportKernelTuner));
  for (const char* part : {"device_name", "kernel_name", "problem_size", "tune_params_keys", "tune_params", "objective"})
    EXPECT_EQ(before[part], after[part]) << part;
  for (const auto& [key, entry] : before["cache"].items()) {
    ASSERT_TRUE(after["cache"].contains(key)) << key;
    for (const char* parameter : {"block_size_x", "use_padding", "method"}) EXPECT_EQ(entry[parameter], after["cache"][key][parameter]);
  }
  EXPECT_EQ(after["cache"]["16,False,a"]["time"], 1.5);
  EXPECT_EQ(after["cache"]["16,False,a"]["timestamp"], "2022-05-18T10:34:56.789+00:00");
  EXPECT_EQ(after["cache"]["16,True,a"]["time"], "CompilationFailedConfig");
}

TEST(KernelTunerFormat, CarriesOurOwnMeasurementsThereAndBack) {
  const auto log = LogOf({MakeMeasurement(1, 0.5), MakeMeasurement(1, 0.25), MakeFailure(2, MeasureStatus::kWrongResult, "off"),
                          MakeFailure(3, MeasureStatus::kBoardLost)});
  const std::string text = Out(*log, ExportKernelTuner);
  const auto copy = OpenLog({});
  EXPECT_EQ(In(*copy, text, ImportKernelTuner).added, 2) << "one entry a config, none for a lost board";
  const auto rows = AllRows(*copy);
  EXPECT_EQ(rows[0].measurement.candidate.Key(), MakeMeasurement(1, 1).candidate.Key());
  EXPECT_EQ(rows[0].seconds, 0.25);
  EXPECT_EQ(rows[1].measurement.status, MeasureStatus::kWrongResult);
  EXPECT_EQ(rows[1].measurement.message, "off");
}

TEST(KernelTunerFormat, RefusesToMixKernelsInOneCache) {
  const auto log = LogOf({MakeMeasurement(1, 0.5), MakeMeasurement(2, 0.25, 28)});
  std::ostringstream out;
  const Result<int64_t> written = ExportKernelTuner(*log, {}, out);
  ASSERT_FALSE(written);
  EXPECT_THAT(written.error().message, HasSubstr(MakeWorkload(28).Key()));
  EXPECT_FALSE(ExportKernelTuner(*log, {.operator_name = "nms"}, out));
}

TEST_F(Exchange, RecognisesAFileByItsBeginning) {
  const auto source = LogOf({MakeMeasurement(1, 1)});
  ASSERT_TRUE(ExportFile(*source, {}, LogFormat::kNative, At("a.jsonl")));
  ASSERT_TRUE(ExportFile(*source, {}, LogFormat::kAutoTvm, At("a.log")));
  ASSERT_TRUE(ExportFile(*source, {}, LogFormat::kKernelTuner, At("a.json")));
  for (const char* name : {"a.jsonl", "a.log", "a.json"}) {
    const auto log = OpenLog({});
    const auto report = ImportFile(*log, At(name));
    ASSERT_TRUE(report) << report.error().message;
    EXPECT_EQ(report->added, 1) << name;
  }
  ASSERT_TRUE(WriteFile(At("b.txt"), "hello"));
  EXPECT_THAT(ImportFile(*source, At("b.txt")).error().message, HasSubstr("none of the formats"));
  const auto absent = ImportFile(*source, At("absent"));
  EXPECT_THAT(absent.error().message, HasSubstr("cannot be opened: No such file"));
  EXPECT_EQ(absent.error().code, ErrorCode::kNotFound);
  std::filesystem::create_symlink(At("endless"), At("endless"));  // there, and nobody can open it
  EXPECT_EQ(ImportFile(*source, At("endless")).error().code, ErrorCode::kUnavailable);
  EXPECT_FALSE(ExportFile(*source, {}, LogFormat::kNative, At("no/folder")));
  EXPECT_FALSE(ExportFile(*source, {.operator_name = "nms"}, LogFormat::kKernelTuner, At("c.json")));
  EXPECT_FALSE(std::filesystem::exists(At("c.json"))) << "a failed export leaves no file";
}

TEST(CompactValue, ReadsBackAsItWasAndFitsIntoAKey) {
  for (const char* text :
       {R"j([["TENSOR", [1, 3], "float32"], true, null])j", R"j("")j", R"j(["", [], [[]]])j", R"j("a b")j", R"j("1")j", R"j("1.5")j",
        R"j("None")j", R"j("nan")j", R"j("(x)")j", R"j("a,b=c%d")j", R"j(-3)j", R"j(2.0)j", R"j("\u00e9")j", R"j(false)j"}) {
    const Json json = Json::parse(text);
    const Result<Value> value = CompactValue(json);
    ASSERT_TRUE(value) << text;
    EXPECT_EQ(ToString(*value).find_first_of(",="), std::string::npos) << text;
    const Result<Json> back = ExpandValue(*value);
    ASSERT_TRUE(back) << text;
    EXPECT_EQ(*back, json) << text << " as " << ToString(*value);
    EXPECT_EQ(ParseValue(ToString(*value)), *value) << text;
  }
}

TEST(CompactValue, RefusesWhatIsNotInItsNotation) {
  for (const char* text : {"(", ")", "(a", "a b", "%4", "%zz", ""}) EXPECT_FALSE(ExpandValue(Value(std::string(text)))) << text;
  EXPECT_FALSE(ExpandValue(Value(std::string(10000, '('))));
  EXPECT_FALSE(CompactValue(Json::object()));
}

}  // namespace
}  // namespace lathe
