#include "space/solver_parse.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/expression.h"
#include "random_expression.h"
#include "space/solver_program.h"

namespace lathe::solver {
namespace {

const std::vector<std::string> kNames = {"a", "b", "c", "d"};

std::optional<NodeId> Look(Graph& graph, const std::string& name) {
  for (size_t i = 0; i < kNames.size(); ++i)
    if (kNames[i] == name) return graph.Parameter(static_cast<uint16_t>(i));
  return std::nullopt;
}

// What the solver makes of `text` at one point, with the parameters assigned in the given order.
double Solve(const std::string& text, const std::vector<std::vector<double>>& domains, const std::vector<double>& at,
             std::vector<int> order) {
  Graph graph(domains);
  const Result<NodeId> node = ParseConstraint(
      text, [&](const std::string& name) { return Look(graph, name); }, graph);
  EXPECT_TRUE(node) << (node ? "" : node.error().message);
  if (!node) return std::nan("");
  const Program program = MakeProgram(graph, {*node}, order);
  std::vector<double> registers;
  Run(program, at, registers);
  return registers[program.roots[0]];
}

double Reference(const std::string& text, const std::vector<double>& at) {
  const Result<Expression> expression = Expression::Parse(text);
  EXPECT_TRUE(expression) << (expression ? "" : expression.error().message);
  const Result<double> value = expression->Evaluate([&](const std::string& name) -> std::optional<double> {
    for (size_t i = 0; i < kNames.size(); ++i)
      if (kNames[i] == name) return at[i];
    return std::nullopt;
  });
  return value ? *value : std::nan("");
}

std::string ErrorOf(const std::string& text) {
  Graph graph({{1, 2}, {1, 2}, {1, 2}, {1, 2}});
  const Result<NodeId> node = ParseConstraint(
      text, [&](const std::string& name) { return Look(graph, name); }, graph);
  return node ? "" : node.error().message;
}

TEST(SolverParse, AgreesWithMuParserOnRandomExpressions) {
  std::mt19937_64 random(7);
  RandomExpression expressions(random, kNames);
  const std::vector<std::vector<double>> domains = {{0, 1, 2, 3}, {1, 2, 4, 8, 16}, {-1, 0, 5}, {0.5, 1, 2.25}};
  size_t finite = 0;
  for (int round = 0; round < 500; ++round) {
    const std::string text = round % 2 == 0 ? expressions.Number(3) : expressions.Truth(3);
    std::vector<int> order = {0, 1, 2, 3};
    std::shuffle(order.begin(), order.end(), random);
    for (int point = 0; point < 4; ++point) {
      std::vector<double> at;
      for (const auto& domain : domains) at.push_back(domain[random() % domain.size()]);
      const double expected = Reference(text, at), found = Solve(text, domains, at, order);
      if (!std::isfinite(expected)) {
        EXPECT_FALSE(std::isfinite(found)) << text;
        continue;
      }
      ++finite;
      EXPECT_NEAR(found, expected, 1e-12 * std::abs(expected)) << text << " at " << at[0] << ' ' << at[1] << ' ' << at[2] << ' ' << at[3];
    }
  }
  EXPECT_GT(finite, 1000u);
}

TEST(SolverParse, BindsOperatorsAsMuParserDoes) {
  const std::vector<std::vector<double>> domains = {{3, 5}, {2, 7}, {4, 9}, {6, 8}};
  const std::vector<double> at = {5, 2, 9, 8};
  for (const char* text : {"-a^b",
                           "2^b^a",
                           "-a % b",
                           "a - b - c",
                           "a / b / c",
                           "a // b * c",
                           "a % c % b",
                           "!a == b",
                           "!a^b",
                           "a < b == c > d",
                           "a || b && c == 0",
                           "a < b ? c : a > b ? d : 1",
                           "1 / d",
                           "a+-b",
                           "+a - +b",
                           "1e2*a",
                           ".5*a",
                           "_pi * a",
                           "sum(a, b, c)",
                           "avg(a, b)",
                           "sign(-a)",
                           "rint(a / b)",
                           "log10(a) + ln(b) + exp(c) + atan2(a, b)",
                           "a^-b"})
    EXPECT_NEAR(Solve(text, domains, at, {3, 0, 2, 1}), Reference(text, at), 1e-12 * std::abs(Reference(text, at))) << text;
}

TEST(SolverParse, NamesThePlaceAndReasonOfAMistake) {
  EXPECT_EQ(ErrorOf("a + * b"), "constraint 'a + * b': did not expect '* b' (at character 4)");
  EXPECT_EQ(ErrorOf("a + TILE"), "constraint 'a + TILE': nothing is called 'TILE' here (at character 4)");
  EXPECT_NE(ErrorOf("a = 3").find("'='"), std::string::npos);
  EXPECT_NE(ErrorOf("(a + b").find("not closed"), std::string::npos);
  EXPECT_NE(ErrorOf("a + b)").find("')'"), std::string::npos);
  EXPECT_NE(ErrorOf("").find("ends where a value was expected"), std::string::npos);
  EXPECT_NE(ErrorOf("foo(a)").find("no function 'foo'"), std::string::npos);
  EXPECT_NE(ErrorOf("pow(a)").find("takes 2 values, found 1"), std::string::npos);
  EXPECT_NE(ErrorOf("a ? b").find("expected ':'"), std::string::npos);
  EXPECT_NE(ErrorOf("2a").find("runs into a name"), std::string::npos);
  EXPECT_NE(ErrorOf("a & b").find("did not expect"), std::string::npos);
}

TEST(SolverParse, RefusesWhatWouldExhaustTheStack) {
  EXPECT_NE(ErrorOf(std::string(5000, '(')).find("nested too deeply"), std::string::npos);
  EXPECT_NE(ErrorOf(std::string(5000, '-') + "a").find("nested too deeply"), std::string::npos);
  EXPECT_NE(ErrorOf(std::string(50000, 'a')).find("longer than"), std::string::npos);
  std::string chain = "a";
  while (chain.size() < 9000) chain += "/b";
  EXPECT_EQ(ErrorOf(chain), "");
}

TEST(SolverGraph, MakesEqualExpressionsOneNodeWhateverTheirOrder) {
  Graph graph({{1, 2, 4}, {8, 16}, {3, 5}, {1, 2}});
  const NameLookup lookup = [&](const std::string& name) { return Look(graph, name); };
  EXPECT_EQ(*ParseConstraint("a*b*c + 2", lookup, graph), *ParseConstraint("2 + c*(b*a)", lookup, graph));
  EXPECT_NE(*ParseConstraint("a/b", lookup, graph), *ParseConstraint("b/a", lookup, graph));
}

TEST(SolverGraph, FoldsWhatCanOnlyBeOneNumber) {
  Graph graph({{1, 2, 4}, {8, 16}, {3, 5}, {1}});
  const NameLookup lookup = [&](const std::string& name) { return Look(graph, name); };
  EXPECT_EQ(graph[*ParseConstraint("a*b > 0", lookup, graph)].op, Op::kConstant);
  EXPECT_EQ(graph[*ParseConstraint("d == 2 && a > 1", lookup, graph)].op, Op::kConstant);
  EXPECT_NE(graph[*ParseConstraint("a*b > 16", lookup, graph)].op, Op::kConstant);
}

}  // namespace
}  // namespace lathe::solver
