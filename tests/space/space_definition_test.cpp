#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "space/space.h"

namespace lathe {
namespace {

std::string ErrorOf(const char* text) {
  const Result<SpaceDefinition> definition = SpaceDefinitionFromJson(nlohmann::json::parse(text));
  return definition ? "" : definition.error().message;
}

TEST(SpaceDefinition, ReadsTheNeutralFormat) {
  const Result<SpaceDefinition> definition = SpaceDefinitionFromJson(nlohmann::json::parse(R"({
    "id": "toy", "kernel": "ignored", "parameters": ["A", "MODE"], "values": {"MODE": ["fast", "small"], "A": [1, 2.5, true], "UNUSED": [1]},
    "constraints": ["A < LIMIT || MODE == small"], "fixed_parameters": {"LIMIT": 2}})"));
  ASSERT_TRUE(definition) << definition.error().message;
  EXPECT_EQ(definition->id, "toy");
  ASSERT_EQ(definition->parameters.size(), 2u);
  EXPECT_EQ(definition->parameters[0].name, "A");
  EXPECT_EQ(definition->parameters[0].values, (std::vector<Value>{int64_t{1}, 2.5, int64_t{1}}));
  EXPECT_EQ(definition->parameters[1].values, (std::vector<Value>{std::string("fast"), std::string("small")}));
  EXPECT_EQ(definition->numbers.at("LIMIT"), 2);
  EXPECT_EQ(definition->constraints[0].require, "A < LIMIT || MODE == small");
}

TEST(SpaceDefinition, NamesTheKeyAndTheReason) {
  EXPECT_NE(ErrorOf("[]").find("expected a JSON object"), std::string::npos);
  EXPECT_NE(ErrorOf("{}").find("'parameters': missing"), std::string::npos);
  EXPECT_NE(ErrorOf(R"({"parameters": ["A"]})").find("'values': missing"), std::string::npos);
  EXPECT_NE(ErrorOf(R"({"parameters": [1], "values": {}})").find("expected a parameter's name, found 1"), std::string::npos);
  EXPECT_NE(ErrorOf(R"({"parameters": ["A"], "values": {}})").find("'values.A': parameter 'A' has no list"), std::string::npos);
  EXPECT_NE(ErrorOf(R"({"parameters": ["A"], "values": {"A": []}})").find("'values.A': expected a list of values"), std::string::npos);
  EXPECT_NE(ErrorOf(R"({"parameters": ["A"], "values": {"A": [null]}})").find("'values.A': expected a number"), std::string::npos);
  EXPECT_NE(ErrorOf(R"({"parameters": [], "values": {}, "constraints": "A"})").find("'constraints'"), std::string::npos);
  EXPECT_NE(ErrorOf(R"({"parameters": [], "values": {}, "constraints": [3]})").find("found 3"), std::string::npos);
  EXPECT_NE(ErrorOf(R"({"parameters": [], "values": {}, "fixed_parameters": {"K": "x"}})").find("'fixed_parameters.K'"), std::string::npos);
  EXPECT_NE(ErrorOf(R"({"parameters": ["A"], "values": {"A": [1]}, "fixed_parameters": {"A": 1}})").find("keep one"), std::string::npos);
  EXPECT_NE(ErrorOf(R"({"id": 3, "parameters": [], "values": {}})").find("'id'"), std::string::npos);
}

}  // namespace
}  // namespace lathe
