#include "codegen/expression_to_cpp.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "core/expression.h"

namespace lathe {

const char* const kExpressionHelpers = R"(
static inline double expr_mod(double a, double b) { return a - b * floor(a / b); }
static inline double expr_floor_div(double a, double b) { return floor(a / b); }
static inline double expr_ceil_div(double a, double b) { return ceil(a / b); }
static inline double expr_align(double a, double b) { return ceil(a / b) * b; }
static inline double expr_min(double a, double b) { return a < b ? a : b; }
static inline double expr_max(double a, double b) { return a > b ? a : b; }
)";

namespace {

enum class Whole { kAlways, kNever, kIfOperandsAre };

struct BinaryOperator {
  const char* symbol;
  int precedence;      // higher binds tighter
  const char* format;  // {0} and {1} are the operands
  Whole whole;
};

// Longer symbols first: `<=` before `<`.
constexpr std::array<BinaryOperator, 15> kBinary = {{
    {"||", 1, "(({0} != 0 || {1} != 0) ? 1.0 : 0.0)", Whole::kAlways},
    {"&&", 2, "(({0} != 0 && {1} != 0) ? 1.0 : 0.0)", Whole::kAlways},
    {"==", 3, "({0} == {1} ? 1.0 : 0.0)", Whole::kAlways},
    {"!=", 3, "({0} != {1} ? 1.0 : 0.0)", Whole::kAlways},
    {"<=", 3, "({0} <= {1} ? 1.0 : 0.0)", Whole::kAlways},
    {">=", 3, "({0} >= {1} ? 1.0 : 0.0)", Whole::kAlways},
    {"//", 5, "expr_floor_div({0}, {1})", Whole::kAlways},
    {"<", 3, "({0} < {1} ? 1.0 : 0.0)", Whole::kAlways},
    {">", 3, "({0} > {1} ? 1.0 : 0.0)", Whole::kAlways},
    {"+", 4, "({0} + {1})", Whole::kIfOperandsAre},
    {"-", 4, "({0} - {1})", Whole::kIfOperandsAre},
    {"*", 5, "({0} * {1})", Whole::kIfOperandsAre},
    {"/", 5, "({0} / {1})", Whole::kNever},
    {"%", 5, "expr_mod({0}, {1})", Whole::kIfOperandsAre},
    {"^", 7, "pow({0}, {1})", Whole::kIfOperandsAre},
}};

struct Function {
  const char* name;
  const char* cpp_name;
  Whole whole;
};

constexpr std::array<Function, 12> kFunctions = {{
    {"floor", "floor", Whole::kAlways},
    {"ceil", "ceil", Whole::kAlways},
    {"round", "round", Whole::kAlways},
    {"rint", "rint", Whole::kAlways},
    {"log2", "log2", Whole::kNever},
    {"abs", "fabs", Whole::kIfOperandsAre},
    {"sqrt", "sqrt", Whole::kNever},
    {"pow", "pow", Whole::kIfOperandsAre},
    {"min", "expr_min", Whole::kIfOperandsAre},
    {"max", "expr_max", Whole::kIfOperandsAre},
    {"ceil_div", "expr_ceil_div", Whole::kAlways},
    {"align", "expr_align", Whole::kIfOperandsAre},
}};

bool IsWhole(Whole rule, bool operands) { return rule == Whole::kAlways || (rule == Whole::kIfOperandsAre && operands); }

// Precedence climbing. The text has been accepted by Expression::Parse before, so only what that accepts and this does not is an error.
class Translator {
 public:
  Translator(const std::string& text, const std::function<CppExpression(const std::string&)>& name) : text_(text), name_(name) {}

  Result<CppExpression> Translate() {
    CppExpression result = Ternary();
    SkipSpace();
    if (at_ != text_.size()) failed_ = true;
    if (failed_) return Error{ErrorCode::kInvalidInput, fmt::format("translate expression '{}': stopped at character {}", text_, at_)};
    return result;
  }

 private:
  void SkipSpace() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_]))) ++at_;
  }
  bool Take(const char* symbol) {
    SkipSpace();
    if (text_.compare(at_, std::strlen(symbol), symbol) != 0) return false;
    at_ += std::strlen(symbol);
    return true;
  }
  CppExpression Failure() {
    failed_ = true;
    return {"0", true};
  }

  CppExpression Ternary() {
    const CppExpression condition = Binary(0);
    if (failed_ || !Take("?")) return condition;
    const CppExpression yes = Ternary();
    if (!Take(":")) return Failure();
    const CppExpression no = Ternary();
    return {fmt::format("({} != 0 ? {} : {})", condition.text, yes.text, no.text), yes.whole && no.whole};
  }

  CppExpression Binary(int weakest) {
    CppExpression left = Unary();
    while (!failed_) {
      SkipSpace();
      const auto* found = std::find_if(kBinary.begin(), kBinary.end(), [&](const BinaryOperator& candidate) {
        return text_.compare(at_, std::strlen(candidate.symbol), candidate.symbol) == 0;
      });
      if (found == kBinary.end() || found->precedence <= weakest) break;
      at_ += std::strlen(found->symbol);
      // `^` is right-associative, all else left.
      const CppExpression right = Binary(*found->symbol == '^' ? found->precedence - 1 : found->precedence);
      left = {fmt::format(fmt::runtime(found->format), left.text, right.text), IsWhole(found->whole, left.whole && right.whole)};
    }
    return left;
  }

  CppExpression Unary() {
    SkipSpace();
    if (Take("-")) {
      const CppExpression operand = Binary(6);
      return {fmt::format("(-{})", operand.text), operand.whole};
    }
    if (Take("+")) return Unary();
    if (text_.compare(at_, 2, "!=") != 0 && Take("!")) return {fmt::format("({} == 0 ? 1.0 : 0.0)", Unary().text), true};
    return Primary();
  }

  CppExpression Primary() {
    SkipSpace();
    if (failed_ || at_ >= text_.size()) return Failure();
    if (Take("(")) {
      const CppExpression inside = Ternary();
      return Take(")") ? inside : Failure();
    }
    const size_t begin = at_;
    const auto current = [&]() -> int { return at_ < text_.size() ? static_cast<unsigned char>(text_[at_]) : 0; };
    if (std::isdigit(current()) || current() == '.') {
      const char* start = text_.c_str() + begin;
      char* end = nullptr;
      const double number = std::strtod(start, &end);
      at_ += static_cast<size_t>(end - start);
      const std::string printed = fmt::format("{}", number);
      return {printed.find_first_of(".e") == std::string::npos ? printed + ".0" : printed, number == std::floor(number)};
    }
    while (std::isalnum(current()) || current() == '_' || current() == '.') ++at_;
    if (at_ == begin) return Failure();
    const std::string word = text_.substr(begin, at_ - begin);
    if (!Take("(")) {
      const CppExpression named = name_(word);
      return {fmt::format("(double)({})", named.text), named.whole};
    }
    return Call(word);
  }

  CppExpression Call(const std::string& word) {
    const auto* function = std::find_if(kFunctions.begin(), kFunctions.end(), [&](const Function& known) { return word == known.name; });
    if (function == kFunctions.end()) return Failure();
    std::vector<CppExpression> arguments = {Ternary()};
    while (!failed_ && Take(",")) arguments.push_back(Ternary());
    if (!Take(")")) return Failure();
    const bool folds = word == "min" || word == "max";  // of any number of arguments
    CppExpression result = arguments.front();
    for (size_t i = 1; i < arguments.size(); ++i) {
      const char* format = folds && i + 1 < arguments.size() ? "{2}({0}, {1})" : "{0}, {1}";
      result = {fmt::format(fmt::runtime(format), result.text, arguments[i].text, function->cpp_name), result.whole && arguments[i].whole};
    }
    const bool single = folds && arguments.size() == 1;
    return {single ? result.text : fmt::format("{}({})", function->cpp_name, result.text), IsWhole(function->whole, result.whole)};
  }

  const std::string& text_;
  const std::function<CppExpression(const std::string&)>& name_;
  size_t at_ = 0;
  bool failed_ = false;
};

}  // namespace

Result<CppExpression> ExpressionToCpp(const std::string& text, const std::function<CppExpression(const std::string&)>& name) {
  if (Result<Expression> parsed = Expression::Parse(text); !parsed) return parsed.error();
  return Translator(text, name).Translate();
}

}  // namespace lathe
