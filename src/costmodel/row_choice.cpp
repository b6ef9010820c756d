#include "costmodel/row_choice.h"

#include <algorithm>
#include <numeric>
#include <random>

namespace lathe {

std::vector<size_t> ChooseRows(const std::vector<float>& targets, size_t most, uint64_t seed) {
  std::vector<size_t> order(targets.size());
  std::iota(order.begin(), order.end(), size_t{0});
  if (targets.size() <= most) return order;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return targets[a] > targets[b]; });
  std::mt19937_64 random(seed);
  std::shuffle(order.begin() + static_cast<std::ptrdiff_t>(most / 2), order.end(), random);
  order.resize(most);
  return order;
}

}  // namespace lathe
