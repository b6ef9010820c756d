// Rows: feature vectors laid one after another, as XGBoost and the Gaussian process take them.
#pragma once

#include <cassert>
#include <cstddef>
#include <vector>

namespace lathe {

struct Rows {
  size_t columns = 0;
  std::vector<float> values;  // row-major

  size_t count() const { return columns == 0 ? 0 : values.size() / columns; }
  const float* row(size_t index) const { return values.data() + index * columns; }
  void Append(const std::vector<float>& row) {
    assert(row.size() == columns && "every row has as many features as the encoder has columns");
    values.insert(values.end(), row.begin(), row.end());
  }
};

}  // namespace lathe
