#include "deploy/onnx_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl.h>
#include <google/protobuf/stubs/logging.h>
#include <onnx/onnx_pb.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <limits>

#include "core/system_error.h"
#include "deploy/onnx_tensor_file.h"

namespace lathe::graph {
namespace {

namespace fs = std::filesystem;

// Shape rules are known up to here: older sets through libonnx, what 18 and later changed through our own rules.
constexpr int64_t kNewestOpset = 24;
constexpr int64_t kOldestOpset = 7;

// A file may lie; the reader counts what it makes and stops there.
constexpr size_t kMostNodes = 1'000'000;

class Reader {
 public:
  explicit Reader(fs::path folder) : folder_(std::move(folder)) {}

  Result<Graph> ReadGraph(const onnx::GraphProto& proto) {
    Graph graph;
    for (const auto& tensor : proto.initializer()) {
      Result<Initializer> initializer = ReadTensor(tensor, folder_);
      if (!initializer) return initializer.error();
      graph.initializers.push_back(*std::move(initializer));
    }
    for (const auto& sparse : proto.sparse_initializer()) {
      Initializer initializer;
      initializer.name = sparse.values().name();
      initializer.type = sparse.values().data_type();
      initializer.dims.assign(sparse.dims().begin(), sparse.dims().end());
      initializer.why_no_value = "it is a sparse tensor";
      if (!ElementCount(initializer.dims)) return Bad(fmt::format("sparse tensor '{}' has an impossible shape", initializer.name));
      graph.initializers.push_back(std::move(initializer));
    }
    for (const auto& [from, to] : {std::pair{&proto.input(), &graph.inputs}, std::pair{&proto.output(), &graph.outputs},
                                   std::pair{&proto.value_info(), &graph.declared}})
      for (const auto& info : *from) {
        Result<DeclaredValue> value = ReadDeclared(info);
        if (!value) return value.error();
        to->push_back(*std::move(value));
      }
    Result<std::vector<Node>> nodes = ReadNodes(proto.node());
    if (!nodes) return nodes.error();
    graph.nodes = *std::move(nodes);
    return graph;
  }

  Result<std::vector<Node>> ReadNodes(const google::protobuf::RepeatedPtrField<onnx::NodeProto>& protos) {
    std::vector<Node> nodes;
    for (const auto& proto : protos) {
      if (++nodes_ > kMostNodes) return Bad(fmt::format("it has more than {} nodes", kMostNodes));
      Result<Node> node = ReadNode(proto);
      if (!node) return node.error();
      nodes.push_back(*std::move(node));
    }
    return nodes;
  }

  static Error Bad(const std::string& what) { return {ErrorCode::kInvalidInput, what}; }

 private:
  Result<Node> ReadNode(const onnx::NodeProto& proto) {
    Node node;
    node.op = proto.op_type();
    node.domain = proto.domain() == "ai.onnx" ? "" : proto.domain();
    node.inputs.assign(proto.input().begin(), proto.input().end());
    node.outputs.assign(proto.output().begin(), proto.output().end());
    node.name = proto.name();
    for (const std::string& output : node.outputs)
      if (node.name.empty()) node.name = output;
    if (node.name.empty()) node.name = node.op;
    for (const auto& attribute : proto.attribute()) {
      Result<Attribute> read = ReadAttribute(attribute);
      if (!read) return read.error().In(fmt::format("node '{}' ({}), attribute '{}'", node.name, node.op, attribute.name()));
      node.attributes[attribute.name()] = *std::move(read);
    }
    return node;
  }

  Result<Attribute> ReadAttribute(const onnx::AttributeProto& proto) {
    using Kind = Attribute::Kind;
    using Proto = onnx::AttributeProto;
    Attribute attribute;
    attribute.refers_to = proto.ref_attr_name();
    switch (proto.type()) {
      case Proto::INT:
        attribute.kind = Kind::kInt;
        attribute.ints = {proto.i()};
        break;
      case Proto::FLOAT:
        attribute.kind = Kind::kReal;
        attribute.reals = {double{proto.f()}};
        break;
      case Proto::STRING:
        attribute.kind = Kind::kText;
        attribute.texts = {proto.s()};
        break;
      case Proto::INTS:
        attribute.kind = Kind::kInts;
        attribute.ints.assign(proto.ints().begin(), proto.ints().end());
        break;
      case Proto::FLOATS:
        attribute.kind = Kind::kReals;
        attribute.reals.assign(proto.floats().begin(), proto.floats().end());
        break;
      case Proto::STRINGS:
        attribute.kind = Kind::kTexts;
        attribute.texts.assign(proto.strings().begin(), proto.strings().end());
        break;
      case Proto::TENSOR: {
        attribute.kind = Kind::kTensor;
        Result<Initializer> tensor = ReadTensor(proto.t(), folder_);
        if (!tensor) return tensor.error();
        attribute.tensor_type = tensor->type;
        attribute.tensor_dims = tensor->dims;
        attribute.tensor = tensor->value;
        break;
      }
      case Proto::GRAPH: {
        attribute.kind = Kind::kGraph;
        Result<Graph> graph = ReadGraph(proto.g());
        if (!graph) return graph.error();
        attribute.graph = std::make_shared<const Graph>(*std::move(graph));
        break;
      }
      default:
        attribute.kind = Kind::kOther;
    }
    return attribute;
  }

  static Result<DeclaredValue> ReadDeclared(const onnx::ValueInfoProto& proto) {
    DeclaredValue value;
    value.name = proto.name();
    value.is_tensor = proto.type().has_tensor_type();
    if (!value.is_tensor) return value;
    const auto& type = proto.type().tensor_type();
    value.type = type.elem_type();
    if (!type.has_shape()) return value;
    value.shape.emplace();
    for (const auto& dim : type.shape().dim()) {
      DeclaredDim read;
      read.name = dim.dim_param();
      if (dim.has_dim_value()) read.size = dim.dim_value();
      // Exporters write 0 and -1 for "anything".
      if (read.size <= 0 && read.name.empty()) read.size = -1;
      if (read.size < -1) return Bad(fmt::format("'{}' has a dimension of {}", value.name, dim.dim_value()));
      value.shape->push_back(std::move(read));
    }
    return value;
  }

  fs::path folder_;
  size_t nodes_ = 0;
};

Result<std::map<std::string, int64_t>> ReadOpsets(const google::protobuf::RepeatedPtrField<onnx::OperatorSetIdProto>& protos) {
  std::map<std::string, int64_t> opsets;
  for (const auto& opset : protos) opsets[opset.domain() == "ai.onnx" ? "" : opset.domain()] = opset.version();
  if (opsets.contains("") && (opsets[""] < kOldestOpset || opsets[""] > kNewestOpset))
    return Error{ErrorCode::kIncompatible,
                 fmt::format("it uses ONNX operator set {}; this program knows {} to {}. Export it with one of those", opsets[""],
                             kOldestOpset, kNewestOpset)};
  return opsets;
}

Status Parse(const fs::path& path, onnx::ModelProto& proto) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return Error{CodeOfErrno(errno), std::strerror(errno)};
  struct stat facts = {};
  const bool known = fstat(file, &facts) == 0;
  if (!known || !S_ISREG(facts.st_mode)) {
    close(file);
    return Reader::Bad("it is not a regular file");
  }
  if (facts.st_size > std::numeric_limits<int>::max()) {
    close(file);
    return Reader::Bad("it is larger than 2 GiB, which protobuf cannot read; export it with external data");
  }
  google::protobuf::LogSilencer quiet;  // protobuf prints what it thinks of broken files; the error below says it
  google::protobuf::io::FileInputStream stream(file);
  stream.SetCloseOnDelete(true);
  google::protobuf::io::CodedInputStream coded(&stream);
  if (!proto.ParseFromCodedStream(&coded) || !coded.ConsumedEntireMessage())
    return Reader::Bad(fmt::format("its {} bytes are not an ONNX model, or not a whole one", facts.st_size));
  return {};
}

Result<Model> Read(const fs::path& path) {
  onnx::ModelProto proto;
  if (Status parsed = Parse(path, proto); !parsed) return parsed.error();
  if (!proto.has_graph()) return Reader::Bad("it holds no graph, so it is hardly an ONNX model");
  Model model;
  Result<std::map<std::string, int64_t>> opsets = ReadOpsets(proto.opset_import());
  if (!opsets) return opsets.error();
  model.opsets = *std::move(opsets);
  if (!model.opsets.contains("")) {
    if (model.opsets.empty()) return Reader::Bad("it does not say which operator set it uses");
    model.opsets[""] = kOldestOpset;
  }
  Reader reader(path.parent_path());
  Result<Graph> graph = reader.ReadGraph(proto.graph());
  if (!graph) return graph.error();
  model.graph = *std::move(graph);
  for (const auto& function : proto.functions()) {
    Function read{function.name(), function.domain(), {}, {}, {}, {}};
    read.inputs.assign(function.input().begin(), function.input().end());
    read.outputs.assign(function.output().begin(), function.output().end());
    Result<std::map<std::string, int64_t>> own = ReadOpsets(function.opset_import());
    if (!own) return own.error().In(fmt::format("function '{}'", read.name));
    read.opsets = *std::move(own);
    Result<std::vector<Node>> nodes = reader.ReadNodes(function.node());
    if (!nodes) return nodes.error().In(fmt::format("function '{}'", read.name));
    read.nodes = *std::move(nodes);
    model.functions.push_back(std::move(read));
  }
  return model;
}

}  // namespace

Result<Model> ReadOnnx(const fs::path& path) {
  const std::string doing = fmt::format("read model '{}'", path.string());
  try {
    Result<Model> model = Read(path);
    if (!model) return model.error().In(doing);
    return model;
  } catch (const std::exception& failure) {
    return Error{ErrorCode::kResourceExhausted, failure.what()}.In(doing);
  }
}

}  // namespace lathe::graph
