#include "deploy/onnx_rule.h"

#include <fmt/format.h>

#include <algorithm>

namespace lathe::graph {
namespace {

using Json = nlohmann::ordered_json;

class RuleReader {
 public:
  explicit RuleReader(const Operator& op) : op_(op) {}

  Result<std::vector<Rule>> Read() {
    std::vector<Rule> rules;
    const auto section = op_.manifest().find("onnx");
    if (section == op_.manifest().end()) return rules;
    if (!section->is_array()) return Bad("onnx", "is a list of rules");
    for (size_t i = 0; i < section->size(); ++i) {
      Result<Rule> rule = ReadRule((*section)[i], fmt::format("onnx[{}]", i));
      if (!rule) return rule.error();
      rules.push_back(*std::move(rule));
    }
    return rules;
  }

 private:
  Error Bad(const std::string& key, const std::string& why) const {
    return {ErrorCode::kInvalidInput, fmt::format("read '{}': {}: {}", (op_.dir() / "operator.json").string(), key, why)};
  }

  Status CheckKeys(const Json& json, const std::string& key, std::initializer_list<std::string_view> allowed) const {
    if (!json.is_object()) return Bad(key, fmt::format("is an object, found {}", json.dump()));
    for (const auto& [name, ignored] : json.items())
      if (std::find(allowed.begin(), allowed.end(), name) == allowed.end())
        return Bad(key + "." + name, fmt::format("no such key; there are {}", fmt::join(allowed, ", ")));
    return {};
  }

  Result<std::string> Text(const Json& json, const std::string& key, const char* name, std::optional<std::string> otherwise) const {
    const auto found = json.find(name);
    if (found == json.end()) {
      if (otherwise) return *otherwise;
      return Bad(key + "." + name, "is missing");
    }
    if (!found->is_string()) return Bad(key + "." + name, fmt::format("is a text, found {}", found->dump()));
    return found->get<std::string>();
  }

  Status Texts(const Json& json, const std::string& key, const char* name, std::vector<std::string>& to) const {
    const auto found = json.find(name);
    if (found == json.end()) return {};
    if (!found->is_array()) return Bad(key + "." + name, "is a list of names");
    for (const Json& element : *found) {
      if (!element.is_string() || element.get<std::string>().find('.') != std::string::npos)
        return Bad(key + "." + name, fmt::format("is a list of names without dots, found {}", element.dump()));
      to.push_back(element.get<std::string>());
    }
    return {};
  }

  Result<Expression> Parse(const Json& json, const std::string& key) const {
    if (!json.is_string()) return Bad(key, fmt::format("is an expression in quotes, found {}", json.dump()));
    Result<Expression> expression = Expression::Parse(json.get<std::string>());
    if (!expression) return Bad(key, expression.error().message);
    return expression;
  }

  Status MaybeParse(const Json& json, const std::string& key, const char* name, std::optional<Expression>& to) const {
    const auto found = json.find(name);
    if (found == json.end()) return {};
    Result<Expression> expression = Parse(*found, key + "." + name);
    if (!expression) return expression.error();
    to = *std::move(expression);
    return {};
  }

  Result<Setting> ReadSetting(const Json& json, const std::string& key, bool inside_cases = false) const {
    Setting setting;
    if (json.is_string()) {
      Result<Expression> expression = Parse(json, key);
      if (!expression) return expression.error();
      setting.expression = *std::move(expression);
    } else if (json.is_boolean()) {
      setting.literal = Value(int64_t{json.get<bool>()});
    } else if (json.is_number_integer()) {
      setting.literal = Value(json.get<int64_t>());
    } else if (json.is_number()) {
      setting.literal = Value(json.get<double>());
    } else if (json.is_object() && json.contains("is")) {
      if (Status fine = CheckKeys(json, key, {"is"}); !fine) return fine.error();
      if (!json["is"].is_string()) return Bad(key + ".is", "is a name in quotes");
      setting.literal = Value(json["is"].get<std::string>());
    } else if (json.is_object() && json.contains("by")) {
      for (const auto& [name, value] : json.items()) {
        if (!value.is_string()) return Bad(key + "." + name, "is a name in quotes");
        if (name == "by")
          setting.by = value.get<std::string>();
        else
          setting.table[name] = value.get<std::string>();
      }
    } else if (json.is_array() && !inside_cases && !json.empty()) {
      for (size_t i = 0; i < json.size(); ++i) {
        const std::string at = fmt::format("{}[{}]", key, i);
        if (Status fine = CheckKeys(json[i], at, {"when", "value"}); !fine) return fine.error();
        if (!json[i].contains("value")) return Bad(at, "has no value");
        std::optional<Expression> when;
        if (Status parsed = MaybeParse(json[i], at, "when", when); !parsed) return parsed.error();
        Result<Setting> value = ReadSetting(json[i]["value"], at + ".value", true);
        if (!value) return value.error();
        setting.cases.emplace_back(std::move(when), std::make_shared<Setting>(*std::move(value)));
      }
    } else {
      return Bad(key, fmt::format(
                          "is an expression, a number, {{\"is\": NAME}}, {{\"by\": ATTRIBUTE, TEXT: NAME, …}} or a list of cases, found {}",
                          json.dump()));
    }
    return setting;
  }

  Status ReadSettings(const Json& json, const std::string& key, std::vector<std::pair<std::string, Setting>>& to) const {
    if (!json.is_object()) return Bad(key, "is an object from attribute to value");
    for (const auto& [name, value] : json.items()) {
      const auto& known = op_.attributes();
      if (std::none_of(known.begin(), known.end(), [&](const lathe::Attribute& attribute) { return attribute.name == name; }))
        return Bad(key + "." + name, "the operator has no such attribute");
      Result<Setting> setting = ReadSetting(value, key + "." + name);
      if (!setting) return setting.error();
      to.emplace_back(name, *std::move(setting));
    }
    return {};
  }

  // A default looks like the attribute it stands for: 1, 0.5, "text", [1, 1].
  Result<Attribute> ReadDefault(const Json& json, const std::string& key) const {
    using Kind = Attribute::Kind;
    Attribute attribute;
    const bool list = json.is_array();
    const std::vector<Json> elements = list ? std::vector<Json>(json.begin(), json.end()) : std::vector<Json>{json};
    for (const Json& element : elements) {
      if (element.is_number_integer())
        attribute.ints.push_back(element.get<int64_t>());
      else if (element.is_number())
        attribute.reals.push_back(element.get<double>());
      else if (element.is_string())
        attribute.texts.push_back(element.get<std::string>());
      else
        return Bad(key, fmt::format("is a number, a text, or a list of one of them, found {}", json.dump()));
    }
    if (attribute.ints.size() == elements.size())
      attribute.kind = list ? Kind::kInts : Kind::kInt;
    else if (attribute.reals.size() == elements.size())
      attribute.kind = list ? Kind::kReals : Kind::kReal;
    else if (attribute.texts.size() == elements.size())
      attribute.kind = list ? Kind::kTexts : Kind::kText;
    else
      return Bad(key, "mixes numbers and texts");
    return attribute;
  }

  Result<Fusion> ReadFusion(const Json& json, const std::string& key) const {
    if (Status fine = CheckKeys(json, key, {"nodes", "result", "when", "set", "note"}); !fine) return fine.error();
    Fusion fusion;
    if (!json.contains("nodes") || !json["nodes"].is_array() || json["nodes"].empty()) return Bad(key + ".nodes", "is a list of nodes");
    for (size_t i = 0; i < json["nodes"].size(); ++i) {
      const Json& from = json["nodes"][i];
      const std::string at = fmt::format("{}.nodes[{}]", key, i);
      if (Status fine = CheckKeys(from, at, {"op", "domain", "inputs", "outputs", "any_order", "require"}); !fine) return fine.error();
      FusedNode node;
      Result<std::string> op = Text(from, at, "op", std::nullopt), domain = Text(from, at, "domain", "");
      if (!op) return op.error();
      if (!domain) return domain.error();
      node.op = *op;
      node.domain = *domain;
      if (Status read = Texts(from, at, "inputs", node.inputs); !read) return read.error();
      if (Status read = Texts(from, at, "outputs", node.outputs); !read) return read.error();
      if (node.inputs.empty() || node.outputs.empty()) return Bad(at, "needs names for inputs and outputs");
      node.any_order = from.value("any_order", Json(false)) == Json(true);
      if (node.any_order && node.inputs.size() != 2) return Bad(at + ".any_order", "is for two inputs");
      if (Status read = MaybeParse(from, at, "require", node.require); !read) return read.error();
      fusion.nodes.push_back(std::move(node));
    }
    Result<std::string> result = Text(json, key, "result", fusion.nodes.back().outputs[0]), note = Text(json, key, "note", "");
    if (!result) return result.error();
    if (!note) return note.error();
    fusion.result = *result;
    fusion.note = *note;
    if (Status read = MaybeParse(json, key, "when", fusion.when); !read) return read.error();
    if (json.contains("set"))
      if (Status read = ReadSettings(json["set"], key + ".set", fusion.set); !read) return read.error();
    return fusion;
  }

  Result<Rule> ReadRule(const Json& json, const std::string& key) const {
    if (Status fine = CheckKeys(
            json, key, {"op", "domain", "since", "before", "inputs", "outputs", "defaults", "let", "require", "attributes", "fuse"});
        !fine)
      return fine.error();
    Rule rule;
    Result<std::string> op = Text(json, key, "op", std::nullopt), domain = Text(json, key, "domain", "");
    if (!op) return op.error();
    if (!domain) return domain.error();
    rule.op = *op;
    rule.domain = *domain;
    for (const auto& [name, to] : {std::pair{"since", &rule.since}, std::pair{"before", &rule.before}}) {
      if (!json.contains(name)) continue;
      if (!json[name].is_number_integer()) return Bad(key + "." + name, "is the number of an operator set");
      *to = json[name].get<int64_t>();
    }
    if (Status read = Texts(json, key, "inputs", rule.inputs); !read) return read.error();
    if (Status read = Texts(json, key, "outputs", rule.outputs); !read) return read.error();
    const Json defaults = json.value("defaults", Json::object()), let = json.value("let", Json::object());
    if (!defaults.is_object()) return Bad(key + ".defaults", "is an object");
    if (!let.is_object()) return Bad(key + ".let", "is an object");
    for (const auto& [name, value] : defaults.items()) {
      Result<Attribute> read = ReadDefault(value, key + ".defaults." + name);
      if (!read) return read.error();
      rule.defaults[name] = *std::move(read);
    }
    for (const auto& [name, value] : let.items()) {
      Result<Expression> expression = Parse(value, key + ".let." + name);
      if (!expression) return expression.error();
      rule.let.emplace_back(name, *std::move(expression));
    }
    const Json requirements = json.value("require", Json::array()), fuse = json.value("fuse", Json::array());
    if (!requirements.is_array()) return Bad(key + ".require", "is a list of {\"require\": …, \"why\": …}");
    for (size_t i = 0; i < requirements.size(); ++i) {
      const std::string at = fmt::format("{}.require[{}]", key, i);
      if (Status fine = CheckKeys(requirements[i], at, {"require", "why"}); !fine) return fine.error();
      if (!requirements[i].contains("require")) return Bad(at, "has no expression");
      Result<Expression> expression = Parse(requirements[i]["require"], at + ".require");
      Result<std::string> why = Text(requirements[i], at, "why", std::nullopt);
      if (!expression) return expression.error();
      if (!why) return why.error();
      rule.require.push_back({*std::move(expression), *why});
    }
    if (!json.contains("attributes")) return Bad(key + ".attributes", "is missing");
    if (Status read = ReadSettings(json["attributes"], key + ".attributes", rule.attributes); !read) return read.error();
    if (!fuse.is_array()) return Bad(key + ".fuse", "is a list of patterns");
    if (!fuse.empty() && rule.outputs.empty()) return Bad(key + ".fuse", "needs a name for the node's output in \"outputs\"");
    for (size_t i = 0; i < fuse.size(); ++i) {
      Result<Fusion> fusion = ReadFusion(fuse[i], fmt::format("{}.fuse[{}]", key, i));
      if (!fusion) return fusion.error();
      rule.fuse.push_back(*std::move(fusion));
    }
    return rule;
  }

  const Operator& op_;
};

}  // namespace

Result<std::vector<Rule>> ReadRules(const Operator& op) { return RuleReader(op).Read(); }

}  // namespace lathe::graph
