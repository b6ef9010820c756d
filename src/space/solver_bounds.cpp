#include "space/solver_bounds.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace lathe::solver {
namespace {

// A check that rules out fewer than one state in so many, after so many states, costs more than it saves.
constexpr uint64_t kTrial = 1024;
constexpr uint64_t kWorthwhile = 32;
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr Range kAnything{-kInfinity, kInfinity};
constexpr Range kTrue{1, 1}, kFalse{0, 0}, kEither{0, 1};

bool Known(Range range) { return range.high - range.low < kInfinity; }  // false where an end is not a number, too
bool NeverZero(Range range) { return Known(range) && (range.low > 0 || range.high < 0); }
bool AlwaysZero(Range range) { return range.low == 0 && range.high == 0; }

Range Checked(Range range) { return Known(range) ? range : kAnything; }

// For an operation that rises or falls throughout in each operand: its least and greatest value at the ends.
template <typename F>
Range Corners(Range a, Range b, F f) {
  const auto [low, high] = std::minmax({f(a.low, b.low), f(a.low, b.high), f(a.high, b.low), f(a.high, b.high)});
  return Checked({low, high});
}

}  // namespace

Range Bound(Op op, const Function& function, Range a, Range b, Range c) {
  switch (op) {
    case Op::kAdd:
      return Checked({a.low + b.low, a.high + b.high});
    case Op::kSubtract:
      return Checked({a.low - b.high, a.high - b.low});
    case Op::kMultiply:
      if (a.low >= 0 && b.low >= 0) return Checked({a.low * b.low, a.high * b.high});
      return Known(a) && Known(b) ? Corners(a, b, [](double x, double y) { return x * y; }) : kAnything;
    case Op::kMinimum:
      return Known(a) && Known(b) ? Range{std::min(a.low, b.low), std::min(a.high, b.high)} : kAnything;
    case Op::kMaximum:
      return Known(a) && Known(b) ? Range{std::max(a.low, b.low), std::max(a.high, b.high)} : kAnything;
    case Op::kDivide:
      return Known(a) && NeverZero(b) ? Corners(a, b, [](double x, double y) { return x / y; }) : kAnything;
    case Op::kFloorDivide:
      return Known(a) && NeverZero(b) ? Corners(a, b, [](double x, double y) { return std::floor(x / y); }) : kAnything;
    case Op::kNegate:
      return Range{-a.high, -a.low};
    case Op::kCall1:
      return function.rising && Known(a) ? Checked({function.one(a.low), function.one(a.high)}) : kAnything;
    case Op::kRemainder:
      // Less than the divisor, clearly: itself. Else it could be anything up to the divisor, which decides little.
      return Known(a) && Known(b) && a.low >= 0 && a.high < b.low * (1 - 1e-9) ? a : kAnything;
    case Op::kLess:
      if (!Known(a) || !Known(b)) return kEither;
      return a.high < b.low ? kTrue : (a.low >= b.high ? kFalse : kEither);
    case Op::kLessEqual:
      if (!Known(a) || !Known(b)) return kEither;
      return a.high <= b.low ? kTrue : (a.low > b.high ? kFalse : kEither);
    case Op::kEqual:
    case Op::kNotEqual: {
      if (!Known(a) || !Known(b)) return kEither;
      const bool apart = a.high < b.low || b.high < a.low, same = a.low == a.high && b.low == b.high && a.low == b.low;
      if (!apart && !same) return kEither;
      return same == (op == Op::kEqual) ? kTrue : kFalse;
    }
    case Op::kAnd:
      if (AlwaysZero(a) || AlwaysZero(b)) return kFalse;
      return NeverZero(a) && NeverZero(b) ? kTrue : kEither;
    case Op::kOr:
      if (NeverZero(a) || NeverZero(b)) return kTrue;
      return AlwaysZero(a) && AlwaysZero(b) ? kFalse : kEither;
    case Op::kNot:
      return NeverZero(a) ? kFalse : (AlwaysZero(a) ? kTrue : kEither);
    case Op::kSelect:
      if (NeverZero(a)) return b;
      if (AlwaysZero(a)) return c;
      return {std::min(b.low, c.low), std::max(b.high, c.high)};
    case Op::kCall2:
    case Op::kConstant:
    case Op::kParameter:
      break;
  }
  return kAnything;
}

BoundCheck::BoundCheck(const Program& program, const std::vector<std::vector<double>>& domains, int level,
                       const std::vector<uint32_t>& known)
    : state_size_(known.size()) {
  const std::vector<Slot>& slots = program.slots;
  // What the constraints in question read, down to the state.
  std::vector<bool> wanted(slots.size(), false), varies(slots.size(), false);
  for (uint32_t root : program.roots) wanted[root] = slots[root].level > level;
  for (size_t i = slots.size(); i-- > 0;)
    if (wanted[i] && slots[i].level >= level)
      for (size_t k = 0; k < slots[i].operand_count; ++k) wanted[slots[i].operands[k]] = true;

  ranges_.resize(known.size());
  std::vector<uint32_t> index_of(slots.size(), 0);
  for (uint32_t i = 0; i < known.size(); ++i) {
    index_of[known[i]] = i;
    varies[known[i]] = true;
  }
  for (size_t i = 0; i < slots.size(); ++i) {
    const Slot& slot = slots[i];
    if (!wanted[i] || varies[i]) continue;
    Range range = kAnything;
    if (slot.op == Op::kConstant) {
      range = std::isfinite(slot.constant) ? Range{slot.constant, slot.constant} : kAnything;
    } else if (slot.op == Op::kParameter) {
      const auto [low, high] = std::minmax_element(domains[slot.parameter].begin(), domains[slot.parameter].end());
      range = {*low, *high};
    } else {
      Operation operation{slot.op, slot.function, {}, static_cast<uint32_t>(ranges_.size())};
      for (size_t k = 0; k < 3; ++k) {
        const uint32_t operand = slot.operands[k < slot.operand_count ? k : 0];
        operation.operands[k] = index_of[operand];
        varies[i] = varies[i] || varies[operand];
      }
      if (varies[i]) {
        operations_.push_back(operation);
      } else {
        const auto at = [&](size_t k) { return ranges_[operation.operands[k]]; };
        range = Bound(slot.op, slot.function, at(0), at(1), at(2));
      }
    }
    index_of[i] = static_cast<uint32_t>(ranges_.size());
    ranges_.push_back(range);
  }
  for (uint32_t root : program.roots)
    if (slots[root].level > level && varies[root]) checks_.push_back(index_of[root]);
}

bool BoundCheck::Possible(const double* state) {
  if (checks_.empty() || (asked_ >= kTrial && ruled_out_ < asked_ / kWorthwhile)) return true;
  for (size_t i = 0; i < state_size_; ++i) ranges_[i] = std::isfinite(state[i]) ? Range{state[i], state[i]} : kAnything;
  for (const Operation& operation : operations_) {
    const auto at = [&](size_t k) { return ranges_[operation.operands[k]]; };
    ranges_[operation.result] = Bound(operation.op, operation.function, at(0), at(1), at(2));
  }
  const bool possible = std::none_of(checks_.begin(), checks_.end(), [&](uint32_t check) { return AlwaysZero(ranges_[check]); });
  ++asked_;
  ruled_out_ += possible ? 0 : 1;
  return possible;
}

}  // namespace lathe::solver
