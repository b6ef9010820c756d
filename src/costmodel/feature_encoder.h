// FeatureEncoder: a point of a space as numbers a model can learn from.
//
// Numbers: the value, in log2 where all values are positive and span a factor of four or more (tile sizes act by ratios).
// Names: one column a value, 1 for the one chosen (a choice's number means nothing).
// Numbers that are whole, positive and not all powers of two: also how often two divides them (alignment to vectors, banks, wavefronts).
// Then sums and differences of logs of pairs of positive parameters (products and ratios: threads of a block, work of a tile), because
// a tree splits one column at a time and needs many trials to find out that only a product matters; then the manifest's own features.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "costmodel/feature_function.h"
#include "costmodel/rows.h"
#include "space/space.h"

namespace lathe {

struct EncoderOptions {
  bool logs = true;
  bool alignment = true;            // how often two divides a number
  bool pairs = true;                // products and ratios of pairs
  bool manifest = true;             // the FeatureFunction's
  size_t most_pair_parameters = 8;  // pairs grow with the square: only the parameters with most values take part
};

class FeatureEncoder {
 public:
  // `space` and what `features` refers to outlive the encoder.
  FeatureEncoder(const Space& space, FeatureFunction features, EncoderOptions options);

  size_t columns() const { return columns_; }
  // The leading columns that describe the parameters alone, each scaled to [0, 1]: a geometry for distances.
  size_t base_columns() const { return base_columns_; }
  std::vector<float> Encode(const Point& point) const;
  // The leading columns only.
  void EncodeBase(const Point& point, float* out) const;

 private:
  struct Column {
    size_t parameter = 0;
    std::vector<float> of_value;  // by place in the parameter's list, scaled to [0, 1]
  };
  struct Pair {
    size_t first = 0, second = 0;  // places in logs_
    float sign = 1;
  };

  const Space& space_;
  FeatureFunction features_;
  std::vector<Column> base_;
  std::vector<Column> logs_;  // unscaled log2 of positive parameters, for pairs_
  std::vector<Pair> pairs_;
  size_t feature_count_ = 0;
  size_t base_columns_ = 0, columns_ = 0;
};

}  // namespace lathe
