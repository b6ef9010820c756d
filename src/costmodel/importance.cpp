#include "costmodel/importance.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "costmodel/booster.h"

namespace lathe {
namespace {

constexpr size_t kSamples = 20000;
constexpr double kWorthNaming = 0.005;

BoosterOptions ModelOptionsOf(uint64_t seed) {
  BoosterOptions options;
  options.rounds = 120;
  options.depth = 5;
  options.learning_rate = 0.15;
  options.subsample = 0.9;
  options.seed = seed;
  return options;
}

// Variance over samples of the mean within each cell, less what chance alone would make of cells that small.
double BetweenCells(const std::vector<double>& values, const std::vector<uint32_t>& cell, size_t cells) {
  std::vector<double> sum(cells, 0.0), squares(cells, 0.0), count(cells, 0.0);
  double total = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    sum[cell[i]] += values[i];
    squares[cell[i]] += values[i] * values[i];
    count[cell[i]] += 1;
    total += values[i];
  }
  const auto n = static_cast<double>(values.size());
  double between = 0, chance = 0;
  for (size_t c = 0; c < cells; ++c) {
    if (count[c] == 0) continue;
    const double mean = sum[c] / count[c];
    between += count[c] / n * (mean - total / n) * (mean - total / n);
    if (count[c] > 1) chance += (squares[c] / count[c] - mean * mean) / (count[c] - 1) * count[c] / n;
  }
  return std::max(0.0, between - chance);
}

}  // namespace

TimeModel::TimeModel(const Space& space) {
  for (size_t p = 0; p < space.parameters().size(); ++p) {
    const std::vector<Value>& values = space.parameters()[p].values;
    auto& of_parameter = encoded_.emplace_back();
    const bool names =
        std::any_of(values.begin(), values.end(), [](const Value& value) { return std::holds_alternative<std::string>(value); });
    for (size_t v = 0; v < values.size(); ++v) {
      std::vector<float> columns(names ? values.size() : 1, 0.0F);
      if (names)
        columns[v] = 1;
      else
        columns[0] = static_cast<float>(space.Number(p, v));
      of_parameter.push_back(std::move(columns));
    }
  }
}

Result<TimeModel> TimeModel::Learn(const Space& space, const std::vector<Point>& points, const std::vector<double>& seconds,
                                   uint64_t seed) {
  if (points.size() < kFewest) {
    return Error{ErrorCode::kNotFound,
                 fmt::format("learn what matters in '{}': only {} configurations worked, {} are needed; tune it for longer", space.id(),
                             points.size(), kFewest)};
  }
  TimeModel model(space);
  Rows rows;
  std::vector<float> targets;
  for (size_t i = 0; i < points.size(); ++i) {
    std::vector<float> row;
    for (size_t p = 0; p < points[i].size(); ++p) {
      const std::vector<float>& columns = model.encoded_[p][points[i][p]];
      row.insert(row.end(), columns.begin(), columns.end());
    }
    rows.columns = row.size();
    rows.Append(row);
    targets.push_back(static_cast<float>(std::log(seconds[i])));
  }
  // Five folds say how far the model can be believed; the model itself has seen all.
  constexpr size_t kFolds = 5;
  std::vector<size_t> order(points.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::mt19937_64 random(seed);
  std::shuffle(order.begin(), order.end(), random);
  const double mean = std::accumulate(targets.begin(), targets.end(), 0.0) / static_cast<double>(targets.size());
  double missed = 0, total = 0;
  for (size_t fold = 0; fold < kFolds; ++fold) {
    Rows train, test;
    train.columns = test.columns = rows.columns;
    std::vector<float> known, asked;
    for (size_t i = 0; i < order.size(); ++i) {
      Rows& into = i % kFolds == fold ? test : train;
      into.values.insert(into.values.end(), rows.row(order[i]), rows.row(order[i]) + rows.columns);
      (i % kFolds == fold ? asked : known).push_back(targets[order[i]]);
    }
    Result<Booster> booster = Booster::Train(train, known, {}, ModelOptionsOf(seed));
    if (!booster) return booster.error();
    Result<std::vector<float>> answers = booster->Predict(test);
    if (!answers) return answers.error();
    for (size_t i = 0; i < asked.size(); ++i) {
      missed += std::pow(static_cast<double>((*answers)[i] - asked[i]), 2);
      total += std::pow(asked[i] - mean, 2);
    }
  }
  model.held_out_ = total > 0 ? 1 - missed / total : 0;
  Result<Booster> booster = Booster::Train(rows, targets, {}, ModelOptionsOf(seed));
  if (!booster) return booster.error();
  Result<TreeEnsemble> trees = booster->Trees();
  if (!trees) return trees.error();
  model.trees_ = *std::move(trees);
  return model;
}

double TimeModel::LogSeconds(const Point& point) const {
  std::vector<float> row;
  for (size_t p = 0; p < point.size(); ++p) row.insert(row.end(), encoded_[p][point[p]].begin(), encoded_[p][point[p]].end());
  return trees_.Predict(row.data());
}

Importance ImportanceOf(const Space& space, const TimeModel& model, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<Point> points;
  std::vector<double> values;
  for (size_t i = 0; i < kSamples; ++i) {
    const std::optional<Point> point = space.Sample(random);
    if (!point) break;
    values.push_back(model.LogSeconds(*point));
    points.push_back(*point);
  }
  Importance importance;
  const size_t parameters = space.parameters().size();
  if (values.empty()) return importance;
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  double variance = 0;
  for (const double value : values) variance += (value - mean) * (value - mean) / static_cast<double>(values.size());
  if (variance <= 0) return importance;
  const auto size = [&](size_t p) { return space.parameters()[p].values.size(); };
  std::vector<uint32_t> cell(points.size());
  std::vector<double> alone(parameters, 0.0);
  for (size_t p = 0; p < parameters; ++p) {
    for (size_t i = 0; i < points.size(); ++i) cell[i] = points[i][p];
    alone[p] = BetweenCells(values, cell, size(p)) / variance;
    importance.parts.push_back({{p}, alone[p]});
    importance.explained += alone[p];
  }
  for (size_t a = 0; a < parameters; ++a) {
    for (size_t b = a + 1; b < parameters; ++b) {
      if (size(a) < 2 || size(b) < 2) continue;
      for (size_t i = 0; i < points.size(); ++i) cell[i] = static_cast<uint32_t>(points[i][a] * size(b) + points[i][b]);
      const double both = BetweenCells(values, cell, size(a) * size(b)) / variance - alone[a] - alone[b];
      if (both < kWorthNaming) continue;
      importance.parts.push_back({{a, b}, both});
      importance.explained += both;
    }
  }
  std::stable_sort(importance.parts.begin(), importance.parts.end(),
                   [](const ImportancePart& x, const ImportancePart& y) { return x.share > y.share; });
  return importance;
}

}  // namespace lathe
