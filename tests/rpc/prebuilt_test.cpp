// Candidates and references built on the host: the board compiles nothing.
#include "agent_fixture.h"
#include "measure/building_measurer.h"

namespace lathe {
namespace {
using ::testing::HasSubstr;

std::unique_ptr<HostBuild> BuildHere() {
  HostBuild::Options options;
  options.toolchain = TestOptions().toolchain;
  options.worker_program = TestOptions().worker_program;
  options.cache_dir = TestOptions().cache_dir;
  options.scratch_root = TestOptions().scratch_root;
  Result<std::unique_ptr<HostBuild>> build = HostBuild::Create(&FaultTemplates(), std::move(options));
  EXPECT_TRUE(build) << build.error().message;
  return build ? std::move(*build) : nullptr;
}

Agent::Setup WithoutCompiler() {
  LocalBoardOptions here;
  here.workshop = TestOptions();
  here.workshop.toolchain.compiler = "no-such-compiler";
  Agent::Setup setup;
  setup.make = MeasuringHere(here);
  return setup;
}

Measurement MeasureOn(const Agent& agent, HostBuild& build, const std::string& behaviour) {
  PoolOptions options = QuickPool();
  options.session.prebuilt = true;
  Result<std::unique_ptr<BoardPool>> pool = Reach({agent.endpoint()}, options);
  EXPECT_TRUE(pool) << pool.error().message;
  if (!pool) return {};
  Result<std::unique_ptr<BuildingMeasurer>> measurer = BuildingMeasurer::Create(std::move(*pool), &build, 1);
  EXPECT_TRUE(measurer) << measurer.error().message;
  MeasureRequest request;
  request.ticket = 7;
  request.candidate = FaultCandidate(behaviour);
  EXPECT_TRUE((*measurer)->Submit(std::move(request)));
  for (int i = 0; i < 300; ++i) {
    Result<std::vector<Measurement>> some = (*measurer)->Wait(std::chrono::milliseconds(100));
    EXPECT_TRUE(some) << some.error().message;
    if (!some) return {};
    if (!some->empty()) return some->front();
  }
  ADD_FAILURE() << "no answer";
  return {};
}

TEST(Prebuilt, IsMeasuredAndVerifiedOnABoardWithoutACompiler) {
  const std::unique_ptr<HostBuild> build = BuildHere();
  const Agent agent(WithoutCompiler());
  const Measurement fine = MeasureOn(agent, *build, "ok");
  EXPECT_EQ(fine.status, MeasureStatus::kOk) << fine.message;
  EXPECT_EQ(fine.board, "bench");
  EXPECT_EQ(MeasureOn(agent, *build, "wrong_value").status, MeasureStatus::kWrongResult);
}

TEST(Prebuilt, ABoardWithoutACompilerRefusesSource) {
  const Agent agent(WithoutCompiler());
  PoolOptions options = QuickPool();
  options.wait = std::chrono::milliseconds(1500);
  const Result<std::unique_ptr<BoardPool>> pool = Reach({agent.endpoint()}, options, true);
  ASSERT_FALSE(pool);
  EXPECT_THAT(pool.error().message, HasSubstr("no-such-compiler"));
}

// An agent of the version before builds references itself.
TEST(Prebuilt, AnOlderAgentGetsReferencesAsSource) {
  const std::unique_ptr<HostBuild> build = BuildHere();
  Agent::Setup setup = RealWorkers();
  setup.serve.protocol = {1, 1};
  const Agent agent(std::move(setup));
  const Measurement measurement = MeasureOn(agent, *build, "ok");
  EXPECT_EQ(measurement.status, MeasureStatus::kOk) << measurement.message;
}

}  // namespace
}  // namespace lathe
