// Builds a generated source with the system compiler and calls it in this process, with every tensor in a heap block of its own, so that
// the address sanitizer sees the smallest step outside. The tuner never does this: there, kernels run in a worker process.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/result.h"
#include "space/operator.h"
#include "space/template_library.h"

namespace lathe::testing {

// Bytes of one tensor; empty where it is absent.
using Tensor = std::vector<uint8_t>;

class LoadedKernel {
 public:
  // `flags` after the defaults. The shared object is unloaded with the last copy of the handle.
  static Result<LoadedKernel> Build(const std::string& source, const std::vector<std::string>& flags = {});

  bool prepares() const;
  // tensors: in the operator's order, outputs sized; they are written in place. Returns what lathe_run returned.
  int Run(std::vector<Tensor>& tensors, const std::vector<int64_t>& dynamic, size_t workspace_bytes = 0, int threads = 1) const;
  void Prepare(const std::vector<Tensor>& plain, std::vector<Tensor>& packed) const;
  void MakeInputs(std::vector<Tensor>& tensors, const std::vector<int64_t>& dynamic, uint64_t seed) const;

 private:
  std::shared_ptr<void> handle_;
  void* run_ = nullptr;
  void* prepare_ = nullptr;
  void* make_inputs_ = nullptr;
};

std::vector<int64_t> DynamicValues(const Operator& op, const Workload& workload);
// Every tensor filled as the operator says, outputs with a pattern; a reference that makes its inputs is asked to.
std::vector<Tensor> MakeTensors(const Operator& op, const std::vector<TensorShape>& shapes, const LoadedKernel& reference,
                                const std::vector<int64_t>& dynamic, uint64_t seed);
// Empty when `actual` agrees with `expected`; otherwise which element differs by how much.
std::string Disagreement(const TensorShape& shape, const Tensor& expected, const Tensor& actual);

}  // namespace lathe::testing
