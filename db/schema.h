// The tables of a tuning log and their history. docs/tuning-log.md describes every column.
#pragma once

#include "core/result.h"
#include "db/sqlite.h"

namespace lathe {

// What this program writes. Older files are migrated when opened for writing, newer ones are refused.
int64_t NewestSchema();

// Makes an empty file a tuning log of version `version` (tests make old ones), or brings an older log up to it.
// Refuses, and leaves alone, a database that is not a tuning log, or one with a newer schema.
Status MigrateSchema(sqlite::Database& database, int64_t version);

// The same refusals, without writing. The version of the log; 0 when the database is empty.
Result<int64_t> CheckSchema(sqlite::Database& database);

}  // namespace lathe
