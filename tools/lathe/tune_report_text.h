// What `lathe tune` prints at its end, for people: a table of the tasks, totals, what was borrowed, where time went.
#pragma once

#include <string>

#include "space/template_library.h"
#include "tools/lathe/machine_limits.h"
#include "tools/lathe/tune_session.h"

namespace lathe {

std::string TuneReportText(const TemplateLibrary& library, const SessionResult& session, const MachineLimits& limits,
                           const Objective& objective);

}  // namespace lathe
