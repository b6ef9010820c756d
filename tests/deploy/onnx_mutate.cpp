#include "onnx_mutate.h"

#include <onnx/onnx_pb.h>

#include <cstdint>
#include <limits>

namespace lathe {
namespace {

float TellingReal(Random& random) {
  constexpr float kNumbers[] = {
      0, -1, 0.5F, 1e30F, -1e30F, 1e-30F, std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()};
  return kNumbers[Below(random, std::size(kNumbers))];
}

void DamageTensor(onnx::TensorProto& tensor, Random& random) {
  switch (Below(random, 4)) {
    case 0:
      if (tensor.dims_size())
        tensor.set_dims(static_cast<int>(Below(random, static_cast<size_t>(tensor.dims_size()))), TellingNumber(random));
      break;
    case 1:
      tensor.set_data_type(static_cast<int32_t>(Below(random, 18)));
      break;
    case 2:
      tensor.add_dims(TellingNumber(random));
      break;
    default:
      if (tensor.raw_data().size() >= 8) {
        const int64_t number = TellingNumber(random);
        tensor.mutable_raw_data()->replace(0, 8, reinterpret_cast<const char*>(&number), 8);
      }
  }
}

void DamageAttribute(onnx::AttributeProto& attribute, Random& random) {
  switch (Below(random, 6)) {
    case 0:
      attribute.set_type(static_cast<onnx::AttributeProto::AttributeType>(Below(random, 12)));
      break;
    case 1:
      attribute.set_name(Below(random, 2) ? "axis" : "nonsense");
      break;
    case 2:
      attribute.add_ints(TellingNumber(random));
      break;
    case 3:
      attribute.clear_ints();
      break;
    default:
      attribute.set_i(TellingNumber(random));
      attribute.set_f(TellingReal(random));
      if (attribute.ints_size())
        attribute.set_ints(static_cast<int>(Below(random, static_cast<size_t>(attribute.ints_size()))), TellingNumber(random));
      if (attribute.type() == onnx::AttributeProto::STRING) attribute.set_s(Below(random, 2) ? "SAME_UPPER" : "");
      if (attribute.has_t()) DamageTensor(*attribute.mutable_t(), random);
  }
}

void DamageNode(onnx::NodeProto& node, const onnx::GraphProto& graph, Random& random) {
  static const char* const kOperators[] = {"Conv",
                                           "Reshape",
                                           "Concat",
                                           "Gather",
                                           "Slice",
                                           "Resize",
                                           "MaxPool",
                                           "ConvTranspose",
                                           "Flatten",
                                           "Transpose",
                                           "Squeeze",
                                           "Unsqueeze",
                                           "Split",
                                           "Expand",
                                           "Tile",
                                           "Pad",
                                           "ReduceMean",
                                           "Gemm",
                                           "MatMul",
                                           "TopK",
                                           "NonZero",
                                           "Range",
                                           "Where",
                                           "Cast",
                                           "ConstantOfShape",
                                           "NonMaxSuppression",
                                           "RoiAlign",
                                           "DepthToSpace",
                                           "If",
                                           "Loop",
                                           "Scan",
                                           "LSTM",
                                           "Einsum",
                                           "Upsample",
                                           "OneHot",
                                           "GatherND",
                                           "ScatterND",
                                           "SpaceToDepth",
                                           "GlobalMaxPool",
                                           "LpPool",
                                           "MaxUnpool",
                                           "MaxRoiPool",
                                           "QLinearConv",
                                           "Compress",
                                           "ArgMax",
                                           "SequenceAt",
                                           "Constant",
                                           "Size"};
  const auto inputs = static_cast<size_t>(node.input_size());
  switch (Below(random, 7)) {
    case 0:
      node.set_op_type(kOperators[Below(random, std::size(kOperators))]);
      break;
    case 1:
      if (inputs) node.mutable_input()->RemoveLast();
      break;
    case 2:
      if (inputs > 1) node.mutable_input()->SwapElements(0, static_cast<int>(Below(random, inputs)));
      break;
    case 3:
      node.add_input(graph.input(static_cast<int>(Below(random, static_cast<size_t>(graph.input_size())))).name());
      break;
    case 4:
      if (inputs) *node.mutable_input(static_cast<int>(Below(random, inputs))) = "";
      break;
    case 5:
      node.add_output(node.name() + ".more");
      break;
    default:
      if (node.attribute_size())
        DamageAttribute(*node.mutable_attribute(static_cast<int>(Below(random, static_cast<size_t>(node.attribute_size())))), random);
  }
}

}  // namespace

int64_t TellingNumber(Random& random) {
  constexpr int64_t kNumbers[] = {0, 1, -1, 2, -2, 3, 4, 7, 16, 1000, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, int64_t{1} << 40};
  return kNumbers[Below(random, std::size(kNumbers))];
}

size_t Below(Random& random, size_t limit) { return std::uniform_int_distribution<size_t>(0, limit - 1)(random); }

std::string DamageBytes(std::string bytes, Random& random) {
  switch (Below(random, 6)) {
    case 0:
      return bytes.substr(0, Below(random, bytes.size()));
    case 1: {
      const size_t from = Below(random, bytes.size());
      return bytes.erase(from, 1 + Below(random, 64));
    }
    case 2: {
      const size_t from = Below(random, bytes.size()), to = Below(random, bytes.size());
      return bytes.insert(to, bytes.substr(from, 1 + Below(random, 64)));
    }
    default: {
      constexpr unsigned char kTelling[] = {0, 1, 2, 7, 0x7f, 0x80, 0xff};
      for (size_t flips = 1 + Below(random, 4); flips > 0; --flips)
        bytes[Below(random, bytes.size())] =
            static_cast<char>(Below(random, 2) ? kTelling[Below(random, sizeof kTelling)] : Below(random, 256));
      return bytes;
    }
  }
}

std::string DamageFields(const std::string& model, Random& random) {
  onnx::ModelProto proto;
  proto.ParseFromString(model);
  onnx::GraphProto& graph = *proto.mutable_graph();
  for (size_t changes = 1 + Below(random, 8); changes > 0; --changes) {
    const auto nodes = static_cast<size_t>(graph.node_size()), inputs = static_cast<size_t>(graph.input_size());
    switch (Below(random, 12)) {
      case 0: {
        auto* shape = graph.mutable_input(static_cast<int>(Below(random, inputs)))->mutable_type()->mutable_tensor_type()->mutable_shape();
        if (shape->dim_size())
          shape->mutable_dim(static_cast<int>(Below(random, static_cast<size_t>(shape->dim_size()))))->set_dim_value(TellingNumber(random));
        break;
      }
      case 1: {
        auto* type = graph.mutable_input(static_cast<int>(Below(random, inputs)))->mutable_type()->mutable_tensor_type();
        if (Below(random, 2))
          type->clear_shape();
        else
          type->set_elem_type(static_cast<int32_t>(Below(random, 18)));
        break;
      }
      case 2:
        if (graph.initializer_size())
          DamageTensor(*graph.mutable_initializer(static_cast<int>(Below(random, static_cast<size_t>(graph.initializer_size())))), random);
        break;
      default:
        if (nodes) DamageNode(*graph.mutable_node(static_cast<int>(Below(random, nodes))), graph, random);
    }
  }
  return proto.SerializeAsString();
}

}  // namespace lathe
