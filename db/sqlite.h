// The SQLite C API behind values that clean up after themselves. The only file that includes sqlite3.h is sqlite.cpp.
//
// SQLite's result codes become Errors here and nowhere else. One connection, one thread at a time: the caller holds the lock.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace lathe::sqlite {

// A prepared statement. Bind counts parameters from 1, columns count from 0, as SQLite does.
// Binding errors are kept and come out of the next Step, so that a chain of binds reads as one line.
class Statement {
 public:
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&& other) noexcept;
  ~Statement();

  Statement& Bind(int index, int64_t value);
  Statement& Bind(int index, double value);
  // The text is copied.
  Statement& Bind(int index, std::string_view value);
  Statement& BindNull(int index);
  template <typename T>
  Statement& Bind(int index, const std::optional<T>& value) {
    return value ? Bind(index, *value) : BindNull(index);
  }

  // True when there is a row to read, false when the statement is done.
  Result<bool> Step();
  // Runs a statement to its end and makes it ready for the next use.
  Status Run();
  // Ready for new values; the old ones are forgotten.
  void Reset();

  bool IsNull(int column) const;
  int64_t Integer(int column) const;
  double Real(int column) const;
  std::string Text(int column) const;

 private:
  friend class Database;
  Statement(sqlite3* database, sqlite3_stmt* statement) : database_(database), statement_(statement) {}
  void Remember(int code);

  sqlite3* database_ = nullptr;  // outlives the statement
  sqlite3_stmt* statement_ = nullptr;
  int bind_failure_ = 0;
};

class Database {
 public:
  enum class Access { kCreate, kReadWrite, kReadOnly };

  // Creates nothing unless kCreate. ":memory:" is a database of its own that dies with this object.
  static Result<Database> Open(const std::filesystem::path& path, Access access, int busy_timeout_ms);
  // For a file on a read-only disk, where the shared-memory file that WAL wants cannot be made: the file must not change while it is read.
  static Result<Database> OpenImmutable(const std::filesystem::path& path);
  // Makes another file readable as NAME.table in the same statements. It is opened for reading only.
  Status Attach(const std::filesystem::path& path, const std::string& name, bool immutable);
  Database(Database&& other) noexcept;
  Database& operator=(Database&& other) noexcept;
  ~Database();

  // One or more statements without parameters, results ignored.
  Status Run(const std::string& sql);
  Result<Statement> Prepare(std::string_view sql);
  // The first column of the first row.
  Result<int64_t> Integer(std::string_view sql);
  Result<std::string> Text(std::string_view sql);

  int64_t last_row_id() const;
  int64_t changes() const;  // rows that the last INSERT, UPDATE or DELETE touched
  bool read_only() const;

  // Makes the write-ahead log's file at least so long, with zeros. SQLite then writes commits over them: a synced write that lengthens a
  // file costs the file system a commit of its own (on a virtual machine's disk 7 ms instead of 0.1). Within a write transaction only;
  // where it fails, the log grows as it is written, as ever.
  void LengthenWriteAheadLog(int64_t bytes);

  // Copies the whole database into `destination`, which must be open and empty.
  Status CopyInto(Database& destination);

 private:
  explicit Database(sqlite3* handle) : handle_(handle) {}
  sqlite3* handle_ = nullptr;
};

// Statements prepared once and used again and again; keyed by their text.
class StatementCache {
 public:
  explicit StatementCache(Database& database) : database_(&database) {}  // the database outlives the cache
  // Reset and ready; valid while the cache lives. Whoever steps it must Reset it: a half-read statement keeps others from writing.
  Result<Statement*> Get(const std::string& sql);

 private:
  Database* database_;
  std::map<std::string, Statement> statements_;
};

// Everything between construction and Commit happens, or nothing does.
class Transaction {
 public:
  // Takes the write lock at once: two writers wait for each other here, never half-way.
  static Result<Transaction> Begin(Database& database);
  // A stable view for several reads.
  static Result<Transaction> BeginRead(Database& database);
  Transaction(Transaction&& other) noexcept;
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();  // rolls back unless committed

  Status Commit();

 private:
  explicit Transaction(Database& database) : database_(&database) {}
  Database* database_;
};

}  // namespace lathe::sqlite
