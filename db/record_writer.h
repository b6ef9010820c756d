// Turns measurements into rows. Works inside somebody's write transaction: TuningLog's Record, an import.
#pragma once

#include <string>

#include "core/measurement.h"
#include "core/result.h"
#include "core/target.h"
#include "db/log_records.h"
#include "db/sqlite.h"

namespace lathe {

class RecordWriter {
 public:
  explicit RecordWriter(sqlite::StatementCache& statements, sqlite::Database& database) : statements_(statements), database_(database) {}

  // Each stores its thing when it is new and gives its row id.
  Result<int64_t> AddTarget(const Target& target);
  Result<int64_t> AddRun(const RunRecord& run, const Target& target);  // a run known already is left as it is

  Result<bool> HasRun(const std::string& run_id);

  // True when it was new. The run must have been added.
  Result<bool> AddMeasurement(const Measurement& measurement, const std::string& run_id, const std::string& target_hash);

 private:
  Result<int64_t> IdOf(const char* select, const char* insert, const std::vector<std::string>& values, size_t key_columns);
  Result<int64_t> Require(const char* select, const std::string& key, const std::string& what);

  sqlite::StatementCache& statements_;
  sqlite::Database& database_;
};

}  // namespace lathe
