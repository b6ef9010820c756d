#include <gtest/gtest.h>

#include "fakes.h"
#include "search/borrow.h"
#include "search/driver.h"
#include "search/warm_strategy.h"

namespace lathe {
namespace {

using test::FakeMeasurer;
using test::MakeTask;
using test::MemoryJournal;

// Every point of TileSpace that builds, with its time as some device would have it.
BorrowedSource Lender(const std::string& label, const std::function<double(const Space&, const Point&)>& seconds) {
  const Space space = test::TileSpace();
  BorrowedSource source;
  source.label = label;
  size_t index = 0;
  space.ForEach([&](const Point& point) {
    if (index++ % 5 == 0) {
      const bool ok = test::TileBuilds(space, point);
      source.rows.push_back({space.ConfigAt(point), ok, ok ? seconds(space, point) : 0, {}});
    }
    return true;
  });
  return source;
}

double Fast(const Space& space, const Point& point) { return test::TileSeconds(space, point); }
// What is fast here is slow there, and the other way round.
double Reversed(const Space& space, const Point& point) { return 1 / test::TileSeconds(space, point); }

struct Course {
  std::vector<double> best;  // after each trial
  Borrowing borrowing;
};

Course Search(const std::vector<BorrowedSource>& lenders, const std::string& strategy, uint64_t seed, size_t trials) {
  const Space space = test::TileSpace();
  StrategyContext context;
  context.space = &space;
  context.seed = seed;
  context.budget = trials;
  auto prior = TransferPrior::Learn(space, nullptr, lenders, 1);
  EXPECT_TRUE(prior);
  auto warm = WarmStrategy::Make(strategy, context, *std::move(prior));
  EXPECT_TRUE(warm);
  Course course;
  PointSet seen;
  double best = std::numeric_limits<double>::infinity();
  while (course.best.size() < trials) {
    const std::vector<Point> points = (*warm)->Propose(2);
    if (points.empty()) break;
    std::vector<Observation> observations;
    for (const Point& point : points) {
      EXPECT_TRUE(space.IsValid(point));
      EXPECT_TRUE(seen.insert(point).second) << "proposed twice";
      const bool ok = test::TileBuilds(space, point);
      observations.push_back({point, ok, ok ? test::TileSeconds(space, point) : std::numeric_limits<double>::infinity()});
      best = std::min(best, observations.back().objective);
      course.best.push_back(best);
    }
    (*warm)->Observe(observations);
  }
  course.borrowing = (*warm)->Report();
  return course;
}

double MeanAfter(const std::vector<BorrowedSource>& lenders, const std::string& strategy, size_t trials) {
  double sum = 0;
  for (uint64_t seed = 1; seed <= 5; ++seed) sum += Search(lenders, strategy, seed, trials).best[trials - 1] / 5;
  return sum;
}

TEST(TransferPrior, ProposesWhatWasBestElsewhereFirst) {
  const Space space = test::TileSpace();
  const BorrowedSource lender = Lender("twin", Fast);
  auto prior = TransferPrior::Learn(space, nullptr, {lender}, 1);
  ASSERT_TRUE(prior);
  const std::optional<Point> first = prior->Next({});
  ASSERT_TRUE(first);
  double best = 1;
  for (const BorrowedRow& row : lender.rows) best = row.ok ? std::min(best, row.objective) : best;
  EXPECT_LE(test::TileSeconds(space, *first), 1.1 * best);
}

TEST(TransferPrior, CoversEverySourceBeforeItRefines) {
  const Space space = test::TileSpace();
  auto prior = TransferPrior::Learn(space, nullptr, {Lender("twin", Fast), Lender("opposite", Reversed)}, 1);
  ASSERT_TRUE(prior);
  PointSet seen;
  double fastest = 1, slowest = 0;
  for (int i = 0; i < 4; ++i) {
    const std::optional<Point> point = prior->Next(seen);
    ASSERT_TRUE(point);
    seen.insert(*point);
    prior->Assume(*point);
    fastest = std::min(fastest, test::TileSeconds(space, *point));
    slowest = std::max(slowest, test::TileSeconds(space, *point));
  }
  EXPECT_LT(fastest, 1.7e-3) << "the twin's best";
  EXPECT_GT(slowest, 3e-3) << "the opposite's best";
}

TEST(TransferPrior, BelievesTheSourceThatOrdersWhatWasMeasuredRight) {
  const Space space = test::TileSpace();
  auto prior = TransferPrior::Learn(space, nullptr, {Lender("twin", Fast), Lender("opposite", Reversed)}, 1);
  ASSERT_TRUE(prior);
  std::mt19937_64 random(3);
  for (int i = 0; i < 12; ++i) {
    const Point point = *space.Sample(random);
    prior->Observe(point, test::TileBuilds(space, point), test::TileSeconds(space, point));
  }
  const Borrowing report = prior->Report();
  EXPECT_GT(report.sources[0].agreement, 0.7);
  EXPECT_LT(report.sources[1].agreement, -0.5);
  EXPECT_GT(prior->Agreement(), 0.6) << "the weights follow the twin";
}

TEST(TransferPrior, IsEmptyWhenTheSourcesSayTooLittle) {
  const Space space = test::TileSpace();
  BorrowedSource few = Lender("few", Fast);
  few.rows.resize(7);
  auto prior = TransferPrior::Learn(space, nullptr, {few}, 1);
  ASSERT_TRUE(prior);
  EXPECT_TRUE(prior->empty());
}

TEST(TransferPrior, MapsValuesThatThisSpaceDoesNotHaveToTheNearest) {
  const Space space = test::MakeSpace({test::Numbers("A", {1, 2, 4, 8}), test::Numbers("B", {1, 3, 5})});
  BorrowedSource other;
  for (int64_t a = 1; a <= 16; ++a)
    other.rows.push_back({{{"A", Value(a)}, {"B", Value(int64_t{2})}}, true, 1.0 + std::abs(static_cast<double>(a) - 7), {}});
  auto prior = TransferPrior::Learn(space, nullptr, {other}, 1);
  ASSERT_TRUE(prior);
  const std::optional<Point> first = prior->Next({});
  ASSERT_TRUE(first);
  EXPECT_EQ(std::get<int64_t>(*Find(space.ConfigAt(*first), "A")), 8);
}

TEST(WarmStrategy, StartsFarAheadWithAGoodLender) {
  const double warm = MeanAfter({Lender("twin", Fast)}, "model", 12), cold = MeanAfter({}, "model", 12);
  EXPECT_LT(warm, 1.25e-3);
  EXPECT_LT(warm, cold);
  EXPECT_EQ(Search({Lender("twin", Fast)}, "model", 1, 20).borrowing.verdict, "trusted");
}

TEST(WarmStrategy, DropsALenderThatIsWrongAndLosesAFewTrialsByIt) {
  const Course course = Search({Lender("opposite", Reversed)}, "model", 1, 40);
  EXPECT_EQ(course.borrowing.verdict, "dropped");
  EXPECT_LE(course.borrowing.proposed, 8u);
  EXPECT_LE(MeanAfter({Lender("opposite", Reversed)}, "model", 48), MeanAfter({}, "model", 40) * 1.1);
}

TEST(WarmStrategy, WorksAroundEveryStrategy) {
  for (const std::string& name : StrategyNames()) {
    const Course course = Search({Lender("twin", Fast)}, name, 1, 30);
    EXPECT_EQ(course.best.size(), 30u) << name;
    EXPECT_LT(course.best.back(), 1.5e-3) << name;
  }
}

TEST(Nearness, FallsWithTheDistanceOfAttributesAndWithAnotherDevice) {
  Target here, there;
  here.backend = there.backend = "cpu";
  here.name = "a", there.name = "b";
  const Workload base{"conv", {{"c", Value(int64_t{64})}, {"layout", Value(std::string("nhwc"))}}};
  Workload near = base, far = base, other = base;
  near.attributes[0].second = Value(int64_t{128});
  far.attributes[0].second = Value(int64_t{1024});
  other.attributes[1].second = Value(std::string("nchw"));
  EXPECT_EQ(Nearness(base, here, base, here), 1);
  EXPECT_GT(Nearness(base, here, near, here), Nearness(base, here, far, here));
  EXPECT_LT(Nearness(base, here, other, here), 1);
  EXPECT_LT(Nearness(base, here, base, there), 1);
}

// A journal that knows whom it has rows of.
class LendingJournal : public MemoryJournal {
 public:
  Result<std::vector<Relative>> Relatives(const std::string&, const std::string&) override {
    std::map<std::string, Relative> relatives;
    for (const Measurement& row : rows) {
      Relative& relative = relatives[row.candidate.workload.Key()];
      relative.workload = row.candidate.workload;
      relative.target.backend = "cpu";
      relative.target.name = "fake";
      relative.template_hash = row.candidate.template_hash;
      ++relative.measurements;
    }
    std::vector<Relative> list;
    for (auto& [key, relative] : relatives) list.push_back(relative);
    return list;
  }
};

TEST(Tune, BorrowsFromOtherWorkloadsInTheJournalAndSaysSo) {
  const auto answer = [](const Candidate& candidate) -> FakeMeasurer::Answer {
    static const Space space = test::TileSpace();
    const Point point = *space.PointOf(candidate.config);
    if (!test::TileBuilds(space, point)) return {MeasureStatus::kBuildError, 0};
    return {MeasureStatus::kOk,
            test::TileSeconds(space, point) * static_cast<double>(std::get<int64_t>(*Find(candidate.workload.attributes, "n")))};
  };
  LendingJournal journal;
  TuneOptions options;
  options.search.trials = 60;
  options.search.finalists = 0;
  std::vector<TuneTask> first, second;
  first.push_back(MakeTask(test::TileSpace(), 1));
  second.push_back(MakeTask(test::TileSpace(), 2));
  FakeMeasurer measurer(answer);
  const auto lender = Tune(first, measurer, journal, options);
  ASSERT_TRUE(lender);
  EXPECT_TRUE(lender->tasks[0].borrowed.empty()) << "there was nothing yet";
  options.search.trials = 16;
  const auto borrower = Tune(second, measurer, journal, options);
  ASSERT_TRUE(borrower) << borrower.error().message;
  ASSERT_EQ(borrower->tasks[0].borrowed.size(), 1u);
  const Borrowing& borrowing = borrower->tasks[0].borrowed[0];
  EXPECT_EQ(borrowing.verdict, "trusted");
  EXPECT_EQ(borrowing.measurements, 60u);
  EXPECT_NE(borrowing.sources[0].label.find("n=1"), std::string::npos);
  EXPECT_LE(borrower->tasks[0].best->objective, 2.1 * lender->tasks[0].best->objective);
  EXPECT_EQ(ToJson(*borrower)["tasks"][0]["borrowed"][0]["verdict"], "trusted");

  options.search.warm = false;
  std::vector<TuneTask> third;
  third.push_back(MakeTask(test::TileSpace(), 3));
  const auto alone = Tune(third, measurer, journal, options);
  ASSERT_TRUE(alone);
  EXPECT_TRUE(alone->tasks[0].borrowed.empty());
}

}  // namespace
}  // namespace lathe
