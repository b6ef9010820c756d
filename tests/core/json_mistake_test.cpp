#include "core/json_mistake.h"

#include <gtest/gtest.h>

namespace lathe {
namespace {

std::string MistakeIn(const std::string& text) {
  try {
    (void)!nlohmann::json::parse(text).is_null();
  } catch (const nlohmann::json::exception& failure) {
    return JsonMistake(failure);
  }
  return "none";
}

TEST(JsonMistake, SaysWhereWhatWasFoundAndWhatWasExpected) {
  EXPECT_EQ(MistakeIn(""), "line 1, column 1: found the end of the text where a value was expected");
  EXPECT_EQ(MistakeIn("{\n\"a\": }"), "line 2, column 6: found '}' where a value was expected");
  EXPECT_EQ(MistakeIn("[1 2]"), "line 1, column 4: found a number where ',' or ']' was expected");
  EXPECT_EQ(MistakeIn("{\"a\": 1 \"b\": 2}"), "line 1, column 11: found a text in double quotes where ',' or '}' was expected");
  EXPECT_EQ(MistakeIn("{a: 1}"), "line 1, column 2: invalid literal in '{a' where a text in double quotes was expected");
  EXPECT_EQ(MistakeIn("nul"), "line 1, column 4: invalid literal in 'nul'");
  EXPECT_EQ(MistakeIn("\"abc"), "line 1, column 5: invalid string: missing closing quote in '\"abc'");
}

TEST(JsonMistake, LeavesOutTheLibrarysOwnNumbers) {
  EXPECT_EQ(MistakeIn("[1e999]"), "number overflow parsing '1e999'");
  try {
    (void)nlohmann::json::parse("{}").at("x");
    FAIL() << "there is no x";
  } catch (const nlohmann::json::exception& failure) {
    EXPECT_EQ(JsonMistake(failure), "key 'x' not found");
  }
}

}  // namespace
}  // namespace lathe
