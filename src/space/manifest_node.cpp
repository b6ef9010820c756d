#include "space/manifest_node.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "core/json_mistake.h"

namespace lathe {

Result<ManifestNode::Json> ManifestNode::Parse(const std::string& text, const std::string& file) {
  // JSON's last of two equal keys would win, and the author's first rule or parameter be gone without a word.
  std::vector<std::set<std::string>> open_objects;
  std::string twice;
  const Json::parser_callback_t note_keys = [&](int, Json::parse_event_t event, const Json& parsed) {
    if (event == Json::parse_event_t::object_start) open_objects.emplace_back();
    if (event == Json::parse_event_t::object_end) open_objects.pop_back();
    if (event == Json::parse_event_t::key && !open_objects.back().insert(parsed.get<std::string>()).second) twice = parsed;
    return true;
  };
  try {
    Json json = Json::parse(text, note_keys, true, /*ignore_comments=*/true);
    if (!twice.empty())
      return Error{ErrorCode::kInvalidInput, fmt::format("read manifest '{}': key '{}' stands twice in one object", file, twice)};
    return json;
  } catch (const nlohmann::json::exception& failure) {
    return Error{ErrorCode::kInvalidInput, fmt::format("read manifest '{}': {}", file, JsonMistake(failure))};
  }
}

ManifestNode::ManifestNode(const Json& json, std::string file)
    : json_(&json), shared_(std::make_shared<Shared>(Shared{std::move(file), std::nullopt})) {
  if (!json.is_object()) Fail("a manifest is a JSON object");
}

void ManifestNode::Fail(const std::string& reason) const {
  if (shared_->error) return;
  const std::string key = path_.empty() ? "" : fmt::format(", key '{}'", path_);
  shared_->error = Error{ErrorCode::kInvalidInput, fmt::format("read manifest '{}'{}: {}", shared_->file, key, reason)};
}

void ManifestNode::AllowOnly(std::initializer_list<const char*> keys) const {
  if (!json_->is_object()) return Fail("expected an object");
  for (const auto& [key, ignored] : json_->items()) {
    if (std::find(keys.begin(), keys.end(), key) != keys.end()) continue;
    std::string known;
    for (const char* name : keys) known += fmt::format("{}{}", known.empty() ? "" : ", ", name);
    return Fail(fmt::format("'{}' is not a key here; there are: {}", key, known));
  }
}

ManifestNode ManifestNode::At(const std::string& key) const {
  static const Json kNull;
  const std::string path = path_.empty() ? key : path_ + '.' + key;
  if (!Has(key)) {
    Fail(fmt::format("'{}' is missing", key));
    return {kNull, shared_, path};
  }
  return {(*json_)[key], shared_, path};
}

std::vector<std::pair<std::string, ManifestNode>> ManifestNode::Items() const {
  std::vector<std::pair<std::string, ManifestNode>> items;
  if (!json_->is_object()) {
    Fail("expected an object");
    return items;
  }
  for (const auto& [key, ignored] : json_->items()) items.emplace_back(key, At(key));
  return items;
}

std::vector<ManifestNode> ManifestNode::Elements() const {
  std::vector<ManifestNode> elements;
  if (!json_->is_array()) {
    Fail("expected a list");
    return elements;
  }
  for (size_t i = 0; i < json_->size(); ++i) elements.push_back({(*json_)[i], shared_, fmt::format("{}[{}]", path_, i)});
  return elements;
}

std::string ManifestNode::Text() const {
  if (json_->is_string()) return json_->get<std::string>();
  Fail("expected text");
  return {};
}

double ManifestNode::Number() const {
  if (json_->is_number()) return json_->get<double>();
  Fail("expected a number");
  return 0;
}

int64_t ManifestNode::Integer() const {
  if (json_->is_number_integer()) return json_->get<int64_t>();
  Fail("expected a whole number");
  return 0;
}

bool ManifestNode::Bool() const {
  if (json_->is_boolean()) return json_->get<bool>();
  Fail("expected true or false");
  return false;
}

Value ManifestNode::AsValue() const {
  if (json_->is_boolean()) return int64_t{json_->get<bool>() ? 1 : 0};
  if (json_->is_number_integer()) return json_->get<int64_t>();
  if (json_->is_number_float()) return json_->get<double>();
  if (json_->is_string()) return json_->get<std::string>();
  Fail("expected a number, true, false or a name");
  return int64_t{0};
}

std::string ManifestNode::ExpressionText() const {
  std::string text = json_->is_number() ? json_->dump() : Text();
  if (failed()) return "0";
  if (Result<Expression> expression = Expression::Parse(text); !expression) {
    Fail(expression.error().message);
    return "0";
  }
  return text;
}

}  // namespace lathe
