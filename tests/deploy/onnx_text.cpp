#include "onnx_text.h"

#include <fmt/format.h>
#include <onnx/defs/parser.h>

#include <fstream>
#include <stdexcept>

#include "deploy/onnx_file.h"

namespace lathe {
namespace {

std::string Need(bool ok, const std::string& what) {
  if (!ok) throw std::runtime_error(what);
  return what;
}

const graph::GraphValue* Find(const graph::EvaluatedGraph& graph, const std::string& name) {
  const graph::GraphValue* found = nullptr;
  for (const graph::GraphValue& value : graph.values)
    if (value.name == name) found = &value;
  return found;
}

}  // namespace

void WriteModel(const std::filesystem::path& path, const std::string& graph, int64_t opset) {
  const std::string text = fmt::format("<ir_version: 8, opset_import: [\"\" : {}, \"acme\" : 1]>\n{}", opset, graph);
  onnx::ModelProto model;
  onnx::OnnxParser parser(text.c_str());
  const auto status = parser.Parse(model);
  Need(status.IsOK(), status.ErrorMessage());
  std::ofstream file(path, std::ios::binary);
  Need(model.SerializeToOstream(&file), "cannot write " + path.string());
}

void AddExternalTensor(const std::filesystem::path& path, const std::string& name, const std::map<std::string, std::string>& where,
                       int64_t elements) {
  onnx::ModelProto model;
  {
    std::ifstream file(path, std::ios::binary);
    Need(model.ParseFromIstream(&file), "cannot read " + path.string());
  }
  auto* tensor = model.mutable_graph()->add_initializer();
  tensor->set_name(name);
  tensor->set_data_type(onnx::TensorProto::INT64);
  tensor->add_dims(elements);
  tensor->set_data_location(onnx::TensorProto::EXTERNAL);
  for (const auto& [key, value] : where) {
    auto* entry = tensor->add_external_data();
    entry->set_key(key);
    entry->set_value(value);
  }
  std::ofstream file(path, std::ios::binary);
  Need(model.SerializeToOstream(&file), "cannot write " + path.string());
}

Result<graph::EvaluatedGraph> EvaluateText(const std::string& graph, const graph::ShapeOverrides& overrides, int64_t opset) {
  Result<TempDir> dir = TempDir::Create("onnx-text");
  if (!dir) return dir.error();
  const std::filesystem::path path = dir->path() / "model.onnx";
  WriteModel(path, graph, opset);
  Result<graph::Model> model = graph::ReadOnnx(path);
  if (!model) return model.error();
  return graph::Evaluate(*std::move(model), overrides);
}

std::string ShapeOf(const graph::EvaluatedGraph& graph, const std::string& value) {
  const graph::GraphValue* found = Find(graph, value);
  if (!found) return "no such value";
  if (!found->known.shape) return "none";
  std::string text;
  for (const graph::Dim& dim : *found->known.shape) {
    if (!text.empty()) text += 'x';
    if (dim.known()) {
      text += std::to_string(dim.size);
    } else {
      const std::optional<int64_t> bound = graph.symbols[dim.symbol].bound;
      text += bound ? fmt::format("<={}", *bound) : "?";
    }
  }
  return text;
}

std::string WhyUnknown(const graph::EvaluatedGraph& graph, const std::string& value) {
  const graph::GraphValue* found = Find(graph, value);
  if (!found) return "no such value";
  if (!found->known.shape) return found->known.why_unknown;
  for (const graph::Dim& dim : *found->known.shape)
    if (!dim.known()) return graph.symbols[dim.symbol].reason;
  return "";
}

std::string ValueOf(const graph::EvaluatedGraph& graph, const std::string& value) {
  const graph::GraphValue* found = Find(graph, value);
  if (!found || !found->known.value) return "no value";
  std::vector<std::string> elements;
  for (const graph::Scalar& element : found->known.value->elements)
    elements.push_back(!element.known                            ? "?"
                       : graph::IsReal(found->known.value->type) ? fmt::format("{:g}", element.real)
                                                                 : std::to_string(element.integer));
  return fmt::format("[{}]", fmt::join(elements, ", "));
}

}  // namespace lathe
