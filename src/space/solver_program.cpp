#include "space/solver_program.h"

#include <algorithm>
#include <bit>
#include <map>
#include <tuple>

namespace lathe::solver {
namespace {

class Lowering {
 public:
  Lowering(const Graph& graph, const std::vector<int>& level_of, Program& program)
      : graph_(graph), level_of_(level_of), program_(program) {}

  uint32_t Lower(NodeId id, std::vector<uint32_t>* partial = nullptr) {
    if (const auto found = lowered_.find(id); found != lowered_.end() && partial == nullptr) return found->second;
    const Node& node = graph_[id];
    Slot slot;
    slot.op = node.op;
    slot.function = node.function;
    uint32_t made = 0;
    if (node.op == Op::kConstant) {
      slot.constant = node.constant;
      made = Intern(slot);
    } else if (node.op == Op::kParameter) {
      slot.parameter = node.parameter;
      slot.level = level_of_[node.parameter];
      made = Intern(slot);
    } else {
      std::vector<uint32_t> operands;
      for (NodeId operand : node.operands) operands.push_back(Lower(operand));
      made = node.any_order ? Fold(node, operands, partial) : Join(node, operands);
    }
    lowered_[id] = made;
    return made;
  }

 private:
  uint32_t Fold(const Node& node, std::vector<uint32_t> operands, std::vector<uint32_t>* partial) {
    std::sort(operands.begin(), operands.end(),
              [&](uint32_t a, uint32_t b) { return std::tuple(program_.slots[a].level, a) < std::tuple(program_.slots[b].level, b); });
    uint32_t folded = operands[0];
    if (partial != nullptr) partial->push_back(folded);
    for (size_t i = 1; i < operands.size(); ++i) {
      folded = Join(node, {folded, operands[i]});
      if (partial != nullptr) partial->push_back(folded);
    }
    return folded;
  }

  uint32_t Join(const Node& node, const std::vector<uint32_t>& operands) {
    Slot slot;
    slot.op = node.op;
    slot.function = node.function;
    slot.operand_count = static_cast<uint8_t>(operands.size());
    for (size_t i = 0; i < operands.size(); ++i) {
      slot.operands[i] = operands[i];
      slot.level = std::max(slot.level, program_.slots[operands[i]].level);
    }
    return Intern(slot);
  }

  uint32_t Intern(const Slot& slot) {
    void* function = slot.function.one ? reinterpret_cast<void*>(slot.function.one) : reinterpret_cast<void*>(slot.function.two);
    const Key key{slot.op, slot.op == Op::kParameter ? slot.parameter : std::bit_cast<uint64_t>(slot.constant), function, slot.operands};
    const auto [found, inserted] = known_.try_emplace(key, static_cast<uint32_t>(program_.slots.size()));
    if (inserted) program_.slots.push_back(slot);
    return found->second;
  }

  using Key = std::tuple<Op, uint64_t, void*, std::array<uint32_t, 3>>;
  const Graph& graph_;
  const std::vector<int>& level_of_;
  Program& program_;
  std::map<NodeId, uint32_t> lowered_;
  std::map<Key, uint32_t> known_;
};

}  // namespace

Program MakeProgram(const Graph& graph, const std::vector<NodeId>& roots, const std::vector<int>& level_of) {
  Program program;
  Lowering lowering(graph, level_of, program);
  for (NodeId root : roots) {
    std::vector<uint32_t> partial;
    program.roots.push_back(lowering.Lower(root, graph[root].op == Op::kOr ? &partial : nullptr));
    program.partial_or.push_back(std::move(partial));
  }
  return program;
}

void Run(const Program& program, const std::vector<double>& values, std::vector<double>& registers) {
  registers.resize(program.slots.size());
  for (size_t i = 0; i < program.slots.size(); ++i) {
    const Slot& slot = program.slots[i];
    if (slot.op == Op::kConstant) {
      registers[i] = slot.constant;
    } else if (slot.op == Op::kParameter) {
      registers[i] = values[slot.parameter];
    } else {
      const double* r = registers.data();
      Evaluate(slot.op, slot.function, {r + slot.operands[0]}, {r + slot.operands[1]}, {r + slot.operands[2]}, &registers[i], 1);
    }
  }
}

LaneProgram::LaneProgram(const Program& program, std::vector<double> numbers, const std::vector<bool>& changing,
                         const std::vector<uint32_t>& state_index)
    : numbers_(std::move(numbers)), sources_(program.slots.size()) {
  for (uint32_t i = 0; i < program.slots.size(); ++i) {
    const Slot& slot = program.slots[i];
    if (slot.op == Op::kConstant) {
      sources_[i] = {Source::From::kConstant, static_cast<uint32_t>(constants_.size())};
      constants_.push_back(slot.constant);
    } else if (!changing[i]) {
      sources_[i] = {Source::From::kState, state_index[i]};
    } else if (slot.op == Op::kParameter) {
      sources_[i] = {Source::From::kLane, 0};
    } else {
      Operation operation;
      operation.op = slot.op;
      operation.function = slot.function;
      for (size_t k = 0; k < 3; ++k) operation.operands[k] = sources_[slot.operands[k < slot.operand_count ? k : 0]];
      operations_.push_back(operation);
      sources_[i] = {Source::From::kLane, static_cast<uint32_t>(operations_.size())};
    }
  }
}

size_t LaneProgram::Run(const double* state, Scratch& scratch) const {
  const size_t count = numbers_.size();
  scratch.lanes.resize(operations_.size() * count);
  scratch.alive.assign(count, 1);
  const auto lanes = [&](Source source) { return LanesOf(source, state, scratch); };
  for (size_t i = 0; i < operations_.size(); ++i) {
    const Operation& operation = operations_[i];
    Evaluate(operation.op, operation.function, lanes(operation.operands[0]), lanes(operation.operands[1]), lanes(operation.operands[2]),
             &scratch.lanes[i * count], count);
  }
  for (const Source& check : checks_) {
    const Lanes truth = lanes(check);
    for (size_t i = 0; i < count; ++i) scratch.alive[i] &= static_cast<uint8_t>(Holds(truth.values[i * truth.stride]));
  }
  return static_cast<size_t>(std::count(scratch.alive.begin(), scratch.alive.end(), 1));
}

}  // namespace lathe::solver
