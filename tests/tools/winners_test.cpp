#include "tools/lathe/winners.h"

#include <gtest/gtest.h>

#include "search/simplicity.h"
#include "search/tune_task.h"

namespace lathe {
namespace {

class Winners : public ::testing::Test {
 protected:
  void SetUp() override {
    Result<TemplateLibrary> library = TemplateLibrary::Load(LATHE_SOURCE_DIR "/templates");
    ASSERT_TRUE(library) << library.error().message;
    library_ = std::make_unique<TemplateLibrary>(*std::move(library));
    target_.backend = "cpu";
    target_.architecture = "x86_64-avx2";
    target_.name = "a processor";
    target_.limits = {{"threads", 1},      {"vector_bytes", 32},  {"vector_registers", 16},
                      {"l1_bytes", 32768}, {"l2_bytes", 1 << 20}, {"l3_bytes", 1 << 24}};
    Result<TuneTask> task = MakeTuneTask(*library_, {"nms", {{"n", Value(int64_t{1000})}, {"max_out", Value(int64_t{100})}}}, target_);
    ASSERT_TRUE(task) << task.error().message;
    task_ = std::make_unique<TuneTask>(*std::move(task));
    Result<std::unique_ptr<TuningLog>> log = TuningLog::OpenInMemory();
    ASSERT_TRUE(log) << log.error().message;
    log_ = *std::move(log);
    ASSERT_TRUE(log_->BeginRun({"run", "test", {}, target_}));
  }

  // The first config, and a neighbour of it: one parameter apart.
  Config Author() const { return Kernel().space->ConfigAt(*Kernel().space->First()); }
  Config Apart() const { return Kernel().space->ConfigAt(Kernel().space->Neighbours(*Kernel().space->First()).front()); }
  const TaskTemplate& Kernel() const { return task_->templates.front(); }

  void Record(const Config& config, double seconds) {
    Measurement measurement;
    measurement.candidate = {task_->workload, Kernel().name, Kernel().hash, config};
    measurement.status = MeasureStatus::kOk;
    measurement.seconds = {seconds, seconds, seconds};
    measurement.joules = seconds;
    measurement.finished_unix_ms = ++now_;
    ASSERT_TRUE(log_->Record("run", {measurement}));
  }

  // What a query names and what a kernel library gets.
  std::vector<Config> Named(const Objective& objective = {}) {
    std::vector<Config> named;
    const auto best = BestOfEach(*library_, *log_, {.current = CurrentVersions(*library_)}, objective);
    EXPECT_TRUE(best) << best.error().message;
    for (const LoggedMeasurement& row : *best) named.push_back(row.measurement.candidate.config);
    const auto winners = WinnersOf(*library_, *log_, target_, objective);
    EXPECT_TRUE(winners) << winners.error().message;
    for (const Winner& winner : *winners) named.push_back(winner.candidate.config);
    return named;
  }

  std::unique_ptr<TemplateLibrary> library_;
  Target target_;
  std::unique_ptr<TuneTask> task_;
  std::unique_ptr<TuningLog> log_;
  int64_t now_ = 0;
};

TEST_F(Winners, NamesTheSimplerOfTwoThatTie) {
  Record(Apart(), 1.000e-3);
  Record(Author(), 1.004e-3);
  EXPECT_EQ(Named(), (std::vector<Config>{Author(), Author()}));
  EXPECT_EQ(Named(*Objective::Parse("energy")), (std::vector<Config>{Author(), Author()}));
}

TEST_F(Winners, NamesTheFasterWhereTheDifferenceWouldBeNoticed) {
  Record(Apart(), 1.000e-3);
  Record(Author(), 1.006e-3);
  EXPECT_EQ(Named(), (std::vector<Config>{Apart(), Apart()}));
  EXPECT_EQ(Named(*Objective::Parse("energy")), (std::vector<Config>{Apart(), Apart()}));
}

TEST_F(Winners, KnowsWhatFailedButNotWhatTheMachineCouldNotTell) {
  Record(Apart(), 1.000e-3);
  Candidate wrong;
  for (const auto& [status, hash] : {std::pair(MeasureStatus::kBuildTimeout, Kernel().hash),
                                     {MeasureStatus::kBoardLost, Kernel().hash},
                                     {MeasureStatus::kCrashed, std::string("an older version")},
                                     {MeasureStatus::kWrongResult, Kernel().hash}}) {
    EXPECT_TRUE(FailedOf(*library_, *log_, task_->workload, target_)->empty());
    Measurement failure;
    wrong = failure.candidate = {task_->workload, Kernel().name, hash, Author()};
    failure.status = status;
    failure.finished_unix_ms = ++now_;
    ASSERT_TRUE(log_->Record("run", {failure}));
  }
  const Result<std::set<std::string>> failed = FailedOf(*library_, *log_, task_->workload, target_);
  ASSERT_TRUE(failed) << failed.error().message;
  EXPECT_EQ(failed->size(), 1u);
  EXPECT_EQ(failed->count(wrong.Key()), 1u);
}

TEST_F(Winners, NamesTheFastestOfAVersionThatIsHistory) {
  Record(Apart(), 1.000e-3);
  Record(Author(), 1.004e-3);
  Measurement old;
  old.candidate = {task_->workload, Kernel().name, "an older version", Author()};
  old.status = MeasureStatus::kOk;
  old.seconds = {0.5e-3};
  ASSERT_TRUE(log_->Record("run", {old}));
  const auto best = BestOfEach(*library_, *log_, {}, {});
  ASSERT_TRUE(best);
  ASSERT_EQ(best->size(), 1u);
  EXPECT_EQ(best->front().measurement.candidate.template_hash, "an older version");
}

}  // namespace
}  // namespace lathe
