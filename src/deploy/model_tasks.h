// Tasks: the distinct workloads of a model, and how often each occurs. From an ONNX file, or from a JSON file of workloads.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "core/result.h"
#include "core/workload.h"
#include "space/template_library.h"

namespace lathe {

struct Task {
  Workload workload;               // normalised
  std::string key;                 // workload.Key()
  int64_t count = 1;               // how many nodes have it; a node in a loop's body counts once
  std::vector<std::string> nodes;  // their names, in the graph's order
  std::vector<std::string> notes;  // sizes that are upper bounds or representative; what a fused pattern asks of the deployer
};

// A node of an operator's kind whose workload could not be told, or that the operator does not support.
struct UnknownNode {
  std::string name;
  std::string op_type;
  std::string reason;
};

struct ModelTasks {
  std::vector<Task> tasks;  // in order of first appearance
  std::vector<UnknownNode> unknown;
  std::map<std::string, int64_t> ignored;  // nodes no operator claims, by type
  int64_t folded = 0;                      // nodes that compute only sizes and other constants
  int64_t fused = 0;                       // nodes that a task's workload computes along with its own (an activation)
};

// Dimensions by the name of a graph input (or another value), or {size} for a named dimension such as "batch".
using ShapeOverrides = std::map<std::string, std::vector<int64_t>>;
// Each "frame=1x3x1080x1920" or "batch=4".
Result<ShapeOverrides> ParseShapeOverrides(const std::vector<std::string>& texts);

// Two nodes are one task when their workloads have the same key: every attribute, a fused activation and a bias included.
// Which nodes are which operator is said by the operators' manifests (docs/writing-a-template.md, "From ONNX nodes").
Result<ModelTasks> ReadModelTasks(const std::filesystem::path& model, const TemplateLibrary& library, const ShapeOverrides& overrides = {});

// What ToJson writes, or a plain list of {"operator": NAME, "workload": {…}, "count": 1?}. An error names the file and the entry.
Result<ModelTasks> ReadWorkloadFile(const std::filesystem::path& file, const TemplateLibrary& library);

// Either of the two: JSON begins with { or [, anything else is taken for a model.
Result<ModelTasks> ReadTasks(const std::filesystem::path& file, const TemplateLibrary& library, const ShapeOverrides& overrides = {});

// {"tasks": [{"operator", "workload", "key", "count", "nodes", "notes"?}…], "unknown": [{"node", "op_type", "reason"}…], "ignored": {type:
// count}, "folded", "fused"}
nlohmann::json ToJson(const ModelTasks& tasks);

}  // namespace lathe
