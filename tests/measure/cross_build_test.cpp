// Profiles at work: compilers tried, candidates built here for a measurer that gets only files.
#include "fault_fixture.h"
#include "measure/building_measurer.h"
#include "measure/local_measurer.h"

namespace lathe {
namespace {
using ::testing::HasSubstr;

#if defined(__aarch64__)
constexpr const char* kOurs = "aarch64";
constexpr const char* kOther = "x86_64";
#else
constexpr const char* kOurs = "x86_64";
constexpr const char* kOther = "aarch64";
#endif

// This machine's own compiler as if it were a board's.
Toolchain OwnAsProfile(const char* architecture = kOurs) {
  Toolchain toolchain = TestOptions().toolchain;
  toolchain.profile = "own";
  toolchain.architecture = architecture;
  return toolchain;
}

Result<std::unique_ptr<HostBuild>> Build(Toolchain toolchain) {
  HostBuild::Options options;
  options.toolchain = std::move(toolchain);
  options.worker_program = TestOptions().worker_program;
  options.cache_dir = TestOptions().cache_dir;
  options.scratch_root = TestOptions().scratch_root;
  return HostBuild::Create(&FaultTemplates(), std::move(options));
}

std::string WhyNot(const Toolchain& toolchain) {
  const Result<std::unique_ptr<HostBuild>> build = Build(toolchain);
  EXPECT_FALSE(build);
  return build ? "" : build.error().message;
}

TEST(CrossBuild, RefusesAProfileWhoseCompilerBuildsForAnotherMachine) {
  EXPECT_THAT(WhyNot(OwnAsProfile(kOther)), HasSubstr(std::string("builds for ") + kOurs + ", the profile says " + kOther));
}

TEST(CrossBuild, RefusesAProfileWhoseCompilerIsNotThere) {
  Toolchain toolchain = OwnAsProfile();
  toolchain.compiler = "no-such-compiler";
  EXPECT_THAT(WhyNot(toolchain), HasSubstr("no-such-compiler"));
}

TEST(CrossBuild, RefusesAProfileThatNamesAProcessorTheCompilerDoesNotKnow) {
  Toolchain toolchain = OwnAsProfile();
  toolchain.flags.push_back("-mtune=kettle");
  const std::string why = WhyNot(toolchain);
  EXPECT_THAT(why, HasSubstr("toolchain profile 'own'"));
  EXPECT_THAT(why, HasSubstr("kettle"));
}

TEST(CrossBuild, EmulationSaysWhatItLacks) {
  WorkshopOptions options = TestOptions();
  options.toolchain = OwnAsProfile();
  Result<std::unique_ptr<Workshop>> shop = Workshop::Create(&FaultTemplates(), options);
  ASSERT_FALSE(shop);
  EXPECT_THAT(shop.error().message, HasSubstr("names no 'launcher'"));
  options.toolchain.launcher = {"env"};
  options.toolchain.worker = "/nowhere/lathe-worker";
  shop = Workshop::Create(&FaultTemplates(), options);
  ASSERT_FALSE(shop);
  EXPECT_THAT(shop.error().message, HasSubstr("/nowhere/lathe-worker"));
}

// A shell launches as an emulator would, and leaves a trace: the worker runs behind it.
TEST(CrossBuild, RunsWorkersBehindALauncher) {
  Result<TempDir> dir = TempDir::Create("launcher");
  ASSERT_TRUE(dir) << dir.error().message;
  const std::filesystem::path trace = dir->path() / "launched";
  WorkshopOptions options = TestOptions();
  options.toolchain = OwnAsProfile();
  options.toolchain.launcher = {"sh", "-c", "echo >> \"$0\"; exec \"$@\"", trace.string()};
  options.toolchain.worker = TestOptions().worker_program;
  const std::unique_ptr<Workshop> shop = MakeShop(options);
  ASSERT_NE(shop, nullptr);
  EXPECT_THAT(shop->target().name, HasSubstr("own emulated on"));
  MeasureRequest request;
  request.candidate = FaultCandidate("ok");
  const Measurement measurement = shop->Measure(request);
  EXPECT_EQ(measurement.status, MeasureStatus::kOk) << measurement.message;
  EXPECT_TRUE(std::filesystem::exists(trace));
}

class BuiltHere : public ::testing::Test {
 protected:
  void SetUp() override {
    Result<std::unique_ptr<HostBuild>> build = Build(OwnAsProfile());
    ASSERT_TRUE(build) << build.error().message;
    build_ = std::move(*build);
    // A machine without templates and without a compiler.
    WorkshopOptions options = TestOptions();
    options.toolchain.compiler = "no-such-compiler";
    options.needs_compiler = false;
    Result<std::unique_ptr<LocalMeasurer>> bare = LocalMeasurer::Create(nullptr, options, 1);
    ASSERT_TRUE(bare) << bare.error().message;
    Result<std::unique_ptr<BuildingMeasurer>> measurer = BuildingMeasurer::Create(std::move(*bare), build_.get(), 2);
    ASSERT_TRUE(measurer) << measurer.error().message;
    measurer_ = std::move(*measurer);
  }
  Measurement Measure(const std::string& behaviour) {
    MeasureRequest request;
    request.ticket = ++ticket_;
    request.candidate = FaultCandidate(behaviour);
    EXPECT_TRUE(measurer_->Submit(std::move(request)));
    for (int i = 0; i < 300; ++i) {
      Result<std::vector<Measurement>> some = measurer_->Wait(std::chrono::milliseconds(100));
      EXPECT_TRUE(some) << some.error().message;
      if (!some->empty()) {
        EXPECT_EQ(some->size(), 1U);
        EXPECT_EQ(some->front().ticket, ticket_);
        return some->front();
      }
    }
    ADD_FAILURE() << "no answer";
    return {};
  }
  std::unique_ptr<HostBuild> build_;
  std::unique_ptr<BuildingMeasurer> measurer_;
  uint64_t ticket_ = 0;
};

TEST_F(BuiltHere, IsMeasuredWhereNoCompilerIs) {
  const Measurement measurement = Measure("ok");
  EXPECT_EQ(measurement.status, MeasureStatus::kOk) << measurement.message;
  EXPECT_FALSE(measurement.seconds.empty());
  EXPECT_GT(measurement.build_facts.count("code_bytes"), 0U);
  EXPECT_EQ(measurer_->target().fingerprint.at("compiler"), build_->toolchain().compiler);
}

TEST_F(BuiltHere, IsVerifiedThere) { EXPECT_EQ(Measure("wrong_value").status, MeasureStatus::kWrongResult); }

TEST_F(BuiltHere, ABuildErrorIsTheCandidates) {
  const Measurement measurement = Measure("compile_error");
  EXPECT_EQ(measurement.status, MeasureStatus::kBuildError) << measurement.message;
  EXPECT_EQ(measurement.board, "host");
}

TEST_F(BuiltHere, CancelledWorkIsNeverAnswered) {
  for (int i = 0; i < 8; ++i) {
    MeasureRequest request;
    request.ticket = static_cast<uint64_t>(100 + i);
    request.candidate = FaultCandidate("ok", i + 1);
    ASSERT_TRUE(measurer_->Submit(std::move(request)));
  }
  measurer_->Cancel();
  const Result<std::vector<Measurement>> some = measurer_->Wait(std::chrono::milliseconds(1500));
  ASSERT_TRUE(some);
  EXPECT_TRUE(some->empty());
  EXPECT_EQ(Measure("ok").status, MeasureStatus::kOk);
}

TEST(WithoutCompiler, SourceIsABuildErrorThatSaysSo) {
  WorkshopOptions options = TestOptions();
  options.toolchain.compiler = "no-such-compiler";
  options.needs_compiler = false;
  Result<std::unique_ptr<Workshop>> shop = Workshop::Create(&FaultTemplates(), options);
  ASSERT_TRUE(shop) << shop.error().message;
  MeasureRequest request;
  request.candidate = FaultCandidate("ok");
  const Measurement measurement = (*shop)->Measure(request);
  EXPECT_EQ(measurement.status, MeasureStatus::kBuildError);
  EXPECT_THAT(measurement.message, HasSubstr("no-such-compiler"));
}

}  // namespace
}  // namespace lathe
