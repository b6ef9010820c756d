// OpenCL candidates through a real driver, where this machine has one.
#include "measure/opencl_backend.h"

#include <random>

#include "fault_fixture.h"
#include "measure/opencl_target.h"
#include "measure/target_choice.h"

namespace lathe {
namespace {
namespace fs = std::filesystem;

TEST(OpenClDeviceList, ReadsWhatAWorkerPrints) {
  const Result<std::vector<Target>> targets = ParseOpenClDevices(
      "platform Portable Computing Language\nplatform_version OpenCL 3.0\nname pthread\ntype cpu\nmax_work_group 4096\nmax_buffer_bytes "
      "8589934592\nimages 1\nmax_image_width 16384\n"
      "max_image_height 8192\nfp16 0\nusable 1\n\n"
      "driver chatter without a device\n\n"
      "platform NVIDIA CUDA\nname Board\ndriver_version 1.2\ntype gpu\nmax_work_group 1024\nlocal_bytes 49152\nfp16 1\nusable 1\n\n",
      3);
  ASSERT_TRUE(targets) << targets.error().message;
  ASSERT_EQ(targets->size(), 2U);
  EXPECT_EQ((*targets)[0].Key(), "opencl/pocl-cpu/pthread/threads=3");
  EXPECT_EQ((*targets)[0].limits.at("max_work_group"), 4096);
  EXPECT_EQ((*targets)[0].limits.at("max_buffer_bytes"), 8589934592.0);
  EXPECT_EQ((*targets)[0].limits.at("images"), 1);
  EXPECT_EQ((*targets)[0].limits.at("max_image_width"), 16384);
  EXPECT_EQ((*targets)[0].limits.at("max_image_height"), 8192);
  EXPECT_EQ((*targets)[1].Key(), "opencl/nvidia-gpu/Board");
  EXPECT_EQ((*targets)[1].limits.at("images"), 0);
  EXPECT_EQ((*targets)[1].limits.at("local_bytes"), 49152);
  EXPECT_EQ((*targets)[1].limits.at("fp16"), 1);
  EXPECT_EQ((*targets)[1].fingerprint.at("driver_version"), "1.2");
}

TEST(OpenClDeviceList, SaysWhatToDoWhenThereIsNone) {
  const Result<std::vector<Target>> targets = ParseOpenClDevices("", 1);
  ASSERT_FALSE(targets);
  EXPECT_EQ(targets.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(targets.error().message, testing::HasSubstr("install a driver"));
}

TEST(TargetChoice, RefusesWhatItDoesNotKnow) {
  for (const char* choice : {"", "gpu", "opencl:", "opencl:x", "opencl:1x", "opencl1", "opencl:-1"}) {
    const Result<Workshop::BackendFactory> factory = BackendFor(choice);
    ASSERT_FALSE(factory) << choice;
    EXPECT_EQ(factory.error().code, ErrorCode::kInvalidInput);
  }
  for (const char* choice : {"cpu", "opencl", "opencl:7"}) EXPECT_TRUE(BackendFor(choice)) << choice;
}

// Nothing here can run without a device; whoever has none sees why.
class OpenCl : public testing::Test {
 protected:
  void SetUp() override {
    static const Result<std::vector<Target>> targets = ListOpenClTargets(TestOptions().worker_program, 1);
    if (!targets) GTEST_SKIP() << targets.error().message;
    devices_ = targets->size();
  }

  static WorkshopOptions Options() {
    WorkshopOptions options = TestOptions();
    options.run.timeout = std::chrono::seconds(40);  // drivers compile late, on machines that may be busy
    options.build.timeout = std::chrono::seconds(60);
    return options;
  }

  static std::unique_ptr<Workshop> Shop(const TemplateLibrary& library, const WorkshopOptions& options) {
    Result<std::unique_ptr<Workshop>> shop = Workshop::Create(&library, options, MakeOpenClBackend(0));
    if (!shop) ADD_FAILURE() << shop.error().message;
    return shop ? std::move(*shop) : nullptr;
  }

  static Measurement MeasureFault(const std::string& behaviour, int64_t group = 16, int64_t scratch = 0,
                                  const WorkshopOptions& options = Options()) {
    const std::unique_ptr<Workshop> shop = Shop(FaultTemplates(), options);
    Candidate candidate = FaultCandidate("ok");
    candidate.template_name = "fault_opencl";
    candidate.template_hash = (*FaultTemplates().FindTemplate("fault/fault_opencl"))->hash();
    candidate.config = {{"BEHAVIOUR", behaviour}, {"GROUP", group}, {"SCRATCH", scratch}};
    MeasureRequest request;
    request.candidate = std::move(candidate);
    return shop ? shop->Measure(request) : Measurement();
  }

  static Measurement MeasurePacked(const std::string& behaviour, int64_t passes, int64_t group,
                                   const WorkshopOptions& options = Options()) {
    const std::unique_ptr<Workshop> shop = Shop(FaultTemplates(), options);
    Candidate candidate = FaultCandidate("ok");
    candidate.template_name = "packed_gpu";
    candidate.template_hash = (*FaultTemplates().FindTemplate("fault/packed_gpu"))->hash();
    candidate.config = {{"BEHAVIOUR", behaviour}, {"PASSES", passes}, {"GROUP", group}};
    MeasureRequest request;
    request.candidate = std::move(candidate);
    return shop ? shop->Measure(request) : Measurement();
  }

  size_t devices_ = 0;
};

TEST_F(OpenCl, MeasuresARightKernelAndLeavesNothingBehind) {
  const WorkshopOptions options = Options();
  const Measurement measurement = MeasureFault("ok", 16, 4096, options);
  ASSERT_STREQ(ToString(measurement.status), "ok") << measurement.message;
  EXPECT_GE(measurement.seconds.size(), options.sampling.min_samples);
  EXPECT_GT(measurement.build_seconds, 0);
  EXPECT_GT(measurement.build_facts.at("code_bytes"), 0);
  EXPECT_LE(measurement.max_error, 1);
  for (const auto& entry : fs::directory_iterator(options.scratch_root)) EXPECT_EQ(entry.path().filename(), "artifacts");
  EXPECT_EQ(MeasureFault("ok", 16, 4096, options).build_seconds, 0) << "the same program, from the cache";
}

TEST_F(OpenCl, PacksConstantsOnceAndRunsALaunchList) {
  for (const int64_t passes : {1, 3}) {
    const Measurement measurement = MeasurePacked("ok", passes, 16);
    EXPECT_STREQ(ToString(measurement.status), "ok") << passes << ": " << measurement.message;
  }
  const Measurement writes = MeasurePacked("writes_packed", 1, 16);
  EXPECT_STREQ(ToString(writes.status), "wrong_result");
  EXPECT_THAT(writes.message, testing::HasSubstr("wrote to packed 'weight'"));
  const Measurement outside = MeasurePacked("packs_too_much", 1, 16);
  EXPECT_STREQ(ToString(outside.status), "wrong_result");
  EXPECT_THAT(outside.message, testing::HasSubstr("outside 'weight', 0 bytes past its end"));
}

TEST_F(OpenCl, BuildsOnceForCandidatesThatDifferInLaunchAlone) {
  const WorkshopOptions options = Options();
  ASSERT_STREQ(ToString(MeasurePacked("ok", 3, 16, options).status), "ok");
  const Measurement other = MeasurePacked("ok", 3, 64, options);
  EXPECT_STREQ(ToString(other.status), "ok") << other.message;
  EXPECT_EQ(other.build_seconds, 0) << "GROUP is not compiled in";
}

TEST_F(OpenCl, FlushesCachesWhenTheyAreToBeCold) {
  WorkshopOptions options = Options();
  options.cold_cache = true;
  const Measurement measurement = MeasureFault("ok", 16, 0, options);
  EXPECT_STREQ(ToString(measurement.status), "ok") << measurement.message;
}

TEST_F(OpenCl, GivesEveryFailureItsStatusAndItsReason) {
  struct Case {
    const char* behaviour;
    int64_t group;
    MeasureStatus status;
    const char* reason;
  };
  for (const Case& wrong :
       {Case{"compile_error", 16, MeasureStatus::kBuildError, "error"},
        Case{"missing_kernel", 16, MeasureStatus::kLaunchError, "find kernel 'add'"},
        Case{"too_few_arguments", 16, MeasureStatus::kLaunchError, "takes 1 arguments, but there are 5"},
        Case{"ok", 1048576, MeasureStatus::kLaunchError, "CL_INVALID_WORK_"},
        Case{"wrong_value", 16, MeasureStatus::kWrongResult, "output"}, Case{"forgets_last", 16, MeasureStatus::kWrongResult, "output"},
        Case{"past_end", 16, MeasureStatus::kWrongResult, "outside 'output', 20 bytes past its end"},
        Case{"before_start", 16, MeasureStatus::kWrongResult, "outside 'output', 12 bytes before it"},
        Case{"writes_input", 16, MeasureStatus::kWrongResult, "wrote to 'input'"}}) {
    const Measurement measurement = MeasureFault(wrong.behaviour, wrong.group);
    EXPECT_STREQ(ToString(measurement.status), ToString(wrong.status)) << wrong.behaviour << ": " << measurement.message;
    EXPECT_THAT(measurement.message, testing::HasSubstr(wrong.reason)) << wrong.behaviour;
    EXPECT_TRUE(measurement.seconds.empty()) << wrong.behaviour;
  }
}

TEST_F(OpenCl, SurvivesAKernelThatNeverEnds) {
  WorkshopOptions options = Options();
  options.run.timeout = std::chrono::seconds(5);
  const Measurement measurement = MeasureFault("endless_loop", 16, 0, options);
  EXPECT_STREQ(ToString(measurement.status), "run_timeout") << measurement.message;
}

TEST_F(OpenCl, SurvivesAWildStore) {
  const Measurement measurement = MeasureFault("wild_store");
  EXPECT_STREQ(ToString(measurement.status), "crashed") << measurement.message;
}

TEST_F(OpenCl, EndsACompilerThatTakesTooLong) {
  WorkshopOptions options = Options();
  options.build.timeout = std::chrono::milliseconds(5);
  options.cache_dir = SharedDir() / "artifacts" / "none";
  const Measurement measurement = MeasureFault("ok", 1, 0, options);
  EXPECT_STREQ(ToString(measurement.status), "build_timeout") << measurement.message;
}

TEST_F(OpenCl, TellsConstraintsHowLargeBuffersAndImagesMayBe) {
  const Result<std::vector<Target>> targets = ListOpenClTargets(TestOptions().worker_program, 1);
  ASSERT_TRUE(targets) << targets.error().message;
  for (const Target& target : *targets) {
    // OpenCL demands as much of every device, and of every device with images (1.2, table 4.3).
    EXPECT_GE(target.limits.at("max_buffer_bytes"), 128.0 * (1 << 20)) << target.Key();
    const double least = target.limits.at("images") == 1 ? 2048 : 0;
    EXPECT_GE(target.limits.at("max_image_width"), least) << target.Key();
    EXPECT_GE(target.limits.at("max_image_height"), least) << target.Key();
  }
}

TEST_F(OpenCl, NamesTheDevicesWhenAskedForAnother) {
  const Result<Target> target = OpenClTarget(devices_, TestOptions().worker_program, 1);
  ASSERT_FALSE(target);
  EXPECT_EQ(target.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(target.error().message, testing::HasSubstr("opencl:0 "));
}

TEST_F(OpenCl, ComputesResizeAsTheReferenceDoes) {
  const Result<TemplateLibrary> library = TemplateLibrary::Load(std::string(LATHE_SOURCE_DIR) + "/templates");
  ASSERT_TRUE(library) << library.error().message;
  WorkshopOptions options = Options();
  options.verify_only = true;
  const std::unique_ptr<Workshop> shop = Shop(*library, options);
  ASSERT_NE(shop, nullptr);
  const Operator* op = *library->FindOperator("resize");
  const KernelTemplate* tmpl = *library->FindTemplate("resize/resize_gpu");
  std::mt19937_64 random(7);
  for (const char* text :
       {"resize:c=3,h=17,w=23,oh=31,ow=40", "resize:c=5,h=20,w=9,oh=7,ow=13,layout=nchw,dtype=f32,coordinate_mode=align_corners",
        "resize:c=8,h=11,w=12,oh=22,ow=24,mode=nearest,dtype=f32"}) {
    Result<Workload> workload = ParseWorkload(text);
    ASSERT_TRUE(workload);
    workload = op->Normalise(*std::move(workload));
    ASSERT_TRUE(workload) << workload.error().message;
    const Result<Space> space = tmpl->SpaceFor(*op, *workload, shop->target());
    ASSERT_TRUE(space) << space.error().message;
    for (int i = 0; i < 2; ++i) {
      const std::optional<Point> point = i == 0 ? space->First() : space->Sample(random);
      ASSERT_TRUE(point);
      MeasureRequest request;
      request.candidate = {*workload, tmpl->name(), tmpl->hash(), space->ConfigAt(*point)};
      const Measurement measurement = shop->Measure(request);
      EXPECT_STREQ(ToString(measurement.status), "ok") << text << ' ' << ToString(request.candidate.config) << '\n' << measurement.message;
    }
  }
}

// One artifact for all of them: with fewer groups, each makes more rows.
TEST_F(OpenCl, RunsOneBuildOfResizeWithAnyNumberOfGroups) {
  const Result<TemplateLibrary> library = TemplateLibrary::Load(std::string(LATHE_SOURCE_DIR) + "/templates");
  ASSERT_TRUE(library) << library.error().message;
  WorkshopOptions options = Options();
  options.verify_only = true;
  Result<TempDir> cache = TempDir::Create("rounds");
  ASSERT_TRUE(cache);
  options.cache_dir = cache->path();
  const std::unique_ptr<Workshop> shop = Shop(*library, options);
  ASSERT_NE(shop, nullptr);
  const Operator* op = *library->FindOperator("resize");
  const KernelTemplate* tmpl = *library->FindTemplate("resize/resize_gpu");
  const Workload workload = *op->Normalise(*ParseWorkload("resize:c=3,h=17,w=23,oh=45,ow=40"));
  const Result<Space> space = tmpl->SpaceFor(*op, workload, shop->target());
  ASSERT_TRUE(space) << space.error().message;
  for (const char* tables : {"computed", "local"}) {
    int builds = 0;
    for (const int64_t rounds : {int64_t{1}, int64_t{2}, int64_t{4}, int64_t{8}}) {  // 12 groups' heights of rows in 12, 6, 3 and 2 groups
      NamedValues config = space->ConfigAt(*space->First());
      const std::map<std::string, Value> wanted = {
          {"TABLES", std::string(tables)}, {"WY", int64_t{4}}, {"PY", int64_t{1}}, {"ROUNDS", rounds}};
      for (auto& [name, value] : config)
        if (const auto found = wanted.find(name); found != wanted.end()) value = found->second;
      MeasureRequest request;
      request.candidate = {workload, tmpl->name(), tmpl->hash(), config};
      const Measurement measurement = shop->Measure(request);
      EXPECT_STREQ(ToString(measurement.status), "ok") << ToString(config) << '\n' << measurement.message;
      builds += measurement.build_seconds > 0 ? 1 : 0;
    }
    EXPECT_EQ(builds, 1) << tables;
  }
}

}  // namespace
}  // namespace lathe
