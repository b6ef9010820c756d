// The two halves of every question to a tuning log: which rows (a filter as SQL), and what a row says.
#pragma once

#include <string>
#include <vector>

#include "core/result.h"
#include "db/log_records.h"
#include "db/sqlite.h"

namespace lathe {

// Conditions on `measurements m`, beginning with "1", with a text for each question mark.
struct RowConditions {
  std::string sql = "1";
  std::vector<std::string> texts;

  void And(const std::string& condition, const std::vector<std::string>& values = {});
};
RowConditions ConditionsOf(const LogFilter& filter);
// The template versions of `current`, as a condition.
void AndCurrent(RowConditions& conditions, const std::vector<TemplateVersion>& current);
// Conditions on `templates t` instead: the versions that are not in `current`.
RowConditions HistoryConditions(const std::vector<TemplateVersion>& current);

Result<sqlite::Statement> PrepareWith(sqlite::Database& database, const std::string& sql, const std::vector<std::string>& texts);

// Row ids of the first column, all of them.
Result<std::vector<int64_t>> ReadIds(sqlite::Database& database, const std::string& sql, const std::vector<std::string>& texts);

Result<LoggedMeasurement> ReadRow(sqlite::StatementCache& statements, int64_t id);

}  // namespace lathe
