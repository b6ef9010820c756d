#include "core/parse_json.h"

#include <gtest/gtest.h>

namespace lathe {
namespace {

TEST(ParseJson, ReadsPastComments) {
  const Result<nlohmann::json> json = ParseJson("{\"a\": 1 // one\n}");
  ASSERT_TRUE(json) << json.error().message;
  EXPECT_EQ((*json)["a"], 1);
}

TEST(ParseJson, TellsAMistakeInWordsAsWrongInput) {
  const Result<nlohmann::json> json = ParseJson("[1,\n}");
  ASSERT_FALSE(json);
  EXPECT_EQ(json.error().code, ErrorCode::kInvalidInput);
  EXPECT_EQ(json.error().message, "line 2, column 1: found '}' where a value was expected");
}

}  // namespace
}  // namespace lathe
