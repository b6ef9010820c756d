#include "space/solver_order.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <random>

#include "space/solver_program.h"

namespace lathe::solver {
namespace {

constexpr size_t kTrials = 256;
constexpr size_t kBeam = 24;

// The part of the graph below the roots, with parameters as bits of a set.
struct Below {
  Op op = Op::kConstant;
  uint64_t needs = 0;
  double distinct = 1;
  bool any_order = false;
  std::vector<uint32_t> operands;
};

// Fraction of random assignments that satisfy each root.
std::vector<double> PassRates(const Graph& graph, const std::vector<NodeId>& roots, const std::vector<uint16_t>& parameters) {
  std::vector<int> level_of(graph.domains().size(), -1);
  for (size_t i = 0; i < parameters.size(); ++i) level_of[parameters[i]] = static_cast<int>(i);
  const Program program = MakeProgram(graph, roots, level_of);
  std::mt19937_64 random(1);
  std::vector<std::vector<double>> lanes(program.slots.size(), std::vector<double>(kTrials));
  for (size_t i = 0; i < program.slots.size(); ++i) {
    const Slot& slot = program.slots[i];
    if (slot.op == Op::kConstant) {
      std::fill(lanes[i].begin(), lanes[i].end(), slot.constant);
    } else if (slot.op == Op::kParameter) {
      const std::vector<double>& domain = graph.domains()[slot.parameter];
      for (double& lane : lanes[i]) lane = domain[random() % domain.size()];
    } else {
      const auto operand = [&](size_t k) { return Lanes{lanes[slot.operands[k]].data(), 1}; };
      Evaluate(slot.op, slot.function, operand(0), operand(1), operand(2), lanes[i].data(), kTrials);
    }
  }
  std::vector<double> rates;
  for (uint32_t root : program.roots) {
    const auto passed = std::count_if(lanes[root].begin(), lanes[root].end(), Holds);
    rates.push_back((static_cast<double>(passed) + 0.5) / (kTrials + 0.5));
  }
  return rates;
}

class OrderSearch {
 public:
  OrderSearch(const Graph& graph, const std::vector<NodeId>& roots, const std::vector<uint16_t>& parameters)
      : graph_(graph), parameters_(parameters), pass_rates_(PassRates(graph, roots, parameters)) {
    for (NodeId root : roots) roots_.push_back(Add(root));
    for (uint16_t parameter : parameters) log_domain_.push_back(std::log2(static_cast<double>(graph.domains()[parameter].size())));
    seen_.assign(nodes_.size(), 0);
  }

  std::vector<uint16_t> Best() {
    std::vector<Partial> beam{{}};
    for (size_t assigned = 0; assigned < parameters_.size(); ++assigned) {
      std::map<uint64_t, Partial> longer;  // by set: of two ways to the same set only the cheaper matters
      for (const Partial& partial : beam)
        for (size_t i = 0; i < parameters_.size(); ++i) {
          const uint64_t bit = uint64_t{1} << i;
          if (partial.set & bit) continue;
          const double cost = partial.cost + std::exp2(partial.log_states + log_domain_[i]);
          const auto [found, inserted] = longer.try_emplace(partial.set | bit);
          if (!inserted && found->second.cost <= cost) continue;
          found->second.cost = cost;
          found->second.order = partial.order;
          found->second.order.push_back(parameters_[i]);
        }
      beam.clear();
      for (auto& [set, partial] : longer) {
        partial.set = set;
        partial.log_states = LogStates(set);
        beam.push_back(std::move(partial));
      }
      // What is already paid and what the next step will cost at least.
      std::stable_sort(beam.begin(), beam.end(), [](const Partial& a, const Partial& b) {
        return a.cost + std::exp2(a.log_states) < b.cost + std::exp2(b.log_states);
      });
      if (beam.size() > kBeam) beam.resize(kBeam);
    }
    return beam.front().order;
  }

 private:
  struct Partial {
    uint64_t set = 0;
    double cost = 0;        // partial assignments visited
    double log_states = 0;  // base 2
    std::vector<uint16_t> order;
  };

  uint32_t Add(NodeId id) {
    if (const auto found = index_.find(id); found != index_.end()) return found->second;
    const Node& node = graph_[id];
    Below below;
    below.op = node.op;
    below.distinct = graph_.Distinct(id);
    below.any_order = node.any_order;
    for (uint16_t parameter : node.parameters)
      below.needs |= uint64_t{1} << (std::lower_bound(parameters_.begin(), parameters_.end(), parameter) - parameters_.begin());
    for (NodeId operand : node.operands) below.operands.push_back(Add(operand));
    nodes_.push_back(std::move(below));
    return index_[id] = static_cast<uint32_t>(nodes_.size() - 1);
  }

  // Estimates the number of states when exactly the parameters of `set` have values.
  double LogStates(uint64_t set) {
    ++stamp_;
    partial_lists_.clear();
    double log_border = 0;
    double log_assignments = 0;
    for (size_t i = 0; i < parameters_.size(); ++i)
      if (set >> i & 1) log_assignments += log_domain_[i];
    for (size_t r = 0; r < roots_.size(); ++r) {
      if ((nodes_[roots_[r]].needs & ~set) == 0) {
        log_assignments += std::log2(pass_rates_[r]);
      } else {
        log_border += Border(roots_[r], set);
      }
    }
    return std::max(0.0, std::min(log_border, log_assignments));
  }

  // How much the sub-expressions of `at` that `set` decides add to the state, each counted once.
  double Border(uint32_t at, uint64_t set) {
    const Below& node = nodes_[at];
    if (node.needs == 0 || (node.needs & set) == 0 || seen_[at] == stamp_) return 0;
    seen_[at] = stamp_;
    if ((node.needs & ~set) == 0) return std::log2(node.distinct);
    double log_states = 0;
    if (!node.any_order) {
      for (uint32_t operand : node.operands) log_states += Border(operand, set);
      return log_states;
    }
    std::vector<uint32_t> known{static_cast<uint32_t>(node.op)};
    double log_known = 0;
    for (uint32_t operand : node.operands) {
      if ((nodes_[operand].needs & ~set) != 0) {
        log_states += Border(operand, set);
      } else if (nodes_[operand].needs != 0) {
        known.push_back(operand);
        log_known += std::log2(nodes_[operand].distinct);
      }
    }
    if (known.size() == 1 || (known.size() == 2 && seen_[known[1]] == stamp_)) return log_states;
    if (std::find(partial_lists_.begin(), partial_lists_.end(), known) != partial_lists_.end()) return log_states;
    if (known.size() == 2) seen_[known[1]] = stamp_;
    partial_lists_.push_back(std::move(known));
    return log_states + (node.op == Op::kOr || node.op == Op::kAnd ? std::min(1.0, log_known) : log_known);
  }

  const Graph& graph_;
  const std::vector<uint16_t>& parameters_;
  std::vector<double> pass_rates_;
  std::vector<Below> nodes_;
  std::map<NodeId, uint32_t> index_;
  std::vector<uint32_t> roots_;
  std::vector<double> log_domain_;
  std::vector<uint64_t> seen_;
  uint64_t stamp_ = 0;
  std::vector<std::vector<uint32_t>> partial_lists_;
};

}  // namespace

std::vector<uint16_t> ChooseOrder(const Graph& graph, const std::vector<NodeId>& roots, const std::vector<uint16_t>& parameters) {
  if (parameters.size() > 64 || parameters.size() < 2) return parameters;
  return OrderSearch(graph, roots, parameters).Best();
}

}  // namespace lathe::solver
