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

// An agent of the version before knows references as source only, and builds them itself.
TEST(Prebuilt, AnOlderAgentGetsReferencesAsSource) {
  const std::unique_ptr<HostBuild> build = BuildHere();
  Agent::Setup with = RealWorkers(), without = WithoutCompiler();
  with.serve.protocol = without.serve.protocol = {1, 1};
  const Measurement measurement = MeasureOn(Agent(std::move(with)), *build, "ok");
  EXPECT_EQ(measurement.status, MeasureStatus::kOk) << measurement.message;
  const Measurement needs_compiler = MeasureOn(Agent(std::move(without)), *build, "ok");
  EXPECT_EQ(needs_compiler.status, MeasureStatus::kBoardLost) << "a built reference reached an agent that knows none";
  EXPECT_THAT(needs_compiler.message, HasSubstr("no-such-compiler"));
}

// A link whose network grows slow once the session is open, and a job that needs a file: ten seconds of sending.
class SlowUpload : public ::testing::Test {
 protected:
  void Begin(double upload_seconds) {
    LinkOptions options;
    options.endpoint = proxy_.endpoint();
    options.call_seconds = 600;
    options.upload_seconds = upload_seconds;
    Result<std::unique_ptr<BoardLink>> made = MakeGrpcLink(std::move(options));
    ASSERT_TRUE(made) << made.error().message;
    link_ = std::move(*made);
    link_->Connect(1, {}, {}, [this](LinkEvent event) {
      const std::lock_guard lock(mutex_);
      events_.push_back(std::move(event));
      changed_.notify_all();
    });
    ASSERT_TRUE(WaitFor(LinkEvent::Kind::kUp));
    proxy_.bytes_per_second = 20'000;
    ASSERT_TRUE(WriteFile(dir_.path() / "candidate.so", std::string(200'000, 'x')));
    auto text = std::make_shared<CandidateText>();
    text->artifact = Artifact{dir_.path() / "candidate.so", "", {}};
    link_->Submit({7, ScriptedCandidate(1), 0, false, text});
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    const uint64_t before = proxy_.to_board();
    while (proxy_.to_board() < before + 1000 && std::chrono::steady_clock::now() < end)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    ASSERT_GE(proxy_.to_board(), before + 1000) << "the upload has not begun";
  }
  std::optional<LinkEvent> WaitFor(LinkEvent::Kind kind) {
    std::unique_lock lock(mutex_);
    const auto is_it = [&](const LinkEvent& event) { return event.kind == kind; };
    changed_.wait_for(lock, std::chrono::seconds(60), [&] { return std::any_of(events_.begin(), events_.end(), is_it); });
    const auto found = std::find_if(events_.begin(), events_.end(), is_it);
    return found == events_.end() ? std::nullopt : std::optional(*found);
  }

  TempDir dir_ = std::move(*TempDir::Create("upload"));
  Agent agent_;
  FaultProxy proxy_{agent_.port()};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<LinkEvent> events_;
  std::unique_ptr<BoardLink> link_;
};

TEST_F(SlowUpload, EndsAtItsDeadlineAndItsJobIsLostWithTheReason) {
  Begin(0);  // but for the three seconds that its size takes at 64 KiB a second; this network needs ten
  const std::optional<LinkEvent> event = WaitFor(LinkEvent::Kind::kResult);
  ASSERT_TRUE(event);
  EXPECT_EQ(event->measurement.ticket, 7U);
  EXPECT_EQ(event->measurement.status, MeasureStatus::kBoardLost);
  EXPECT_THAT(event->measurement.message, HasSubstr("upload an artifact: board '" + proxy_.endpoint() + "' does not answer in time"));
}

TEST_F(SlowUpload, EndsWithItsSession) {
  Begin(600);
  const auto begin = std::chrono::steady_clock::now();
  link_.reset();  // waits up to 5 s for calls that do not end
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(4));
  EXPECT_FALSE(std::any_of(events_.begin(), events_.end(), [](const LinkEvent& event) { return event.kind == LinkEvent::Kind::kResult; }));
}

}  // namespace
}  // namespace lathe
