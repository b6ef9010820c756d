// FeatureEncoder: a point of a space as numbers a model can learn from.
//
// Numbers: the value, in log2 where all values are positive and span a factor of four or more (tile sizes act by ratios).
// Names: one column a value, 1 for the one chosen (a choice's number means nothing).
// Numbers that are whole, positive and not all powers of two: also how often two divides them (alignment to vectors, banks, wavefronts),
// and whether they are a power of two (address arithmetic by shifts). Numbers that count 0, 1, 2, ... may be names in disguise: also one
// column a value. The manifest's own features and what its constraints compare, in log2 where they are positive and span a factor of eight
// or more. All of these are scaled to about [0, 1] and are the base: a geometry, for the Gaussian process and for distances. For trees
// alone follow sums and differences of logs of pairs of positive parameters (products and ratios: threads of a block, work of a tile),
// because a tree splits one column at a time and needs many trials to find out that only a product matters.
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
  bool codes = true;                // each value of 0, 1, 2, ... also by itself: it may be a choice
  bool pairs = true;                // products and ratios of pairs
  bool manifest = true;             // the FeatureFunction's
  bool constraints = true;          // what the constraints compare; constraint_features.h
  size_t most_pair_parameters = 8;  // pairs grow with the square: only the parameters with most values take part
};

class FeatureEncoder {
 public:
  // `space` and what `features` refers to outlive the encoder.
  FeatureEncoder(const Space& space, FeatureFunction features, EncoderOptions options);

  size_t columns() const { return columns_; }
  // The leading columns, each scaled to about [0, 1].
  size_t base_columns() const { return base_columns_; }
  std::vector<float> Encode(const Point& point) const;
  // How far a change of a base column is expected to matter, as the log of the length scale over which it does: 0 for a parameter's own
  // column; more for columns that only may matter, so that they must earn it.
  const std::vector<double>& base_scales() const { return base_scales_; }
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

  void ScaleFeatures(const Space& space);

  FeatureFunction features_;
  std::vector<Column> base_;
  std::vector<double> base_scales_;
  std::vector<Column> logs_;  // unscaled log2 of positive parameters, for pairs_
  std::vector<Pair> pairs_;
  struct Scale {
    bool log = false;
    double low = 0, range = 1;
  };
  std::vector<Scale> scales_;  // of the manifest's features
  size_t base_columns_ = 0, columns_ = 0;
};

}  // namespace lathe
