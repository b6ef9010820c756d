// Small models for tests, written in ONNX's text form.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "core/file.h"
#include "deploy/onnx_infer.h"

namespace lathe {

// A graph in ONNX's text form ("g (float[1,3,8,8] X) => (float Y) { Y = Relu (X) }"), with functions behind it where wanted, written as a
// model of this operator set. Nodes have no names in it; they are called after their first output. Throws when the text is wrong.
void WriteModel(const std::filesystem::path& path, const std::string& graph, int64_t opset = 16);

// A tensor kept beside the model becomes an initializer of the graph: shape, int64, its bytes in `file` (which need not exist).
void AddExternalTensor(const std::filesystem::path& model, const std::string& name, const std::map<std::string, std::string>& where,
                       int64_t elements);

// WriteModel, ReadOnnx, Evaluate.
Result<graph::EvaluatedGraph> EvaluateText(const std::string& graph, const graph::ShapeOverrides& overrides = {}, int64_t opset = 16);

// "1x3x?": as far as known; "<=100" for a bound; "none" without a rank. The last value of that name.
std::string ShapeOf(const graph::EvaluatedGraph& graph, const std::string& value);
std::string WhyUnknown(const graph::EvaluatedGraph& graph, const std::string& value);
// "[1, 2, ?]", or "no value".
std::string ValueOf(const graph::EvaluatedGraph& graph, const std::string& value);

}  // namespace lathe
