#include "space/space.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <set>
#include <thread>

#include "core/file.h"

namespace lathe {
namespace {

Parameter Numbers(const std::string& name, const std::vector<int64_t>& values) {
  Parameter parameter;
  parameter.name = name;
  parameter.values.assign(values.begin(), values.end());
  return parameter;
}

Parameter Values(const std::string& name, const std::vector<std::string>& texts) {
  Parameter parameter;
  parameter.name = name;
  for (const std::string& text : texts) parameter.values.push_back(ParseValue(text));
  return parameter;
}

Space Open(SpaceDefinition definition) {
  Result<Space> space = Space::Create(std::move(definition));
  EXPECT_TRUE(space) << (space ? "" : space.error().message);
  return *std::move(space);
}

std::string OpenError(SpaceDefinition definition) {
  const Result<Space> space = Space::Create(std::move(definition));
  return space ? "" : space.error().message;
}

nlohmann::json Recorded(const std::string& name) {
  const Result<std::string> text = ReadFile(std::string(LATHE_SOURCE_DIR) + "/tests/space/data/" + name);
  EXPECT_TRUE(text);
  return nlohmann::json::parse(*text);
}

class RecordedSpace : public testing::TestWithParam<const char*> {};

TEST_P(RecordedSpace, HasExactlyItsRecordedNumberOfValidConfigs) {
  const nlohmann::json json = Recorded(GetParam());
  const Space space = Open(*SpaceDefinitionFromJson(json));
  EXPECT_EQ(space.raw_size(), json["cartesian_size"].get<double>());
  EXPECT_EQ(space.CountValid(), json["n_valid_configs"].get<uint64_t>());
}

TEST_P(RecordedSpace, ListsEveryValidPointOnceInOrder) {
  const nlohmann::json json = Recorded(GetParam());
  const Space space = Open(*SpaceDefinitionFromJson(json));
  uint64_t count = 0;
  std::optional<Point> before;
  space.ForEach([&](const Point& point) {
    EXPECT_TRUE(!before || *before < point);
    EXPECT_TRUE(count % 1000 != 0 || space.IsValid(point));
    before = point;
    ++count;
    return true;
  });
  EXPECT_EQ(count, json["n_valid_configs"].get<uint64_t>());
}

INSTANTIATE_TEST_SUITE_P(All, RecordedSpace, testing::Values("hotspot.json", "gemm.json", "prl4.json"),
                         [](const auto& of) { return std::string(of.param).substr(0, std::string(of.param).find('.')); });

TEST(Space, CountsAndListsByHand) {
  const Space space = Open({"by_hand", {Numbers("A", {1, 2, 3}), Numbers("B", {4, 6})}, {{"B % A == 0", ""}}, {}});
  std::vector<Point> points;
  space.ForEach([&](const Point& point) {
    points.push_back(point);
    return true;
  });
  EXPECT_EQ(points, (std::vector<Point>{{0, 0}, {0, 1}, {1, 0}, {1, 1}, {2, 1}}));
  EXPECT_EQ(space.CountValid(), 5u);
  EXPECT_EQ(space.First(), (Point{0, 0}));
  EXPECT_EQ(space.Neighbours({2, 1}), (std::vector<Point>{{0, 1}, {1, 1}}));
}

TEST(Space, StopsListingWhenTheVisitorHasEnough) {
  const Space space = Open({"s", {Numbers("A", {1, 2, 3}), Numbers("B", {1, 2, 3})}, {{"A + B > 2", ""}}, {}});
  int visited = 0;
  space.ForEach([&](const Point&) { return ++visited < 3; });
  EXPECT_EQ(visited, 3);
}

TEST(Space, AVisitorMayAskTheSpaceItself) {
  const Space space = Open({"s", {Numbers("A", {1, 2, 3}), Numbers("B", {1, 2, 3})}, {{"A + B > 2", ""}}, {}});
  size_t neighbours = 0;
  std::mt19937_64 random(1);
  space.ForEach([&](const Point& point) {
    neighbours += space.Neighbours(point).size();
    return space.IsValid(point) && space.Sample(random).has_value() && space.First().has_value();
  });
  EXPECT_EQ(neighbours, 9u * 4 - 2 * 4) << "all of 3 x 3 but one corner, and the ways to and from it";
}

TEST(Space, CategoriesAreNumbersInExpressions) {
  SpaceDefinition definition{"s",
                             {Values("ORDER", {"kxy", "xyk", "auto"}), Numbers("TILE", {1, 2, 4})},
                             {{"ORDER != xyk || TILE == 1", ""}, {"ORDER < auto + 1", ""}},
                             {}};
  definition.numbers["xyk"] = 1;
  const Space space = Open(definition);
  EXPECT_EQ(space.Number(0, 1), 1) << "bound by the definition";
  EXPECT_EQ(space.Number(0, 0), 2) << "the first number no other category has";
  EXPECT_EQ(space.Number(0, 2), 3);
  EXPECT_EQ(space.CountValid(), 7u);
  EXPECT_EQ(ToString(space.ConfigAt({1, 0})), "ORDER=xyk,TILE=1");
}

TEST(Space, ConfigsAndPointsConvertBothWays) {
  const Space space = Open({"s", {Numbers("A", {1, 2, 3}), Values("B", {"0.5", "2.0"})}, {{"A > 1", ""}}, {}});
  const Point point = {2, 1};
  EXPECT_EQ(*space.PointOf(space.ConfigAt(point)), point);
  EXPECT_EQ(*space.PointOf(*ParseNamedValues("B=2,A=1")), (Point{0, 1})) << "constraints are not checked, and 2 is 2.0";
  EXPECT_NE(space.PointOf(*ParseNamedValues("A=1")).error().message.find("'B' is missing"), std::string::npos);
  EXPECT_NE(space.PointOf(*ParseNamedValues("A=9,B=0.5")).error().message.find("9 is not a value of 'A'"), std::string::npos);
  EXPECT_NE(space.PointOf(*ParseNamedValues("A=1,B=0.5,C=0.5")).error().message.find("no parameter 'C'"), std::string::npos);
  for (uint64_t index = 0; index < 6; ++index) EXPECT_EQ(space.IndexOf(space.PointAt(index)), index);
}

TEST(Space, WithoutParametersHasOnePoint) {
  const Space space = Open({"s", {}, {{"CORES > 1", ""}}, {{"CORES", 2}}});
  EXPECT_EQ(space.CountValid(), 1u);
  EXPECT_EQ(space.First(), Point{});
  EXPECT_EQ(Open({"s", {}, {{"CORES > 1", ""}}, {{"CORES", 1}}}).CountValid(), 0u);
}

TEST(Space, AnEmptySpaceSaysSoEverywhere) {
  std::mt19937_64 random(1);
  for (const char* constraint : {"A > 9", "A + B > 99", "1 > 2", "A*B == 5 && A != B", "1 / 0"}) {
    const Space space = Open({"s", {Numbers("A", {1, 2, 3}), Numbers("B", {1, 2, 3})}, {{constraint, ""}}, {}});
    EXPECT_EQ(space.CountValid(), 0u) << constraint;
    EXPECT_FALSE(space.First()) << constraint;
    EXPECT_FALSE(space.Sample(random)) << constraint;
    EXPECT_FALSE(space.IsValid({0, 0})) << constraint;
    EXPECT_TRUE(space.Neighbours({0, 0}).empty()) << constraint;
    space.ForEach([](const Point&) { return ADD_FAILURE(), false; });
  }
}

TEST(Space, AConstraintThatDividesByZeroDoesNotHold) {
  const Space space = Open({"s", {Numbers("A", {0, 1, 2}), Numbers("B", {4, 5})}, {{"B / A", ""}}, {}});
  EXPECT_EQ(space.CountValid(), 4u);
}

TEST(Space, RefusesPointsThatAreNotOfThisSpace) {
  const Space space = Open({"s", {Numbers("A", {1, 2, 3}), Numbers("B", {1, 2})}, {{"A >= B", ""}}, {}});
  EXPECT_FALSE(space.IsValid({}));
  EXPECT_FALSE(space.IsValid({0, 0, 0}));
  EXPECT_FALSE(space.IsValid({3, 0}));
  EXPECT_TRUE(space.Neighbours({3, 0}).empty());
}

TEST(Space, NamesWhatIsWrongWithADefinition) {
  EXPECT_NE(OpenError({"conv", {Numbers("A", {})}, {}, {}}).find("open space 'conv': parameter 'A' has no values"), std::string::npos);
  EXPECT_NE(OpenError({"conv", {Numbers("A", {1}), Numbers("A", {2})}, {}, {}}).find("'A' is there twice"), std::string::npos);
  EXPECT_NE(OpenError({"conv", {Numbers("A", {1, 1})}, {}, {}}).find("value 1 twice"), std::string::npos);
  EXPECT_NE(OpenError({"conv", {Numbers("A", {1})}, {{"A < TILE", ""}}, {}}).find("constraint 'A < TILE': nothing is called 'TILE'"),
            std::string::npos);
  EXPECT_NE(OpenError({"conv", {Values("A", {"B"}), Numbers("B", {1})}, {}, {}}).find("rename one"), std::string::npos);
}

SpaceDefinition Huge(const std::vector<std::string>& constraints) {
  SpaceDefinition definition{"huge", {}, {}, {}};
  for (int i = 0; i < 12; ++i) definition.parameters.push_back(Numbers(fmt::format("P{}", i), {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}));
  for (const std::string& constraint : constraints) definition.constraints.push_back({constraint, ""});
  return definition;
}

// Generous: the promise is 50 ms on a quiet machine in a release build, and this may run beside others under a sanitizer. Enumerating 10^12
// points would take an hour.
void ExpectOpensQuickly(const SpaceDefinition& definition) {
  const auto start = std::chrono::steady_clock::now();
  const Space space = Open(definition);
  EXPECT_EQ(space.raw_size(), 1e12);
  std::mt19937_64 random(1);
  const std::optional<Point> first = space.First();
  ASSERT_TRUE(first);
  EXPECT_TRUE(space.IsValid(*first));
  for (int i = 0; i < 10; ++i) {
    const std::optional<Point> sample = space.Sample(random);
    ASSERT_TRUE(sample);
    EXPECT_TRUE(space.IsValid(*sample));
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

TEST(Space, OfATrillionRawPointsOpensWithoutEnumeration) {
  ExpectOpensQuickly(Huge({}));
  ExpectOpensQuickly(Huge({"P0*P1 <= 20", "P2 % P3 == 0", "P4 + P5 + P6 <= 12", "P7 < P8 || P9 == 1", "P10 != P11"}));
  ExpectOpensQuickly(Huge({"P0*P1*P2*P3*P4*P5*P6*P7*P8*P9*P10*P11 <= 1024"}));
  ExpectOpensQuickly(Huge({"P0 + P11 == 20", "P1 + P10 == 20", "P2 + P9 == 20", "P3 + P8 == 20", "P4 + P7 == 20", "P5 + P6 == 20"}));
  ExpectOpensQuickly(
      Huge({"(P0 + P1*P2)*(P3 + P4*P5)*4 <= 4096", "P6 == 1 || (P0 + P1*P2)*(P3 + P4*P5)*P6*4 <= 8192", "P7 % P8 == 0 && P9 % P10 == 0"}));
}

TEST(Space, CountsATrillionRawPointsWhereGroupsMultiply) {
  EXPECT_EQ(Open(Huge({})).CountValid(), 1000000000000u);
  EXPECT_EQ(Open(Huge({"P0 == P11", "P1 < P2"})).CountValid(), uint64_t{10} * 45 * 100000000);
  // Stars and bars: 12 numbers from 1 with a sum of at most 21 (10 is never passed).
  EXPECT_EQ(Open(Huge({"P0 + P1 + P2 + P3 + P4 + P5 + P6 + P7 + P8 + P9 + P10 + P11 <= 21"})).CountValid(), 293930u);
}

TEST(Space, EndsEarlyWhatIsOverItsLimitAlready) {
  std::string sum = "0";
  for (int i = 0; i < 12; ++i) sum += fmt::format(" + P{}*{}", i, i + 1.5);
  // The least sum is 84, the greatest 840. Next to the least are single and double steps of the smallest weights.
  EXPECT_EQ(Open(Huge({sum + " < 84.5"})).CountValid(1000), 1u);
  EXPECT_EQ(Open(Huge({sum + " <= 86.5"})).CountValid(10000), 3u);
  EXPECT_EQ(Open(Huge({sum + " > 839"})).First(), Point(12, 9));
  EXPECT_EQ(Open(Huge({sum + " > 840"})).First(), std::nullopt);
}

TEST(Space, CountsNothingBeyondItsLimitButStillSamples) {
  // Products of square roots hardly ever coincide: there are as many states as assignments.
  const SpaceDefinition definition =
      Huge({"sqrt(P0+.1)*sqrt(P1+.2)*sqrt(P2+.3)*sqrt(P3+.4)*sqrt(P4+.5)*sqrt(P5+.6)*sqrt(P6+.7)*sqrt(P7+.8) <= 400"});
  const Space space = Open(definition);
  EXPECT_FALSE(space.CountValid(10000));
  std::mt19937_64 random(1);
  const std::optional<Point> sample = space.Sample(random);
  ASSERT_TRUE(sample);
  EXPECT_TRUE(space.IsValid(*sample));
  EXPECT_TRUE(space.First());
}

TEST(Space, MayBeUsedFromSeveralThreads) {
  const Space space = Open(*SpaceDefinitionFromJson(Recorded("gemm.json")));
  std::vector<std::thread> threads;
  std::atomic<int> valid = 0;
  for (uint64_t seed = 0; seed < 4; ++seed)
    threads.emplace_back([&, seed] {
      std::mt19937_64 random(seed);
      EXPECT_TRUE(seed != 3 || space.CountValid() == 116928u);
      for (int i = 0; i < 50; ++i)
        for (const Point& neighbour : space.Neighbours(*space.Sample(random))) valid += space.IsValid(neighbour) ? 1 : 0;
      int left = 500;
      space.ForEach([&](const Point& point) { return valid += space.IsValid(point) ? 1 : 0, --left > 0; });
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(valid, 4 * 500);
}

TEST(Space, SamplesTheSamePointsForTheSameSeed) {
  const SpaceDefinition definition = *SpaceDefinitionFromJson(Recorded("gemm.json"));
  const Space space = Open(definition), again = Open(definition);
  (void)again.CountValid();
  std::mt19937_64 a(5), b(5);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(space.Sample(a), again.Sample(b));
}

}  // namespace
}  // namespace lathe
