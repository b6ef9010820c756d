// Winners: what the tuning log knows of a target, in the words of the kernel library and of reports.
#pragma once

#include <string>
#include <vector>

#include "core/result.h"
#include "db/tuning_log.h"
#include "deploy/library_plan.h"
#include "search/objective.h"
#include "space/template_library.h"

namespace lathe {

// The versions of all templates in the library: rows of any other are history.
std::vector<TemplateVersion> CurrentVersions(const TemplateLibrary& library);

// Seconds of the first valid config of the workload's first template, where it was measured; 0 otherwise.
Result<double> UntunedSeconds(const TemplateLibrary& library, TuningLog& log, const Workload& workload, const Target& target);

// The best of every workload on every target by an objective, all measurements of a candidate together; with `top` so many of all that fit.
// Time has an index of its own in the log (TuningLog::BestPerWorkload); this reads every row.
Result<std::vector<LoggedMeasurement>> BestBy(TuningLog& log, const LogFilter& filter, const Objective& objective,
                                              std::optional<size_t> top = std::nullopt);

// The best of every tuned workload on the target, current templates only.
Result<std::vector<Winner>> WinnersOf(const TemplateLibrary& library, TuningLog& log, const Target& target,
                                      const Objective& objective = {});

// The target named by its key or a beginning of it; without a name the only one there is. An error lists what the log has.
Result<Target> ChooseTarget(TuningLog& log, const std::string& name);

}  // namespace lathe
