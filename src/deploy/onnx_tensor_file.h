// Reads one tensor of an ONNX file: its shape, and its value where it is small.
#pragma once

#include <filesystem>

#include "core/result.h"
#include "deploy/onnx_graph.h"

namespace onnx {
class TensorProto;
}

namespace lathe::graph {

// `folder` is the model's: data may lie in files in it or below, and nowhere else. Where such a file is missing, the tensor stays without a
// value and says why. Fails on an impossible shape and on data that is not as long as the shape says.
Result<Initializer> ReadTensor(const onnx::TensorProto& proto, const std::filesystem::path& folder);

}  // namespace lathe::graph
