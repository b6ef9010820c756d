#include "space/solver_parse.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <map>
#include <numbers>
#include <string_view>

namespace lathe::solver {
namespace {

// What is read recursively may not exhaust the stack, whatever the input.
constexpr int kMaximumDepth = 1000;
constexpr size_t kMaximumLength = 10000;
constexpr int kUnaryBindsTighterThan = 7;

struct BinaryOperator {
  std::string_view text;
  int precedence;  // larger binds tighter, as muParser has it; a sign binds like a product: -2^2 is -(2^2)
  Op op;
  bool swap = false;  // a > b is b < a
};

// Longer spellings before their beginnings.
constexpr BinaryOperator kBinaryOperators[] = {
    {"||", 1, Op::kOr},    {"&&", 2, Op::kAnd},      {"<=", 4, Op::kLessEqual},   {">=", 4, Op::kLessEqual, true},
    {"==", 4, Op::kEqual}, {"!=", 4, Op::kNotEqual}, {"<", 4, Op::kLess},         {">", 4, Op::kLess, true},
    {"+", 5, Op::kAdd},    {"-", 5, Op::kSubtract},  {"//", 6, Op::kFloorDivide}, {"*", 6, Op::kMultiply},
    {"/", 6, Op::kDivide}, {"%", 6, Op::kRemainder}, {"^", 7, Op::kCall2},
};

double Power(double a, double b) { return std::pow(a, b); }
double Sign(double a) { return a < 0 ? -1 : (a > 0 ? 1 : 0); }
double RoundHalfUp(double a) { return std::floor(a + 0.5); }

const std::map<std::string_view, Function>& Functions() {
  using One = double (*)(double);
  using Two = double (*)(double, double);
  static const std::map<std::string_view, Function> functions = {
      {"floor", {static_cast<One>(std::floor), nullptr, true}},
      {"ceil", {static_cast<One>(std::ceil), nullptr, true}},
      {"round", {static_cast<One>(std::round), nullptr, true}},
      {"rint", {RoundHalfUp}},
      {"abs", {static_cast<One>(std::fabs)}},
      {"sqrt", {static_cast<One>(std::sqrt), nullptr, true}},
      {"log2", {static_cast<One>(std::log2)}},
      {"log10", {static_cast<One>(std::log10)}},
      {"log", {static_cast<One>(std::log)}},
      {"ln", {static_cast<One>(std::log)}},
      {"exp", {static_cast<One>(std::exp)}},
      {"sign", {Sign}},
      {"sin", {static_cast<One>(std::sin)}},
      {"cos", {static_cast<One>(std::cos)}},
      {"tan", {static_cast<One>(std::tan)}},
      {"asin", {static_cast<One>(std::asin)}},
      {"acos", {static_cast<One>(std::acos)}},
      {"atan", {static_cast<One>(std::atan)}},
      {"sinh", {static_cast<One>(std::sinh)}},
      {"cosh", {static_cast<One>(std::cosh)}},
      {"tanh", {static_cast<One>(std::tanh)}},
      {"asinh", {static_cast<One>(std::asinh)}},
      {"acosh", {static_cast<One>(std::acosh)}},
      {"atanh", {static_cast<One>(std::atanh)}},
      {"pow", {nullptr, Power}},
      {"atan2", {nullptr, static_cast<Two>(std::atan2)}},
  };
  return functions;
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsNameStart(char c) { return c == '_' || c == '.' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool IsNameCharacter(char c) { return IsNameStart(c) || IsDigit(c); }

// Precedence climbing. The first failure is kept; every later step then returns at once.
class Parser {
 public:
  Parser(const std::string& text, const NameLookup& lookup, Graph& graph) : text_(text), lookup_(lookup), graph_(graph) {}

  Result<NodeId> Parse() {
    if (text_.size() > kMaximumLength)
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("constraint '{}…': longer than {} characters", text_.substr(0, 60), kMaximumLength)};
    const NodeId node = Ternary();
    SkipSpace();
    if (failure_.empty() && at_ < text_.size()) Unexpected();
    if (failure_.empty()) return node;
    return Error{ErrorCode::kInvalidInput, fmt::format("constraint '{}': {} (at character {})", text_, failure_, failed_at_)};
  }

 private:
  NodeId Fail(const std::string& reason) {
    if (failure_.empty()) {
      failure_ = reason;
      failed_at_ = at_;
    }
    at_ = text_.size();
    return graph_.Constant(0);
  }

  NodeId Unexpected() {
    return Fail(text_[at_] == '=' ? "'=' alone assigns; '==' compares" : fmt::format("did not expect '{}'", text_.substr(at_)));
  }

  void SkipSpace() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r')) ++at_;
  }

  bool Accept(std::string_view token) {
    SkipSpace();
    if (std::string_view(text_).substr(at_, token.size()) != token) return false;
    at_ += token.size();
    return true;
  }

  NodeId Ternary() {
    if (++depth_ > kMaximumDepth) return Fail("nested too deeply");
    NodeId node = Binary(0);
    if (Accept("?")) {
      const NodeId yes = Ternary();
      if (failure_.empty() && !Accept(":")) Fail("expected ':' after '?'");
      const NodeId no = Ternary();
      if (failure_.empty()) node = graph_.Make(Op::kSelect, {node, yes, no});
    }
    --depth_;
    return node;
  }

  const BinaryOperator* PeekBinary() {
    SkipSpace();
    for (const BinaryOperator& candidate : kBinaryOperators)
      if (std::string_view(text_).substr(at_, candidate.text.size()) == candidate.text) return &candidate;
    return nullptr;
  }

  NodeId Binary(int least_precedence) {
    if (++depth_ > kMaximumDepth) return Fail("nested too deeply");
    NodeId left = Unary();
    while (const BinaryOperator* binary = PeekBinary()) {
      if (binary->precedence < least_precedence) break;
      at_ += binary->text.size();
      const bool to_the_right = binary->text == "^";  // 2^3^2 is 2^(3^2)
      const NodeId right = Binary(binary->precedence + (to_the_right ? 0 : 1));
      if (!failure_.empty()) return left;
      Function function;
      if (binary->op == Op::kCall2) function.two = Power;
      left = binary->swap ? graph_.Make(binary->op, {right, left}, function) : graph_.Make(binary->op, {left, right}, function);
    }
    --depth_;
    return left;
  }

  NodeId Unary() {
    NodeId node = 0;
    if (Accept("-")) {
      node = Apply(Op::kNegate, Binary(kUnaryBindsTighterThan));
    } else if (Accept("+")) {
      node = Binary(kUnaryBindsTighterThan);
    } else if (Accept("!")) {
      node = Apply(Op::kNot, Binary(kUnaryBindsTighterThan));
    } else {
      node = Primary();
    }
    return node;
  }

  NodeId Apply(Op op, NodeId operand) { return failure_.empty() ? graph_.Make(op, {operand}) : operand; }

  NodeId Primary() {
    SkipSpace();
    if (Accept("(")) {
      const NodeId inside = Ternary();
      if (failure_.empty() && !Accept(")")) Fail("a bracket is not closed");
      return inside;
    }
    if (at_ >= text_.size()) return Fail("ends where a value was expected");
    const char c = text_[at_];
    if (IsDigit(c) || (c == '.' && at_ + 1 < text_.size() && IsDigit(text_[at_ + 1]))) return Number();
    if (IsNameStart(c)) return Name();
    return Unexpected();
  }

  NodeId Number() {
    double value = 0;
    const auto [rest, failure] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
    if (failure != std::errc()) return Fail("not a number");
    const size_t end = static_cast<size_t>(rest - text_.data());
    if (end < text_.size() && IsNameCharacter(text_[end])) return Fail("a number runs into a name");
    at_ = end;
    return graph_.Constant(value);
  }

  NodeId Name() {
    const size_t begin = at_;
    size_t end = at_;
    while (end < text_.size() && IsNameCharacter(text_[end])) ++end;
    const std::string name = text_.substr(begin, end - begin);
    at_ = end;
    SkipSpace();
    if (at_ < text_.size() && text_[at_] == '(') return Call(name, begin);
    if (const std::optional<NodeId> node = lookup_(name)) return *node;
    if (name == "_pi") return graph_.Constant(std::numbers::pi);
    if (name == "_e") return graph_.Constant(std::numbers::e);
    at_ = begin;
    return Fail(fmt::format("nothing is called '{}' here", name));
  }

  NodeId Call(const std::string& name, size_t begin) {
    Accept("(");
    std::vector<NodeId> arguments;
    if (!Accept(")")) {
      do arguments.push_back(Ternary());
      while (failure_.empty() && Accept(","));
      if (failure_.empty() && !Accept(")")) Fail(fmt::format("the bracket of '{}' is not closed", name));
    }
    if (!failure_.empty()) return 0;

    const bool list = name == "min" || name == "max" || name == "sum" || name == "avg";
    const bool rounds_up = name == "ceil_div" || name == "align";
    const auto function = Functions().find(name);
    if (!list && !rounds_up && function == Functions().end()) {
      at_ = begin;
      return Fail(fmt::format("there is no function '{}'", name));
    }
    const size_t wanted = list || (!rounds_up && function->second.one) ? 1 : 2;
    if (list ? arguments.empty() : arguments.size() != wanted) {
      at_ = begin;
      return Fail(fmt::format("'{}' takes {}{} value{}, found {}", name, list ? "at least " : "", wanted, wanted == 1 ? "" : "s",
                              arguments.size()));
    }
    if (rounds_up) {
      const NodeId quotient = graph_.Make(Op::kDivide, arguments);
      const NodeId steps = graph_.Make(Op::kCall1, {quotient}, Functions().at("ceil"));
      return name == "align" ? graph_.Make(Op::kMultiply, {steps, arguments[1]}) : steps;
    }
    if (!list) return graph_.Make(function->second.one ? Op::kCall1 : Op::kCall2, arguments, function->second);
    const Op op = name == "min" ? Op::kMinimum : (name == "max" ? Op::kMaximum : Op::kAdd);
    NodeId folded = arguments[0];
    for (size_t i = 1; i < arguments.size(); ++i) folded = graph_.Make(op, {folded, arguments[i]});
    return name == "avg" ? graph_.Make(Op::kDivide, {folded, graph_.Constant(static_cast<double>(arguments.size()))}) : folded;
  }

  const std::string& text_;
  const NameLookup& lookup_;
  Graph& graph_;
  size_t at_ = 0;
  int depth_ = 0;
  std::string failure_;
  size_t failed_at_ = 0;
};

}  // namespace

Result<NodeId> ParseConstraint(const std::string& text, const NameLookup& lookup, Graph& graph) {
  return Parser(text, lookup, graph).Parse();
}

std::vector<NodeId> Conjuncts(const Graph& graph, NodeId constraint) {
  const Node& node = graph[constraint];
  return node.op == Op::kAnd ? node.operands : std::vector<NodeId>{constraint};
}

}  // namespace lathe::solver
