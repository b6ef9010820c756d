// The constraints of a space as one graph of shared sub-expressions, each known with the values it can take.
//
// Nodes are made once (equal expressions are one node), folded when constant, and sums, products, `&&` and `||` are kept as lists, so that
// a later order of the parameters can decide in which order their operands are combined. Sums and products are only kept as lists where
// every partial result is an integer below 2^53: there, and only there, the order cannot change the result.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <tuple>
#include <vector>

namespace lathe::solver {

enum class Op : uint8_t {
  kConstant,
  kParameter,
  // Any number of operands from here …
  kAdd,
  kMultiply,
  kMinimum,
  kMaximum,
  kAnd,
  kOr,
  // … to here; fixed numbers below.
  kSubtract,
  kDivide,
  kFloorDivide,
  kRemainder,
  kLess,
  kLessEqual,
  kEqual,
  kNotEqual,
  kNegate,
  kNot,
  kSelect,  // condition, then, else
  kCall1,
  kCall2,
};

// A library function behind kCall1 or kCall2; the pointers are also the functions' identity.
struct Function {
  double (*one)(double) = nullptr;
  double (*two)(double, double) = nullptr;
  bool rising = false;  // `one` never falls
};

// out[i] = op(a[i * a_stride], …) for i < count; strides are 0 (the same value for all) or 1. Folds no lists: two operands at most, three
// for kSelect.
struct Lanes {
  const double* values = nullptr;
  size_t stride = 0;
};
void Evaluate(Op op, const Function& function, Lanes a, Lanes b, Lanes c, double* out, size_t count);

// Truth of a constraint: finite and not zero. Dividing by zero makes a constraint false, never true.
inline bool Holds(double value) { return value - value == 0 && value != 0; }

using NodeId = uint32_t;

struct Node {
  Op op = Op::kConstant;
  Function function;
  double constant = 0;
  uint16_t parameter = 0;
  std::vector<NodeId> operands;
  bool any_order = false;  // the operands are a list that may be combined in any order

  std::vector<uint16_t> parameters;  // all below it, ascending
  double low = 0, high = 0;          // bounds; infinite when unknown
  bool integral = false;             // never anything but an integer
};

class Graph {
 public:
  // domains[p]: the numbers that parameter p can be. A parameter with one number becomes a constant.
  explicit Graph(std::vector<std::vector<double>> domains) : domains_(std::move(domains)) {}

  NodeId Constant(double value);
  NodeId Parameter(uint16_t parameter);
  NodeId Make(Op op, std::vector<NodeId> operands, const Function& function = {});
  // The same expression over this graph's domains.
  NodeId Copy(const Graph& other, NodeId id);

  const Node& operator[](NodeId id) const { return nodes_[id]; }
  // A superset of what a node can be, ascending; empty when too many to tell.
  const std::vector<double>& Values(NodeId id) const { return ListValues(id).values; }
  // How many those are, or an upper estimate.
  double Distinct(NodeId id) const { return ListValues(id).distinct; }
  const std::vector<std::vector<double>>& domains() const { return domains_; }

 private:
  using Key = std::tuple<Op, uint64_t, void*, std::vector<NodeId>>;
  NodeId Intern(Node node);
  // The same list, ascending, with one constant at most.
  std::vector<NodeId> FoldConstants(Op op, std::vector<NodeId> list);
  NodeId MakeLogical(Op op, const std::vector<NodeId>& operands);
  bool CombinesInAnyOrder(Op op, const std::vector<NodeId>& operands) const;
  void FindBounds(Node& node, const std::vector<double>& values) const;
  // Made when first asked for: a long product is built factor by factor, and only the whole of it is ever asked.
  struct ValueList {
    bool known = false;
    std::vector<double> values;
    double distinct = 1;
  };
  const ValueList& ListValues(NodeId id) const;

  std::vector<std::vector<double>> domains_;
  std::vector<Node> nodes_;
  mutable std::vector<ValueList> value_lists_;  // by node
  std::map<Key, NodeId> known_;
};

}  // namespace lathe::solver
