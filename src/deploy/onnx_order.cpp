#include "deploy/onnx_order.h"

#include <fmt/format.h>

#include <functional>
#include <queue>
#include <unordered_map>

namespace lathe::graph {
namespace {

std::set<std::string> Reads(const Node& node) {
  std::set<std::string> names(node.inputs.begin(), node.inputs.end());
  for (const auto& [name, attribute] : node.attributes)
    if (attribute.graph) names.merge(Captured(*attribute.graph));
  names.erase("");
  return names;
}

}  // namespace

std::set<std::string> Captured(const Graph& body) {
  std::set<std::string> used, made;
  for (const Node& node : body.nodes) {
    used.merge(Reads(node));
    made.insert(node.outputs.begin(), node.outputs.end());
  }
  for (const DeclaredValue& output : body.outputs) used.insert(output.name);
  for (const DeclaredValue& input : body.inputs) made.insert(input.name);
  for (const Initializer& initializer : body.initializers) made.insert(initializer.name);
  for (const std::string& name : made) used.erase(name);
  return used;
}

Result<std::vector<size_t>> ComputingOrder(const std::vector<Node>& nodes) {
  std::unordered_map<std::string, size_t> maker;
  for (size_t i = 0; i < nodes.size(); ++i)
    for (const std::string& output : nodes[i].outputs) {
      if (output.empty()) continue;
      const auto [before, fresh] = maker.try_emplace(output, i);
      if (!fresh)
        return Error{ErrorCode::kInvalidInput,
                     fmt::format("value '{}' is made twice, by '{}' and by '{}'", output, nodes[before->second].name, nodes[i].name)};
    }
  std::vector<std::vector<size_t>> readers(nodes.size());
  std::vector<size_t> waiting_for(nodes.size(), 0);
  for (size_t i = 0; i < nodes.size(); ++i)
    for (const std::string& name : Reads(nodes[i]))
      if (const auto made = maker.find(name); made != maker.end()) {
        readers[made->second].push_back(i);
        ++waiting_for[i];
      }
  std::priority_queue<size_t, std::vector<size_t>, std::greater<>> ready;
  for (size_t i = 0; i < nodes.size(); ++i)
    if (waiting_for[i] == 0) ready.push(i);
  std::vector<size_t> order;
  while (!ready.empty()) {
    const size_t next = ready.top();
    ready.pop();
    order.push_back(next);
    for (size_t reader : readers[next])
      if (--waiting_for[reader] == 0) ready.push(reader);
  }
  for (size_t i = 0; i < nodes.size(); ++i)
    if (waiting_for[i] > 0)
      return Error{ErrorCode::kInvalidInput, fmt::format("node '{}' ({}) is part of a cycle, or behind one: it waits for its own result",
                                                         nodes[i].name, nodes[i].op)};
  return order;
}

}  // namespace lathe::graph
