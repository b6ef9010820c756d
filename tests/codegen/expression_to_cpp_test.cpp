#include "codegen/expression_to_cpp.h"

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "core/expression.h"
#include "core/file.h"

namespace lathe {
namespace {

CppExpression Named(const std::string& name) { return {name, name != "real"}; }

// What manifests write, and what must mean the same in a generated library.
const std::vector<std::string> kTexts = {"floor((a + 2*b - c)/b) + 1",
                                         "a % b + a // b",
                                         "-a ^ 2 + b",
                                         "2 ^ 3 ^ b",
                                         "a < b ? c : a >= 7 && b != c || !(a == 7)",
                                         "max(a, b, c) - min(a, b, c)",
                                         "ceil_div(a, b) * align(c, b) + abs(b - c)",
                                         "a / b * c - a * b / c",
                                         "!a + -b + +c",
                                         "pow(a, 2) + sqrt(c) + log2(8) + round(2.5*b)",
                                         "a - b - c",
                                         "1e3 + .5*a"};

TEST(ExpressionToCpp, MeansInCppWhatTheEvaluatorSays) {
  std::string source = "#include <math.h>\n" + std::string(kExpressionHelpers);
  for (size_t i = 0; i < kTexts.size(); ++i) {
    Result<CppExpression> cpp = ExpressionToCpp(kTexts[i], Named);
    ASSERT_TRUE(cpp) << cpp.error().message;
    source += "extern \"C\" double f" + std::to_string(i) + "(double a, double b, double c) { (void)a, (void)b, (void)c; return " +
              cpp->text + "; }\n";
  }
  Result<TempDir> dir = TempDir::Create("expressions");
  ASSERT_TRUE(dir);
  ASSERT_TRUE(WriteFile(dir->path() / "f.cpp", source));
  const std::string command = "c++ -shared -fPIC -w -o " + (dir->path() / "f.so").string() + ' ' + (dir->path() / "f.cpp").string();
  ASSERT_EQ(std::system(command.c_str()), 0) << source;
  void* handle = dlopen((dir->path() / "f.so").c_str(), RTLD_NOW);
  ASSERT_NE(handle, nullptr) << dlerror();
  for (size_t i = 0; i < kTexts.size(); ++i) {
    auto* compiled = reinterpret_cast<double (*)(double, double, double)>(dlsym(handle, ("f" + std::to_string(i)).c_str()));
    Result<Expression> expression = Expression::Parse(kTexts[i]);
    ASSERT_TRUE(expression);
    for (const auto& [a, b, c] : {std::tuple(7.0, 3.0, 2.0), {1.0, 5.0, 9.0}, {64.0, 1.0, 4.0}}) {
      Result<double> expected = expression->Evaluate([&, a = a, b = b, c = c](const std::string& name) {
        return std::optional(name == "a" ? a : name == "b" ? b : c);
      });
      ASSERT_TRUE(expected);
      EXPECT_DOUBLE_EQ(compiled(a, b, c), *expected) << kTexts[i] << " at " << a << ' ' << b << ' ' << c;
    }
  }
  dlclose(handle);
}

TEST(ExpressionToCpp, KnowsWhatIsAlwaysWhole) {
  const auto whole = [](const std::string& text) { return ExpressionToCpp(text, Named).value().whole; };
  EXPECT_TRUE(whole("a*b + c // 2"));
  EXPECT_TRUE(whole("floor(a/b)"));
  EXPECT_TRUE(whole("a == b ? 3 : ceil(real)"));
  EXPECT_FALSE(whole("a/b"));
  EXPECT_FALSE(whole("real*2"));
  EXPECT_FALSE(whole("a + 0.5"));
}

TEST(ExpressionToCpp, RefusesWhatIsNoExpression) { EXPECT_FALSE(ExpressionToCpp("a +* b", Named)); }

}  // namespace
}  // namespace lathe
