// The cuda backend without a GPU: a driver and an NVRTC of our own making, and the real NVRTC where this machine has one.
#include "measure/cuda_backend.h"

#include <cstdlib>

#include "fake_cuda_fixture.h"
#include "measure/cubin.h"
#include "measure/cuda_target.h"
#include "measure/launch_list.h"
#include "measure/target_choice.h"

namespace lathe {
namespace {

TEST(LaunchList, ComesBackAsItWasWritten) {
  const KernelLaunch prepare{true, "pack", {64}, {32}, {}, 0}, launch{false, "merge", {64, 2, 3}, {16, 1, 1}, {-5, 7}, 4096};
  std::vector<KernelLaunch> read;
  uint64_t device = 0;
  ASSERT_TRUE(ParseLaunches("device 3\n" + LaunchLine(prepare) + LaunchLine(launch), read, &device));
  EXPECT_EQ(device, 3U);
  ASSERT_EQ(read.size(), 2U);
  EXPECT_TRUE(read[0].prepares);
  EXPECT_EQ(LaunchLine(read[1]), LaunchLine(launch));
}

TEST(LaunchList, RefusesWhatItDoesNotUnderstand) {
  std::vector<KernelLaunch> read;
  for (const char* text : {"run twice", "launch twice", "launch twice 0 4 1 1 1 1 1 1 1 1 0", "launch twice 0 1 64",
                           "launch t 0 1 64 64 900", "device x", "launch twice 0 1 64 64 2 1"})
    EXPECT_FALSE(ParseLaunches(text, read)) << text;
}

TEST(CudaArchitecture, KnowsWhatABlockMayTake) {
  EXPECT_EQ(FindCudaArchitecture("sm_53")->registers_per_group, 32768U);
  EXPECT_EQ(FindCudaArchitecture("sm_62")->registers_per_group, 32768U);
  EXPECT_EQ(FindCudaArchitecture("sm_87")->registers_per_group, 65536U);
  EXPECT_EQ(FindCudaArchitecture("sm_90a")->capability, 90);
  EXPECT_FALSE(FindCudaArchitecture("sm_54"));
  EXPECT_EQ(CudaLimits(*FindCudaArchitecture("sm_53")).at("dp4a"), 0);
  EXPECT_EQ(CudaLimits(*FindCudaArchitecture("sm_87")).at("async_copy"), 1);
}

// By NVIDIA's occupancy calculator.
TEST(CudaArchitecture, CountsResidentWarps) {
  const CudaArchitecture a100 = *FindCudaArchitecture("sm_80");
  EXPECT_DOUBLE_EQ(Occupancy(a100, {256, 32, 0}), 1.0);
  EXPECT_DOUBLE_EQ(Occupancy(a100, {256, 64, 0}), 0.5);
  EXPECT_DOUBLE_EQ(Occupancy(a100, {256, 65, 0}), 0.375) << "65 registers are handed out as 72";
  EXPECT_DOUBLE_EQ(Occupancy(a100, {128, 32, 48 * 1024}), 0.1875) << "three groups of 49 KiB in 164";
  EXPECT_DOUBLE_EQ(Occupancy(a100, {1024, 32, 0}), 1.0);
  EXPECT_DOUBLE_EQ(Occupancy(*FindCudaArchitecture("sm_86"), {1024, 32, 0}), 1024.0 / 1536);
  EXPECT_DOUBLE_EQ(Occupancy(*FindCudaArchitecture("sm_53"), {256, 255, 0}), 0) << "65,536 registers are too many for one block";
}

TEST(Cubin, TellsWhatItsKernelsTake) {
  const Result<std::string> content = ReadFile(Data("packed_gpu_sm_53.cubin"));
  ASSERT_TRUE(content) << content.error().message;
  const Result<std::map<std::string, CubinKernel>> kernels = ReadCubin(*content);
  ASSERT_TRUE(kernels) << kernels.error().message;
  ASSERT_EQ(kernels->size(), 3U);
  for (const char* name : {"pack", "twice", "add"}) {
    ASSERT_EQ(kernels->count(name), 1U) << name;
    EXPECT_GT(kernels->at(name).registers, 2U) << name;
    EXPECT_LT(kernels->at(name).registers, 40U) << name;
    EXPECT_GT(kernels->at(name).code_bytes, 64U) << name;
  }
}

TEST(Cubin, RefusesDamagedFiles) {
  const Result<std::string> content = ReadFile(Data("packed_gpu_sm_53.cubin"));
  ASSERT_TRUE(content);
  EXPECT_FALSE(ReadCubin(""));
  EXPECT_FALSE(ReadCubin("no cubin"));
  for (size_t length = 0; length < content->size(); length += 97) (void)ReadCubin(content->substr(0, length));
  for (size_t at = 0; at < content->size(); at += 3) {
    std::string damaged = *content;
    damaged[at] = static_cast<char>(~damaged[at]);
    (void)ReadCubin(damaged);  // an answer or an error; never a crash
  }
}

TEST(Cubin, AddsUpSpills) {
  const std::map<std::string, double> facts = ReadPtxasLog(
      "    16 bytes stack frame, 12 bytes spill stores, 8 bytes spill loads\nx\n"
      "    0 bytes stack frame, 4 bytes spill stores, 4 bytes spill loads\n");
  EXPECT_EQ(facts.at("spill_store_bytes"), 16);
  EXPECT_EQ(facts.at("spill_load_bytes"), 12);
}

TEST(CudaCompilers, AreReadAndChosenByArchitecture) {
  const std::vector<CudaCompiler> compilers = ParseCudaCompilers(
      "path /a/libnvrtc.so.13\nversion 13.0\ncubin 1\narchitectures sm_75 sm_87\n\npath /b/libnvrtc.so.12\nversion 12.9\ncubin 1\n"
      "architectures sm_53 sm_87 sm_90\n\n");
  ASSERT_EQ(compilers.size(), 2U);
  EXPECT_EQ(ChooseCudaCompiler(compilers, "sm_87")->version, "13.0");
  EXPECT_EQ(ChooseCudaCompiler(compilers, "sm_53")->Name(), "NVRTC 12.9");
  EXPECT_TRUE(ChooseCudaCompiler(compilers, "sm_90a"));
  const Result<CudaCompiler> none = ChooseCudaCompiler(compilers, "sm_120");
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error().message, testing::AllOf(testing::HasSubstr("sm_120"), testing::HasSubstr("/b/libnvrtc.so.12"),
                                                   testing::HasSubstr("pip install nvidia-cuda-nvrtc-cu12")));
}

TEST(CudaTargets, AreReadFromAWorker) {
  const Result<std::vector<Target>> targets = ParseCudaDevices(
      "name Orin\ndriver 12.6\narchitecture sm_87\nmax_work_group 1024\nregisters_per_group 65536\ncompute_units 8\nsubgroup 32\n"
      "max_buffer_bytes 8589934592\n\n");
  ASSERT_TRUE(targets) << targets.error().message;
  EXPECT_EQ(targets->front().Key(), "cuda/sm_87/Orin");
  EXPECT_EQ(targets->front().limits.at("compute_units"), 8);
  EXPECT_EQ(targets->front().limits.at("max_buffer_bytes"), 8589934592.0);
  EXPECT_EQ(targets->front().limits.at("images"), 0);
  EXPECT_EQ(targets->front().limits.at("max_groups_yz"), 65535) << "from the table, where the device was not asked";
  EXPECT_FALSE(ParseCudaDevices(""));
}

TEST(CudaTargets, NameTheArchitecturesThereAre) {
  const Result<Target> target = TargetFor("cuda/sm_99", 1);
  ASSERT_FALSE(target);
  EXPECT_THAT(target.error().message, testing::HasSubstr("sm_87"));
}

TEST_F(FakeCuda, MeasuresThroughTheDriver) {
  const Measurement measurement = Measure(16, Options());
  ASSERT_STREQ(ToString(measurement.status), "ok") << measurement.message;
  EXPECT_FALSE(measurement.seconds.empty());
  EXPECT_EQ(measurement.conditions.at("clock"), "device");
  EXPECT_EQ(measurement.build_facts.at("spill_store_bytes"), 12);
  EXPECT_GT(measurement.build_facts.at("registers"), 2);
  EXPECT_GT(measurement.build_facts.at("occupancy"), 0);
  const std::string log = Log();
  EXPECT_THAT(log, testing::HasSubstr("compile --gpu-architecture=sm_53 -std=c++14 --ptxas-options=-v\n"));
  // Packed once, then the list, in order and between two events.
  EXPECT_EQ(log.find("cuLaunchKernel pack"), log.rfind("cuLaunchKernel pack"));
  EXPECT_THAT(log, testing::HasSubstr("cuEventRecord\ncuLaunchKernel twice\ncuLaunchKernel add\ncuLaunchKernel add\ncuLaunchKernel add\n"
                                      "cuEventRecord\ncuStreamSynchronize\n"));
}

// A compiler of the same version that makes cubins has filled the cache before.
TEST_F(FakeCuda, GivesTheDriverPtxWhereTheCompilerMakesNoCubins) {
  ASSERT_STREQ(ToString(Measure(16, Options()).status), "ok");
  ::setenv("LATHE_NVRTC", LATHE_FAKE_PTX_NVRTC, 1);
  const Measurement measurement = Measure(16, Options());
  ASSERT_STREQ(ToString(measurement.status), "ok") << measurement.message;
  EXPECT_EQ(measurement.build_facts.count("registers"), 0u) << "PTX does not tell";
  EXPECT_THAT(Log(), testing::HasSubstr("compile --gpu-architecture=compute_53 -std=c++14\n"));
}

TEST_F(FakeCuda, TellsTheGpusClocksAndHeatWhereTheDriverDoes) {
  ::setenv("LATHE_NVML", "none.so", 1);
  EXPECT_EQ(Measure(16, Options()).conditions.count("gpu_mhz_after"), 0U);
  ::setenv("LATHE_NVML", LATHE_FAKE_CUDA_DRIVER, 1);
  const Measurement cool = Measure(16, Options());
  ASSERT_STREQ(ToString(cool.status), "ok") << cool.message;
  EXPECT_EQ(cool.conditions.at("gpu_mhz_before"), "921");
  EXPECT_EQ(cool.conditions.at("gpu_memory_mhz_after"), "1600");
  EXPECT_EQ(cool.conditions.at("gpu_temperature_c_after"), "41");
  EXPECT_EQ(cool.conditions.count("gpu_watts_after"), 0U) << "this library cannot tell";
  EXPECT_EQ(cool.conditions.count("throttled"), 0U);
  ::setenv("LATHE_FAKE_CUDA_FAIL", "nvmlDeviceGetCurrentClocksThrottleReasons=68", 1);  // 0x44
  const Measurement hot = Measure(16, Options());
  EXPECT_EQ(hot.conditions.at("gpu_clock_reasons"), "power_limit,heat");
  EXPECT_EQ(hot.conditions.at("throttled"), "1");
}

TEST_F(FakeCuda, DoesNotTrustAClockThatRunsTooFast) {
  ::setenv("LATHE_FAKE_CUDA_FAIL", "cuEventElapsedTime=1", 1);
  const Measurement measurement = Measure(16, Options());
  ASSERT_STREQ(ToString(measurement.status), "ok") << measurement.message;
  EXPECT_EQ(measurement.conditions.count("clock"), 0U) << "the host's clock counts";
}

TEST_F(FakeCuda, FlushesCachesBeforeEachColdSample) {
  WorkshopOptions options = Options();
  options.cold_cache = true;
  const Measurement measurement = Measure(16, options);
  EXPECT_STREQ(ToString(measurement.status), "ok") << measurement.message;
  EXPECT_THAT(Log(), testing::HasSubstr("cuMemsetD8Async\ncuStreamSynchronize\ncuEventRecord\ncuLaunchKernel twice"));
}

TEST_F(FakeCuda, TellsALaunchThatIsTooLargeFromACrash) {
  for (const auto& [fail, status] : {std::pair("cuStreamSynchronize=701", "board_lost"),
                                     {"cuLaunchKernel=701", "launch_error"},
                                     {"cuModuleLoadData=300", "launch_error"},
                                     {"cuInit=100", "board_lost"}}) {
    const WorkshopOptions options = Options();
    ASSERT_STREQ(ToString(Measure(16, options).status), "ok");  // built, and its target known
    Result<std::unique_ptr<Workshop>> shop = Workshop::Create(&FaultTemplates(), options, MakeCudaBackend(0));
    ASSERT_TRUE(shop);
    ::setenv("LATHE_FAKE_CUDA_FAIL", fail, 1);
    Candidate candidate = FaultCandidate("ok");
    candidate.template_name = "packed_gpu";
    candidate.config = {{"BEHAVIOUR", std::string("ok")}, {"PASSES", int64_t{3}}, {"GROUP", int64_t{16}}};
    MeasureRequest request;
    request.candidate = std::move(candidate);
    const Measurement measurement = (*shop)->Measure(request);
    EXPECT_STREQ(ToString(measurement.status), status) << fail << ": " << measurement.message;
    ::unsetenv("LATHE_FAKE_CUDA_FAIL");
  }
}

TEST_F(FakeCuda, EndsImpossibleCandidatesBeforeTheyAreMeasured) {
  WorkshopOptions options = Options();
  options.build_only = true;
  const Measurement fits = Measure(64, options, MakeCudaBuildBackend("sm_53"));
  EXPECT_STREQ(ToString(fits.status), "ok") << fits.message;
  EXPECT_TRUE(fits.seconds.empty());
  const Measurement large = Measure(2048, options, MakeCudaBuildBackend("sm_53"));
  EXPECT_STREQ(ToString(large.status), "invalid_config");
  EXPECT_THAT(large.message, testing::HasSubstr("a group takes 2048 work items, at most 1024 are possible"));
  EXPECT_THAT(Log(), testing::Not(testing::HasSubstr("cuInit"))) << "no driver is needed to build";
}

TEST_F(FakeCuda, RefusesToMeasureOnAnArchitectureAlone) {
  const Result<std::unique_ptr<Workshop>> shop = Workshop::Create(&FaultTemplates(), Options(), MakeCudaBuildBackend("sm_53"));
  ASSERT_FALSE(shop);
  EXPECT_THAT(shop.error().message, testing::HasSubstr("--build-only"));
}

TEST_F(FakeCuda, SaysWhatTheCompilerSaidErrorsFirst) {
  ::setenv("LATHE_FAKE_NVRTC_ERROR", "candidate.cu(9): error: expected a ';'", 1);
  const Measurement wrong = Measure(16, Options());
  EXPECT_STREQ(ToString(wrong.status), "build_error");
  EXPECT_THAT(wrong.message, testing::HasSubstr("NVRTC_ERROR_COMPILATION\ncandidate.cu(9): error"));
  ::setenv("LATHE_FAKE_NVRTC_ERROR", "ptxas error   : Entry function 'add' uses too much shared data (0x12000 bytes, 0xc000 max)", 1);
  EXPECT_STREQ(ToString(Measure(16, Options()).status), "invalid_config");
}

TEST_F(FakeCuda, EndsACompilerThatTakesTooLong) {
  ::setenv("LATHE_FAKE_NVRTC_SLEEP", "30", 1);
  WorkshopOptions options = Options();
  options.build.timeout = std::chrono::milliseconds(300);
  EXPECT_STREQ(ToString(Measure(16, options).status), "build_timeout");
}

// With the real compiler, where there is one.
TEST(Nvrtc, CompilesTheDialectForEveryArchitectureItKnows) {
  const std::vector<CudaCompiler> compilers = ListCudaCompilers(TestOptions().worker_program);
  if (compilers.empty()) GTEST_SKIP() << "no NVRTC and no nvcc on this machine";
  for (const char* architecture : {"sm_53", "sm_62", "sm_72", "sm_87", "sm_90", "sm_110", "sm_120"}) {
    if (!ChooseCudaCompiler(compilers, architecture)) continue;
    WorkshopOptions options = TestOptions();
    options.build_only = true;
    options.build.timeout = std::chrono::seconds(60);
    Result<std::unique_ptr<Workshop>> shop = Workshop::Create(&FaultTemplates(), options, MakeCudaBuildBackend(architecture));
    ASSERT_TRUE(shop) << shop.error().message;
    Candidate candidate = FaultCandidate("ok");
    candidate.template_name = "packed_gpu";
    candidate.config = {{"BEHAVIOUR", std::string("ok")}, {"PASSES", int64_t{3}}, {"GROUP", int64_t{64}}};
    MeasureRequest request;
    request.candidate = std::move(candidate);
    const Measurement measurement = (*shop)->Measure(request);
    EXPECT_STREQ(ToString(measurement.status), "ok") << architecture << ": " << measurement.message;
    EXPECT_GT(measurement.build_facts.at("registers"), 0) << architecture;
    EXPECT_EQ(measurement.build_facts.at("spill_store_bytes"), 0) << architecture;
  }
}

}  // namespace
}  // namespace lathe
