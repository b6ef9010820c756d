#include "db/schema.h"

#include <fmt/format.h>

#include <algorithm>
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

// Every table and index as it was written down, without those that SQLite makes for itself.
Result<std::string> StructureOf(sqlite::Database& database) {
  return database.Text(
      "SELECT coalesce(group_concat(name || ' ' || sql, char(10)), '') FROM (SELECT name, sql FROM sqlite_schema "
      "WHERE name NOT LIKE 'sqlite_%' ORDER BY name)");
}

// `sqlite3 a.db .dump` keeps tables and rows and forgets both marks. A copy made of it is known by its structure, to the letter the one
// that the steps lead to; what has the names of our tables and is built otherwise is for its owner to judge.
Result<int64_t> SchemaWithoutMarks(sqlite::Database& database) {
  Result<std::string> structure = StructureOf(database);
  if (!structure) return structure.error();
  Result<sqlite::Database> ours = sqlite::Database::Open(":memory:", sqlite::Database::Access::kCreate, 0);
  if (!ours) return ours.error();
  for (int64_t version = 1; version <= NewestSchema(); ++version) {
    if (Status done = ours->Run(kSteps[static_cast<size_t>(version - 1)]); !done) return done.error();
    Result<std::string> wanted = StructureOf(*ours);
    if (!wanted) return wanted.error();
    if (*structure != *wanted) continue;
    Result<int64_t> orphans = database.Integer("SELECT count(*) FROM pragma_foreign_key_check");
    if (!orphans) return orphans.error();
    if (*orphans > 0)
      return Error{
          ErrorCode::kIncompatible,
          fmt::format("it is a copy of a tuning log, as `sqlite3 LOG .dump` makes one, and {} of its references lead nowhere; copy "
                      "the log with `sqlite3 LOG \".backup COPY\"` instead",
                      *orphans)};
    return version;
  }
  Result<int64_t> named = database.Integer(
      "SELECT count(*) FROM sqlite_schema WHERE name IN ('workloads', 'templates', 'configs', 'targets', 'runs', 'measurements')");
  if (!named) return named.error();
  if (*named < 6) return Error{ErrorCode::kIncompatible, "it is a SQLite database, but not a tuning log; it was left as it is"};
  return Error{
      ErrorCode::kIncompatible,
      fmt::format("it has the tables of a tuning log without its marks, as a copy by `sqlite3 LOG .dump` has, but they are not built "
                  "as this program builds them; it was left as it is. Copy the log with `sqlite3 LOG \".backup COPY\"` or `lathe log "
                  "export`; or, sure that it is one of schema {1}, mark it: sqlite3 COPY \"PRAGMA application_id = {0}; PRAGMA "
                  "user_version = {1}\"",
                  kApplicationId, NewestSchema())};
}

Result<int64_t> ReadSchema(sqlite::Database& database) {
  Result<int64_t> tables = database.Integer("SELECT count(*) FROM sqlite_schema");
  if (!tables) return tables.error();
  Result<int64_t> application = database.Integer("PRAGMA application_id");
  if (!application) return application.error();
  Result<int64_t> version = database.Integer("PRAGMA user_version");
  if (!version) return version.error();
  if (*application == 0 && *version == 0) return *tables == 0 ? 0 : SchemaWithoutMarks(database);
  if (*application != kApplicationId)
    return Error{ErrorCode::kIncompatible, "it is a SQLite database, but not a tuning log; it was left as it is"};
  if (*version > NewestSchema())
    return Error{ErrorCode::kIncompatible,
                 fmt::format("schema {} is newer than this program's {}; use a newer lathe, or give this one a log of its own", *version,
                             NewestSchema())};
  if (*version < 1) return Error{ErrorCode::kIncompatible, fmt::format("it claims schema {}, which never existed", *version)};
  return *version;
}

// Whether the file says itself what it is, and that it is of this version or a later one.
Result<bool> Marked(sqlite::Database& database, int64_t version) {
  Result<int64_t> marked = database.Integer("PRAGMA user_version");
  if (!marked) return marked.error();
  return *marked >= version;
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
  Result<bool> marked = Marked(database, version);
  if (!marked) return marked.error();
  if (*marked) return {};
  Result<sqlite::Transaction> transaction = sqlite::Transaction::Begin(database);
  if (!transaction) return transaction.error();
  found = CheckSchema(database);  // another process may have been first
  if (!found) return found.error();
  for (int64_t step = *found; step < version; ++step) {
    if (Status done = database.Run(kSteps[static_cast<size_t>(step)]); !done)
      return done.error().In(fmt::format("migrate from schema {} to {}", step, step + 1));
  }
  marked = Marked(database, version);
  if (!marked) return marked.error();
  if (!*marked) {
    if (Status done =
            database.Run(fmt::format("PRAGMA application_id = {}; PRAGMA user_version = {};", kApplicationId, std::max(*found, version)));
        !done)
      return done.error();
  }
  return transaction->Commit();
}

}  // namespace lathe
