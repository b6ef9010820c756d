// Names that a question narrows a tuning log by: one that the log does not hold is a mistake to point out, not an empty answer.
#pragma once

#include "core/result.h"
#include "db/tuning_log.h"

namespace lathe {

// "conv2d/direct_cpu" as a template's name says its operator, too.
void SplitTemplateName(LogFilter& filter);

// Fails (kNotFound) at the first name of the filter that the log knows nothing of, and lists what it does know.
Status CheckNamesInLog(TuningLog& log, const LogFilter& filter);

}  // namespace lathe
