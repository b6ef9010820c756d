#include "core/expression.h"

#include <fmt/format.h>
#include <muParser.h>

#include <algorithm>
#include <cmath>
#include <set>

namespace lathe {
namespace {

using Number = mu::value_type;

Number Remainder(Number a, Number b) { return a - b * std::floor(a / b); }
Number FloorDivide(Number a, Number b) { return std::floor(a / b); }
Number CeilDivide(Number a, Number b) { return std::ceil(a / b); }
Number Align(Number a, Number b) { return std::ceil(a / b) * b; }
Number Not(Number a) { return a == 0 ? 1 : 0; }

// `%` is not an operator character muParser knows, and it reads `//` as nothing; both bind like `*`.
constexpr int kProductPrecedence = 6;
constexpr const char* kNameCharacters = "0123456789_.abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

}  // namespace

struct Expression::Compiled {
  std::string text;
  std::vector<std::string> names;
  mutable std::vector<double> slots;  // muParser reads variables through pointers into here
  mu::Parser parser;
};

Expression::Expression(std::unique_ptr<Compiled> compiled) : compiled_(std::move(compiled)) {}
Expression::Expression(Expression&&) noexcept = default;
Expression& Expression::operator=(Expression&&) noexcept = default;
Expression::~Expression() = default;

const std::string& Expression::text() const { return compiled_->text; }
const std::vector<std::string>& Expression::names() const { return compiled_->names; }

Result<Expression> Expression::Parse(const std::string& text) {
  auto compiled = std::make_unique<Compiled>();
  compiled->text = text;
  mu::Parser& parser = compiled->parser;
  try {
    parser.DefineNameChars(kNameCharacters);
    parser.DefineOprtChars("+-*^/?<>=#!$%&|~'_:");
    parser.DefineOprt("%", Remainder, kProductPrecedence, mu::oaLEFT, true);
    parser.DefineOprt("//", FloorDivide, kProductPrecedence, mu::oaLEFT, true);
    parser.DefineInfixOprt("!", Not);
    parser.DefineFun("floor", [](Number a) { return std::floor(a); });
    parser.DefineFun("ceil", [](Number a) { return std::ceil(a); });
    parser.DefineFun("round", [](Number a) { return std::round(a); });
    parser.DefineFun("pow", [](Number a, Number b) { return std::pow(a, b); });
    parser.DefineFun("ceil_div", CeilDivide);
    parser.DefineFun("align", Align);
    parser.SetExpr(text);
    std::set<std::string> used;
    for (const auto& [name, ignored] : parser.GetUsedVar()) used.insert(name);
    compiled->names.assign(used.begin(), used.end());
    compiled->slots.assign(compiled->names.size(), 1.0);
    for (size_t i = 0; i < compiled->names.size(); ++i) parser.DefineVar(compiled->names[i], &compiled->slots[i]);
    (void)parser.Eval();  // compiles now, so that a mistake is reported where it was written
  } catch (const mu::ParserError& failure) {
    return Error{ErrorCode::kInvalidInput, fmt::format("expression '{}': {} (at character {})", text, failure.GetMsg(), failure.GetPos())};
  }
  return Expression(std::move(compiled));
}

Result<double> Expression::Evaluate(const std::vector<double>& values) const {
  std::copy(values.begin(), values.end(), compiled_->slots.begin());
  double result = 0;
  try {
    result = compiled_->parser.Eval();
  } catch (const mu::ParserError& failure) {
    return Error{ErrorCode::kInvalidInput, fmt::format("evaluate '{}': {}", compiled_->text, failure.GetMsg())};
  }
  if (!std::isfinite(result)) {
    std::string at;
    for (size_t i = 0; i < values.size(); ++i) at += fmt::format("{}{}={}", i == 0 ? "" : ", ", compiled_->names[i], values[i]);
    return Error{ErrorCode::kInvalidInput, fmt::format("evaluate '{}': the result is not a number at {}", compiled_->text, at)};
  }
  return result;
}

Result<double> Expression::Evaluate(const std::function<std::optional<double>(const std::string&)>& lookup) const {
  std::vector<double> values;
  for (const std::string& name : names()) {
    const std::optional<double> value = lookup(name);
    if (!value) return Error{ErrorCode::kInvalidInput, fmt::format("evaluate '{}': nothing is called '{}' here", text(), name)};
    values.push_back(*value);
  }
  return Evaluate(values);
}

}  // namespace lathe
