// ChooseRows: which observations to learn from when there are more than a refit can afford.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace lathe {

// All when `most` suffices; else the best half of the allowance by target, and the rest drawn from what is left: the top must be exact, the
// remainder only covered. Deterministic for a seed.
std::vector<size_t> ChooseRows(const std::vector<float>& targets, size_t most, uint64_t seed);

}  // namespace lathe
