#include "costmodel/constraint_features.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lathe {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// X and Y of 1 to 8, PAD of 0 and 1.
Space MakeSpace(const std::vector<std::string>& constraints) {
  SpaceDefinition definition;
  definition.id = "test";
  for (const char* name : {"X", "Y"}) {
    Parameter parameter{name, {}, ""};
    for (int64_t value : {1, 2, 4, 8}) parameter.values.emplace_back(value);
    definition.parameters.push_back(parameter);
  }
  definition.parameters.push_back({"PAD", {Value(int64_t{0}), Value(int64_t{1})}, ""});
  for (const std::string& constraint : constraints) definition.constraints.push_back({constraint, ""});
  definition.numbers["HALO"] = 3;
  Result<Space> space = Space::Create(std::move(definition));
  if (!space) throw std::runtime_error(space.error().message);
  return std::move(*space);
}

TEST(ConstraintFeatures, TakeTheSidesOfComparisonsThatJoinParameters) {
  const Space space = MakeSpace({"X * Y <= 32", "X >= 1"});
  const FeatureFunction features = ConstraintFeatures(space);
  ASSERT_TRUE(features);
  EXPECT_THAT(features(Point{2, 1, 0}), ElementsAre(4 * 2));
}

TEST(ConstraintFeatures, AreQuotientsWhereAConstraintAsksForDivisibility) {
  const Space space = MakeSpace({"X % Y == 0"});
  EXPECT_THAT(ConstraintFeatures(space)(Point{3, 1, 0}), ElementsAre(8.0 / 2));
}

TEST(ConstraintFeatures, LookIntoAlternativesAndParentheses) {
  const Space space = MakeSpace({"PAD == 0 || ((X + HALO) * (Y + HALO) < 100)"});
  EXPECT_THAT(ConstraintFeatures(space)(Point{0, 1, 1}), ElementsAre((1 + 3) * (2 + 3)));
}

TEST(ConstraintFeatures, NameEachQuantityOnce) {
  const Space space = MakeSpace({"2 <= X * Y && X * Y <= 32"});
  EXPECT_EQ(ConstraintFeatureTexts(space).size(), 1U);
}

TEST(ConstraintFeatures, AreNoneWhereNoConstraintJoinsParameters) {
  const Space space = MakeSpace({"X <= 4", "PAD == 0 || Y > 1"});
  EXPECT_THAT(ConstraintFeatureTexts(space), IsEmpty());
  EXPECT_FALSE(ConstraintFeatures(space));
}

}  // namespace
}  // namespace lathe
