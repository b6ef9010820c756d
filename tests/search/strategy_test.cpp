#include "search/strategy.h"

#include <gtest/gtest.h>

#include "fakes.h"
#include "search/point_set.h"

namespace lathe {
namespace {

using test::MakeSpace;
using test::Numbers;

std::unique_ptr<Strategy> Make(const std::string& name, const Space& space, uint64_t seed, size_t budget, StrategyOptions options = {}) {
  StrategyContext context;
  context.space = &space;
  context.seed = seed;
  context.budget = budget;
  context.options = std::move(options);
  Result<std::unique_ptr<Strategy>> strategy = MakeStrategy(name, context);
  if (!strategy) throw std::runtime_error(strategy.error().message);
  return std::move(*strategy);
}

Observation Answer(const Space& space, const Point& point) {
  if (!test::TileBuilds(space, point)) return {point, false, std::numeric_limits<double>::infinity()};
  return {point, true, test::TileSeconds(space, point)};
}

// The best seconds found with `budget` trials of TileSpace, proposed four at a time with four in flight.
double Search(const std::string& name, const Space& space, uint64_t seed, size_t budget, const StrategyOptions& options = {}) {
  auto strategy = Make(name, space, seed, budget, options);
  double best = std::numeric_limits<double>::infinity();
  std::vector<Point> flying = strategy->Propose(4);
  size_t trials = flying.size();
  while (!flying.empty()) {
    const std::vector<Point> next = trials < budget ? strategy->Propose(4) : std::vector<Point>{};
    trials += next.size();
    std::vector<Observation> observations;
    for (const Point& point : flying) {
      observations.push_back(Answer(space, point));
      best = std::min(best, observations.back().objective);
    }
    strategy->Observe(observations);
    flying = next;
  }
  return best;
}

double MeanSearch(const std::string& name, const StrategyOptions& options = {}) {
  const Space space = test::TileSpace();
  double sum = 0;
  constexpr int kSeeds = 6;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) sum += Search(name, space, seed, 80, options) / kSeeds;
  return sum;
}

class EveryStrategy : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Strategies, EveryStrategy, testing::ValuesIn(StrategyNames()),
                         [](const auto& instance) { return instance.param; });

TEST_P(EveryStrategy, ProposesEveryPointOfASmallSpaceOnceAndThenNone) {
  const Space space =
      MakeSpace({Numbers("A", {1, 2, 4, 8}), Numbers("B", {1, 2, 3, 4, 5}), Numbers("C", {0, 1})}, {"A*B <= 20", "C == 0 || A > 1"});
  const size_t valid = *space.CountValid();
  auto strategy = Make(GetParam(), space, 3, valid);
  PointSet proposed;
  while (true) {
    const std::vector<Point> points = strategy->Propose(3);
    if (points.empty()) break;
    std::vector<Observation> observations;
    for (const Point& point : points) {
      EXPECT_TRUE(space.IsValid(point));
      EXPECT_TRUE(proposed.insert(point).second) << "proposed twice";
      observations.push_back({point, true, 1.0 + point[0] + point[1]});
    }
    strategy->Observe(observations);
    ASSERT_LE(proposed.size(), valid);
  }
  EXPECT_EQ(proposed.size(), valid);
  EXPECT_TRUE(strategy->Propose(1).empty());
}

TEST_P(EveryStrategy, NeverProposesWhatItOnlyObserved) {
  const Space space = MakeSpace({Numbers("A", {1, 2, 3, 4, 5, 6}), Numbers("B", {1, 2, 3, 4, 5, 6})});
  auto strategy = Make(GetParam(), space, 1, 36);
  PointSet met;
  std::vector<Observation> known;
  space.ForEach([&](const Point& point) {
    if ((point[0] + point[1]) % 2 == 0) {
      known.push_back({point, true, 1.0 + point[0]});
      met.insert(point);
    }
    return true;
  });
  strategy->Observe(known);
  for (std::vector<Point> points = strategy->Propose(5); !points.empty(); points = strategy->Propose(5)) {
    for (const Point& point : points) {
      EXPECT_TRUE(met.insert(point).second);
      strategy->Observe({{point, true, 1.0 + point[1]}});
    }
  }
  EXPECT_EQ(met.size(), 36u);
}

TEST_P(EveryStrategy, ProposesNothingFromAnEmptySpace) {
  const Space space = MakeSpace({Numbers("A", {1, 2}), Numbers("B", {1, 2})}, {"A*B > 4"});
  EXPECT_TRUE(Make(GetParam(), space, 1, 10)->Propose(4).empty());
}

TEST_P(EveryStrategy, GoesOnToTheEndWhenEverythingFails) {
  const Space space = MakeSpace({Numbers("A", {1, 2, 3, 4, 5, 6, 7, 8}), Numbers("B", {1, 2, 3, 4})});
  auto strategy = Make(GetParam(), space, 1, 32);
  size_t proposed = 0;
  for (std::vector<Point> points = strategy->Propose(4); !points.empty(); points = strategy->Propose(4)) {
    proposed += points.size();
    for (const Point& point : points) strategy->Observe({{point, false, std::numeric_limits<double>::infinity()}});
  }
  EXPECT_EQ(proposed, 32u);
}

TEST_P(EveryStrategy, GivesTheSameProposalsForTheSameSeed) {
  const Space space = test::TileSpace();
  const auto run = [&] {
    auto strategy = Make(GetParam(), space, 42, 60);
    std::vector<Point> all;
    while (all.size() < 60) {
      const std::vector<Point> points = strategy->Propose(5);
      for (const Point& point : points) strategy->Observe({Answer(space, point)});
      all.insert(all.end(), points.begin(), points.end());
    }
    return all;
  };
  EXPECT_EQ(run(), run());
}

TEST_P(EveryStrategy, ProposesFromAVastSpaceWithoutWalkingIt) {
  std::vector<int64_t> many;
  for (int64_t i = 1; i <= 100; ++i) many.push_back(i);
  std::vector<Parameter> parameters;
  for (const char* name : {"A", "B", "C", "D", "E", "F"}) parameters.push_back(Numbers(name, many));
  const Space space = MakeSpace(std::move(parameters), {"A*B <= 2000", "C*D <= 2000", "E + F <= 150"});
  ASSERT_GE(space.raw_size(), 1e12);
  auto strategy = Make(GetParam(), space, 1, 100);
  size_t proposed = 0;
  for (int round = 0; round < 6; ++round) {
    const std::vector<Point> points = strategy->Propose(8);
    proposed += points.size();
    for (const Point& point : points) strategy->Observe({{point, true, 1.0 + point[0] + point[3]}});
  }
  EXPECT_EQ(proposed, 48u);
}

TEST(Strategy, AnnealingBeatsRandomOnAverage) { EXPECT_LT(MeanSearch("annealing"), MeanSearch("random")); }
TEST(Strategy, GeneticBeatsRandomOnAverage) { EXPECT_LT(MeanSearch("genetic"), MeanSearch("random")); }

TEST(Strategy, LocalBeatsRandomOnAverage) { EXPECT_LT(MeanSearch("local"), MeanSearch("random")); }
TEST(Strategy, PortfolioBeatsRandomOnAverage) { EXPECT_LT(MeanSearch("portfolio"), MeanSearch("random")); }

TEST(Strategy, ModelFindsTheOptimumOfASmoothSpaceWithinEightyTrials) {
  EXPECT_LT(MeanSearch("model"), 1.03e-3);
  EXPECT_GT(MeanSearch("random"), 1.2e-3);
}

TEST(Strategy, ModelBeatsRandomWithEachSurrogateAlone) {
  const double random = MeanSearch("random");
  EXPECT_LT(MeanSearch("model", {{"surrogate", "gp"}}), random);
  EXPECT_LT(MeanSearch("model", {{"surrogate", "boosted"}, {"members", "2"}}), random);
  EXPECT_LT(MeanSearch("model", {{"surrogate", "boosted"}, {"members", "2"}, {"objective", "rank"}}), random);
}

TEST(Strategy, ModelLearnsWhatFails) {
  // Half of the space fails by a rule that no constraint states.
  const Space space =
      MakeSpace({Numbers("A", {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}), Numbers("B", {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})});
  const auto failures = [&](const StrategyOptions& options) {
    size_t failed = 0;
    for (uint64_t seed = 1; seed <= 4; ++seed) {
      auto strategy = Make("model", space, seed, 60, options);
      for (int round = 0; round < 20; ++round) {
        for (const Point& point : strategy->Propose(3)) {
          const bool ok = point[0] + point[1] < 12;
          failed += ok ? 0 : 1;
          strategy->Observe(
              {{point, ok, ok ? 30.0 - point[0] - point[1] : std::numeric_limits<double>::infinity()}});  // best beside the cliff
        }
      }
    }
    return failed;
  };
  EXPECT_LT(failures({}), failures({{"validity", "0"}}));
}

TEST(Strategy, ModelExpectsLittleOnceTheBestIsFoundAndNothingKeepsItsPromise) {
  const Space space = test::TileSpace();
  auto strategy = Make("model", space, 1, 120);
  const auto search = [&](size_t trials) {
    for (size_t trial = 0; trial < trials; ++trial) strategy->Observe({Answer(space, strategy->Propose(1).at(0))});
    return strategy->ExpectedGain().value();
  };
  const double early = search(8), late = search(112);
  EXPECT_GT(early, 0.01);
  EXPECT_LT(late, 0.002);
}

TEST(Strategy, RefusesAnUnknownNameByListingThoseThereAre) {
  const Space space = test::TileSpace();
  StrategyContext context;
  context.space = &space;
  const auto strategy = MakeStrategy("psychic", context);
  ASSERT_FALSE(strategy);
  for (const std::string& name : StrategyNames()) EXPECT_NE(strategy.error().message.find(name), std::string::npos);
}

TEST(Strategy, RefusesAnOptionItDoesNotHave) {
  const Space space = test::TileSpace();
  StrategyContext context;
  context.space = &space;
  context.options = {{"kapa", "2"}};
  EXPECT_FALSE(MakeStrategy("model", context));
  EXPECT_FALSE(MakeStrategy("random", context));
  context.options = {{"kappa", "much"}};
  EXPECT_FALSE(MakeStrategy("model", context));
  context.options = {{"kappa", "2"}};
  EXPECT_TRUE(MakeStrategy("model", context));
}

}  // namespace
}  // namespace lathe
