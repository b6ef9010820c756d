// ReferenceData: what a workload's candidates are fed with and held against.
//
// The inputs lie in sealed shared memory, laid out as workers map it: each tensor starts at its own place within its own pages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/result.h"
#include "measure/shared_memory.h"
#include "space/operator.h"

namespace lathe {

// Where an in or constant tensor lies in the inputs file; UINT64_MAX where a tensor is an output or absent.
struct InputLayout {
  std::vector<uint64_t> offsets;
  size_t bytes = 0;
};
InputLayout LayOutInputs(const std::vector<TensorShape>& tensors);
constexpr uint64_t kNoOffset = UINT64_MAX;

struct ReferenceData {
  std::vector<TensorShape> tensors;  // as the operator states them
  std::vector<int64_t> dynamic;      // values of the dynamic attributes, in the operator's order
  SharedMemory inputs;
  InputLayout layout;
  std::vector<std::vector<std::byte>> expected;  // indexed like tensors; empty unless out and present
  std::vector<double> largest;                   // LargestMagnitude(expected)

  size_t bytes() const;  // memory held

  // From tensors that lie in memory, one span each (empty: out or absent): what a board is sent. `expected` likewise.
  static Result<ReferenceData> Create(std::vector<TensorShape> tensors, std::vector<int64_t> dynamic,
                                      const std::vector<std::span<const std::byte>>& inputs, std::vector<std::vector<std::byte>> expected);
};

// The values of the operator's dynamic attributes in a normalised workload.
Result<std::vector<int64_t>> DynamicValues(const Operator& op, const Workload& workload);

// Random content as the tensor's Filling says; the same seed gives the same bytes on every machine.
std::vector<std::byte> FillTensor(const TensorShape& tensor, uint64_t seed);

}  // namespace lathe
