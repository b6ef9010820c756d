// Reads an ONNX file into plain data. The only place that parses protobuf.
#pragma once

#include <filesystem>

#include "core/result.h"
#include "deploy/onnx_graph.h"

namespace lathe::graph {

// Fails with the file's name and the reason: cannot be opened, larger than protobuf's 2 GiB, truncated or no ONNX at all, no graph,
// an operator set nobody here knows, a negative dimension, a tensor whose data is not as long as its dimensions say.
// Data outside the file is read only for small tensors; where that file is missing, the tensor stays without a value and says why.
Result<Model> ReadOnnx(const std::filesystem::path& path);

}  // namespace lathe::graph
