// Shapes as libonnx's operator schemas infer them. The only place that calls libonnx.
#include <fmt/format.h>
#include <onnx/defs/schema.h>
#include <onnx/defs/shape_inference.h>

#include <algorithm>
#include <charconv>
#include <set>

#include "deploy/onnx_rules.h"

namespace lathe::graph {
namespace {

// Debian 12's libonnx ends here; later sets are read with the last rules it has. What changed its signature since has a rule of its own
// (onnx_shape_rules.cpp); Verify() below refuses attributes that this set does not know.
constexpr int64_t kLibraryOpset = 17;

// Names our symbols in libonnx's shapes, so that it passes open dimensions on and we recognise them.
std::string SymbolName(int symbol) { return fmt::format("lathe.{}", symbol); }

std::optional<int> SymbolOf(const std::string& name) {
  constexpr std::string_view kPrefix = "lathe.";
  int symbol = 0;
  if (!name.starts_with(kPrefix)) return std::nullopt;
  const char* end = name.data() + name.size();
  const auto [rest, failure] = std::from_chars(name.data() + kPrefix.size(), end, symbol);
  if (failure != std::errc() || rest != end) return std::nullopt;
  return symbol;
}

void Fill(onnx::TensorShapeProto& proto, const Shape& shape) {
  for (const Dim& dim : shape) {
    auto* to = proto.add_dim();
    if (dim.known())
      to->set_dim_value(dim.size);
    else if (dim.symbol >= 0)
      to->set_dim_param(SymbolName(dim.symbol));
  }
}

std::optional<onnx::TensorProto> ToProto(const SmallTensor& tensor) {
  onnx::TensorProto proto;
  proto.set_data_type(tensor.type);
  for (int64_t dim : tensor.dims) proto.add_dims(dim);
  for (const Scalar& element : tensor.elements) {
    if (!element.known) return std::nullopt;
    switch (tensor.type) {
      case kFloat:
        proto.add_float_data(static_cast<float>(element.real));
        break;
      case kDouble:
        proto.add_double_data(element.real);
        break;
      case kInt64:
        proto.add_int64_data(element.integer);
        break;
      case kUint32:
      case kUint64:
        proto.add_uint64_data(static_cast<uint64_t>(element.integer));
        break;
      case kInt32:
      case kBool:
      case kInt8:
      case kUint8:
      case kInt16:
      case kUint16:
        proto.add_int32_data(static_cast<int32_t>(element.integer));
        break;
      default:
        return std::nullopt;
    }
  }
  return proto;
}

onnx::AttributeProto ToProto(const std::string& name, const Attribute& attribute) {
  using Kind = Attribute::Kind;
  using Proto = onnx::AttributeProto;
  Proto proto;
  proto.set_name(name);
  switch (attribute.kind) {
    case Kind::kInt:
      proto.set_type(Proto::INT);
      proto.set_i(attribute.ints[0]);
      break;
    case Kind::kReal:
      proto.set_type(Proto::FLOAT);
      proto.set_f(static_cast<float>(attribute.reals[0]));
      break;
    case Kind::kText:
      proto.set_type(Proto::STRING);
      proto.set_s(attribute.texts[0]);
      break;
    case Kind::kInts:
      proto.set_type(Proto::INTS);
      for (int64_t value : attribute.ints) proto.add_ints(value);
      break;
    case Kind::kReals:
      proto.set_type(Proto::FLOATS);
      for (double value : attribute.reals) proto.add_floats(static_cast<float>(value));
      break;
    case Kind::kTexts:
      proto.set_type(Proto::STRINGS);
      for (const std::string& value : attribute.texts) proto.add_strings(value);
      break;
    case Kind::kTensor: {
      proto.set_type(Proto::TENSOR);
      std::optional<onnx::TensorProto> tensor = attribute.tensor ? ToProto(*attribute.tensor) : std::nullopt;
      if (tensor) {
        *proto.mutable_t() = *std::move(tensor);
      } else {
        proto.mutable_t()->set_data_type(attribute.tensor_type);
        for (int64_t dim : attribute.tensor_dims) proto.mutable_t()->add_dims(dim);
      }
      break;
    }
    case Kind::kGraph:
      proto.set_type(Proto::GRAPH);
      break;
    case Kind::kOther:
      break;
  }
  return proto;
}

class Context : public onnx::InferenceContext {
 public:
  explicit Context(const NodeContext& node) {
    for (const auto& [name, attribute] : node.node.attributes) attributes_[name] = ToProto(name, attribute);
    for (const Known* known : node.inputs) {
      types_.emplace_back();
      data_.emplace_back();
      symbolic_.emplace_back();
      if (!known || known->type == kUndefined) continue;
      types_.back().emplace();
      auto* tensor = types_.back()->mutable_tensor_type();
      tensor->set_elem_type(known->type);
      if (known->shape) Fill(*tensor->mutable_shape(), *known->shape);
      if (!known->value) continue;
      data_.back() = ToProto(*known->value);
      if (data_.back() || !IsInteger(known->value->type) || known->value->dims.size() != 1) continue;
      symbolic_.back().emplace();
      for (const Scalar& element : known->value->elements) {
        auto* dim = symbolic_.back()->add_dim();
        if (element.known)
          dim->set_dim_value(element.integer);
        else if (element.symbol >= 0)
          dim->set_dim_param(SymbolName(element.symbol));
      }
    }
    outputs_.resize(node.node.outputs.size());
  }

  const onnx::AttributeProto* getAttribute(const std::string& name) const override {
    const auto found = attributes_.find(name);
    return found == attributes_.end() ? nullptr : &found->second;
  }
  size_t getNumInputs() const override { return types_.size(); }
  const onnx::TypeProto* getInputType(size_t i) const override { return i < types_.size() && types_[i] ? &*types_[i] : nullptr; }
  const onnx::TensorProto* getInputData(size_t i) const override { return i < data_.size() && data_[i] ? &*data_[i] : nullptr; }
  size_t getNumOutputs() const override { return outputs_.size(); }
  onnx::TypeProto* getOutputType(size_t i) override {
    if (i >= outputs_.size()) throw onnx::InferenceError(fmt::format("output {} is not there", i));
    return &outputs_[i];
  }
  onnx::GraphInferencer* getGraphAttributeInferencer(const std::string&) override { return nullptr; }
  const onnx::SparseTensorProto* getInputSparseData(size_t) const override { return nullptr; }
  const onnx::TensorShapeProto* getSymbolicInput(size_t i) const override {
    return i < symbolic_.size() && symbolic_[i] ? &*symbolic_[i] : nullptr;
  }

  const std::vector<onnx::TypeProto>& outputs() const { return outputs_; }

 private:
  std::map<std::string, onnx::AttributeProto> attributes_;
  std::vector<std::optional<onnx::TypeProto>> types_;
  std::vector<std::optional<onnx::TensorProto>> data_;
  std::vector<std::optional<onnx::TensorShapeProto>> symbolic_;
  std::vector<onnx::TypeProto> outputs_;
};

// libonnx 1.12 reads past the end of what a broken node of these gives it, or divides by it (found by handing every operator senseless
// inputs; tests/deploy/onnx_every_operator_test.cpp). Those that networks use have rules of our own (onnx_shape_rules.cpp).
bool Unsafe(const Node& node) {
  static const std::set<std::string> kUnsafe = {"EyeLike", "GatherND", "LayerNormalization", "MaxUnpool", "STFT", "SplitToSequence"};
  return node.domain == "ai.onnx.ml" || kUnsafe.contains(node.op);
}

Error Refuse(const std::string& why) { return {ErrorCode::kInvalidInput, why}; }

// libonnx divides by these, and takes every list to be as long as the input has spatial dimensions.
Status CheckDivisors(const NodeContext& context) {
  for (const char* name : {"strides", "dilations", "kernel_shape"})
    for (int64_t value : context.node.Ints(name).value_or(std::vector<int64_t>{}))
      if (value < 1 || value > INT32_MAX) return Refuse(fmt::format("{} has {} among its values", name, value));
  for (const char* name : {"blocksize", "group"})
    if (const int64_t value = context.node.Int(name, 1); value < 1 || value > INT32_MAX)
      return Refuse(fmt::format("{} is {}", name, value));
  return {};
}

onnx::NodeProto ForVerification(const NodeContext& context) {
  onnx::NodeProto proto;
  proto.set_op_type(context.node.op);
  proto.set_domain(context.node.domain);
  proto.set_name(context.node.name);
  for (const std::string& input : context.node.inputs) proto.add_input(input);
  for (const std::string& output : context.node.outputs) proto.add_output(output);
  for (const auto& [name, attribute] : context.node.attributes)
    if (attribute.kind != Attribute::Kind::kOther) *proto.add_attribute() = ToProto(name, attribute);
  return proto;
}

}  // namespace

Result<std::vector<Known>> InferByLibrary(const NodeContext& context) {
  const int64_t opset = context.node.domain.empty() ? std::min(context.opset, kLibraryOpset) : context.opset;
  try {
    const onnx::OpSchema* schema = onnx::OpSchemaRegistry::Schema(context.node.op, static_cast<int>(opset), context.node.domain);
    if (!schema)
      return Refuse(fmt::format("no operator '{}' is known in operator set {} of '{}'", context.node.op, context.opset,
                                context.node.domain.empty() ? "ai.onnx" : context.node.domain));
    if (Unsafe(context.node)) return Refuse("there is no rule for such inputs");
    if (Status fine = CheckDivisors(context); !fine) return fine.error();
    schema->Verify(ForVerification(context));
    Context inference(context);
    schema->GetTypeAndShapeInferenceFunction()(inference);
    std::vector<Known> outputs;
    for (const onnx::TypeProto& type : inference.outputs()) {
      Known known;
      if (type.has_tensor_type()) {
        known.type = type.tensor_type().elem_type();
        if (type.tensor_type().has_shape()) {
          known.shape.emplace();
          for (const auto& dim : type.tensor_type().shape().dim()) {
            Dim read;
            if (dim.has_dim_value() && dim.dim_value() < 0) return Refuse(fmt::format("a dimension comes out as {}", dim.dim_value()));
            if (dim.has_dim_value()) read.size = dim.dim_value();
            const std::optional<int> symbol = SymbolOf(dim.dim_param());
            if (!read.known() && symbol && *symbol >= 0 && *symbol < context.symbols.size()) read.symbol = *symbol;
            known.shape->push_back(read);
          }
        }
      }
      outputs.push_back(std::move(known));
    }
    return outputs;
  } catch (const std::exception& failure) {
    return Refuse(failure.what());
  }
}

}  // namespace lathe::graph
