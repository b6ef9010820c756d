#include "search/borrow.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "costmodel/row_choice.h"

namespace lathe {
namespace {

constexpr size_t kMostSources = 8;
constexpr size_t kMostRows = 600;  // of each
constexpr double kLeast = 0.02;    // nearer than this, or not worth a model

std::optional<double> Number(const Value& value) {
  if (const auto* whole = std::get_if<int64_t>(&value)) return static_cast<double>(*whole);
  if (const auto* real = std::get_if<double>(&value)) return *real;
  return std::nullopt;
}

// A candidate measured several times is one row, with all its samples.
std::vector<Measurement> Merged(const std::vector<Measurement>& measurements) {
  std::vector<Measurement> merged;
  std::map<std::string, size_t> places;
  for (const Measurement& measurement : measurements) {
    if (measurement.status == MeasureStatus::kBoardLost || measurement.status == MeasureStatus::kBuildTimeout) continue;
    const auto [place, fresh] = places.emplace(ToString(measurement.candidate.config), merged.size());
    if (fresh) {
      merged.push_back(measurement);
    } else if (Measurement& known = merged[place->second]; measurement.status == MeasureStatus::kOk) {
      known.seconds.insert(known.seconds.end(), measurement.seconds.begin(), measurement.seconds.end());
    }
  }
  return merged;
}

BorrowedSource SourceOf(const Relative& relative, const std::vector<Measurement>& measurements, const TaskTemplate& kernel, double nearness,
                        const Objective& objective) {
  BorrowedSource source;
  source.label = relative.workload.Key() + " on " + relative.target.Key();
  if (relative.template_hash != kernel.hash) source.label += ", an older version";
  source.nearness = nearness;
  const std::vector<Measurement> merged = Merged(measurements);
  const bool known = std::all_of(merged.begin(), merged.end(), [&](const Measurement& each) { return objective.Knows(each); });
  const auto value = [&](const Measurement& measurement) { return known ? objective(measurement) : Seconds(measurement); };
  std::vector<float> targets;
  for (const Measurement& measurement : merged) {
    const double worth = value(measurement);
    targets.push_back(std::isfinite(worth) ? static_cast<float>(-std::log(worth)) : -1e9F);
  }
  std::vector<Config> configs;
  for (const size_t index : ChooseRows(targets, kMostRows, 1)) {
    const Measurement& measurement = merged[index];
    const double worth = value(measurement);
    const bool ok = std::isfinite(worth);
    source.rows.push_back({measurement.candidate.config, ok, ok ? worth : 0, {}});
    configs.push_back(measurement.candidate.config);
  }
  if (!kernel.features_elsewhere) return source;
  Result<std::vector<std::vector<double>>> features = kernel.features_elsewhere(relative.workload, relative.target, configs);
  for (size_t i = 0; features && i < source.rows.size(); ++i) source.rows[i].features = (*features)[i];
  return source;
}

}  // namespace

double Nearness(const Workload& a, const Target& target_a, const Workload& b, const Target& target_b) {
  double apart = 0;
  for (const auto& [name, value] : a.attributes) {
    const Value* other = Find(b.attributes, name);
    if (other == nullptr) {
      apart += 1;
      continue;
    }
    const std::optional<double> x = Number(value), y = Number(*other);
    if (x && y && *x > 0 && *y > 0)
      apart += std::min(3.0, 0.25 * std::abs(std::log2(*x / *y)));
    else if (ToString(value) != ToString(*other))
      apart += 0.5;
  }
  double same = 1;
  if (target_a.Key() != target_b.Key()) same = target_a.architecture == target_b.architecture ? 0.7 : 0.4;
  return same * std::exp(-0.5 * apart);
}

Result<TransferPrior> Borrow(const TuneTask& task, const TaskTemplate& kernel, const Target& target, Journal& journal,
                             const Objective& objective) {
  Result<std::vector<Relative>> relatives = journal.Relatives(task.workload.operator_name, kernel.name);
  if (!relatives) return relatives.error();
  std::vector<std::pair<double, const Relative*>> order;
  for (const Relative& relative : *relatives) {
    const bool same_version = relative.template_hash == kernel.hash;
    if (same_version && relative.workload == task.workload && relative.target.FingerprintHash() == target.FingerprintHash()) continue;
    const double nearness = Nearness(task.workload, target, relative.workload, relative.target) * (same_version ? 1 : 0.7);
    if (nearness >= kLeast) order.emplace_back(nearness, &relative);
  }
  std::stable_sort(order.begin(), order.end(), [](const auto& x, const auto& y) { return x.first > y.first; });
  if (order.size() > kMostSources) order.resize(kMostSources);
  std::vector<BorrowedSource> sources;
  for (const auto& [nearness, relative] : order) {
    Result<std::vector<Measurement>> history = journal.History(relative->workload, kernel.name, relative->template_hash, relative->target);
    if (!history) return history.error();
    sources.push_back(SourceOf(*relative, *history, kernel, nearness, objective));
  }
  return TransferPrior::Learn(*kernel.space, kernel.features, sources, 1);
}

}  // namespace lathe
