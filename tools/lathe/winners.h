// Winners: what the tuning log knows of a target, in the words of the kernel library and of reports.
#pragma once

#include <set>
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

// The `count` best of all that fits, whatever their workload, all measurements of a candidate together.
Result<std::vector<LoggedMeasurement>> TopBy(TuningLog& log, const LogFilter& filter, const Objective& objective, size_t count);

// The best of each workload on each target. Of those that tie with the fastest the simplest, as the tuner decides it (search/simplicity.h).
Result<std::vector<LoggedMeasurement>> BestOfEach(const TemplateLibrary& library, TuningLog& log, const LogFilter& filter,
                                                  const Objective& objective);

// The best of every tuned workload on the target, current templates only.
Result<std::vector<Winner>> WinnersOf(const TemplateLibrary& library, TuningLog& log, const Target& target,
                                      const Objective& objective = {});

// The keys of the workload's candidates that were measured on the target and do not work, current templates only.
Result<std::set<std::string>> FailedOf(const TemplateLibrary& library, TuningLog& log, const Workload& workload, const Target& target);

// The target named by its key or a beginning of it; without a name the only one there is. An error lists what the log has.
Result<Target> ChooseTarget(TuningLog& log, const std::string& name);

}  // namespace lathe
