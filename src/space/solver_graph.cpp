#include "space/solver_graph.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace lathe::solver {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kExactInteger = 9007199254740992.0;  // 2^53: integers up to here are exact
constexpr size_t kMaximumValues = 1024;               // beyond, a node's values are estimated
constexpr size_t kMaximumCombinations = 4096;

template <typename F>
void ForLanes(Lanes a, Lanes b, double* out, size_t count, F f) {
  for (size_t i = 0; i < count; ++i) out[i] = f(a.values[i * a.stride], b.values[i * b.stride]);
}

bool IsList(Op op) { return op >= Op::kAdd && op <= Op::kOr; }
bool IsTruth(Op op) { return op == Op::kAnd || op == Op::kOr || op == Op::kNot || (op >= Op::kLess && op <= Op::kNotEqual); }

// For many integers close together, as most spaces have: marks each, instead of sorting. False when they are not like that.
bool MarkUnique(std::vector<double>& values) {
  constexpr double kSpan = 65536;
  if (values.size() < 64) return false;
  double low = values[0], high = values[0];
  for (double value : values) {
    if (!(std::abs(value) < kExactInteger) || value != std::floor(value) || (value == 0 && std::signbit(value))) return false;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  if (high - low >= kSpan) return false;
  std::vector<bool> present(static_cast<size_t>(high - low) + 1, false);
  for (double value : values) present[static_cast<size_t>(value - low)] = true;
  values.clear();
  for (size_t i = 0; i < present.size(); ++i)
    if (present[i]) values.push_back(low + static_cast<double>(i));
  return true;
}

// Ascending, each once; -0 is not 0 (divide by it and see); what is not a number last, once.
void SortUnique(std::vector<double>& values) {
  if (MarkUnique(values)) return;
  const auto less = [](double a, double b) {
    if (std::isnan(a) || std::isnan(b)) return !std::isnan(a) && std::isnan(b);
    return a < b || (a == b && std::signbit(a) && !std::signbit(b));
  };
  const auto equal = [&](double a, double b) { return !less(a, b) && !less(b, a); };
  std::sort(values.begin(), values.end(), less);
  values.erase(std::unique(values.begin(), values.end(), equal), values.end());
}

// Every result of `op` over two sets of values; empty when there are too many pairs.
std::vector<double> Combine(Op op, const Function& function, const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<double> values;
  if (a.empty() || b.empty() || a.size() * b.size() > kMaximumCombinations) return values;
  values.resize(a.size() * b.size());
  for (size_t i = 0; i < a.size(); ++i) Evaluate(op, function, {&a[i], 0}, {b.data(), 1}, {}, &values[i * b.size()], b.size());
  SortUnique(values);
  if (values.size() > kMaximumValues) values.clear();
  return values;
}

}  // namespace

void Evaluate(Op op, const Function& function, Lanes a, Lanes b, Lanes c, double* out, size_t count) {
  switch (op) {
    case Op::kAdd:
      return ForLanes(a, b, out, count, [](double x, double y) { return x + y; });
    case Op::kMultiply:
      return ForLanes(a, b, out, count, [](double x, double y) { return x * y; });
    case Op::kMinimum:
      return ForLanes(a, b, out, count, [](double x, double y) { return y < x ? y : x; });
    case Op::kMaximum:
      return ForLanes(a, b, out, count, [](double x, double y) { return x < y ? y : x; });
    case Op::kAnd:
      return ForLanes(a, b, out, count, [](double x, double y) { return x != 0 && y != 0 ? 1.0 : 0.0; });
    case Op::kOr:
      return ForLanes(a, b, out, count, [](double x, double y) { return x != 0 || y != 0 ? 1.0 : 0.0; });
    case Op::kSubtract:
      return ForLanes(a, b, out, count, [](double x, double y) { return x - y; });
    case Op::kDivide:
      return ForLanes(a, b, out, count, [](double x, double y) { return x / y; });
    case Op::kFloorDivide:
      return ForLanes(a, b, out, count, [](double x, double y) { return std::floor(x / y); });
    case Op::kRemainder:
      return ForLanes(a, b, out, count, [](double x, double y) { return x - y * std::floor(x / y); });
    case Op::kLess:
      return ForLanes(a, b, out, count, [](double x, double y) { return x < y ? 1.0 : 0.0; });
    case Op::kLessEqual:
      return ForLanes(a, b, out, count, [](double x, double y) { return x <= y ? 1.0 : 0.0; });
    case Op::kEqual:
      return ForLanes(a, b, out, count, [](double x, double y) { return x == y ? 1.0 : 0.0; });
    case Op::kNotEqual:
      return ForLanes(a, b, out, count, [](double x, double y) { return x != y ? 1.0 : 0.0; });
    case Op::kNegate:
      return ForLanes(a, a, out, count, [](double x, double) { return -x; });
    case Op::kNot:
      return ForLanes(a, a, out, count, [](double x, double) { return x == 0 ? 1.0 : 0.0; });
    case Op::kCall1:
      return ForLanes(a, a, out, count, [&](double x, double) { return function.one(x); });
    case Op::kCall2:
      return ForLanes(a, b, out, count, [&](double x, double y) { return function.two(x, y); });
    case Op::kSelect:
      for (size_t i = 0; i < count; ++i) out[i] = a.values[i * a.stride] != 0 ? b.values[i * b.stride] : c.values[i * c.stride];
      return;
    case Op::kConstant:
    case Op::kParameter:
      return;  // values, not operations: nothing evaluates them
  }
}

NodeId Graph::Intern(Node node) {
  const uint64_t own = node.op == Op::kParameter ? node.parameter : std::bit_cast<uint64_t>(node.constant);
  void* function = node.function.one ? reinterpret_cast<void*>(node.function.one) : reinterpret_cast<void*>(node.function.two);
  const auto [found, inserted] = known_.try_emplace({node.op, own, function, node.operands}, static_cast<NodeId>(nodes_.size()));
  if (inserted) {
    const NodeId made = found->second;
    for (NodeId id : node.operands) {
      const std::vector<uint16_t>& below = nodes_[id].parameters;
      std::vector<uint16_t> merged;
      std::set_union(node.parameters.begin(), node.parameters.end(), below.begin(), below.end(), std::back_inserter(merged));
      node.parameters = std::move(merged);
    }
    if (node.op == Op::kParameter) node.parameters = {node.parameter};
    nodes_.push_back(std::move(node));
    value_lists_.emplace_back();
    // The bounds of an integer sum or product follow from its operands'; of anything else, from the values it can take.
    const bool deferred = nodes_[made].any_order && (nodes_[made].op == Op::kAdd || nodes_[made].op == Op::kMultiply);
    FindBounds(nodes_[made], deferred ? std::vector<double>{} : Values(made));
  }
  return found->second;
}

NodeId Graph::Constant(double value) {
  Node node;
  node.constant = value;
  return Intern(std::move(node));
}

NodeId Graph::Parameter(uint16_t parameter) {
  if (domains_[parameter].size() == 1) return Constant(domains_[parameter].front());
  Node node;
  node.op = Op::kParameter;
  node.parameter = parameter;
  return Intern(std::move(node));
}

bool Graph::CombinesInAnyOrder(Op op, const std::vector<NodeId>& operands) const {
  double largest = op == Op::kMultiply ? 1 : 0;
  for (NodeId id : operands) {
    const Node& node = nodes_[id];
    if (!node.integral) return false;
    const double magnitude = std::max(std::abs(node.low), std::abs(node.high));
    largest = op == Op::kMultiply ? largest * std::max(1.0, magnitude) : largest + magnitude;
  }
  return largest < kExactInteger;
}

std::vector<NodeId> Graph::FoldConstants(Op op, std::vector<NodeId> list) {
  std::sort(list.begin(), list.end());
  const auto variable = [&](NodeId id) { return nodes_[id].op != Op::kConstant; };
  const auto constants = std::stable_partition(list.begin(), list.end(), variable);
  if (list.end() - constants > 1) {
    double folded = nodes_[*constants].constant;
    for (auto other = constants + 1; other != list.end(); ++other) Evaluate(op, {}, {&folded}, {&nodes_[*other].constant}, {}, &folded, 1);
    list.erase(constants, list.end());
    list.push_back(Constant(folded));
  }
  std::sort(list.begin(), list.end());
  return list;
}

NodeId Graph::MakeLogical(Op op, const std::vector<NodeId>& operands) {
  const bool decides = op == Op::kOr;  // the truth value that settles the whole list
  Node node;
  node.op = op;
  node.any_order = true;
  for (NodeId id : operands) {
    const Node& operand = nodes_[id];
    const bool settled = operand.op == Op::kConstant && (decides || std::isfinite(operand.constant));
    if (settled) {
      if ((operand.constant != 0) == decides) return Constant(decides ? 1 : 0);
    } else if (operand.op == op) {
      node.operands.insert(node.operands.end(), operand.operands.begin(), operand.operands.end());
    } else {
      node.operands.push_back(id);
    }
  }
  std::sort(node.operands.begin(), node.operands.end());
  node.operands.erase(std::unique(node.operands.begin(), node.operands.end()), node.operands.end());
  if (node.operands.empty()) return Constant(decides ? 0 : 1);
  const auto constant = [&](NodeId id) { return nodes_[id].op == Op::kConstant; };
  if (node.operands.size() == 1 || std::all_of(node.operands.begin(), node.operands.end(), constant)) {
    const NodeId only = node.operands.front();
    // What is not finite stays, for Holds() to refuse when this is a constraint of its own.
    return IsTruth(nodes_[only].op) || nodes_[only].op == Op::kConstant ? only : Make(Op::kNotEqual, {only, Constant(0)});
  }
  return Intern(std::move(node));
}

NodeId Graph::Make(Op op, std::vector<NodeId> operands, const Function& function) {
  if (op == Op::kAnd || op == Op::kOr) return MakeLogical(op, operands);
  if (op == Op::kSelect && nodes_[operands[0]].op == Op::kConstant) return nodes_[operands[0]].constant != 0 ? operands[1] : operands[2];
  // A difference joins the sums around it.
  if (op == Op::kSubtract && CombinesInAnyOrder(Op::kAdd, operands)) return Make(Op::kAdd, {operands[0], Make(Op::kNegate, {operands[1]})});

  Node node;
  node.op = op;
  node.function = function;
  const bool any_order = IsList(op) && CombinesInAnyOrder(op, operands);
  if (IsList(op) && !any_order && operands.size() > 2) {  // from the left, as it was written
    NodeId folded = operands[0];
    for (size_t i = 1; i < operands.size(); ++i) folded = Make(op, {folded, operands[i]});
    return folded;
  }
  if (any_order) {
    std::vector<NodeId> flat;
    for (NodeId id : operands) {
      const Node& operand = nodes_[id];
      if (operand.op == op && operand.any_order) {
        flat.insert(flat.end(), operand.operands.begin(), operand.operands.end());
      } else {
        flat.push_back(id);
      }
    }
    node.any_order = CombinesInAnyOrder(op, flat);
    if (node.any_order) operands = FoldConstants(op, std::move(flat));
    if (operands.size() == 1) return operands[0];
  }
  node.operands = std::move(operands);
  const NodeId made = Intern(std::move(node));
  // Whatever can only be one number is that number: an always true comparison disappears here.
  if (nodes_[made].any_order) return nodes_[made].low == nodes_[made].high ? Constant(nodes_[made].low) : made;
  if (Values(made).size() == 1) return Constant(Values(made).front());
  return made;
}

NodeId Graph::Copy(const Graph& other, NodeId id) {
  const Node& node = other[id];
  if (node.op == Op::kConstant) return Constant(node.constant);
  if (node.op == Op::kParameter) return Parameter(node.parameter);
  std::vector<NodeId> operands;
  operands.reserve(node.operands.size());
  for (NodeId operand : node.operands) operands.push_back(Copy(other, operand));
  return Make(node.op, std::move(operands), node.function);
}

const Graph::ValueList& Graph::ListValues(NodeId id) const {
  if (value_lists_[id].known) return value_lists_[id];
  const Node& node = nodes_[id];
  ValueList list;
  list.known = true;
  if (node.op == Op::kConstant) {
    list.values = {node.constant};
  } else if (node.op == Op::kParameter) {
    list.values = domains_[node.parameter];
    SortUnique(list.values);
  } else if (node.op == Op::kSelect) {
    const std::vector<double>&yes = Values(node.operands[1]), &no = Values(node.operands[2]);
    list.distinct = Distinct(node.operands[1]) + Distinct(node.operands[2]);
    if (!yes.empty() && !no.empty() && yes.size() + no.size() <= kMaximumValues) {
      list.values = yes;
      list.values.insert(list.values.end(), no.begin(), no.end());
      SortUnique(list.values);
    }
  } else {
    for (NodeId operand : node.operands) list.distinct *= Distinct(operand);
    list.values = Values(node.operands[0]);
    if (node.operands.size() == 1) list.values = Combine(node.op, node.function, list.values, {0.0});
    for (size_t i = 1; i < node.operands.size(); ++i) list.values = Combine(node.op, node.function, list.values, Values(node.operands[i]));
    if (IsTruth(node.op) && list.values.empty()) list.values = {0.0, 1.0};
    if (list.values.empty() && node.integral) list.distinct = std::min(list.distinct, node.high - node.low + 1);
  }
  if (!list.values.empty()) list.distinct = static_cast<double>(list.values.size());
  return value_lists_[id] = std::move(list);
}

void Graph::FindBounds(Node& node, const std::vector<double>& values) const {
  if (!values.empty()) {
    // What is not finite leaves the bounds open; it is sorted to an end.
    const bool finite = std::isfinite(values.front()) && std::isfinite(values.back());
    node.low = finite ? values.front() : -kInfinity;
    node.high = finite ? values.back() : kInfinity;
    node.integral = finite && std::all_of(values.begin(), values.end(), [](double v) { return v == std::floor(v); });
    return;
  }

  // Too many values to list: bounds from the operands' bounds where that is simple.
  node.low = -kInfinity;
  node.high = kInfinity;
  bool integral_operands = true;
  for (NodeId id : node.operands) integral_operands = integral_operands && nodes_[id].integral;
  switch (node.op) {
    case Op::kAdd:
      node.low = node.high = 0;
      for (NodeId id : node.operands) node.low += nodes_[id].low, node.high += nodes_[id].high;
      node.integral = integral_operands;
      break;
    case Op::kMultiply:
      node.low = node.high = 1;
      for (NodeId id : node.operands) {
        const double corners[] = {node.low * nodes_[id].low, node.low * nodes_[id].high, node.high * nodes_[id].low,
                                  node.high * nodes_[id].high};
        node.low = *std::min_element(std::begin(corners), std::end(corners));
        node.high = *std::max_element(std::begin(corners), std::end(corners));
      }
      node.integral = integral_operands;
      break;
    case Op::kNegate:
      node.low = -nodes_[node.operands[0]].high;
      node.high = -nodes_[node.operands[0]].low;
      node.integral = integral_operands;
      break;
    case Op::kMinimum:
    case Op::kMaximum:
    case Op::kSelect: {
      const size_t first = node.op == Op::kSelect ? 1 : 0;
      node.low = kInfinity, node.high = -kInfinity;
      for (size_t i = first; i < node.operands.size(); ++i) {
        node.low = std::min(node.low, nodes_[node.operands[i]].low);
        node.high = std::max(node.high, nodes_[node.operands[i]].high);
      }
      node.integral = true;
      for (size_t i = first; i < node.operands.size(); ++i) node.integral = node.integral && nodes_[node.operands[i]].integral;
      break;
    }
    default:
      break;  // open bounds, perhaps not integral
  }
  if (std::isnan(node.low) || std::isnan(node.high) || !std::isfinite(node.low) || !std::isfinite(node.high)) {
    node.low = -kInfinity;
    node.high = kInfinity;
    node.integral = false;
  }
}

}  // namespace lathe::solver
