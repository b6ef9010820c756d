#include "db/compact_value.h"

#include <fmt/format.h>

#include <cctype>

namespace lathe {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kDeepest = 64;  // a hostile file must not exhaust the stack

bool Plain(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
         (c != '\0' && std::string_view("_.:+-*/<>[]{}@!?&|~^$;#").find(c) != std::string_view::npos);
}

// Reads back as a text: not a number, not one of the three words.
bool ReadsAsText(const std::string& text) {
  return text != "None" && text != "True" && text != "False" && std::holds_alternative<std::string>(ParseValue(text));
}

std::string Word(const std::string& text) {
  if (text.empty()) return "%";
  std::string word;
  for (size_t i = 0; i < text.size(); ++i) {
    if (Plain(text[i]) && (i > 0 || ReadsAsText(text)))
      word += text[i];
    else
      word += fmt::format("%{:02X}", static_cast<unsigned char>(text[i]));
  }
  return word;
}

Result<std::string> Write(const Json& json, int depth) {
  if (depth > kDeepest) return Error{ErrorCode::kInvalidInput, "lists are nested too deeply"};
  if (json.is_null()) return std::string("None");
  if (json.is_boolean()) return std::string(json.get<bool>() ? "True" : "False");
  if (json.is_number_integer()) return ToString(Value(json.get<int64_t>()));
  if (json.is_number_float()) return ToString(Value(json.get<double>()));
  if (json.is_string()) return Word(json.get_ref<const std::string&>());
  if (!json.is_array()) return Error{ErrorCode::kInvalidInput, fmt::format("a value cannot be the object {}", json.dump())};
  std::string text = "(";
  for (const Json& item : json) {
    Result<std::string> part = Write(item, depth + 1);
    if (!part) return part;
    if (text.size() > 1) text += ' ';
    text += *part;
  }
  return text + ')';
}

class Reader {
 public:
  explicit Reader(const std::string& text) : text_(text) {}

  Result<Json> Whole() {
    Result<Json> json = Item(0);
    if (json && at_ != text_.size()) return Malformed();
    return json;
  }

 private:
  Result<Json> Item(int depth) {
    if (depth > kDeepest) return Malformed();
    if (at_ < text_.size() && text_[at_] == '(') {
      ++at_;
      Json list = Json::array();
      while (at_ < text_.size() && text_[at_] != ')') {
        Result<Json> item = Item(depth + 1);
        if (!item) return item;
        list.push_back(*std::move(item));
        if (at_ < text_.size() && text_[at_] == ' ') ++at_;
      }
      if (at_ == text_.size()) return Malformed();
      ++at_;
      return list;
    }
    const size_t end = std::min(text_.find_first_of(" ()", at_), text_.size());
    if (end == at_) return Malformed();
    const std::string word = text_.substr(at_, end - at_);
    at_ = end;
    if (word == "None") return Json(nullptr);
    if (word == "True" || word == "False") return Json(word == "True");
    const Value value = ParseValue(word);
    if (const auto* integer = std::get_if<int64_t>(&value)) return Json(*integer);
    if (const auto* real = std::get_if<double>(&value)) return Json(*real);
    return Unescaped(word);
  }

  Result<Json> Unescaped(const std::string& word) const {
    if (word == "%") return Json("");
    std::string text;
    for (size_t i = 0; i < word.size(); ++i) {
      if (word[i] != '%') {
        text += word[i];
        continue;
      }
      if (i + 2 >= word.size() || std::isxdigit(static_cast<unsigned char>(word[i + 1])) == 0 ||
          std::isxdigit(static_cast<unsigned char>(word[i + 2])) == 0)
        return Malformed();
      text += static_cast<char>(std::stoi(word.substr(i + 1, 2), nullptr, 16));
      i += 2;
    }
    return Json(text);
  }

  Error Malformed() const { return {ErrorCode::kInvalidInput, fmt::format("'{}' is not a value in compact notation", text_)}; }

  const std::string& text_;
  size_t at_ = 0;
};

}  // namespace

Result<Value> CompactValue(const Json& json) {
  if (json.is_number_integer()) return Value(json.get<int64_t>());
  if (json.is_number_float()) return Value(json.get<double>());
  Result<std::string> text = Write(json, 0);
  if (!text) return text.error();
  return Value(*std::move(text));
}

Result<Json> ExpandValue(const Value& value) {
  if (const auto* integer = std::get_if<int64_t>(&value)) return Json(*integer);
  if (const auto* real = std::get_if<double>(&value)) return Json(*real);
  return Reader(std::get<std::string>(value)).Whole();
}

}  // namespace lathe
