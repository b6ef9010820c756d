// Random small spaces against brute force, where validity is what muParser (core/expression.h) says.
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "core/expression.h"
#include "random_expression.h"
#include "space/space.h"

namespace lathe {
namespace {

struct RandomSpace {
  SpaceDefinition definition;
  std::vector<std::string> conjuncts;
};

RandomSpace MakeRandomSpace(std::mt19937_64& random) {
  const auto pick = [&](size_t count) { return random() % count; };
  RandomSpace space;
  space.definition.id = "random";
  std::vector<std::string> names;
  const size_t parameters = 2 + pick(4);
  for (size_t p = 0; p < parameters; ++p) {
    Parameter parameter;
    parameter.name = fmt::format("{}", static_cast<char>('a' + p));
    const std::vector<std::vector<Value>> lists = {{int64_t{0}, int64_t{1}},
                                                   {int64_t{1}, int64_t{2}, int64_t{4}, int64_t{8}},
                                                   {int64_t{3}, int64_t{1}, int64_t{2}},
                                                   {int64_t{5}},
                                                   {int64_t{-2}, int64_t{0}, int64_t{6}, int64_t{9}},
                                                   {0.5, 1.5, int64_t{2}},
                                                   {int64_t{1}, int64_t{2}, int64_t{3}, int64_t{4}, int64_t{5}}};
    parameter.values = lists[pick(lists.size())];
    names.push_back(parameter.name);
    space.definition.parameters.push_back(std::move(parameter));
  }
  names.push_back("limit");
  space.definition.numbers["limit"] = 6;
  RandomExpression expressions(random, names);
  for (size_t i = 0, count = pick(5); i < count; ++i) {
    std::string text;
    for (size_t k = 0, conjuncts = 1 + pick(2); k < conjuncts; ++k) {
      space.conjuncts.push_back(pick(3) == 0 ? fmt::format("{} || {}", expressions.Truth(1), expressions.Truth(1)) : expressions.Truth(2));
      text += fmt::format("{}({})", k == 0 ? "" : " && ", space.conjuncts.back());
    }
    space.definition.constraints.push_back({text, ""});
  }
  return space;
}

std::set<Point> BruteForce(const RandomSpace& random_space) {
  const SpaceDefinition& definition = random_space.definition;
  std::vector<Expression> conjuncts;
  for (const std::string& text : random_space.conjuncts) conjuncts.push_back(*Expression::Parse(text));
  std::set<Point> valid;
  Point point(definition.parameters.size(), 0);
  for (bool more = true; more;) {
    const auto lookup = [&](const std::string& name) -> std::optional<double> {
      for (size_t p = 0; p < point.size(); ++p) {
        if (definition.parameters[p].name != name) continue;
        const Value& value = definition.parameters[p].values[point[p]];
        return std::holds_alternative<double>(value) ? std::get<double>(value) : static_cast<double>(std::get<int64_t>(value));
      }
      return definition.numbers.at(name);
    };
    const bool holds = std::all_of(conjuncts.begin(), conjuncts.end(), [&](const Expression& conjunct) {
      const Result<double> value = conjunct.Evaluate(lookup);
      return value && *value != 0;
    });
    if (holds) valid.insert(point);
    more = false;
    for (size_t p = point.size(); p-- > 0;) {
      if (++point[p] < definition.parameters[p].values.size()) {
        more = true;
        break;
      }
      point[p] = 0;
    }
  }
  return valid;
}

std::string Describe(const RandomSpace& space) {
  std::string text;
  for (const Parameter& parameter : space.definition.parameters) {
    text += fmt::format("{}:", parameter.name);
    for (const Value& value : parameter.values) text += fmt::format(" {}", ToString(value));
    text += "; ";
  }
  for (const Constraint& constraint : space.definition.constraints) text += fmt::format("\n  {}", constraint.require);
  return text;
}

TEST(SpaceProperty, AgreesWithBruteForceOnRandomSpaces) {
  std::mt19937_64 random(11);
  size_t partly_valid = 0;
  for (int round = 0; round < 400; ++round) {
    const RandomSpace random_space = MakeRandomSpace(random);
    SCOPED_TRACE(Describe(random_space));
    const std::set<Point> valid = BruteForce(random_space);
    Result<Space> space = Space::Create(random_space.definition);
    ASSERT_TRUE(space) << space.error().message;
    partly_valid += !valid.empty() && static_cast<double>(valid.size()) < space->raw_size() ? 1 : 0;

    // In either order: what one call remembers must not disturb another.
    if (round % 2 == 0) {
      ASSERT_EQ(space->CountValid(), valid.size());
    }
    std::vector<Point> listed;
    space->ForEach([&](const Point& point) {
      listed.push_back(point);
      return true;
    });
    ASSERT_EQ(listed, std::vector<Point>(valid.begin(), valid.end()));
    ASSERT_EQ(space->CountValid(), valid.size());
    ASSERT_EQ(space->First(), valid.empty() ? std::nullopt : std::optional(*valid.begin()));

    for (uint64_t index = 0; index < static_cast<uint64_t>(space->raw_size()); ++index) {
      const Point point = space->PointAt(index);
      ASSERT_EQ(space->IndexOf(point), index);
      ASSERT_EQ(space->IsValid(point), valid.contains(point));
      std::vector<Point> neighbours;
      for (size_t p = 0; p < point.size(); ++p)
        for (uint16_t value = 0; value < random_space.definition.parameters[p].values.size(); ++value) {
          Point other = point;
          other[p] = value;
          if (value != point[p] && valid.contains(other)) neighbours.push_back(other);
        }
      ASSERT_EQ(space->Neighbours(point), neighbours);
    }
    for (int i = 0; i < 20; ++i) {
      const std::optional<Point> sample = space->Sample(random);
      ASSERT_EQ(sample.has_value(), !valid.empty());
      ASSERT_TRUE(!sample || valid.contains(*sample));
    }
  }
  EXPECT_GT(partly_valid, 70u) << "the random spaces have become too easy to mean anything";
}

TEST(SpaceProperty, SamplesEveryValidPointEquallyOften) {
  std::mt19937_64 random(3);
  int tested = 0;
  while (tested < 12) {
    const RandomSpace random_space = MakeRandomSpace(random);
    const std::set<Point> valid = BruteForce(random_space);
    const Space space = *Space::Create(random_space.definition);
    if (valid.size() < 4 || valid.size() > 300 || static_cast<double>(valid.size()) == space.raw_size()) continue;
    ++tested;
    SCOPED_TRACE(Describe(random_space));
    std::map<Point, int> drawn;
    const int draws = 100 * static_cast<int>(valid.size());
    for (int i = 0; i < draws; ++i) ++drawn[*space.Sample(random)];
    double chi_square = 0;
    for (const Point& point : valid) chi_square += std::pow(drawn[point] - 100.0, 2) / 100.0;
    const double freedom = static_cast<double>(valid.size() - 1);
    // Five standard deviations; the seed is fixed, so this passes always or never.
    EXPECT_LT(chi_square, freedom + 5 * std::sqrt(2 * freedom));
    EXPECT_EQ(drawn.size(), valid.size());
  }
}

}  // namespace
}  // namespace lathe
