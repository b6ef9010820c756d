#include "costmodel/feature_encoder.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <random>
#include <variant>

#include "costmodel/constraint_features.h"

namespace lathe {
namespace {

constexpr double kOwn = 0, kDerived = 1.2;  // see base_scales()
constexpr size_t kMostCodes = 8;            // values of a parameter that may be a choice in numbers

bool IsName(const Value& value) { return std::holds_alternative<std::string>(value); }

// To [0, 1], the smallest value 0, the largest 1; all 0 when they are equal.
std::vector<float> Scaled(const std::vector<double>& values) {
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  std::vector<float> scaled;
  for (double value : values) scaled.push_back(*high > *low ? static_cast<float>((value - *low) / (*high - *low)) : 0.0F);
  return scaled;
}

// How often two divides a positive whole number, six at most: further alignment gains nothing on any device we know.
double TwosIn(double value) {
  auto whole = static_cast<uint64_t>(value);
  int twos = 0;
  while (twos < 6 && whole % 2 == 0) {
    whole /= 2;
    ++twos;
  }
  return twos;
}

// The values of one function after those of the other; either may be empty.
FeatureFunction Joined(FeatureFunction first, FeatureFunction second) {
  if (!first || !second) return first ? std::move(first) : std::move(second);
  return [first = std::move(first), second = std::move(second)](const Point& point) {
    std::vector<double> values = first(point);
    const std::vector<double> more = second(point);
    values.insert(values.end(), more.begin(), more.end());
    return values;
  };
}

}  // namespace

FeatureEncoder::FeatureEncoder(const Space& space, FeatureFunction features, EncoderOptions options)
    : features_(Joined(options.manifest ? std::move(features) : nullptr, options.constraints ? ConstraintFeatures(space) : nullptr)) {
  const std::vector<Parameter>& parameters = space.parameters();
  for (size_t p = 0; p < parameters.size(); ++p) {
    const size_t count = parameters[p].values.size();
    if (count < 2) continue;  // says nothing
    if (std::any_of(parameters[p].values.begin(), parameters[p].values.end(), IsName)) {
      for (size_t v = 0; v < count; ++v) {
        if (count == 2 && v == 1) break;  // the one column says both
        Column column{p, std::vector<float>(count, 0.0F)};
        column.of_value[v] = 1;
        base_.push_back(std::move(column));
        base_scales_.push_back(kOwn);
      }
      continue;
    }
    std::vector<double> numbers, logs, twos;
    bool positive = true, whole = true, powers_of_two = true;
    for (size_t v = 0; v < count; ++v) {
      const double number = space.Number(p, v);
      numbers.push_back(number);
      positive = positive && number > 0;
      whole = whole && number == std::floor(number) && number < 1e15;
      if (positive) {
        logs.push_back(std::log2(number));
        powers_of_two = powers_of_two && logs.back() == std::floor(logs.back());
      }
    }
    const auto [low, high] = std::minmax_element(numbers.begin(), numbers.end());
    const bool ratios = positive && *high >= 4 * *low;
    base_.push_back({p, Scaled(options.logs && ratios ? logs : numbers)});
    base_scales_.push_back(kOwn);
    if (options.alignment && positive && whole && !powers_of_two) {
      for (double number : numbers) twos.push_back(TwosIn(number));
      base_.push_back({p, Scaled(twos)});
      std::vector<float> is_power;
      for (double number : numbers) is_power.push_back(std::log2(number) == std::floor(std::log2(number)) ? 1.0F : 0.0F);
      base_.push_back({p, std::move(is_power)});
      base_scales_.insert(base_scales_.end(), 2, kDerived);
    }
    // 0, 1, 2, ... is as often a list of methods as a size.
    bool counts = count >= 3 && count <= kMostCodes;
    for (size_t v = 0; v < count; ++v) counts = counts && numbers[v] == static_cast<double>(v);
    for (size_t v = 0; v < count && options.codes && counts; ++v) {
      Column column{p, std::vector<float>(count, 0.0F)};
      column.of_value[v] = 1;
      base_.push_back(std::move(column));
      base_scales_.push_back(kDerived);
    }
    if (options.pairs && ratios) logs_.push_back({p, std::vector<float>(logs.begin(), logs.end())});
  }
  // The parameters with most values are the ones whose products vary most.
  std::stable_sort(logs_.begin(), logs_.end(), [](const Column& a, const Column& b) { return a.of_value.size() > b.of_value.size(); });
  if (logs_.size() > options.most_pair_parameters) logs_.resize(options.most_pair_parameters);
  for (size_t a = 0; a < logs_.size(); ++a) {
    for (size_t b = a + 1; b < logs_.size(); ++b) {
      pairs_.push_back({a, b, 1.0F});
      pairs_.push_back({a, b, -1.0F});
    }
  }
  if (features_) ScaleFeatures(space);
  base_columns_ = base_.size() + scales_.size();
  columns_ = base_columns_ + pairs_.size();
}

// Nobody states a feature's range, so a few dozen points have to tell it; what falls outside later is a little below 0 or above 1, which is
// harmless.
void FeatureEncoder::ScaleFeatures(const Space& space) {
  constexpr int kPoints = 64;
  std::mt19937_64 random(1);
  std::vector<double> low, high;
  for (int i = 0; i < kPoints; ++i) {
    const std::optional<Point> point = space.Sample(random);
    if (!point) return;
    const std::vector<double> values = features_(*point);
    low.resize(std::max(low.size(), values.size()), std::numeric_limits<double>::infinity());
    high.resize(low.size(), -std::numeric_limits<double>::infinity());
    for (size_t f = 0; f < values.size(); ++f) {
      if (!std::isfinite(values[f])) continue;
      low[f] = std::min(low[f], values[f]);
      high[f] = std::max(high[f], values[f]);
    }
  }
  for (size_t f = 0; f < low.size(); ++f) {
    Scale scale;
    scale.log = low[f] > 0 && high[f] >= 8 * low[f];
    const double from = scale.log ? std::log2(low[f]) : low[f], to = scale.log ? std::log2(high[f]) : high[f];
    scale.low = std::isfinite(from) ? from : 0;
    scale.range = to > from && std::isfinite(to - from) ? to - from : 1;
    scales_.push_back(scale);
    base_scales_.push_back(kDerived);
  }
}

void FeatureEncoder::EncodeBase(const Point& point, float* out) const {
  for (size_t c = 0; c < base_.size(); ++c) out[c] = base_[c].of_value[point[base_[c].parameter]];
  if (scales_.empty()) return;
  const std::vector<double> values = features_(point);
  for (size_t f = 0; f < scales_.size(); ++f) {
    const Scale& scale = scales_[f];
    double value = f < values.size() ? values[f] : scale.low;
    if (scale.log) value = std::log2(value);
    out[base_.size() + f] = std::isfinite(value) ? static_cast<float>((value - scale.low) / scale.range) : 0.0F;
  }
}

std::vector<float> FeatureEncoder::Encode(const Point& point) const {
  std::vector<float> row(columns_);
  EncodeBase(point, row.data());
  size_t at = base_columns_;
  for (const Pair& pair : pairs_) {
    const Column& first = logs_[pair.first];
    const Column& second = logs_[pair.second];
    row[at++] = first.of_value[point[first.parameter]] + pair.sign * second.of_value[point[second.parameter]];
  }
  return row;
}

}  // namespace lathe
