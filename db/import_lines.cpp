#include "db/import_lines.h"

#include <fmt/format.h>

namespace lathe {

Status SkipOrFail(ImportReport& report, const ImportOptions& options, int64_t line, const std::string& reason) {
  if (!options.skip_malformed)
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("line {}: {}; nothing was imported (--skip-malformed leaves such lines out)", line, reason)};
  ++report.skipped;
  if (report.first_skipped.size() < 20) report.first_skipped.push_back({line, reason});
  return {};
}

Status AddImported(RecordWriter& writer, const Measurement& measurement, const std::string& run_id, const std::string& target_hash,
                   ImportReport& report) {
  Result<bool> added = writer.AddMeasurement(measurement, run_id, target_hash);
  if (!added) return added.error();
  ++(*added ? report.added : report.duplicates);
  return {};
}

Result<ImportReport> ImportLines(TuningLog& log, std::istream& in, const ImportOptions& options,
                                 const std::function<Status(RecordWriter&, const std::string& line, ImportReport&)>& take) {
  ImportReport report;
  Status imported = log.Import([&](RecordWriter& writer) -> Status {
    std::string line;
    for (int64_t number = 1; std::getline(in, line); ++number) {
      if (!line.empty() && line.back() == '\r') line.pop_back();
      if (line.empty() || line[0] == '#') continue;
      Status taken = take(writer, line, report);
      if (taken) continue;
      if (taken.error().code != ErrorCode::kInvalidInput) return taken.error().In(fmt::format("line {}", number));
      if (Status skipped = SkipOrFail(report, options, number, taken.error().message); !skipped) return skipped;
    }
    if (in.bad()) return Error{ErrorCode::kUnavailable, "the input could not be read to its end"};
    return {};
  });
  if (!imported) return imported.error();
  return report;
}

}  // namespace lathe
