// Folding of operators that compute: element-wise arithmetic with broadcasting, casts, reductions, ranges.
//
// Numbers behave as ONNX Runtime's do: integer division truncates, float results are rounded to float at every step (a scale such as
// 800/min(h, w) is floored later, so the last bit counts). What overflows, divides by zero or would need a value nobody knows becomes open.
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "deploy/onnx_rules.h"

namespace lathe::graph {
namespace {

using Ints = std::vector<int64_t>;

Scalar Known64(int64_t value) { return {true, value, 0, -1}; }

double Round(int type, double value) { return type == kFloat ? static_cast<double>(static_cast<float>(value)) : value; }

Scalar RealScalar(int type, double value) {
  if (std::isnan(value)) return {};
  return {true, 0, Round(type, value), -1};
}

// Wraps as a two's complement conversion does.
int64_t Narrow(int type, int64_t value) {
  switch (type) {
    case kUint8:
      return static_cast<uint8_t>(value);
    case kInt8:
      return static_cast<int8_t>(value);
    case kUint16:
      return static_cast<uint16_t>(value);
    case kInt16:
      return static_cast<int16_t>(value);
    case kInt32:
      return static_cast<int32_t>(value);
    case kUint32:
      return static_cast<uint32_t>(value);
    case kBool:
      return value != 0;
    default:
      return value;
  }
}

Scalar CastScalar(int from, int to, const Scalar& value) {
  if (!value.known) return value;  // a size that is open stays the same size
  if (IsReal(to)) return RealScalar(to, IsReal(from) ? value.real : static_cast<double>(value.integer));
  if (!IsReal(from)) return Known64(Narrow(to, value.integer));
  if (to == kBool) return Known64(value.real != 0);
  if (!(std::abs(value.real) < 9.2e18)) return {};
  return Known64(Narrow(to, static_cast<int64_t>(value.real)));
}

// What an open scalar is known not to exceed.
std::optional<int64_t> Bound(const Symbols& symbols, const Scalar& scalar) {
  if (scalar.known) return scalar.integer;
  return scalar.symbol >= 0 ? symbols[scalar.symbol].bound : std::nullopt;
}

std::string Reason(const Symbols& symbols, const Scalar& a, const Scalar& b) {
  for (const Scalar* scalar : {&a, &b})
    if (!scalar->known && scalar->symbol >= 0) return symbols[scalar->symbol].reason;
  return "it is computed from data";
}

enum class Op { kAdd, kSub, kMul, kDiv, kMod, kPow, kMin, kMax, kEqual, kLess, kGreater, kLessEqual, kGreaterEqual, kAnd, kOr, kXor };

bool Compares(Op op) { return op >= Op::kEqual; }

// Sizes are never negative, so a bound survives the operations that grow with both arguments.
Scalar OpenResult(Op op, const Scalar& a, const Scalar& b, int type, Symbols& symbols) {
  // x + 0, x * 1, x / 1 are x still.
  const bool right_neutral = b.known && IsInteger(type) && b.integer == (op == Op::kAdd || op == Op::kSub ? 0 : 1);
  if (right_neutral && (op == Op::kAdd || op == Op::kSub || op == Op::kMul || op == Op::kDiv)) return a;
  if (a.known && op == Op::kMul && IsInteger(type) && a.integer == 1) return b;
  if (a.known && op == Op::kAdd && IsInteger(type) && a.integer == 0) return b;
  std::optional<int64_t> bound;
  if (IsInteger(type)) {
    const std::optional<int64_t> x = Bound(symbols, a), y = Bound(symbols, b);
    int64_t result = 0;
    if (op == Op::kMin && (x || y)) bound = std::min(x.value_or(INT64_MAX), y.value_or(INT64_MAX));
    if (x && y && *x >= 0 && *y >= 0) {
      if (op == Op::kMax) bound = std::max(*x, *y);
      if (op == Op::kAdd && !__builtin_add_overflow(*x, *y, &result)) bound = result;
      if (op == Op::kMul && !__builtin_mul_overflow(*x, *y, &result)) bound = result;
    }
    if (op == Op::kDiv && x && b.known && b.integer > 0) bound = *x / b.integer;
    if (bound && *bound < 0) bound.reset();
  }
  Scalar open;
  open.symbol = symbols.New(Reason(symbols, a, b), bound);
  return open;
}

Scalar IntegerResult(Op op, int64_t x, int64_t y, int type, bool fmod) {
  int64_t result = 0;
  bool overflow = false;
  switch (op) {
    case Op::kAdd:
      overflow = __builtin_add_overflow(x, y, &result);
      break;
    case Op::kSub:
      overflow = __builtin_sub_overflow(x, y, &result);
      break;
    case Op::kMul:
      overflow = __builtin_mul_overflow(x, y, &result);
      break;
    case Op::kDiv:
    case Op::kMod:
      if (y == 0 || (x == INT64_MIN && y == -1)) return {};
      result = op == Op::kDiv ? x / y : x % y;
      if (op == Op::kMod && !fmod && result != 0 && (result < 0) != (y < 0)) result += y;
      break;
    case Op::kPow: {
      const double power = std::pow(static_cast<double>(x), static_cast<double>(y));
      if (!(std::abs(power) < 9e15)) return {};
      result = static_cast<int64_t>(power);
      break;
    }
    case Op::kMin:
      result = std::min(x, y);
      break;
    case Op::kMax:
      result = std::max(x, y);
      break;
    case Op::kEqual:
      return Known64(x == y);
    case Op::kLess:
      return Known64(x < y);
    case Op::kGreater:
      return Known64(x > y);
    case Op::kLessEqual:
      return Known64(x <= y);
    case Op::kGreaterEqual:
      return Known64(x >= y);
    case Op::kAnd:
      return Known64(x && y);
    case Op::kOr:
      return Known64(x || y);
    case Op::kXor:
      return Known64((x != 0) != (y != 0));
  }
  if (overflow) return {};
  return Known64(Narrow(type, result));
}

Scalar RealResult(Op op, double x, double y, int type, bool fmod) {
  switch (op) {
    case Op::kAdd:
      return RealScalar(type, x + y);
    case Op::kSub:
      return RealScalar(type, x - y);
    case Op::kMul:
      return RealScalar(type, x * y);
    case Op::kDiv:
      return y == 0 ? Scalar{} : RealScalar(type, x / y);
    case Op::kMod:
      return y == 0 || !fmod ? Scalar{} : RealScalar(type, std::fmod(x, y));
    case Op::kPow:
      return RealScalar(type, std::pow(x, y));
    case Op::kMin:
      return RealScalar(type, std::min(x, y));
    case Op::kMax:
      return RealScalar(type, std::max(x, y));
    case Op::kEqual:
      return Known64(x == y);
    case Op::kLess:
      return Known64(x < y);
    case Op::kGreater:
      return Known64(x > y);
    case Op::kLessEqual:
      return Known64(x <= y);
    case Op::kGreaterEqual:
      return Known64(x >= y);
    default:
      return {};
  }
}

// A walk over the result's elements that finds the operand's element for each.
class Broadcast {
 public:
  static std::optional<Ints> Shape(const std::vector<const SmallTensor*>& operands) {
    Ints dims;
    for (const SmallTensor* operand : operands) {
      while (dims.size() < operand->dims.size()) dims.insert(dims.begin(), 1);
      const size_t shift = dims.size() - operand->dims.size();
      for (size_t d = 0; d < operand->dims.size(); ++d) {
        const int64_t dim = operand->dims[d];
        if (dims[shift + d] == 1) {
          dims[shift + d] = dim;
        } else if (dim != 1 && dim != dims[shift + d]) {
          return std::nullopt;
        }
      }
    }
    const std::optional<int64_t> count = ElementCount(dims);
    if (!count || static_cast<uint64_t>(*count) > kSmallTensor) return std::nullopt;
    return dims;
  }

  static const Scalar& At(const SmallTensor& operand, const Ints& dims, int64_t flat) {
    size_t at = 0, stride = 1;
    for (size_t d = dims.size(); d-- > 0;) {
      const int64_t index = flat % dims[d];
      flat /= dims[d];
      if (d + operand.dims.size() < dims.size()) break;
      const int64_t length = operand.dims[d + operand.dims.size() - dims.size()];
      if (length != 1) at += static_cast<size_t>(index) * stride;
      stride *= static_cast<size_t>(length);
    }
    return operand.elements[at];
  }
};

Outputs One(SmallTensor value) {
  std::vector<Known> outputs;
  outputs.push_back(FromValue(std::move(value)));
  return outputs;
}

Outputs Binary(const NodeContext& context, Op op) {
  if (context.inputs.empty() || !context.value(0)) return std::nullopt;
  SmallTensor result = *context.value(0);
  if (!IsReal(result.type) && !IsInteger(result.type)) return std::nullopt;
  const bool fmod = context.node.Int("fmod", 0) != 0;
  for (size_t i = 1; i < context.inputs.size(); ++i) {  // Min and Max take any number
    const SmallTensor* right = context.value(i);
    if (!right) return std::nullopt;
    const bool mixed = right->type != result.type;  // only Pow may
    if (mixed && op != Op::kPow) return std::nullopt;
    const std::optional<Ints> dims = Broadcast::Shape({&result, right});
    if (!dims) return std::nullopt;
    SmallTensor next{Compares(op) ? static_cast<int>(kBool) : result.type, *dims, {}};
    for (int64_t at = 0; at < *ElementCount(*dims); ++at) {
      const Scalar& x = Broadcast::At(result, *dims, at);
      const Scalar y = CastScalar(right->type, result.type, Broadcast::At(*right, *dims, at));
      if (!x.known || !y.known)
        next.elements.push_back(OpenResult(op, x, y, result.type, context.symbols));
      else
        next.elements.push_back(IsReal(result.type) ? RealResult(op, x.real, y.real, result.type, fmod)
                                                    : IntegerResult(op, x.integer, y.integer, result.type, fmod));
    }
    result = std::move(next);
  }
  return One(std::move(result));
}

Outputs Unary(const NodeContext& context, double (*apply)(double)) {
  const SmallTensor* input = context.value(0);
  if (!input) return std::nullopt;
  SmallTensor result = *input;
  for (Scalar& element : result.elements) {
    if (!element.known) {
      element = Scalar{};
    } else if (IsReal(result.type)) {
      element = RealScalar(result.type, apply(element.real));
    } else if (std::abs(static_cast<double>(element.integer)) < 9e15) {
      element = Known64(static_cast<int64_t>(apply(static_cast<double>(element.integer))));
    } else {
      element = Scalar{};
    }
  }
  return One(std::move(result));
}

Outputs Not(const NodeContext& context) {
  const SmallTensor* input = context.value(0);
  if (!input || input->type != kBool) return std::nullopt;
  SmallTensor result = *input;
  for (Scalar& element : result.elements) element = element.known ? Known64(!element.integer) : Scalar{};
  return One(std::move(result));
}

Outputs Identity(const NodeContext& context) {
  if (!context.value(0)) return std::nullopt;
  return One(*context.value(0));
}

Outputs Cast(const NodeContext& context) {
  const SmallTensor* input = context.value(0);
  const auto to = static_cast<int>(context.node.Int("to", kUndefined));
  if (!input || (!IsReal(to) && !IsInteger(to)) || (!IsReal(input->type) && !IsInteger(input->type))) return std::nullopt;
  SmallTensor result{to, input->dims, {}};
  for (const Scalar& element : input->elements) result.elements.push_back(CastScalar(input->type, to, element));
  return One(std::move(result));
}

Outputs Where(const NodeContext& context) {
  const SmallTensor *condition = context.value(0), *yes = context.value(1), *no = context.value(2);
  if (!condition || !yes || !no || yes->type != no->type) return std::nullopt;
  const std::optional<Ints> dims = Broadcast::Shape({condition, yes, no});
  if (!dims) return std::nullopt;
  SmallTensor result{yes->type, *dims, {}};
  for (int64_t at = 0; at < *ElementCount(*dims); ++at) {
    const Scalar& test = Broadcast::At(*condition, *dims, at);
    result.elements.push_back(test.known ? Broadcast::At(test.integer ? *yes : *no, *dims, at) : Scalar{});
  }
  return One(std::move(result));
}

Outputs Range(const NodeContext& context) {
  const SmallTensor *start = context.value(0), *limit = context.value(1), *delta = context.value(2);
  if (!start || !limit || !delta) return std::nullopt;
  for (const SmallTensor* scalar : {start, limit, delta})
    if (scalar->elements.size() != 1 || !scalar->elements[0].known || scalar->type != start->type) return std::nullopt;
  const bool real = IsReal(start->type);
  if (!real && !IsInteger(start->type)) return std::nullopt;
  auto number = [&](const SmallTensor* t) { return real ? t->elements[0].real : static_cast<double>(t->elements[0].integer); };
  const double count = std::max(0.0, std::ceil((number(limit) - number(start)) / number(delta)));
  if (!(count <= static_cast<double>(kSmallTensor))) return std::nullopt;
  SmallTensor result{start->type, {static_cast<int64_t>(count)}, {}};
  for (int64_t i = 0; i < result.dims[0]; ++i) {
    const auto steps = static_cast<double>(i);
    result.elements.push_back(real ? RealScalar(start->type, number(start) + steps * number(delta))
                                   : Known64(start->elements[0].integer + i * delta->elements[0].integer));
  }
  return One(std::move(result));
}

Outputs Reduce(const NodeContext& context, Op op, bool mean) {
  const SmallTensor* data = context.value(0);
  if (!data || (!IsReal(data->type) && !IsInteger(data->type))) return std::nullopt;
  std::vector<bool> reduced(data->dims.size(), false);
  std::optional<Ints> axes = Ints{};
  if (context.input(1) || context.node.Find("axes")) axes = context.integers("axes", 1);
  if (!axes) return std::nullopt;
  if (axes->empty()) {
    if (context.node.Int("noop_with_empty_axes", 0)) return One(*data);
    reduced.assign(data->dims.size(), true);
  }
  const auto rank = static_cast<int64_t>(data->dims.size());
  for (int64_t axis : *axes) {
    if (axis < -rank || axis >= rank) return std::nullopt;
    reduced[static_cast<size_t>(axis < 0 ? axis + rank : axis)] = true;
  }
  Ints kept, dims;
  for (size_t d = 0; d < reduced.size(); ++d) {
    kept.push_back(reduced[d] ? 1 : data->dims[d]);
    if (!reduced[d] || context.node.Int("keepdims", 1)) dims.push_back(kept.back());
  }
  if (data->elements.empty()) return std::nullopt;
  std::vector<std::optional<Scalar>> sums(static_cast<size_t>(*ElementCount(kept)));
  for (size_t flat = 0; flat < data->elements.size(); ++flat) {
    size_t rest = flat, at = 0, stride = 1;
    for (size_t d = reduced.size(); d-- > 0;) {
      const auto length = static_cast<size_t>(data->dims[d]);
      if (!reduced[d]) {
        at += rest % length * stride;
        stride *= length;
      }
      rest /= length;
    }
    const Scalar& element = data->elements[flat];
    std::optional<Scalar>& sum = sums[at];
    if (!sum)
      sum = element;
    else if (!sum->known || !element.known)
      sum = OpenResult(op, *sum, element, data->type, context.symbols);
    else
      sum = IsReal(data->type) ? RealResult(op, sum->real, element.real, data->type, false)
                               : IntegerResult(op, sum->integer, element.integer, data->type, false);
  }
  SmallTensor result{data->type, dims, {}};
  const auto terms = static_cast<double>(data->elements.size() / sums.size());
  for (const std::optional<Scalar>& sum : sums) {
    result.elements.push_back(*sum);
    if (!mean) continue;
    Scalar& element = result.elements.back();
    if (!IsReal(data->type) || !element.known)
      element = Scalar{};
    else
      element.real = Round(data->type, element.real / terms);
  }
  return One(std::move(result));
}

Outputs Clip(const NodeContext& context) {
  const SmallTensor *data = context.value(0), *low = context.value(1), *high = context.value(2);
  if (!data || !IsInteger(data->type) || (context.input(1) && !low) || (context.input(2) && !high)) return std::nullopt;
  SmallTensor result = *data;
  for (const auto& [limit, op] : {std::pair{low, Op::kMax}, std::pair{high, Op::kMin}}) {
    if (!limit) continue;
    if (limit->elements.size() != 1 || !limit->elements[0].known || limit->type != data->type) return std::nullopt;
    for (Scalar& element : result.elements)
      element = element.known ? IntegerResult(op, element.integer, limit->elements[0].integer, data->type, false)
                              : OpenResult(op, element, limit->elements[0], data->type, context.symbols);
  }
  return One(std::move(result));
}

}  // namespace

Outputs FoldArithmetic(const NodeContext& context) {
  static const std::map<std::string, Op> kBinary = {
      {"Add", Op::kAdd},
      {"Sub", Op::kSub},
      {"Mul", Op::kMul},
      {"Div", Op::kDiv},
      {"Mod", Op::kMod},
      {"Pow", Op::kPow},
      {"Min", Op::kMin},
      {"Max", Op::kMax},
      {"Equal", Op::kEqual},
      {"Less", Op::kLess},
      {"Greater", Op::kGreater},
      {"LessOrEqual", Op::kLessEqual},
      {"GreaterOrEqual", Op::kGreaterEqual},
      {"And", Op::kAnd},
      {"Or", Op::kOr},
      {"Xor", Op::kXor},
  };
  static const std::map<std::string, double (*)(double)> kUnary = {
      {"Floor", [](double x) { return std::floor(x); }},     {"Ceil", [](double x) { return std::ceil(x); }},
      {"Round", [](double x) { return std::nearbyint(x); }}, {"Neg", [](double x) { return -x; }},
      {"Abs", [](double x) { return std::abs(x); }},         {"Sqrt", [](double x) { return std::sqrt(x); }},
      {"Exp", [](double x) { return std::exp(x); }},         {"Log", [](double x) { return std::log(x); }},
      {"Reciprocal", [](double x) { return 1 / x; }},        {"Sign", [](double x) { return static_cast<double>((x > 0) - (x < 0)); }},
  };
  static const std::map<std::string, std::pair<Op, bool>> kReduce = {
      {"ReduceSum", {Op::kAdd, false}}, {"ReduceProd", {Op::kMul, false}}, {"ReduceMin", {Op::kMin, false}},
      {"ReduceMax", {Op::kMax, false}}, {"ReduceMean", {Op::kAdd, true}},
  };
  static const std::map<std::string, Outputs (*)(const NodeContext&)> kOther = {
      {"Identity", Identity}, {"Cast", Cast}, {"Where", Where}, {"Range", Range}, {"Not", Not}, {"Clip", Clip},
  };
  const std::string& op = context.node.op;
  if (const auto found = kBinary.find(op); found != kBinary.end()) return Binary(context, found->second);
  if (const auto found = kUnary.find(op); found != kUnary.end()) return Unary(context, found->second);
  if (const auto found = kReduce.find(op); found != kReduce.end()) return Reduce(context, found->second.first, found->second.second);
  if (const auto found = kOther.find(op); found != kOther.end()) return found->second(context);
  return std::nullopt;
}

}  // namespace lathe::graph
