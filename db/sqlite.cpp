#include "db/sqlite.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <limits>
#include <utility>

namespace lathe::sqlite {
namespace {

// `database` may be null when opening ran out of memory.
Error Translate(int code, sqlite3* database) {
  const int system_error = database != nullptr ? sqlite3_system_errno(database) : 0;
  const std::string detail = database != nullptr ? sqlite3_errmsg(database) : sqlite3_errstr(code);
  const std::string because = system_error != 0 ? fmt::format("{} ({})", detail, std::strerror(system_error)) : detail;
  switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return {ErrorCode::kUnavailable,
              "another process holds it for writing; wait for that one to finish, or give this one a log of its own and "
              "merge the two afterwards"};
    case SQLITE_FULL:
    case SQLITE_IOERR:
      if (code == SQLITE_FULL || system_error == ENOSPC || system_error == EDQUOT || system_error == EFBIG)
        return {ErrorCode::kResourceExhausted,
                "the disk is full, or a quota is; nothing of this step was stored, what was stored before is safe. Free space and repeat"};
      return {ErrorCode::kUnavailable, fmt::format("the disk failed: {}", because)};
    case SQLITE_READONLY:
      return {ErrorCode::kUnavailable, "the file or its folder may not be written; check the permissions, or copy the log elsewhere"};
    case SQLITE_CANTOPEN:
      return {system_error == ENOENT ? ErrorCode::kNotFound : ErrorCode::kUnavailable, because};
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return {ErrorCode::kUnavailable, because};
    case SQLITE_CORRUPT:
      return {ErrorCode::kIncompatible,
              fmt::format("the file is damaged ({}); take it from a backup, or save what is readable with "
                          "`sqlite3 DAMAGED .recover | sqlite3 SAVED` (sqlite.org's sqlite3 can; Debian 12's has no .recover)",
                          detail)};
    case SQLITE_NOTADB:
      return {ErrorCode::kIncompatible, "it is not a SQLite database"};
    case SQLITE_NOMEM:
      return {ErrorCode::kResourceExhausted, "out of memory"};
    case SQLITE_TOOBIG:
      return {ErrorCode::kInvalidInput, "a text is longer than SQLite takes"};
    default:
      return {ErrorCode::kInternal, fmt::format("SQLite says {}: {}", code, detail)};
  }
}

}  // namespace

Statement::Statement(Statement&& other) noexcept
    : database_(other.database_), statement_(std::exchange(other.statement_, nullptr)), bind_failure_(other.bind_failure_) {}

Statement& Statement::operator=(Statement&& other) noexcept {
  std::swap(database_, other.database_);
  std::swap(statement_, other.statement_);
  std::swap(bind_failure_, other.bind_failure_);
  return *this;
}

Statement::~Statement() { sqlite3_finalize(statement_); }

void Statement::Remember(int code) {
  if (code != SQLITE_OK && bind_failure_ == SQLITE_OK) bind_failure_ = code;
}

Statement& Statement::Bind(int index, int64_t value) {
  Remember(sqlite3_bind_int64(statement_, index, value));
  return *this;
}

Statement& Statement::Bind(int index, double value) {
  Remember(sqlite3_bind_double(statement_, index, value));
  return *this;
}

Statement& Statement::Bind(int index, std::string_view value) {
  Remember(
      sqlite3_bind_text64(statement_, index, value.data() != nullptr ? value.data() : "", value.size(), SQLITE_TRANSIENT, SQLITE_UTF8));
  return *this;
}

Statement& Statement::BindNull(int index) {
  Remember(sqlite3_bind_null(statement_, index));
  return *this;
}

Result<bool> Statement::Step() {
  if (bind_failure_ != SQLITE_OK) return Translate(bind_failure_, database_);
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  Error error = Translate(sqlite3_extended_errcode(database_), database_);
  sqlite3_reset(statement_);
  return error;
}

Status Statement::Run() {
  while (true) {
    Result<bool> row = Step();
    if (!row) {
      Reset();
      return row.error();
    }
    if (!*row) break;
  }
  Reset();
  return {};
}

void Statement::Reset() {
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
  bind_failure_ = SQLITE_OK;
}

bool Statement::IsNull(int column) const { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }
int64_t Statement::Integer(int column) const { return sqlite3_column_int64(statement_, column); }
double Statement::Real(int column) const { return sqlite3_column_double(statement_, column); }

std::string Statement::Text(int column) const {
  const unsigned char* text = sqlite3_column_text(statement_, column);
  if (text == nullptr) return {};
  return {reinterpret_cast<const char*>(text), static_cast<size_t>(sqlite3_column_bytes(statement_, column))};
}

namespace {

// A path as a file: URI, where ? # and % mean something. "" and ":memory:" stay what SQLite makes of them.
std::string UriOf(const std::filesystem::path& path, const char* query) {
  if (path.empty() || path == ":memory:") return path.string();
  std::string uri = "file:";
  std::error_code failure;
  const std::filesystem::path absolute = std::filesystem::absolute(path, failure);
  for (const char c : (failure ? path : absolute).string()) {
    if (c == '?' || c == '#' || c == '%')
      uri += fmt::format("%{:02x}", static_cast<unsigned char>(c));
    else
      uri += c;
  }
  return uri + '?' + query;
}

Result<sqlite3*> OpenHandle(const std::string& uri, int flags) {
  sqlite3* handle = nullptr;
  // Our callers lock; SQLite's own mutexes would be a second cost.
  const int code = sqlite3_open_v2(uri.c_str(), &handle, flags | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nullptr);
  if (code != SQLITE_OK) {
    Error error = Translate(code, handle);
    sqlite3_close_v2(handle);
    return error;
  }
  return handle;
}

}  // namespace

Result<Database> Database::Open(const std::filesystem::path& path, Access access, int busy_timeout_ms) {
  const bool write = access != Access::kReadOnly;
  const int flags = !write                      ? SQLITE_OPEN_READONLY
                    : access == Access::kCreate ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
                                                : SQLITE_OPEN_READWRITE;
  Result<sqlite3*> handle = OpenHandle(UriOf(path, !write ? "mode=ro" : access == Access::kCreate ? "mode=rwc" : "mode=rw"), flags);
  if (!handle) return handle.error();
  Database database(*handle);
  sqlite3_busy_timeout(database.handle_, busy_timeout_ms);
  return database;
}

Result<Database> Database::OpenImmutable(const std::filesystem::path& path) {
  Result<sqlite3*> handle = OpenHandle(UriOf(path, "mode=ro&immutable=1"), SQLITE_OPEN_READONLY);
  if (!handle) return handle.error();
  return Database(*handle);
}

Status Database::Attach(const std::filesystem::path& path, const std::string& name, bool immutable) {
  Result<Statement> attach = Prepare("ATTACH DATABASE ? AS " + name);
  if (!attach) return attach.error();
  return attach->Bind(1, UriOf(path, immutable ? "mode=ro&immutable=1" : "mode=ro")).Run();
}

Database::Database(Database&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}

Database& Database::operator=(Database&& other) noexcept {
  std::swap(handle_, other.handle_);
  return *this;
}

Database::~Database() { sqlite3_close_v2(handle_); }

Status Database::Run(const std::string& sql) {
  const int code = sqlite3_exec(handle_, sql.c_str(), nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return Translate(sqlite3_extended_errcode(handle_), handle_);
  return {};
}

Result<Statement> Database::Prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v2(handle_, sql.data(), static_cast<int>(sql.size()), &statement, nullptr);
  if (code != SQLITE_OK) return Translate(code, handle_);
  return Statement(handle_, statement);
}

Result<int64_t> Database::Integer(std::string_view sql) {
  Result<Statement> statement = Prepare(sql);
  if (!statement) return statement.error();
  Result<bool> row = statement->Step();
  if (!row) return row.error();
  return *row ? statement->Integer(0) : 0;
}

Result<std::string> Database::Text(std::string_view sql) {
  Result<Statement> statement = Prepare(sql);
  if (!statement) return statement.error();
  Result<bool> row = statement->Step();
  if (!row) return row.error();
  return *row ? statement->Text(0) : std::string();
}

int64_t Database::last_row_id() const { return sqlite3_last_insert_rowid(handle_); }
int64_t Database::changes() const { return sqlite3_changes64(handle_); }
bool Database::read_only() const { return sqlite3_db_readonly(handle_, "main") == 1; }

void Database::LengthenWriteAheadLog(int64_t bytes) {
  sqlite3_file* log = nullptr;
  if (sqlite3_file_control(handle_, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log) != SQLITE_OK) return;
  if (log == nullptr || log->pMethods == nullptr) return;  // in memory, or another kind of journal
  sqlite3_int64 end = 0;
  if (log->pMethods->xFileSize(log, &end) != SQLITE_OK || end >= bytes) return;
  static constexpr std::array<char, 65536> kZeros{};  // SQLite's files take less than 128 KiB at a time
  while (end < bytes) {
    const auto part = static_cast<int>(std::min<int64_t>(bytes - end, kZeros.size()));
    if (log->pMethods->xWrite(log, kZeros.data(), part, end) != SQLITE_OK) return;
    end += part;
  }
  log->pMethods->xSync(log, SQLITE_SYNC_NORMAL);
}

Status Database::CopyInto(Database& destination) {
  sqlite3_backup* backup = sqlite3_backup_init(destination.handle_, "main", handle_, "main");
  if (backup == nullptr) return Translate(sqlite3_extended_errcode(destination.handle_), destination.handle_);
  const int code = sqlite3_backup_step(backup, -1);
  sqlite3_backup_finish(backup);
  if (code != SQLITE_DONE) return Translate(code, nullptr);
  return {};
}

Result<Statement*> StatementCache::Get(const std::string& sql) {
  auto found = statements_.find(sql);
  if (found == statements_.end()) {
    Result<Statement> statement = database_->Prepare(sql);
    if (!statement) return statement.error();
    found = statements_.emplace(sql, *std::move(statement)).first;
  }
  found->second.Reset();
  return &found->second;
}

Result<Transaction> Transaction::Begin(Database& database) {
  if (Status begun = database.Run("BEGIN IMMEDIATE"); !begun) return begun.error();
  return Transaction(database);
}

Result<Transaction> Transaction::BeginRead(Database& database) {
  if (Status begun = database.Run("BEGIN"); !begun) return begun.error();
  return Transaction(database);
}

Transaction::Transaction(Transaction&& other) noexcept : database_(std::exchange(other.database_, nullptr)) {}

Transaction::~Transaction() {
  // A failed rollback leaves nothing to do: the file still holds the last commit, and closing the connection discards the rest.
  if (database_ != nullptr) (void)database_->Run("ROLLBACK");
}

Status Transaction::Commit() {
  Status committed = database_->Run("COMMIT");
  if (committed) database_ = nullptr;
  return committed;
}

}  // namespace lathe::sqlite
