#include "space/space_diagnostics.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <numeric>

namespace lathe {
namespace {

SpaceDefinition Definition(const std::vector<std::pair<std::string, int>>& parameters, const std::vector<std::string>& constraints) {
  SpaceDefinition definition;
  definition.id = "s";
  for (const auto& [name, last] : parameters) {
    Parameter parameter;
    parameter.name = name;
    std::vector<int64_t> values(static_cast<size_t>(last));
    std::iota(values.begin(), values.end(), 1);
    parameter.values.assign(values.begin(), values.end());
    definition.parameters.push_back(std::move(parameter));
  }
  for (const std::string& constraint : constraints) definition.constraints.push_back({constraint, "because"});
  return definition;
}

SpaceDiagnostics Of(const SpaceDefinition& definition) {
  const Result<Space> space = Space::Create(definition);
  EXPECT_TRUE(space) << (space ? "" : space.error().message);
  const Result<SpaceDiagnostics> diagnostics = Diagnose(*space);
  EXPECT_TRUE(diagnostics) << (diagnostics ? "" : diagnostics.error().message);
  return *diagnostics;
}

TEST(SpaceDiagnostics, TellsWhatEachConstraintRemovesAloneAndAmongTheOthers) {
  // 4 x 4: A + B <= 4 leaves 6 points; A <= 3 removes 4 of 16, and nothing more after the other.
  const SpaceDiagnostics diagnostics = Of(Definition({{"A", 4}, {"B", 4}}, {"A + B <= 4", "A <= 3"}));
  EXPECT_EQ(diagnostics.raw, 16);
  EXPECT_EQ(diagnostics.valid, 6u);
  EXPECT_EQ(diagnostics.constraints[0].alone.points, 10);
  EXPECT_EQ(diagnostics.constraints[0].alone.share, 10.0 / 16);
  EXPECT_EQ(diagnostics.constraints[0].given_others.points, 6);
  EXPECT_EQ(diagnostics.constraints[0].given_others.share, 0.5);
  EXPECT_EQ(diagnostics.constraints[1].alone.points, 4);
  EXPECT_EQ(diagnostics.constraints[1].given_others.points, 0);
  EXPECT_TRUE(diagnostics.constraints[1].given_others.exact);
}

TEST(SpaceDiagnostics, NamesValuesThatNoValidPointUses) {
  const SpaceDiagnostics diagnostics = Of(Definition({{"A", 4}, {"B", 4}, {"C", 2}}, {"A + B <= 4", "B != 2"}));
  ASSERT_EQ(diagnostics.dead_values.size(), 2u);
  EXPECT_EQ(diagnostics.dead_values[0].parameter, "A");
  ASSERT_EQ(diagnostics.dead_values[0].values.size(), 1u);
  EXPECT_EQ(ToString(diagnostics.dead_values[0].values[0]), "4");
  EXPECT_EQ(diagnostics.dead_values[1].parameter, "B");
  EXPECT_EQ(diagnostics.dead_values[1].values.size(), 2u);
  EXPECT_TRUE(diagnostics.empty_because.empty());
}

TEST(SpaceDiagnostics, BlamesTheConstraintsThatEmptyASpaceAndNoOthers) {
  const SpaceDiagnostics diagnostics = Of(Definition({{"A", 4}, {"B", 4}, {"C", 4}}, {"B != C", "A*B >= 12", "C > 1", "A + B <= 6"}));
  EXPECT_EQ(diagnostics.valid, 0u);
  EXPECT_EQ(diagnostics.empty_because, (std::vector<size_t>{1, 3}));
  EXPECT_TRUE(diagnostics.dead_values.empty());
  EXPECT_EQ(Of(Definition({{"A", 4}}, {"A > 1", "A > 9"})).empty_because, std::vector<size_t>{1});
}

TEST(SpaceDiagnostics, EstimatesWhereCountingIsTooMuchAndSaysSo) {
  std::vector<std::pair<std::string, int>> parameters;
  std::string product = "1";
  for (int i = 0; i < 12; ++i) {
    parameters.emplace_back(fmt::format("P{}", i), 10);
    product += fmt::format("*sqrt(P{} + .{})", i, i + 1);
  }
  const SpaceDiagnostics diagnostics = Of(Definition(parameters, {product + " <= 12000"}));
  EXPECT_EQ(diagnostics.raw, 1e12);
  EXPECT_FALSE(diagnostics.valid);
  EXPECT_FALSE(diagnostics.constraints[0].alone.exact);
  EXPECT_GT(diagnostics.constraints[0].alone.share, 0.1);
  EXPECT_LT(diagnostics.constraints[0].alone.share, 0.9);
  EXPECT_EQ(diagnostics.constraints[0].alone.points, diagnostics.constraints[0].alone.share * 1e12);
}

TEST(SpaceDiagnostics, BecomeJson) {
  const nlohmann::ordered_json json = ToJson(Of(Definition({{"A", 4}, {"B", 2}}, {"A > 1", "B > 2"})));
  EXPECT_EQ(json["raw"], 8);
  EXPECT_EQ(json["valid"], 0);
  EXPECT_EQ(json["constraints"][0]["require"], "A > 1");
  EXPECT_EQ(json["constraints"][0]["why"], "because");
  EXPECT_EQ(json["constraints"][0]["removes_alone"]["points"], 2);
  EXPECT_EQ(json["constraints"][0]["removes_alone"]["exact"], true);
  EXPECT_EQ(json["empty_because"][0], "B > 2");
  EXPECT_EQ(ToJson(Of(Definition({{"A", 4}}, {"A > 1"})))["dead_values"]["A"][0], 1);
}

}  // namespace
}  // namespace lathe
