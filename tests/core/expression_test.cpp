#include "core/expression.h"

#include <gtest/gtest.h>

namespace lathe {
namespace {

double Eval(const std::string& text, const std::map<std::string, double>& names = {}) {
  Result<Expression> expression = Expression::Parse(text);
  EXPECT_TRUE(expression) << (expression ? "" : expression.error().message);
  Result<double> value = expression->Evaluate([&](const std::string& name) -> std::optional<double> {
    const auto found = names.find(name);
    return found == names.end() ? std::nullopt : std::optional(found->second);
  });
  EXPECT_TRUE(value) << (value ? "" : value.error().message);
  return value ? *value : -1;
}

TEST(Expression, KnowsTheOperatorsOfManifests) {
  EXPECT_EQ(Eval("7 % 4"), 3);
  EXPECT_EQ(Eval("7 / 4"), 1.75);
  EXPECT_EQ(Eval("7 // 4"), 1);
  EXPECT_EQ(Eval("2 + 7 // 4 * 3"), 5);
  EXPECT_EQ(Eval("!0 && 3 != 2 || 0"), 1);
  EXPECT_EQ(Eval("!(1 < 2)"), 0);
  EXPECT_EQ(Eval("ceil_div(7, 4) + align(5, 4)"), 10);
  EXPECT_EQ(Eval("1 < 2 ? 5 : 6"), 5);
  EXPECT_EQ(Eval("32 <= 4*8 && 4*8 <= 1024"), 1);
  EXPECT_EQ(Eval("max(3, 2) * min(4, 9)"), 12);
}

TEST(Expression, NamesMayContainDots) { EXPECT_EQ(Eval("LANES*4 <= target.vector_bytes", {{"LANES", 8}, {"target.vector_bytes", 32}}), 1); }

TEST(Expression, ListsItsNamesOnceAndSorted) {
  Result<Expression> expression = Expression::Parse("b + a*b + max(c, a)");
  ASSERT_TRUE(expression);
  EXPECT_EQ(expression->names(), (std::vector<std::string>{"a", "b", "c"}));
}

TEST(Expression, ReportsASyntaxErrorWithItsPlace) {
  Result<Expression> expression = Expression::Parse("a + * b");
  ASSERT_FALSE(expression);
  EXPECT_NE(expression.error().message.find("a + * b"), std::string::npos);
}

TEST(Expression, NamesTheUnknownName) {
  Result<Expression> expression = Expression::Parse("TILE + 1");
  ASSERT_TRUE(expression);
  Result<double> value = expression->Evaluate([](const std::string&) { return std::nullopt; });
  ASSERT_FALSE(value);
  EXPECT_NE(value.error().message.find("TILE"), std::string::npos);
}

TEST(Expression, DivisionByZeroIsAnErrorNotANumber) {
  Result<Expression> expression = Expression::Parse("8 % a");
  ASSERT_TRUE(expression);
  EXPECT_FALSE(expression->Evaluate({0.0}));
}

}  // namespace
}  // namespace lathe
