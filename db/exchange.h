// Measurements in and out of a tuning log, in our own and in others' formats.
//
// An import is one transaction: a malformed line stops it with its number and nothing is stored, unless it is asked to skip such lines.
// What was imported before is counted as a duplicate. Formats are written out in docs/tuning-log.md.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/result.h"
#include "db/log_records.h"
#include "db/tuning_log.h"

namespace lathe {

enum class LogFormat {
  kNative,       // JSON lines, nothing lost
  kAutoTvm,      // JSON lines as TVM's AutoTVM writes them
  kKernelTuner,  // a Kernel Tuner cache file
};
const char* ToString(LogFormat format);  // "native", "autotvm", "kernel_tuner"
std::optional<LogFormat> ParseLogFormat(const std::string& text);

struct ImportOptions {
  bool skip_malformed = false;
};

struct SkippedLine {
  int64_t line = 0;  // from 1
  std::string reason;
};

struct ImportReport {
  int64_t added = 0, duplicates = 0;
  int64_t skipped = 0;
  std::vector<SkippedLine> first_skipped;  // at most 20 of them
};
nlohmann::ordered_json ToJson(const ImportReport& report);

Result<ImportReport> ImportNative(TuningLog& log, std::istream& in, const ImportOptions& options = {});
Result<ImportReport> ImportAutoTvm(TuningLog& log, std::istream& in, const ImportOptions& options = {});
// Where the file does not end as JSON does (Kernel Tuner was killed), it is read up to its last whole entry.
Result<ImportReport> ImportKernelTuner(TuningLog& log, std::istream& in, const ImportOptions& options = {});

// Each gives the number of measurements written.
Result<int64_t> ExportNative(TuningLog& log, const LogFilter& filter, std::ostream& out);
Result<int64_t> ExportAutoTvm(TuningLog& log, const LogFilter& filter, std::ostream& out);
// A cache file holds one kernel on one device: the filter must leave one workload, template version and target; the error lists what there
// is.
Result<int64_t> ExportKernelTuner(TuningLog& log, const LogFilter& filter, std::ostream& out);

// From and to a file. Without a format it is recognised by the file's beginning.
Result<ImportReport> ImportFile(TuningLog& log, const std::filesystem::path& path, std::optional<LogFormat> format = {},
                                const ImportOptions& options = {});
Result<int64_t> ExportFile(TuningLog& log, const LogFilter& filter, LogFormat format, const std::filesystem::path& path);

}  // namespace lathe
