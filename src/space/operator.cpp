#include "space/operator.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "core/file.h"
#include "core/hash.h"
#include "space/evaluate.h"
#include "space/manifest_node.h"

namespace lathe {
namespace {

// The largest tensor a workload may ask for. A typing mistake in an attribute must not take the machine down.
constexpr int64_t kMaxElements = int64_t{1} << 33;

Error BadWorkload(const Workload& workload, const std::string& reason) {
  return {ErrorCode::kInvalidInput, fmt::format("workload '{}': {}", workload.Key(), reason)};
}

Result<Value> CheckAttribute(const Attribute& attribute, const Value& given) {
  const auto fail = [&](const std::string& expected) {
    return Error{ErrorCode::kInvalidInput, fmt::format("attribute '{}' is {}, found {}", attribute.name, expected, ToString(given))};
  };
  if (attribute.type == AttributeType::kChoice) {
    const auto* name = std::get_if<std::string>(&given);
    if (name == nullptr || std::find(attribute.choices.begin(), attribute.choices.end(), *name) == attribute.choices.end())
      return fail(fmt::format("one of {}", fmt::join(attribute.choices, ", ")));
    return given;
  }
  double number = 0;
  if (const auto* integer = std::get_if<int64_t>(&given))
    number = static_cast<double>(*integer);
  else if (const auto* real = std::get_if<double>(&given))
    number = *real;
  else
    return fail("a number");
  if (!std::isfinite(number)) return fail("finite");
  if (attribute.minimum && number < *attribute.minimum) return fail(fmt::format("at least {}", *attribute.minimum));
  if (attribute.maximum && number > *attribute.maximum) return fail(fmt::format("at most {}", *attribute.maximum));
  if (attribute.type == AttributeType::kFloat) return Value(number);
  if (number != std::floor(number) || std::abs(number) > 9e15) return fail("a whole number");
  if (attribute.type == AttributeType::kBool && number != 0 && number != 1) return fail("true or false");
  return Value(static_cast<int64_t>(number));
}

}  // namespace

// Turns operator.json into an Operator; everything that can be wrong without a workload is found here.
class OperatorReader {
 public:
  static Result<Operator> Read(const std::filesystem::path& dir) {
    const std::filesystem::path file = dir / "operator.json";
    Result<std::string> text = ReadFile(file);
    if (!text) return text.error().In("load operator");
    Result<std::string> reference = ReadFile(dir / "reference.cpp");
    if (!reference) return reference.error().In("load operator");
    Result<ManifestNode::Json> json = ManifestNode::Parse(*text, file.string());
    if (!json) return json.error();

    Operator op;
    op.dir_ = dir;
    op.manifest_ = *std::move(json);
    op.reference_source_ = *std::move(reference);
    const ManifestNode root(op.manifest_, file.string());
    root.AllowOnly({"operator", "summary", "attributes", "epilogue", "derived", "valid", "tensors", "cost", "tolerance", "make_inputs",
                    "test_workloads", "onnx"});
    op.name_ = root.At("operator").Text();
    if (!root.failed() && op.name_ != dir.filename().string())
      root.At("operator").Fail(fmt::format("'{}' lies in folder '{}'; the names must be equal", op.name_, dir.filename().string()));
    op.summary_ = root.TextOr("summary", "");
    op.makes_inputs_ = root.BoolOr("make_inputs", false);
    for (const auto& [name, node] : root.At("attributes").Items()) op.attributes_.push_back(ReadAttribute(name, node, op.choice_numbers_));
    if (root.Has("epilogue"))
      for (const ManifestNode& name : root.At("epilogue").Elements()) {
        op.epilogue_.push_back(name.Text());
        const auto named = std::find_if(op.attributes_.begin(), op.attributes_.end(),
                                        [&](const Attribute& attribute) { return attribute.name == op.epilogue_.back(); });
        if (named == op.attributes_.end() && !root.failed()) name.Fail(fmt::format("'{}' is no attribute", op.epilogue_.back()));
      }
    if (root.Has("derived"))
      for (const auto& [name, node] : root.At("derived").Items()) {
        (void)node.ExpressionText();
        op.derived_names_.push_back(name);
      }
    for (const auto& [name, node] : root.At("tensors").Items()) CheckTensor(node);
    if (root.Has("valid"))
      for (const ManifestNode& rule : root.At("valid").Elements()) {
        rule.AllowOnly({"require", "why"});
        (void)rule.At("require").ExpressionText();
        (void)rule.TextOr("why", "");
      }
    if (root.Has("cost")) {
      root.At("cost").AllowOnly({"flops", "bytes"});
      for (const auto& [name, node] : root.At("cost").Items()) (void)node.ExpressionText();
    }
    if (root.Has("tolerance"))
      for (const auto& [dtype, node] : root.At("tolerance").Items()) {
        if (!ParseDType(dtype)) node.Fail("not a dtype");
        node.AllowOnly({"relative", "absolute"});
        for (const auto& [name, bound] : node.Items())
          if (bound.Number() < 0) bound.Fail("a tolerance is not negative");
      }
    if (root.failed()) return root.error();

    // What does not change what is computed does not make old measurements history.
    nlohmann::ordered_json meaning = op.manifest_;
    for (const char* key : {"summary", "epilogue", "onnx", "test_workloads"}) meaning.erase(key);
    op.hash_ = ShortHash(meaning.dump() + op.reference_source_);
    return op;
  }

 private:
  static Attribute ReadAttribute(const std::string& name, const ManifestNode& node, std::map<std::string, double>& choice_numbers) {
    node.AllowOnly({"type", "choices", "default", "min", "max", "dynamic", "tuned_at", "meaning"});
    Attribute attribute;
    attribute.name = name;
    if (node.Has("choices")) {
      attribute.type = AttributeType::kChoice;
      for (const ManifestNode& choice : node.At("choices").Elements()) {
        attribute.choices.push_back(choice.Text());
        choice_numbers.emplace(choice.Text(), static_cast<double>(choice_numbers.size() + 1));
      }
      if (attribute.choices.empty()) node.At("choices").Fail("a choice needs at least one name");
    } else {
      const std::string type = node.At("type").Text();
      if (type == "int")
        attribute.type = AttributeType::kInt;
      else if (type == "float")
        attribute.type = AttributeType::kFloat;
      else if (type == "bool")
        attribute.type = AttributeType::kBool;
      else if (!node.failed())
        node.At("type").Fail(fmt::format("'{}' is not a type; there are int, float, bool, and \"choices\" instead", type));
    }
    if (node.Has("min")) attribute.minimum = node.At("min").Number();
    if (node.Has("max")) attribute.maximum = node.At("max").Number();
    attribute.dynamic = node.BoolOr("dynamic", false);
    if (attribute.dynamic && attribute.type != AttributeType::kInt) node.At("dynamic").Fail("only an int can be dynamic");
    if (node.Has("tuned_at"))
      for (const ManifestNode& value : node.At("tuned_at").Elements()) attribute.tuned_at.push_back(value.Integer());
    attribute.meaning = node.TextOr("meaning", "");
    if (node.Has("default")) {
      Result<Value> checked = CheckAttribute(attribute, node.At("default").AsValue());
      if (checked)
        attribute.default_value = *checked;
      else
        node.At("default").Fail(checked.error().message);
    }
    return attribute;
  }

  static void CheckTensor(const ManifestNode& node) {
    node.AllowOnly({"role", "dtype", "shape", "when", "fill", "compare"});
    const std::string role = node.At("role").Text();
    if (!node.failed() && role != "in" && role != "constant" && role != "out")
      node.At("role").Fail(fmt::format("'{}' is not a role; there are in, constant, out", role));
    (void)node.At("dtype").Text();
    const ManifestNode shape = node.At("shape");
    if (shape.json().is_object()) {
      for (const auto& [key, extents] : shape.Items())
        if (key != "by")
          for (const ManifestNode& extent : extents.Elements()) (void)extent.ExpressionText();
      (void)shape.At("by").Text();
    } else {
      for (const ManifestNode& extent : shape.Elements()) (void)extent.ExpressionText();
    }
    if (node.Has("when")) (void)node.At("when").ExpressionText();
    if (node.Has("compare") && node.At("compare").Text() != "exact" && !node.failed())
      node.At("compare").Fail("only \"exact\" is known here");
    if (!node.Has("fill")) return;
    const ManifestNode fill = node.At("fill");
    if (!fill.json().is_object()) {
      if (fill.json() != "zeros") fill.Fail("write \"zeros\", {\"uniform\": [LOW, HIGH]} or {\"integers\": [LOW, HIGH]}");
      return;
    }
    fill.AllowOnly({"uniform", "integers"});
    if (fill.json().size() != 1) fill.Fail("takes one of \"uniform\" and \"integers\"");
    for (const auto& [name, range] : fill.Items()) {
      const std::vector<ManifestNode> ends = range.Elements();
      if (ends.size() != 2 || !(ends[0].Number() <= ends[1].Number())) range.Fail("is [LOW, HIGH]");
    }
  }
};

Result<Operator> Operator::Load(const std::filesystem::path& dir) { return OperatorReader::Read(dir); }

double Operator::ChoiceNumber(const std::string& choice) const {
  const auto found = choice_numbers_.find(choice);
  return found == choice_numbers_.end() ? 0 : found->second;
}

std::vector<std::string> Operator::DerivedFromStatic() const {
  std::set<std::string> moving;
  for (const Attribute& attribute : attributes_)
    if (attribute.dynamic) moving.insert(attribute.name);
  std::vector<std::string> fixed;
  for (const std::string& name : derived_names_) {
    const Result<Expression> expression = Expression::Parse(ExpressionTextOf(manifest_["derived"][name]));
    const bool moves = expression && std::any_of(expression.value().names().begin(), expression.value().names().end(),
                                                 [&](const std::string& used) { return moving.count(used) > 0; });
    if (moves)
      moving.insert(name);
    else
      fixed.push_back(name);
  }
  return fixed;
}

Result<Workload> Operator::Normalise(Workload workload) const {
  if (workload.operator_name != name_) return BadWorkload(workload, fmt::format("is not a workload of operator '{}'", name_));
  Workload complete{name_, {}};
  for (const auto& [name, value] : workload.attributes) {
    const auto known = std::find_if(attributes_.begin(), attributes_.end(), [&](const Attribute& a) { return a.name == name; });
    if (known == attributes_.end()) {
      std::vector<std::string> names;
      for (const Attribute& attribute : attributes_) names.push_back(attribute.name);
      return BadWorkload(workload, fmt::format("'{}' has no attribute '{}'; there are: {}", name_, name, fmt::join(names, ", ")));
    }
  }
  for (const Attribute& attribute : attributes_) {
    const Value* given = Find(workload.attributes, attribute.name);
    if (given == nullptr && attribute.default_value) given = &*attribute.default_value;
    const Value tuned_at = attribute.tuned_at.empty() ? int64_t{0} : attribute.tuned_at.front();
    if (given == nullptr && !attribute.tuned_at.empty()) given = &tuned_at;
    if (given == nullptr) return BadWorkload(workload, fmt::format("attribute '{}' is missing", attribute.name));
    Result<Value> checked = CheckAttribute(attribute, *given);
    if (!checked) return BadWorkload(workload, checked.error().message);
    complete.attributes.emplace_back(attribute.name, *std::move(checked));
  }
  std::sort(complete.attributes.begin(), complete.attributes.end(), [](const auto& a, const auto& b) { return a.first < b.first; });

  Result<std::map<std::string, double>> numbers = Numbers(complete);
  if (!numbers) return numbers.error();
  if (manifest_.contains("valid"))
    for (const auto& rule : manifest_["valid"]) {
      const std::string require = ExpressionTextOf(rule["require"]);
      Result<double> holds = EvaluateText(require, *numbers);
      if (!holds) return holds.error().In(fmt::format("workload '{}'", complete.Key()));
      if (*holds == 0) return BadWorkload(complete, fmt::format("breaks the rule '{}' ({})", require, rule.value("why", "")));
    }
  Result<std::vector<TensorShape>> tensors = Tensors(complete);
  if (!tensors) return tensors.error();
  return complete;
}

std::string Operator::Label(const Workload& workload) const {
  NamedValues shown;
  for (const Attribute& attribute : attributes_) {
    const Value* value = Find(workload.attributes, attribute.name);
    if (value != nullptr && attribute.default_value != *value) shown.emplace_back(attribute.name, *value);
  }
  return name_ + ' ' + ToString(shown);
}

Result<std::map<std::string, double>> Operator::Numbers(const Workload& workload) const {
  std::map<std::string, double> numbers = choice_numbers_;
  for (const auto& [name, value] : workload.attributes) {
    if (const auto* text = std::get_if<std::string>(&value))
      numbers[name] = ChoiceNumber(*text);
    else if (const auto* integer = std::get_if<int64_t>(&value))
      numbers[name] = static_cast<double>(*integer);
    else
      numbers[name] = std::get<double>(value);
  }
  for (const std::string& name : derived_names_) {
    const auto& expression = manifest_["derived"][name];
    Result<double> value = EvaluateText(ExpressionTextOf(expression), numbers);
    if (!value) return value.error().In(fmt::format("derive '{}' of workload '{}'", name, workload.Key()));
    numbers[name] = *value;
  }
  return numbers;
}

Result<std::vector<TensorShape>> Operator::Tensors(const Workload& workload) const {
  Result<std::map<std::string, double>> numbers = Numbers(workload);
  if (!numbers) return numbers.error();
  std::vector<TensorShape> tensors;
  for (const auto& [name, spec] : manifest_["tensors"].items()) {
    const std::string where = fmt::format("tensor '{}' of workload '{}'", name, workload.Key());
    TensorShape tensor;
    tensor.name = name;
    const std::string role = spec["role"];
    tensor.role = role == "in" ? TensorRole::kIn : role == "constant" ? TensorRole::kConstant : TensorRole::kOut;

    std::string dtype = spec["dtype"];
    if (const Value* attribute = Find(workload.attributes, dtype)) dtype = ToString(*attribute);
    const std::optional<DType> parsed = ParseDType(dtype);
    if (!parsed) return Error{ErrorCode::kInvalidInput, fmt::format("{}: '{}' is not a dtype", where, dtype)};
    tensor.dtype = *parsed;

    const nlohmann::ordered_json* extents = &spec["shape"];
    if (extents->is_object()) {
      const std::string by = (*extents)["by"];
      const Value* choice = Find(workload.attributes, by);
      if (choice == nullptr || !extents->contains(ToString(*choice)))
        return Error{ErrorCode::kInvalidInput, fmt::format("{}: no shape for {}={}", where, by, choice ? ToString(*choice) : "?")};
      extents = &(*extents)[ToString(*choice)];
    }
    double elements = 1;
    for (const auto& extent : *extents) {
      Result<double> value = EvaluateText(ExpressionTextOf(extent), *numbers);
      if (!value) return value.error().In(where);
      if (*value < 0 || *value != std::floor(*value))
        return Error{ErrorCode::kInvalidInput, fmt::format("{}: extent {} is {}", where, extent.dump(), *value)};
      elements *= *value;
      if (elements > static_cast<double>(kMaxElements))
        return Error{ErrorCode::kInvalidInput, fmt::format("{}: more than {} elements", where, kMaxElements)};
      tensor.shape.push_back(static_cast<int64_t>(*value));
    }
    if (spec.contains("when")) {
      Result<double> present = EvaluateText(ExpressionTextOf(spec["when"]), *numbers);
      if (!present) return present.error().In(where);
      tensor.present = *present != 0;
    }
    if (spec.contains("fill")) {
      const auto& fill = spec["fill"];
      if (fill.is_object()) {
        tensor.filling.integers = fill.contains("integers");
        const auto& range = fill[tensor.filling.integers ? "integers" : "uniform"];
        tensor.filling.low = range[0];
        tensor.filling.high = range[1];
      } else {
        tensor.filling = {0, 0, false};
      }
    } else if (tensor.dtype == DType::kU8 || tensor.dtype == DType::kI8) {
      tensor.filling = {tensor.dtype == DType::kU8 ? 0.0 : -128.0, tensor.dtype == DType::kU8 ? 255.0 : 127.0, true};
    }
    tensor.tolerance = ToleranceOf(manifest_, dtype, spec.contains("compare"));
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

Result<double> Operator::Flops(const Workload& workload) const {
  if (!manifest_.contains("cost") || !manifest_["cost"].contains("flops")) return 0.0;
  Result<std::map<std::string, double>> numbers = Numbers(workload);
  if (!numbers) return numbers.error();
  return EvaluateText(ExpressionTextOf(manifest_["cost"]["flops"]), *numbers);
}

Result<double> Operator::Bytes(const Workload& workload) const {
  if (manifest_.contains("cost") && manifest_["cost"].contains("bytes")) {
    Result<std::map<std::string, double>> numbers = Numbers(workload);
    if (!numbers) return numbers.error();
    return EvaluateText(ExpressionTextOf(manifest_["cost"]["bytes"]), *numbers);
  }
  Result<std::vector<TensorShape>> tensors = Tensors(workload);
  if (!tensors) return tensors.error();
  double bytes = 0;
  for (const TensorShape& tensor : *tensors)
    if (tensor.present) bytes += static_cast<double>(tensor.bytes());
  return bytes;
}

}  // namespace lathe
