#include "search/tune_task.h"

#include <fmt/format.h>

namespace lathe {
namespace {

// Operator and template live in the library, which outlives tasks.
auto FeaturesElsewhere(const Operator& op, const KernelTemplate& kernel) {
  return [&op, &kernel](const Workload& workload, const Target& target,
                        const std::vector<Config>& configs) -> Result<std::vector<std::vector<double>>> {
    Result<Workload> normalised = op.Normalise(workload);
    if (!normalised) return normalised.error();
    Result<Space> space = kernel.SpaceFor(op, *normalised, target);
    if (!space) return space.error();
    Result<FeatureFunction> features = kernel.FeaturesFor(op, *normalised, target, *space);
    if (!features) return features.error();
    std::vector<std::vector<double>> all;
    for (const Config& config : configs) {
      const Result<Point> point = space->PointOf(config);
      all.push_back(point ? (*features)(*point) : std::vector<double>{});  // an older version had other values
    }
    return all;
  };
}

}  // namespace

Result<TuneTask> MakeTuneTask(const TemplateLibrary& library, const Workload& workload, const Target& target) {
  const std::string doing = fmt::format("prepare tuning of '{}' on {}", workload.Key(), target.Key());
  Result<const Operator*> op = library.FindOperator(workload.operator_name);
  if (!op) return op.error().In(doing);
  Result<Workload> normalised = (*op)->Normalise(workload);
  if (!normalised) return normalised.error().In(doing);
  TuneTask task;
  task.workload = *normalised;
  task.label = task.workload.Key();
  std::string refused;
  for (const KernelTemplate* kernel : library.TemplatesOf(workload.operator_name)) {
    Result<bool> applies = kernel->Applies(**op, task.workload, target);
    if (!applies) return applies.error().In(doing);
    if (!*applies) {
      refused += fmt::format("{}{} does not apply", refused.empty() ? "" : ", ", kernel->name());
      continue;
    }
    Result<Space> space = kernel->SpaceFor(**op, task.workload, target);
    if (!space) return space.error().In(doing);
    if (!space->First()) {
      refused += fmt::format("{}the space of {} is empty", refused.empty() ? "" : ", ", kernel->name());
      continue;
    }
    TaskTemplate one;
    one.name = kernel->name();
    one.hash = kernel->hash();
    one.space = std::make_unique<Space>(std::move(*space));
    if (!kernel->feature_names().empty()) {
      Result<FeatureFunction> features = kernel->FeaturesFor(**op, task.workload, target, *one.space);
      if (!features) return features.error().In(doing);
      one.features = std::move(*features);
      one.features_elsewhere = FeaturesElsewhere(**op, *kernel);
    }
    task.templates.push_back(std::move(one));
  }
  if (task.templates.empty()) {
    return Error{ErrorCode::kNotFound,
                 fmt::format("{}: no template can compute it ({})", doing, refused.empty() ? "the operator has none" : refused)};
  }
  return task;
}

}  // namespace lathe
