#include "search/portfolio_strategy.h"

#include <gtest/gtest.h>

#include "fakes.h"

namespace lathe {
namespace {

using test::MakeSpace;
using test::Numbers;

// Proposes the points of a list, in order, and counts what it was told.
class ListStrategy : public Strategy {
 public:
  ListStrategy(std::vector<Point> points, size_t* observed) : points_(std::move(points)), observed_(observed) {}
  std::vector<Point> Propose(size_t count) override {
    std::vector<Point> proposed;
    while (proposed.size() < count && next_ < points_.size()) proposed.push_back(points_[next_++]);
    return proposed;
  }
  void Observe(const std::vector<Observation>& observations) override { *observed_ += observations.size(); }

 private:
  std::vector<Point> points_;
  size_t next_ = 0;
  size_t* observed_;
};

struct Fixture {
  Fixture() : space(MakeSpace({Numbers("A", Upto(40)), Numbers("B", Upto(2))})) { context.space = &space; }
  static std::vector<int64_t> Upto(int64_t last) {
    std::vector<int64_t> numbers;
    for (int64_t i = 1; i <= last; ++i) numbers.push_back(i);
    return numbers;
  }
  // Points (0, b), (1, b), …
  static std::vector<Point> Row(uint16_t b) {
    std::vector<Point> points;
    for (uint16_t a = 0; a < 40; ++a) points.push_back({a, b});
    return points;
  }
  Space space;
  StrategyContext context;
  size_t first_observed = 0, second_observed = 0;
};

TEST(Portfolio, ShiftsTrialsToTheArmThatImproves) {
  Fixture fixture;
  std::vector<std::unique_ptr<Strategy>> arms;
  arms.push_back(std::make_unique<ListStrategy>(Fixture::Row(0), &fixture.first_observed));
  arms.push_back(std::make_unique<ListStrategy>(Fixture::Row(1), &fixture.second_observed));
  PortfolioStrategy portfolio(fixture.context, std::move(arms));
  size_t of_second = 0;
  for (int trial = 0; trial < 40; ++trial) {
    const std::vector<Point> points = portfolio.Propose(1);
    ASSERT_EQ(points.size(), 1U);
    const bool second = points[0][1] == 1;
    of_second += second ? 1 : 0;
    // The second arm's points get better and better, the first arm's never do.
    portfolio.Observe({{points[0], true, second ? 50.0 - points[0][0] : 100.0}});
  }
  EXPECT_GT(of_second, 30U);
}

TEST(Portfolio, TellsEveryArmWhatAnyOfThemFound) {
  Fixture fixture;
  std::vector<std::unique_ptr<Strategy>> arms;
  arms.push_back(std::make_unique<ListStrategy>(Fixture::Row(0), &fixture.first_observed));
  arms.push_back(std::make_unique<ListStrategy>(Fixture::Row(1), &fixture.second_observed));
  PortfolioStrategy portfolio(fixture.context, std::move(arms));
  for (const Point& point : portfolio.Propose(6)) portfolio.Observe({{point, true, 1.0}});
  EXPECT_EQ(fixture.first_observed, 6U);
  EXPECT_EQ(fixture.second_observed, 6U);
}

TEST(Portfolio, ProposesWhatTwoArmsBothWantOnce) {
  Fixture fixture;
  std::vector<std::unique_ptr<Strategy>> arms;
  arms.push_back(std::make_unique<ListStrategy>(Fixture::Row(0), &fixture.first_observed));
  arms.push_back(std::make_unique<ListStrategy>(Fixture::Row(0), &fixture.second_observed));
  PortfolioStrategy portfolio(fixture.context, std::move(arms));
  PointSet met;
  for (const Point& point : portfolio.Propose(20)) EXPECT_TRUE(met.insert(point).second);
  EXPECT_EQ(met.size(), 20U);
}

}  // namespace
}  // namespace lathe
