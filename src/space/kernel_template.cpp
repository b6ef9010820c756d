#include "space/kernel_template.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <memory>
#include <string_view>

#include "core/file.h"
#include "core/hash.h"
#include "space/evaluate.h"
#include "space/manifest_node.h"
#include "space/source_includes.h"

namespace lathe {
namespace {

using NumberMap = std::map<std::string, double>;

// A range longer than this is a mistake: each value becomes a column of tables.
constexpr size_t kMaxValues = 4096;
constexpr size_t kMaxLaunches = 4096;  // so many passes are a mistake, too

// A kernel sees names as macros, in capitals.
bool IsNameOf(const Operator& op, const std::string& name) {
  const auto equal = [&](const std::string& other) {
    return std::equal(name.begin(), name.end(), other.begin(), other.end(),
                      [](unsigned char a, unsigned char b) { return std::toupper(a) == std::toupper(b); });
  };
  return std::any_of(op.derived_names().begin(), op.derived_names().end(), equal) ||
         std::any_of(op.attributes().begin(), op.attributes().end(), [&](const Attribute& attribute) { return equal(attribute.name); });
}

constexpr std::string_view kLimitPrefix = "target.";

void AddTargetLimits(const Target& target, NumberMap& numbers) {
  for (const auto& [name, value] : target.limits) numbers[std::string(kLimitPrefix) + name] = value;
}

// An expression could not be evaluated: why, where that is a limit which the target lacks. Logs and boards' agents keep targets as the
// lathe of their time described them.
Error WithoutLimit(const std::string& expression, const Target& target, const Error& otherwise) {
  const Result<Expression> parsed = Expression::Parse(expression);
  if (!parsed) return otherwise;
  for (const std::string& name : parsed->names())
    if (name.starts_with(kLimitPrefix) && target.limits.count(name.substr(kLimitPrefix.size())) == 0)
      return Error{ErrorCode::kIncompatible,
                   fmt::format("it asks for '{}', which is not among the limits of target '{}'. Either the name is misspelt, or an older "
                               "lathe described the target: tune on it once more, or update the board's agent",
                               name, target.Key())};
  return otherwise;
}

std::vector<Value> ReadValues(const ManifestNode& node) {
  std::vector<Value> values;
  const auto bounds = [&](const char* key) {
    const std::vector<ManifestNode> pair = node.At(key).Elements();
    if (pair.size() != 2 && !node.failed()) node.At(key).Fail("expected [first, last]");
    return pair.size() == 2 ? std::pair(pair[0].Integer(), pair[1].Integer()) : std::pair<int64_t, int64_t>(1, 1);
  };
  if (node.Has("values")) {
    for (const ManifestNode& value : node.At("values").Elements()) values.push_back(value.AsValue());
  } else if (node.Has("range")) {
    const auto [first, last] = bounds("range");
    const int64_t step = node.Has("step") ? node.At("step").Integer() : 1;
    if (step < 1) node.At("step").Fail("a step is at least 1");
    for (int64_t value = first; value <= last && values.size() <= kMaxValues; value += std::max<int64_t>(step, 1))
      values.emplace_back(value);
  } else if (node.Has("powers_of_two")) {
    const auto [first, last] = bounds("powers_of_two");
    if (first < 1) node.At("powers_of_two").Fail("powers of two start at 1 or above");
    int64_t value = 1;
    while (value < first) value *= 2;
    for (; value <= last && values.size() < 62; value *= 2) values.emplace_back(value);
  } else {
    node.Fail("a parameter has \"values\", \"range\" or \"powers_of_two\"");
  }
  if (values.empty()) node.Fail("a parameter needs at least one value");
  if (values.size() > kMaxValues) node.Fail(fmt::format("more than {} values", kMaxValues));
  for (size_t i = 0; i < values.size(); ++i)
    if (std::find(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(i), values[i]) !=
        values.begin() + static_cast<std::ptrdiff_t>(i))
      node.Fail(fmt::format("value {} stands twice", ToString(values[i])));
  return values;
}

}  // namespace

class TemplateReader {
 public:
  static Result<KernelTemplate> Read(const std::filesystem::path& file, const Operator& op) {
    Result<std::string> text = ReadFile(file);
    if (!text) return text.error().In("load template");
    Result<ManifestNode::Json> json = ManifestNode::Parse(*text, file.string());
    if (!json) return json.error();

    KernelTemplate tmpl;
    tmpl.manifest_ = *std::move(json);
    tmpl.operator_name_ = op.name();
    const ManifestNode root(tmpl.manifest_, file.string());
    root.AllowOnly({"template", "summary", "backend", "source", "applies", "parameters", "constraints", "features", "packed", "workspace",
                    "tolerance", "flags", "prepare", "launch"});
    tmpl.name_ = root.At("template").Text();
    if (!root.failed() && tmpl.name_ != file.stem().string())
      root.At("template").Fail(fmt::format("'{}' stands in file '{}'; the names must be equal", tmpl.name_, file.filename().string()));
    tmpl.summary_ = root.TextOr("summary", "");
    tmpl.backend_ = root.At("backend").Text();
    const std::array<const char*, 4> kBackends = {"cpu", "gpu", "opencl", "cuda"};
    if (!root.failed() && std::find(kBackends.begin(), kBackends.end(), tmpl.backend_) == kBackends.end())
      root.At("backend").Fail(fmt::format("'{}' is none; write cpu, gpu (OpenCL and CUDA from one source), opencl or cuda", tmpl.backend_));
    tmpl.source_name_ = root.At("source").Text();
    if (root.Has("applies")) (void)root.At("applies").ExpressionText();
    for (const auto& [name, node] : root.At("parameters").Items()) {
      node.AllowOnly({"values", "range", "step", "powers_of_two", "meaning", "launch_only"});
      (void)ReadValues(node);
      if (IsNameOf(op, name))
        node.Fail(fmt::format("'{}' names an attribute or derived value of operator '{}': its macro would be hidden", name, op.name()));
      if (node.BoolOr("launch_only", false) && tmpl.backend_ == "cpu")
        node.At("launch_only").Fail("a CPU kernel has no launch: every parameter is compiled in");
    }
    if (root.Has("constraints"))
      for (const ManifestNode& constraint : root.At("constraints").Elements()) {
        constraint.AllowOnly({"require", "why"});
        (void)constraint.At("require").ExpressionText();
        (void)constraint.At("why").Text();
      }
    if (root.Has("features"))
      for (const auto& [name, node] : root.At("features").Items()) {
        (void)node.ExpressionText();
        tmpl.feature_names_.push_back(name);
      }
    if (root.Has("packed")) CheckPacked(root.At("packed"), op, tmpl.packs_);
    if (root.Has("workspace")) (void)root.At("workspace").ExpressionText();
    if (root.Has("tolerance"))
      for (const auto& [dtype, node] : root.At("tolerance").Items()) {
        if (!ParseDType(dtype)) node.Fail("not a dtype");
        node.AllowOnly({"relative", "absolute"});
      }
    if (root.Has("flags")) {
      const ManifestNode flags = root.At("flags");
      if (flags.json().is_object()) {  // OpenCL's and CUDA's compilers have no flags in common
        flags.AllowOnly({"opencl", "cuda"});
        for (const auto& [backend, list] : flags.Items())
          for (const ManifestNode& flag : list.Elements()) tmpl.flags_[backend].push_back(flag.Text());
      } else {
        for (const ManifestNode& flag : flags.Elements()) tmpl.flags_[""].push_back(flag.Text());
      }
    }
    for (const char* key : {"prepare", "launch"})
      if (root.Has(key)) CheckLaunches(root.At(key));
    if (!root.failed() && tmpl.backend_ == "cpu" && (root.Has("launch") || root.Has("prepare")))
      root.At(root.Has("launch") ? "launch" : "prepare").Fail("a CPU kernel has no launch");
    if (!root.failed() && tmpl.backend_ != "cpu") {
      (void)root.At("launch");
      if (root.Has("packed") != root.Has("prepare"))
        root.Fail("on a GPU 'packed' says what kernels under 'prepare' fill: give both or neither");
    }
    if (root.failed()) return root.error();

    Result<std::string> source = ReadFile(file.parent_path() / tmpl.source_name_);
    if (!source) return source.error().In(fmt::format("load template '{}'", file.string()));
    const std::filesystem::path prelude_dir = file.parent_path().parent_path() / "prelude";
    source = WithIncludes(*source, tmpl.source_name_, file.parent_path(), prelude_dir);
    if (!source) return source.error().In(fmt::format("load template '{}'", file.string()));
    tmpl.source_ = *std::move(source);
    std::string prelude;
    for (const char* name : {"abi.h", tmpl.backend_ == "cpu" ? "cpu.h" : "gpu.h"})
      if (Result<std::string> part = ReadFile(prelude_dir / name)) prelude += *part;
    nlohmann::ordered_json meaning = tmpl.manifest_;
    meaning.erase("summary");
    tmpl.hash_ = ShortHash(meaning.dump() + tmpl.source_ + prelude + op.hash());
    return tmpl;
  }

 private:
  static void CheckLaunches(const ManifestNode& launches) {
    for (const ManifestNode& launch : launches.Elements()) {
      launch.AllowOnly({"kernel", "when", "repeat", "global", "local", "arguments", "dynamic_local"});
      (void)launch.At("kernel").Text();
      for (const char* key : {"when", "repeat", "dynamic_local"})
        if (launch.Has(key)) (void)launch.At(key).ExpressionText();
      for (const char* key : {"global", "local", "arguments"})
        if (launch.Has(key) || std::string_view(key) != "arguments")
          for (const ManifestNode& extent : launch.At(key).Elements()) (void)extent.ExpressionText();
      if (launch.failed()) return;
      const size_t dimensions = launch.json()["global"].size();
      if (dimensions < 1 || dimensions > 3 || launch.json()["local"].size() != dimensions)
        launch.Fail("'global' and 'local' give one to three dimensions, both as many");
    }
  }

  static void CheckPacked(const ManifestNode& packed, const Operator& op, bool& packs) {
    for (const auto& [tensor, node] : packed.Items()) {
      node.AllowOnly({"shape", "dtype"});
      const auto& tensors = op.manifest()["tensors"];
      if (!tensors.contains(tensor))
        node.Fail(fmt::format("operator '{}' has no tensor of that name", op.name()));
      else if (tensors[tensor]["role"] != "constant")
        node.Fail("only a constant can be packed: an input changes with every call");
      for (const ManifestNode& extent : node.At("shape").Elements()) (void)extent.ExpressionText();
      if (node.Has("dtype") && !ParseDType(node.At("dtype").Text())) node.At("dtype").Fail("not a dtype");
      packs = true;
    }
  }
};

Result<KernelTemplate> KernelTemplate::Load(const std::filesystem::path& manifest, const Operator& op) {
  return TemplateReader::Read(manifest, op);
}

Result<bool> KernelTemplate::Applies(const Operator& op, const Workload& workload, const Target& target) const {
  if (!RunsOn(target.backend)) return false;
  if (!manifest_.contains("applies")) return true;
  Result<NumberMap> numbers = op.Numbers(workload);
  if (!numbers) return numbers.error();
  AddTargetLimits(target, *numbers);
  Result<double> applies = EvaluateText(ExpressionTextOf(manifest_["applies"]), *numbers);
  if (!applies)
    return WithoutLimit(ExpressionTextOf(manifest_["applies"]), target, applies.error())
        .In(fmt::format("template '{}', key 'applies'", name_));
  return *applies != 0;
}

Result<Space> KernelTemplate::SpaceFor(const Operator& op, const Workload& workload, const Target& target) const {
  Result<NumberMap> numbers = op.Numbers(workload);
  if (!numbers) return numbers.error();
  AddTargetLimits(target, *numbers);
  SpaceDefinition definition;
  definition.id = fmt::format("{}/{}", operator_name_, name_);
  definition.numbers = *std::move(numbers);
  const ManifestNode parameters(manifest_["parameters"], name_);
  for (const auto& [name, node] : parameters.Items()) {
    Parameter parameter{name, ReadValues(node), node.TextOr("meaning", "")};
    // A category's names stand for numbers, after those of the operator's own choices.
    for (const Value& value : parameter.values)
      if (const auto* text = std::get_if<std::string>(&value))
        definition.numbers.emplace(*text, static_cast<double>(definition.numbers.size() + 1000));
    definition.parameters.push_back(std::move(parameter));
  }
  if (manifest_.contains("constraints"))
    for (const auto& constraint : manifest_["constraints"])
      definition.constraints.push_back({ExpressionTextOf(constraint["require"]), constraint["why"]});
  if (manifest_.contains("workspace") && target.limits.count("max_buffer_bytes") > 0)
    definition.constraints.push_back(
        {fmt::format("({}) <= target.max_buffer_bytes", ExpressionTextOf(manifest_["workspace"])), "the workspace fits one buffer"});
  Result<Space> space = Space::Create(std::move(definition));
  if (space) return space;
  Error error = space.error();
  if (manifest_.contains("constraints"))
    for (const auto& constraint : manifest_["constraints"]) error = WithoutLimit(ExpressionTextOf(constraint["require"]), target, error);
  return error.In(fmt::format("template '{}/{}' for workload '{}'", operator_name_, name_, workload.Key()));
}

Result<std::map<std::string, double>> KernelTemplate::Numbers(const Operator& op, const Workload& workload, const Target& target,
                                                              const Config& config) const {
  Result<NumberMap> numbers = op.Numbers(workload);
  if (!numbers) return numbers.error();
  AddTargetLimits(target, *numbers);
  // The same numbers for a category's names as in SpaceFor.
  for (const auto& [name, parameter] : manifest_["parameters"].items())
    if (parameter.contains("values"))
      for (const auto& value : parameter["values"])
        if (value.is_string()) numbers->emplace(value.get<std::string>(), static_cast<double>(numbers->size() + 1000));
  for (const auto& [name, value] : config) {
    if (const auto* text = std::get_if<std::string>(&value))
      (*numbers)[name] = numbers->at(*text);
    else if (const auto* integer = std::get_if<int64_t>(&value))
      (*numbers)[name] = static_cast<double>(*integer);
    else
      (*numbers)[name] = std::get<double>(value);
  }
  return numbers;
}

Result<std::vector<TensorShape>> KernelTemplate::Tensors(const Operator& op, const Workload& workload) const {
  Result<std::vector<TensorShape>> tensors = op.Tensors(workload);
  if (!tensors || !manifest_.contains("tolerance")) return tensors;
  for (TensorShape& tensor : *tensors)
    if (!tensor.tolerance.exact && manifest_["tolerance"].contains(ToString(tensor.dtype)))
      tensor.tolerance = ToleranceOf(manifest_, ToString(tensor.dtype), false);
  return tensors;
}

Result<std::vector<TensorShape>> KernelTemplate::PackedTensors(const Operator& op, const Candidate& candidate, const Target& target) const {
  Result<std::vector<TensorShape>> tensors = Tensors(op, candidate.workload);
  if (!tensors || !packs_) return tensors;
  Result<NumberMap> numbers = Numbers(op, candidate.workload, target, candidate.config);
  if (!numbers) return numbers.error();
  for (TensorShape& tensor : *tensors) {
    if (!manifest_["packed"].contains(tensor.name)) continue;
    const auto& packed = manifest_["packed"][tensor.name];
    tensor.shape.clear();
    for (const auto& extent : packed["shape"]) {
      Result<double> value = EvaluateText(ExpressionTextOf(extent), *numbers);
      if (!value) return value.error().In(fmt::format("template '{}', packed '{}'", name_, tensor.name));
      if (*value < 0 || *value != std::floor(*value))
        return Error{ErrorCode::kInvalidInput,
                     fmt::format("template '{}', packed '{}': extent {} is {}", name_, tensor.name, extent.dump(), *value)};
      tensor.shape.push_back(static_cast<int64_t>(*value));
    }
    if (packed.contains("dtype")) tensor.dtype = *ParseDType(packed["dtype"].get<std::string>());
  }
  return tensors;
}

Result<size_t> KernelTemplate::WorkspaceBytes(const Operator& op, const Candidate& candidate, const Target& target) const {
  if (!manifest_.contains("workspace")) return size_t{0};
  Result<NumberMap> numbers = Numbers(op, candidate.workload, target, candidate.config);
  if (!numbers) return numbers.error();
  Result<double> bytes = EvaluateText(ExpressionTextOf(manifest_["workspace"]), *numbers);
  if (!bytes) return bytes.error().In(fmt::format("template '{}', key 'workspace'", name_));
  if (*bytes < 0 || *bytes > 1e12)
    return Error{ErrorCode::kInvalidInput, fmt::format("template '{}', key 'workspace': {} bytes", name_, *bytes)};
  return static_cast<size_t>(std::ceil(*bytes));
}

std::vector<std::string> KernelTemplate::Flags(const std::string& target_backend) const {
  std::vector<std::string> flags;
  for (const std::string& key : {std::string(), target_backend})
    if (const auto found = flags_.find(key); found != flags_.end()) flags.insert(flags.end(), found->second.begin(), found->second.end());
  return flags;
}

bool KernelTemplate::IsLaunchOnly(const std::string& parameter) const {
  const auto& parameters = manifest_["parameters"];
  return parameters.contains(parameter) && parameters[parameter].value("launch_only", false);
}

Result<std::vector<Launch>> KernelTemplate::Launches(const Operator& op, const Candidate& candidate, const Target& target) const {
  return LaunchList("launch", op, candidate, target);
}

Result<std::vector<Launch>> KernelTemplate::PrepareLaunches(const Operator& op, const Candidate& candidate, const Target& target) const {
  return LaunchList("prepare", op, candidate, target);
}

Result<std::vector<Launch>> KernelTemplate::LaunchList(const char* list, const Operator& op, const Candidate& candidate,
                                                       const Target& target) const {
  std::vector<Launch> launches;
  if (!manifest_.contains(list)) return launches;
  Result<NumberMap> numbers = Numbers(op, candidate.workload, target, candidate.config);
  if (!numbers) return numbers.error();
  for (const auto& entry : manifest_[list]) {
    const std::string kernel = entry["kernel"];
    const auto whole = [&](const char* key, const nlohmann::ordered_json& text, double least) -> Result<double> {
      Result<double> value = EvaluateText(ExpressionTextOf(text), *numbers);
      if (!value) return value.error().In(fmt::format("template '{}', {} of '{}'", name_, list, kernel));
      if (*value < least || *value != std::floor(*value) || *value > 9e15)
        return Error{ErrorCode::kInvalidInput,
                     fmt::format("template '{}', {} of '{}': {} {} is {}", name_, list, kernel, key, text.dump(), *value)};
      return value;
    };
    const auto number = [&](const char* key, double otherwise) {
      return entry.contains(key) ? whole(key, entry[key], 0) : Result<double>(otherwise);
    };
    numbers->insert_or_assign("pass", 0);
    Result<double> when = number("when", 1);
    if (!when) return when.error();
    if (*when == 0) continue;
    Result<double> repeat = number("repeat", 1);
    if (!repeat) return repeat.error();
    if (launches.size() + static_cast<size_t>(*repeat) > kMaxLaunches)
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("template '{}', {} of '{}': more than {} launches", name_, list, kernel, kMaxLaunches)};
    for (double pass = 0; pass < *repeat; ++pass) {
      numbers->insert_or_assign("pass", pass);
      Launch launch;
      launch.kernel = kernel;
      for (const auto& [key, extents] : {std::pair("global", &launch.global), std::pair("local", &launch.local)})
        for (const auto& extent : entry[key]) {
          Result<double> value = whole(key, extent, 1);
          if (!value) return value.error();
          extents->push_back(static_cast<uint64_t>(*value));
        }
      if (entry.contains("arguments"))
        for (const auto& argument : entry["arguments"]) {
          Result<double> value = whole("arguments", argument, -2147483648.0);
          if (!value) return value.error();
          launch.arguments.push_back(static_cast<int64_t>(*value));
        }
      Result<double> local_bytes = number("dynamic_local", 0);
      if (!local_bytes) return local_bytes.error();
      launch.dynamic_local_bytes = static_cast<uint64_t>(*local_bytes);
      launches.push_back(std::move(launch));
    }
  }
  return launches;
}

Result<std::function<std::vector<double>(const Point&)>> KernelTemplate::FeaturesFor(const Operator& op, const Workload& workload,
                                                                                     const Target& target, const Space& space) const {
  // One slot for each name of each expression: filled from the point where a parameter, fixed otherwise.
  struct Feature {
    Expression expression;
    std::vector<double> values;
    std::vector<std::pair<size_t, size_t>> from_parameter;  // slot, parameter
  };
  Result<NumberMap> numbers = Numbers(op, workload, target, {});
  if (!numbers) return numbers.error();
  auto features = std::make_shared<std::vector<Feature>>();
  for (const std::string& name : feature_names_) {
    Result<Expression> expression = Expression::Parse(ExpressionTextOf(manifest_["features"][name]));
    if (!expression) return expression.error();
    Feature feature{*std::move(expression), {}, {}};
    for (size_t slot = 0; slot < feature.expression.names().size(); ++slot) {
      const std::string& wanted = feature.expression.names()[slot];
      const auto& parameters = space.parameters();
      const auto parameter = std::find_if(parameters.begin(), parameters.end(), [&](const Parameter& p) { return p.name == wanted; });
      if (parameter != parameters.end()) {
        feature.from_parameter.emplace_back(slot, static_cast<size_t>(parameter - parameters.begin()));
        feature.values.push_back(0);
      } else if (const auto known = numbers->find(wanted); known != numbers->end()) {
        feature.values.push_back(known->second);
      } else {
        return Error{ErrorCode::kInvalidInput, fmt::format("template '{}', feature '{}': nothing is called '{}'", name_, name, wanted)};
      }
    }
    features->push_back(std::move(feature));
  }
  return std::function<std::vector<double>(const Point&)>([features, &space](const Point& point) {
    std::vector<double> results;
    for (Feature& feature : *features) {
      for (const auto& [slot, parameter] : feature.from_parameter) feature.values[slot] = space.Number(parameter, point[parameter]);
      Result<double> value = feature.expression.Evaluate(feature.values);
      results.push_back(value ? *value : std::nan(""));  // the cost model reads NaN as missing
    }
    return results;
  });
}

}  // namespace lathe
