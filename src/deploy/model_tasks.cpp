#include "deploy/model_tasks.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <unordered_map>

#include "core/file.h"
#include "core/parse_json.h"
#include "deploy/onnx_file.h"
#include "deploy/onnx_infer.h"
#include "deploy/onnx_mapping.h"
#include "deploy/onnx_rule.h"

namespace lathe {
namespace {

// Merges tasks by their key.
class Collector {
 public:
  explicit Collector(ModelTasks& result) : result_(result) {}

  void Add(Workload workload, int64_t count, const std::vector<std::string>& nodes, const std::vector<std::string>& notes) {
    std::string key = workload.Key();
    const auto [found, fresh] = places_.try_emplace(key, result_.tasks.size());
    if (fresh) result_.tasks.push_back({std::move(workload), std::move(key), 0, {}, {}});
    Task& task = result_.tasks[found->second];
    task.count += count;
    task.nodes.insert(task.nodes.end(), nodes.begin(), nodes.end());
    for (const std::string& note : notes)
      if (std::find(task.notes.begin(), task.notes.end(), note) == task.notes.end()) task.notes.push_back(note);
  }

 private:
  ModelTasks& result_;
  std::unordered_map<std::string, size_t> places_;
};

struct Claim {
  const Operator* op;
  graph::Rule rule;
};

using Claims = std::map<std::pair<std::string, std::string>, std::vector<Claim>>;  // by domain and type of node

Result<Claims> ReadClaims(const TemplateLibrary& library) {
  Claims claims;
  for (const Operator* op : library.operators()) {
    Result<std::vector<graph::Rule>> rules = graph::ReadRules(*op);
    if (!rules) return rules.error();
    for (graph::Rule& rule : *rules) {
      const std::pair<std::string, std::string> key{rule.domain, rule.op};
      claims[key].push_back({op, std::move(rule)});
    }
  }
  return claims;
}

// Normalising evaluates every rule of an operator's manifest; layers repeat.
using Normalised = std::unordered_map<std::string, Result<Workload>>;

Result<std::pair<Workload, graph::Mapped>> Map(const graph::EvaluatedGraph& graph, int node, const std::vector<Claim>& claims,
                                               const std::set<int>& fused, Normalised& seen) {
  std::vector<std::string> reasons;
  const int64_t opset = graph.nodes[static_cast<size_t>(node)].opset;
  for (const Claim& claim : claims) {
    if (opset < claim.rule.since || opset >= claim.rule.before) continue;
    Result<graph::Mapped> mapped = graph::MapNode(graph, node, claim.rule, *claim.op, fused);
    if (!mapped) {
      reasons.push_back(fmt::format("{}: {}", claim.op->name(), mapped.error().message));
      continue;
    }
    const std::string raw = claim.op->name() + ':' + ToString(mapped->attributes);
    auto known = seen.find(raw);
    if (known == seen.end()) known = seen.emplace(raw, claim.op->Normalise({claim.op->name(), mapped->attributes})).first;
    const Result<Workload>& workload = known->second;
    if (workload) return std::pair{*workload, *std::move(mapped)};
    reasons.push_back(workload.error().message);
  }
  if (reasons.empty()) reasons.push_back(fmt::format("no operator has a rule for operator set {}", opset));
  return Error{ErrorCode::kInvalidInput, fmt::format("{}", fmt::join(reasons, "; "))};
}

}  // namespace

Result<ShapeOverrides> ParseShapeOverrides(const std::vector<std::string>& texts) {
  ShapeOverrides overrides;
  for (const std::string& text : texts) {
    const Error bad{ErrorCode::kInvalidInput, fmt::format("a shape reads NAME=1x3x1080x1920, found '{}'", text)};
    // The last '=': exporters make names of almost anything.
    const size_t equals = text.rfind('=');
    if (equals == std::string::npos || equals == 0) return bad;
    std::vector<int64_t> dims;
    const char *at = text.data() + equals + 1, *end = text.data() + text.size();
    while (true) {
      int64_t dim = 0;
      const auto [rest, failure] = std::from_chars(at, end, dim);
      if (failure != std::errc() || dim < 1) return bad;
      dims.push_back(dim);
      if (rest == end) break;
      if (*rest != 'x') return bad;
      at = rest + 1;
    }
    if (!overrides.emplace(text.substr(0, equals), dims).second)
      return Error{ErrorCode::kInvalidInput, fmt::format("the shape of '{}' is given twice", text.substr(0, equals))};
  }
  return overrides;
}

Result<ModelTasks> ReadModelTasks(const std::filesystem::path& model, const TemplateLibrary& library, const ShapeOverrides& overrides) {
  Result<Claims> claims = ReadClaims(library);
  if (!claims) return claims.error();
  Result<graph::Model> read = graph::ReadOnnx(model);
  if (!read) return read.error();
  Result<graph::EvaluatedGraph> evaluated = graph::Evaluate(*std::move(read), overrides);
  if (!evaluated) return evaluated.error().In(fmt::format("read model '{}'", model.string()));

  ModelTasks result;
  Collector collector(result);
  std::set<int> fused;
  Normalised normalised;
  for (int i = 0; i < static_cast<int>(evaluated->nodes.size()); ++i) {
    const graph::EvaluatedNode& node = evaluated->nodes[static_cast<size_t>(i)];
    if (fused.contains(i)) continue;
    const auto claim = claims->find({node.node->domain, node.node->op});
    if (claim == claims->end()) {
      if (node.folded)
        ++result.folded;
      else
        ++result.ignored[node.node->domain.empty() ? node.node->op : node.node->domain + "." + node.node->op];
      continue;
    }
    Result<std::pair<Workload, graph::Mapped>> mapped = Map(*evaluated, i, claim->second, fused, normalised);
    if (!mapped) {
      const std::string where = node.within.empty() ? "" : fmt::format(" (in {})", node.within);
      result.unknown.push_back({node.node->name, node.node->op, mapped.error().message + where});
      continue;
    }
    auto& [workload, found] = *mapped;
    fused.insert(found.fused.begin(), found.fused.end());
    if (!node.within.empty()) found.notes.push_back(fmt::format("in {}", node.within));
    collector.Add(std::move(workload), 1, {node.node->name}, found.notes);
  }
  result.fused = static_cast<int64_t>(fused.size());
  return result;
}

Result<ModelTasks> ReadWorkloadFile(const std::filesystem::path& file, const TemplateLibrary& library) {
  const std::string doing = fmt::format("read workloads '{}'", file.string());
  Result<std::string> text = ReadFile(file);
  if (!text) return text.error();
  Result<nlohmann::json> parsed = ParseJson(*text);
  if (!parsed) return parsed.error().In(doing);
  const nlohmann::json& json = *parsed;
  const bool listed = json.is_object() && json.contains("tasks");
  const nlohmann::json tasks = listed                                          ? json["tasks"]
                               : json.is_object() && json.contains("operator") ? nlohmann::json::array({json})
                                                                               : json;
  if (!tasks.is_array())
    return Error{ErrorCode::kInvalidInput, "it holds neither {\"tasks\": […]} nor a list of {\"operator\": …, \"workload\": {…}}"}.In(
        doing);
  ModelTasks result;
  Collector collector(result);
  for (size_t i = 0; i < tasks.size(); ++i) {
    const std::string where = fmt::format("{}, entry {}", doing, i);
    Result<Workload> workload = WorkloadFromJson(tasks[i]);
    if (!workload) return workload.error().In(where);
    Result<const Operator*> op = library.FindOperator(workload->operator_name);
    if (!op) return op.error().In(where);
    Result<Workload> normalised = (*op)->Normalise(*std::move(workload));
    if (!normalised) return normalised.error().In(where);
    const auto count = tasks[i].value("count", nlohmann::json(1));
    if (!count.is_number_integer() || count.get<int64_t>() < 1)
      return Error{ErrorCode::kInvalidInput, fmt::format("count is a positive integer, found {}", count.dump())}.In(where);
    std::vector<std::string> nodes, notes;
    for (const auto& [key, to] : {std::pair{"nodes", &nodes}, std::pair{"notes", &notes}})
      for (const auto& element : tasks[i].value(key, nlohmann::json::array()))
        if (element.is_string()) to->push_back(element.get<std::string>());
    collector.Add(*std::move(normalised), count.get<int64_t>(), nodes, notes);
  }
  return result;
}

Result<ModelTasks> ReadTasks(const std::filesystem::path& file, const TemplateLibrary& library, const ShapeOverrides& overrides) {
  std::ifstream stream(file, std::ios::binary);
  char first = 0;
  stream >> std::skipws >> first;
  if (stream && (first == '{' || first == '[' || first == '/')) return ReadWorkloadFile(file, library);
  return ReadModelTasks(file, library, overrides);
}

nlohmann::json ToJson(const ModelTasks& tasks) {
  nlohmann::json json = {{"tasks", nlohmann::json::array()},
                         {"unknown", nlohmann::json::array()},
                         {"ignored", tasks.ignored},
                         {"folded", tasks.folded},
                         {"fused", tasks.fused}};
  for (const Task& task : tasks.tasks) {
    nlohmann::json one = ToJson(task.workload);
    one["key"] = task.key;
    one["count"] = task.count;
    one["nodes"] = task.nodes;
    if (!task.notes.empty()) one["notes"] = task.notes;
    json["tasks"].push_back(std::move(one));
  }
  for (const UnknownNode& node : tasks.unknown)
    json["unknown"].push_back({{"node", node.name}, {"op_type", node.op_type}, {"reason", node.reason}});
  return json;
}

}  // namespace lathe
