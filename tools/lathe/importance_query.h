// lathe query --importance: what decides about the time of each tuned workload, and where its space may be too narrow.
#pragma once

#include "db/tuning_log.h"
#include "tools/lathe/command.h"

namespace lathe {

// A workload, template and target of the filter each; those with too few measurements are named with the reason. An exit code.
int PrintImportance(const CommonOptions& common, const TemplateLibrary& library, TuningLog& log, const LogFilter& filter);

}  // namespace lathe
