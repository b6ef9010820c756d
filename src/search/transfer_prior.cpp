#include "search/transfer_prior.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "costmodel/booster.h"
#include "costmodel/row_choice.h"

namespace lathe {
namespace {

constexpr size_t kFewestRows = 8;
constexpr size_t kMostTrainingRows = 1500;
constexpr size_t kTopOfSource = 150;  // best configurations of each source that are candidates
constexpr size_t kRandomCandidates = 400;
constexpr double kWorthIt = 0.01;  // a gain of the portfolio below this is none
constexpr float kDiffer = 0.03F;   // foretold efficiencies closer than this are not held against the source

double BestOf(const BorrowedSource& source) {
  double best = std::numeric_limits<double>::infinity();
  for (const BorrowedRow& row : source.rows) {
    if (row.ok) best = std::min(best, row.objective);
  }
  return best;
}

float EfficiencyOf(const BorrowedRow& row, double best) { return row.ok ? static_cast<float>(best / row.objective) : 0.0F; }

float Logged(double value) { return value > 0 ? static_cast<float>(std::log2(value)) : static_cast<float>(value); }

}  // namespace

void TransferPrior::EncodeValue(const Parameter& parameter, const Value* value, std::vector<float>& row) const {
  if (std::holds_alternative<std::string>(parameter.values.front())) {
    for (const Value& choice : parameter.values) row.push_back(value != nullptr && ToString(*value) == ToString(choice) ? 1.0F : 0.0F);
  } else if (value == nullptr || std::holds_alternative<std::string>(*value)) {
    row.push_back(std::numeric_limits<float>::quiet_NaN());
  } else {
    const auto* whole = std::get_if<int64_t>(value);
    row.push_back(Logged(whole != nullptr ? static_cast<double>(*whole) : std::get<double>(*value)));
  }
}

std::vector<float> TransferPrior::RowOf(const Config& config, const std::vector<double>& features) const {
  std::vector<float> row;
  for (const Parameter& parameter : space_->parameters()) EncodeValue(parameter, Find(config, parameter.name), row);
  for (const double feature : features) row.push_back(Logged(feature));
  return row;
}

std::vector<float> TransferPrior::RowOf(const Point& point) const {
  std::vector<float> row;
  for (size_t p = 0; p < point.size(); ++p) row.insert(row.end(), encoded_[p][point[p]].begin(), encoded_[p][point[p]].end());
  if (features_) {
    for (const double feature : features_(point)) row.push_back(Logged(feature));
  }
  return row;
}

std::optional<Point> TransferPrior::Mapped(const Config& config) const {
  Point point;
  for (const Parameter& parameter : space_->parameters()) {
    const Value* value = Find(config, parameter.name);
    size_t nearest = 0;
    double distance = std::numeric_limits<double>::infinity();
    for (size_t v = 0; v < parameter.values.size() && value != nullptr; ++v) {
      const bool name = std::holds_alternative<std::string>(parameter.values[v]) || std::holds_alternative<std::string>(*value);
      const auto number = [](const Value& of) {
        const auto* whole = std::get_if<int64_t>(&of);
        return whole != nullptr ? static_cast<double>(*whole) : std::get<double>(of);
      };
      const double apart = name ? (ToString(parameter.values[v]) == ToString(*value) ? 0 : 1)
                                : std::abs(Logged(number(parameter.values[v])) - Logged(number(*value)));
      if (apart < distance) {
        distance = apart;
        nearest = v;
      }
    }
    point.push_back(static_cast<uint16_t>(nearest));
  }
  if (space_->IsValid(point)) return point;
  const std::vector<Point> mended = space_->Neighbours(point);
  return mended.empty() ? std::nullopt : std::optional<Point>(mended.front());
}

Status TransferPrior::AddSource(const BorrowedSource& borrowed, uint64_t seed) {
  const double best = BestOf(borrowed);
  const size_t feature_count = features_ ? features_(*space_->First()).size() : 0;
  Source source;
  source.label = borrowed.label;
  source.nearness = source.weight = borrowed.nearness;
  Rows rows;
  std::vector<float> targets;
  size_t worked = 0;
  for (const BorrowedRow& row : borrowed.rows) {
    std::vector<double> features = row.features;
    features.resize(feature_count, std::numeric_limits<double>::quiet_NaN());
    const std::vector<float> encoded = RowOf(row.config, features);
    rows.columns = encoded.size();
    rows.Append(encoded);
    targets.push_back(EfficiencyOf(row, best));
    worked += row.ok ? 1 : 0;
    if (const Result<Point> point = space_->PointOf(row.config); point && space_->IsValid(*point)) source.measured[*point] = targets.back();
  }
  source.measurements = targets.size();
  if (worked < kFewestRows) return {};
  Rows chosen_rows;
  chosen_rows.columns = rows.columns;
  std::vector<float> chosen_targets;
  for (const size_t index : ChooseRows(targets, kMostTrainingRows, seed)) {
    chosen_rows.values.insert(chosen_rows.values.end(), rows.row(index), rows.row(index) + rows.columns);
    chosen_targets.push_back(targets[index]);
  }
  BoosterOptions options;
  options.rounds = 60;
  options.depth = 6;
  options.learning_rate = 0.2;
  options.columns_by_tree = 0.8;
  options.seed = seed;
  Result<Booster> booster = Booster::Train(chosen_rows, chosen_targets, {}, options);
  if (!booster) return booster.error();
  Result<TreeEnsemble> trees = booster->Trees();
  if (!trees) return trees.error();
  source.trees = *std::move(trees);
  sources_.push_back(std::move(source));
  return {};
}

void TransferPrior::GatherCandidates(const std::vector<BorrowedSource>& sources, uint64_t seed) {
  PointSet inside;
  const auto add = [&](const Point& point) {
    if (!inside.insert(point).second) return;
    const std::vector<float> row = RowOf(point);
    std::vector<float> foretold;
    for (const Source& source : sources_) foretold.push_back(OfSource(source, point, row));
    candidates_.push_back(point);
    foretold_.push_back(std::move(foretold));
  };
  for (const BorrowedSource& source : sources) {
    std::vector<const BorrowedRow*> order;
    for (const BorrowedRow& row : source.rows) {
      if (row.ok) order.push_back(&row);
    }
    const size_t top = std::min(kTopOfSource, order.size());
    std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(top), order.end(),
                      [](const BorrowedRow* a, const BorrowedRow* b) { return a->objective < b->objective; });
    for (size_t i = 0; i < top; ++i) {
      if (const std::optional<Point> point = Mapped(order[i]->config)) add(*point);
    }
  }
  std::mt19937_64 random(seed);
  for (size_t i = 0; i < kRandomCandidates; ++i) {
    if (const std::optional<Point> point = space_->Sample(random)) add(*point);
  }
  // One step uphill from the best: what is best on average need not be among the best of any one source.
  std::vector<size_t> order(candidates_.size());
  std::iota(order.begin(), order.end(), size_t{0});
  const auto mean = [&](size_t i) { return std::accumulate(foretold_[i].begin(), foretold_[i].end(), 0.0F); };
  const size_t top = std::min<size_t>(12, order.size());
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(top), order.end(),
                    [&](size_t a, size_t b) { return mean(a) > mean(b); });
  for (size_t i = 0; i < top; ++i) {
    for (const Point& neighbour : space_->Neighbours(Point(candidates_[order[i]]))) add(neighbour);
  }
}

Result<TransferPrior> TransferPrior::Learn(const Space& space, FeatureFunction features, const std::vector<BorrowedSource>& sources,
                                           uint64_t seed) {
  TransferPrior prior(space, std::move(features));
  if (!space.First()) return prior;
  for (const Parameter& parameter : space.parameters()) {
    auto& of_parameter = prior.encoded_.emplace_back();
    for (const Value& value : parameter.values) prior.EncodeValue(parameter, &value, of_parameter.emplace_back());
  }
  for (const BorrowedSource& source : sources) {
    if (Status added = prior.AddSource(source, seed); !added) return added.error().In("borrow from " + source.label);
  }
  prior.covered_.assign(prior.sources_.size(), 0.0F);
  if (!prior.empty()) prior.GatherCandidates(sources, seed);
  return prior;
}

float TransferPrior::OfSource(const Source& source, const Point& point, const std::vector<float>& row) const {
  const auto found = source.measured.find(point);
  return found != source.measured.end() ? found->second : std::clamp(source.trees.Predict(row.data()), 0.0F, 1.0F);
}

double TransferPrior::Efficiency(const Point& point) const {
  const std::vector<float> row = RowOf(point);
  double sum = 0, weights = 0;
  for (const Source& source : sources_) {
    sum += source.weight * OfSource(source, point, row);
    weights += source.weight;
  }
  return weights > 0 ? sum / weights : 0;
}

void TransferPrior::Assume(const Point& point) {
  const std::vector<float> row = RowOf(point);
  for (size_t s = 0; s < sources_.size(); ++s) covered_[s] = std::max(covered_[s], OfSource(sources_[s], point, row));
}

void TransferPrior::Observe(const Point& point, bool ok, double objective) {
  const std::vector<float> row = RowOf(point);
  Observed now{point, ok && objective > 0 ? -std::log(objective) : -std::numeric_limits<double>::infinity(), {}, 0};
  double sum = 0, weights = 0;
  for (Source& source : sources_) {
    const float foretold = OfSource(source, point, row);
    for (size_t i = 0; i < observed_.size(); ++i) {
      const float apart = foretold - observed_[i].foretold[now.foretold.size()];
      if (std::abs(apart) < kDiffer || now.efficiency == observed_[i].efficiency) continue;
      ((apart > 0) == (now.efficiency > observed_[i].efficiency) ? source.right : source.wrong) += 1;
    }
    covered_[now.foretold.size()] = std::max(covered_[now.foretold.size()], foretold);
    now.foretold.push_back(foretold);
    sum += source.weight * foretold;
    weights += source.weight;
  }
  now.expected = weights > 0 ? static_cast<float>(sum / weights) : 0.0F;
  observed_.push_back(std::move(now));
  for (Source& source : sources_) {
    // As if a few pairs had been right and wrong before anything was measured.
    constexpr double kBelief = 4;
    const double share = (source.right + kBelief) / (source.right + source.wrong + 2 * kBelief);
    source.weight = source.nearness * std::pow(share, 4);
  }
}

double TransferPrior::Agreement() const {
  // With the weights as they are now.
  std::vector<double> expected;
  for (const Observed& one : observed_) {
    double sum = 0, weights = 0;
    for (size_t s = 0; s < sources_.size(); ++s) {
      sum += sources_[s].weight * one.foretold[s];
      weights += sources_[s].weight;
    }
    expected.push_back(weights > 0 ? sum / weights : 0);
  }
  double right = 0, wrong = 0;
  for (size_t a = 0; a < expected.size(); ++a) {
    for (size_t b = 0; b < a; ++b) {
      if (std::abs(expected[a] - expected[b]) < kDiffer || observed_[a].efficiency == observed_[b].efficiency) continue;
      ((expected[a] > expected[b]) == (observed_[a].efficiency > observed_[b].efficiency) ? right : wrong) += 1;
    }
  }
  return right + wrong > 0 ? (right - wrong) / (right + wrong) : 0;
}

std::optional<Point> TransferPrior::Next(const PointSet& seen) const {
  double weights = 0;
  for (const Source& source : sources_) weights += source.weight;
  size_t best_gain = candidates_.size(), best_mean = candidates_.size();
  double gain_found = kWorthIt, mean_found = -1;
  for (size_t c = 0; c < candidates_.size(); ++c) {
    double gain = 0, mean = 0;
    for (size_t s = 0; s < sources_.size(); ++s) {
      gain += sources_[s].weight / weights * std::max(0.0F, foretold_[c][s] - covered_[s]);
      mean += sources_[s].weight / weights * foretold_[c][s];
    }
    if (gain <= gain_found && mean <= mean_found) continue;
    if (seen.contains(candidates_[c])) continue;
    if (gain > gain_found) {
      gain_found = gain;
      best_gain = c;
    }
    if (mean > mean_found) {
      mean_found = mean;
      best_mean = c;
    }
  }
  const size_t chosen = best_gain < candidates_.size() ? best_gain : best_mean;
  return chosen < candidates_.size() ? std::optional<Point>(candidates_[chosen]) : std::nullopt;
}

Borrowing TransferPrior::Report() const {
  Borrowing report;
  for (const Source& source : sources_) {
    const double pairs = source.right + source.wrong;
    report.sources.push_back({source.label, source.measurements, pairs > 0 ? (source.right - source.wrong) / pairs : 0});
    report.measurements += source.measurements;
  }
  report.agreement = Agreement();
  report.compared = observed_.size();
  return report;
}

}  // namespace lathe
