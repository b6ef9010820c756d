// What the importers of line formats have in common: lines are numbered, and a malformed one stops the import or is skipped and counted.
#pragma once

#include <functional>
#include <istream>
#include <string>

#include "core/result.h"
#include "db/exchange.h"
#include "db/record_writer.h"

namespace lathe {

// Counts a malformed line. Fails, with the line's number, unless the options say to skip.
Status SkipOrFail(ImportReport& report, const ImportOptions& options, int64_t line, const std::string& reason);

// Counts a measurement as added or known.
Status AddImported(RecordWriter& writer, const Measurement& measurement, const std::string& run_id, const std::string& target_hash,
                   ImportReport& report);

// Calls `take` with each line that is neither empty nor begins with '#'. An error of code kInvalidInput means that the line is malformed;
// any other stops the import.
Result<ImportReport> ImportLines(TuningLog& log, std::istream& in, const ImportOptions& options,
                                 const std::function<Status(RecordWriter&, const std::string& line, ImportReport&)>& take);

}  // namespace lathe
