// The "onnx" section of an operator's manifest: which ONNX nodes are this operator, and how their shapes and attributes become a workload.
// The grammar is in docs/writing-a-template.md, "From ONNX nodes".
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/expression.h"
#include "core/result.h"
#include "deploy/onnx_graph.h"
#include "space/operator.h"

namespace lathe::graph {

// What one attribute of the workload becomes. Exactly one of the four forms.
struct Setting {
  std::optional<Expression> expression;  // "X.2"
  std::optional<Value> literal;          // 1, true, {"is": "nchw"}
  std::string by;                        // {"by": "mode", "linear": "bilinear"}: a text attribute, or X.dtype
  std::map<std::string, std::string> table;
  std::vector<std::pair<std::optional<Expression>, std::shared_ptr<Setting>>> cases;  // [{"when": …, "value": …}]: the first that holds
};

struct Requirement {
  Expression require;
  std::string why;
};

// A node of a pattern behind the rule's node.
struct FusedNode {
  std::string op, domain;
  std::vector<std::string> inputs, outputs;  // "" matches anything
  bool any_order = false;                    // two inputs, either way round
  std::optional<Expression> require;
};

struct Fusion {
  std::vector<FusedNode> nodes;
  std::string result;  // takes the place of the rule's first output
  std::optional<Expression> when;
  std::vector<std::pair<std::string, Setting>> set;
  std::string note;  // what whoever deploys it must know
};

struct Rule {
  std::string op, domain;
  int64_t since = 0, before = INT64_MAX;  // operator sets of its domain: since <= set < before
  std::vector<std::string> inputs, outputs;
  std::map<std::string, Attribute> defaults;
  std::vector<std::pair<std::string, Expression>> let;
  std::vector<Requirement> require;
  std::vector<std::pair<std::string, Setting>> attributes;
  std::vector<Fusion> fuse;
};

// Empty when the manifest has no such section. An error names the operator's file, the key and the reason.
Result<std::vector<Rule>> ReadRules(const Operator& op);

}  // namespace lathe::graph
