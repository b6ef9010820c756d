// TuneTask: one workload to be tuned, with the templates that compute it and the space of each.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/result.h"
#include "core/target.h"
#include "core/workload.h"
#include "costmodel/feature_function.h"
#include "search/transfer_prior.h"
#include "space/space.h"
#include "space/template_library.h"

namespace lathe {

struct TaskTemplate {
  std::string name, hash;
  std::unique_ptr<Space> space;  // never null; its address is stable, strategies hold on to it
  FeatureFunction features;      // may be empty
  // The manifest's features of this template's configs for another workload or target; empty, or answering with an error, where nobody can
  // tell.
  std::function<Result<std::vector<std::vector<double>>>(const Workload&, const Target&, const std::vector<Config>&)> features_elsewhere =
      {};
  std::shared_ptr<const TransferPrior> prior = nullptr;  // what is lent at once; null: the driver asks the journal
};

struct TuneTask {
  Workload workload;  // normalised
  std::string label;  // for people: "conv2d 56x56x64 3x3"; the workload's key when nobody gave one
  std::vector<TaskTemplate> templates;
  double weight = 1;  // how often the graph runs it
};

// Every template of the workload's operator that applies on `target` and has a space that is not empty. Fails when there is none.
// The library outlives the task.
Result<TuneTask> MakeTuneTask(const TemplateLibrary& library, const Workload& workload, const Target& target);

}  // namespace lathe
