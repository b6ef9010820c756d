#include "db/schema.h"

#include <fmt/format.h>

#include <array>

namespace lathe {
namespace {

// "Lath": tells a tuning log from any other SQLite file (PRAGMA application_id).
constexpr int64_t kApplicationId = 0x4c617468;

// kSteps[i] leads from version i to i + 1. A step that was released is never edited: files that went through it exist.
constexpr std::array kSteps = {
    // 1: what was measured, where, in which run, and what came back. Long repeated texts stand once, in tables of their own.
    R"sql(
CREATE TABLE workloads (
  id         INTEGER PRIMARY KEY,
  operator   TEXT NOT NULL,
  key        TEXT NOT NULL UNIQUE,
  attributes TEXT NOT NULL
);
CREATE TABLE templates (
  id          INTEGER PRIMARY KEY,
  operator    TEXT NOT NULL,
  name        TEXT NOT NULL,
  source_hash TEXT NOT NULL,
  UNIQUE (operator, name, source_hash)
);
CREATE TABLE configs (
  id         INTEGER PRIMARY KEY,
  parameters TEXT NOT NULL UNIQUE
);
CREATE TABLE targets (
  id          INTEGER PRIMARY KEY,
  key         TEXT NOT NULL,
  hash        TEXT NOT NULL UNIQUE,
  backend     TEXT NOT NULL,
  description TEXT NOT NULL
);
CREATE INDEX targets_by_key ON targets (key);
CREATE TABLE runs (
  id              INTEGER PRIMARY KEY,
  uid             TEXT NOT NULL UNIQUE,
  command         TEXT NOT NULL,
  options         TEXT NOT NULL,
  target_id       INTEGER NOT NULL REFERENCES targets (id),
  state           TEXT NOT NULL,
  started_unix_ms INTEGER NOT NULL,
  ended_unix_ms   INTEGER
);
CREATE INDEX runs_by_options ON runs (options);
CREATE TABLE measurements (
  id               INTEGER PRIMARY KEY,
  uid              TEXT NOT NULL UNIQUE,
  workload_id      INTEGER NOT NULL REFERENCES workloads (id),
  template_id      INTEGER NOT NULL REFERENCES templates (id),
  config_id        INTEGER NOT NULL REFERENCES configs (id),
  target_id        INTEGER NOT NULL REFERENCES targets (id),
  run_id           INTEGER NOT NULL REFERENCES runs (id),
  status           TEXT NOT NULL,
  message          TEXT NOT NULL DEFAULT '',
  seconds          REAL CHECK ((seconds IS NOT NULL) = (status = 'ok')),
  samples          TEXT NOT NULL DEFAULT '[]',
  build_seconds    REAL NOT NULL DEFAULT 0,
  run_seconds      REAL NOT NULL DEFAULT 0,
  max_error        REAL,
  build_facts      TEXT NOT NULL DEFAULT '{}',
  conditions       TEXT NOT NULL DEFAULT '{}',
  cut_early        INTEGER NOT NULL DEFAULT 0,
  finished_unix_ms INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX measurements_by_speed ON measurements (workload_id, target_id, cut_early, seconds, template_id) WHERE seconds IS NOT NULL;
CREATE INDEX measurements_by_candidate ON measurements (workload_id, template_id, target_id, config_id);
CREATE INDEX measurements_by_run ON measurements (run_id, status);
)sql",
    // 2: boards. Which one measured, what a run cost in energy, and how carefully it was measured, without counting in JSON.
    R"sql(
ALTER TABLE measurements ADD COLUMN board TEXT NOT NULL DEFAULT 'local';
ALTER TABLE measurements ADD COLUMN joules REAL;
ALTER TABLE measurements ADD COLUMN sample_count INTEGER NOT NULL DEFAULT 0;
UPDATE measurements SET sample_count = json_array_length(samples);
)sql",
};

Result<int64_t> ReadSchema(sqlite::Database& database) {
  Result<int64_t> tables = database.Integer("SELECT count(*) FROM sqlite_schema");
  if (!tables) return tables.error();
  Result<int64_t> application = database.Integer("PRAGMA application_id");
  if (!application) return application.error();
  Result<int64_t> version = database.Integer("PRAGMA user_version");
  if (!version) return version.error();
  if (*application == 0 && *version == 0 && *tables == 0) return 0;
  if (*application != kApplicationId)
    return Error{ErrorCode::kIncompatible, "it is a SQLite database, but not a tuning log; it was left as it is"};
  if (*version > NewestSchema())
    return Error{ErrorCode::kIncompatible,
                 fmt::format("schema {} is newer than this program's {}; use a newer lathe, or give this one a log of its own", *version,
                             NewestSchema())};
  if (*version < 1) return Error{ErrorCode::kIncompatible, fmt::format("it claims schema {}, which never existed", *version)};
  return *version;
}

}  // namespace

int64_t NewestSchema() { return static_cast<int64_t>(kSteps.size()); }

Result<int64_t> CheckSchema(sqlite::Database& database) {
  // In one transaction, the caller's where there is one: another process may be making the file between two questions.
  if (Status begun = database.Run("SAVEPOINT look"); !begun) return begun.error();
  Result<int64_t> version = ReadSchema(database);
  if (Status ended = database.Run("RELEASE look"); !ended && version) return ended.error();
  return version;
}

Status MigrateSchema(sqlite::Database& database, int64_t version) {
  // Looked at before the write lock is taken, so that opening a log that is up to date writes nothing.
  Result<int64_t> found = CheckSchema(database);
  if (!found) return found.error();
  if (*found >= version) return {};
  Result<sqlite::Transaction> transaction = sqlite::Transaction::Begin(database);
  if (!transaction) return transaction.error();
  found = CheckSchema(database);  // another process may have been first
  if (!found) return found.error();
  for (int64_t step = *found; step < version; ++step) {
    if (Status done = database.Run(kSteps[static_cast<size_t>(step)]); !done)
      return done.error().In(fmt::format("migrate from schema {} to {}", step, step + 1));
  }
  if (*found < version) {
    if (Status done = database.Run(fmt::format("PRAGMA application_id = {}; PRAGMA user_version = {};", kApplicationId, version)); !done)
      return done.error();
  }
  return transaction->Commit();
}

}  // namespace lathe
