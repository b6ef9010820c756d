#include "deploy/onnx_names.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

namespace lathe::graph {
namespace {

Error Bad(const std::string& why) { return {ErrorCode::kInvalidInput, why}; }

// 0.45 was written, its nearest float was stored: as a double that is 0.44999998807907104, which nobody meant.
double AsWritten(double stored) {
  const auto narrow = static_cast<float>(stored);
  if (!std::isfinite(stored) || static_cast<double>(narrow) != stored) return stored;
  char text[32];
  const auto [end, failure] = std::to_chars(text, text + sizeof text, narrow);
  double written = stored;
  if (failure == std::errc()) (void)std::from_chars(text, end, written);
  return written;
}

std::optional<size_t> Index(const std::string& text) {
  size_t index = 0;
  const char* end = text.data() + text.size();
  const auto [rest, failure] = std::from_chars(text.data(), end, index);
  if (text.empty() || failure != std::errc() || rest != end) return std::nullopt;
  return index;
}

}  // namespace

std::optional<int> Names::Tensor(const std::string& name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? std::nullopt : std::optional(found->second);
}

Names Names::At(const Node& node) const {
  Names names = *this;
  names.node_ = &node;
  return names;
}

const Attribute* Names::FindAttribute(const std::string& name) const {
  if (const Attribute* given = node_->Find(name)) return given;
  const auto found = defaults_->find(name);
  return found == defaults_->end() ? nullptr : &found->second;
}

Result<Finding> Names::OfTensor(const std::string& tensor, int value, const std::string& what, bool* open) const {
  if (what == "given") return Finding{value >= 0 ? 1.0 : 0.0, ""};
  if (value < 0) return Bad(fmt::format("its input {} is absent", tensor));
  const GraphValue& graph_value = graph_->values[static_cast<size_t>(value)];
  const Known& known = graph_value.known;
  const std::string called = fmt::format("{} ('{}')", tensor, graph_value.name);
  if (what == "constant") return Finding{graph_value.constant ? 1.0 : 0.0, ""};
  if (what.starts_with("dtype.is.")) return Finding{ElementName(known.type) == what.substr(9) ? 1.0 : 0.0, ""};
  if (what.starts_with("value.")) {
    const std::optional<size_t> index = Index(what.substr(6));
    if (!index) return Bad(fmt::format("'{}.{}' does not name an element", tensor, what));
    if (!known.value) return Bad(fmt::format("the value of {} is not a constant", called));
    if (*index >= known.value->elements.size()) return Bad(fmt::format("{} has no element {}", called, *index));
    const Scalar& element = known.value->elements[*index];
    if (element.known) return Finding{IsReal(known.type) ? AsWritten(element.real) : static_cast<double>(element.integer), ""};
    if (element.symbol < 0) return Bad(fmt::format("element {} of {} depends on data", *index, called));
    const Symbol& symbol = graph_->symbols[element.symbol];
    if (symbol.bound) return Finding{static_cast<double>(*symbol.bound), symbol.reason};
    return Bad(symbol.reason);
  }
  if (!known.shape) return Bad(fmt::format("the shape of {} is unknown: {}", called, known.why_unknown));
  if (what.starts_with("shape.is.")) {
    const std::string name = what.substr(9);
    const std::optional<int> other = Tensor(name);
    if (!other) return Bad(fmt::format("'{}.{}' means nothing: the rule has no tensor '{}'", tensor, what, name));
    if (*other < 0) return Bad(fmt::format("its input {} is absent", name));
    const GraphValue& theirs = graph_->values[static_cast<size_t>(*other)];
    if (!theirs.known.shape) return Bad(fmt::format("the shape of {} ('{}') is unknown: {}", name, theirs.name, theirs.known.why_unknown));
    return Finding{*known.shape == *theirs.known.shape ? 1.0 : 0.0, ""};
  }
  if (what == "rank") return Finding{static_cast<double>(known.shape->size()), ""};
  if (what == "count") {
    const std::optional<std::vector<int64_t>> dims = known.dims();
    const std::optional<int64_t> count = dims ? ElementCount(*dims) : std::nullopt;
    if (!count) return Bad(fmt::format("the number of elements of {} is open", called));
    return Finding{static_cast<double>(*count), ""};
  }
  const std::optional<size_t> index = Index(what);
  if (!index)
    return Bad(
        fmt::format("'{}.{}' means nothing; there are .0, .1, …, .rank, .count, .given, .constant, .dtype.is.f32, .shape.is.Y, .value.0",
                    tensor, what));
  if (*index >= known.shape->size())
    return Bad(fmt::format("{} has {} dimensions, so no dimension {}", called, known.shape->size(), *index));
  const Dim& dim = (*known.shape)[*index];
  if (dim.known()) return Finding{static_cast<double>(dim.size), ""};
  const Symbol& symbol = graph_->symbols[dim.symbol];
  if (symbol.bound) return Finding{static_cast<double>(*symbol.bound), symbol.reason};
  if (open) *open = true;
  return Bad(fmt::format("dimension {} of {} is unknown: {}", *index, called, symbol.reason));
}

Result<Finding> Names::Find(const std::string& name, bool* open) const {
  if (const auto number = numbers_.find(name); number != numbers_.end()) return number->second;
  const size_t dot = name.find('.');
  const std::string head = name.substr(0, dot), what = dot == std::string::npos ? "" : name.substr(dot + 1);
  if (const auto tensor = tensors_.find(head); tensor != tensors_.end()) return OfTensor(head, tensor->second, what, open);
  if (what == "given") return Finding{node_->Find(head) ? 1.0 : 0.0, ""};
  const Attribute* attribute = FindAttribute(head);
  if (!attribute) return Bad(fmt::format("it has no attribute '{}', and the rule gives no default", head));
  using Kind = Attribute::Kind;
  const bool integers = attribute->kind == Kind::kInt || attribute->kind == Kind::kInts;
  const bool reals = attribute->kind == Kind::kReal || attribute->kind == Kind::kReals;
  if (what.empty()) {
    if (attribute->kind == Kind::kInt) return Finding{static_cast<double>(attribute->ints[0]), ""};
    if (attribute->kind == Kind::kReal) return Finding{AsWritten(attribute->reals[0]), ""};
    return Bad(fmt::format("attribute '{}' is not one number", head));
  }
  if (what.starts_with("is.")) {
    if (attribute->kind != Kind::kText) return Bad(fmt::format("attribute '{}' is not a text", head));
    return Finding{attribute->texts[0] == what.substr(3) ? 1.0 : 0.0, ""};
  }
  if (!integers && !reals) return Bad(fmt::format("attribute '{}' is not a list of numbers", head));
  const size_t size = integers ? attribute->ints.size() : attribute->reals.size();
  if (what == "count") return Finding{static_cast<double>(size), ""};
  const std::optional<size_t> index = Index(what);
  if (!index) return Bad(fmt::format("'{}' means nothing for an attribute; there are .0, .1, …, .count, .given, .is.TEXT", name));
  if (*index >= size) return Bad(fmt::format("attribute '{}' has {} elements, so none numbered {}", head, size, *index));
  return Finding{integers ? static_cast<double>(attribute->ints[*index]) : AsWritten(attribute->reals[*index]), ""};
}

Result<Finding> Names::Evaluate(const Expression& expression, bool* open) const {
  std::vector<double> numbers;
  Finding result;
  for (const std::string& name : expression.names()) {
    Result<Finding> found = Find(name, open);
    if (!found) return found.error();
    numbers.push_back(found->number);
    if (!found->bounded.empty()) result.bounded = found->bounded;
  }
  Result<double> number = expression.Evaluate(numbers);
  if (!number) return number.error();
  result.number = *number;
  return result;
}

Result<std::string> Names::Text(const std::string& name) const {
  const size_t dot = name.find('.');
  if (dot != std::string::npos && name.substr(dot) == ".dtype") {
    const std::optional<int> value = Tensor(name.substr(0, dot));
    if (!value || *value < 0) return Bad(fmt::format("its input {} is absent", name.substr(0, dot)));
    const GraphValue& tensor = graph_->values[static_cast<size_t>(*value)];
    if (tensor.known.type == kUndefined) return Bad(fmt::format("the element type of '{}' is unknown", tensor.name));
    return ElementName(tensor.known.type);
  }
  const Attribute* attribute = FindAttribute(name);
  if (!attribute) return Bad(fmt::format("it has no attribute '{}', and the rule gives no default", name));
  if (attribute->kind != Attribute::Kind::kText) return Bad(fmt::format("attribute '{}' is not a text", name));
  return attribute->texts[0];
}

}  // namespace lathe::graph
