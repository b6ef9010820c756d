#include "costmodel/tree_ensemble.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>

namespace lathe {

Result<TreeEnsemble> TreeEnsemble::FromDumps(const std::vector<std::string>& dumps, double base_score) {
  TreeEnsemble ensemble;
  ensemble.base_ = static_cast<float>(base_score);
  const Error wrong{ErrorCode::kInternal, "read XGBoost's trees: not the JSON of a tree"};
  // Trees are a few levels deep (BoosterOptions::depth), so recursion is.
  const std::function<bool(const nlohmann::json&, uint32_t)> add = [&](const nlohmann::json& json, uint32_t at) {
    if (const auto leaf = json.find("leaf"); leaf != json.end()) {
      ensemble.nodes_[at].value = leaf->get<float>();
      return true;
    }
    const std::string split = json.value("split", "");
    int32_t column = -1;
    const char* from = split.data() + (split.starts_with('f') ? 1 : 0);
    if (std::from_chars(from, split.data() + split.size(), column).ec != std::errc{} || column < 0) return false;
    const auto children = json.find("children");
    if (children == json.end() || children->size() != 2) return false;
    Node node{column, json.value("split_condition", 0.0F), 0, 0, 0};
    const auto first = static_cast<uint32_t>(ensemble.nodes_.size());
    ensemble.nodes_.resize(first + 2);
    const auto place = [&](const char* name) { return json.value(name, -1) == (*children)[0].value("nodeid", -2) ? first : first + 1; };
    node.yes = place("yes");
    node.no = place("no");
    node.missing = place("missing");
    ensemble.nodes_[at] = node;
    return add((*children)[0], first) && add((*children)[1], first + 1);
  };
  for (const std::string& dump : dumps) {
    const nlohmann::json json = nlohmann::json::parse(dump, nullptr, false);
    if (!json.is_object()) return wrong;
    ensemble.roots_.push_back(static_cast<uint32_t>(ensemble.nodes_.size()));
    ensemble.nodes_.emplace_back();
    try {
      if (!add(json, ensemble.roots_.back())) return wrong;
    } catch (const nlohmann::json::exception&) {
      return wrong;
    }
  }
  return ensemble;
}

float TreeEnsemble::Predict(const float* row) const {
  float sum = base_;
  for (const uint32_t root : roots_) {
    const Node* node = &nodes_[root];
    while (node->column >= 0) {
      const float value = row[node->column];
      node = &nodes_[std::isnan(value) ? node->missing : value < node->value ? node->yes : node->no];
    }
    sum += node->value;
  }
  return sum;
}

}  // namespace lathe
