// Result<T>: a value, or an Error that says what was attempted, on what, why it failed and what to do.
// Outcomes of an experiment (a kernel that crashed) are data, never errors; see measurement.h.
#pragma once

#include <cassert>
#include <string>
#include <utility>
#include <variant>

namespace lathe {

enum class ErrorCode {
  kInvalidInput,       // what the user gave is wrong: a manifest, a workload, a flag
  kNotFound,           // a named thing does not exist
  kUnavailable,        // the world failed: disk, process, board; trying again may help
  kIncompatible,       // a file or peer of another version
  kResourceExhausted,  // disk full, out of memory, limit reached
  kCancelled,          // the user asked to stop
  kInternal,           // our bug; the message says which assumption broke
};

struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;

  // Prefixes what the caller was doing: "open tuning log 'a.db': " + message.
  [[nodiscard]] Error In(const std::string& doing) const { return {code, doing + ": " + message}; }
};

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::move(value)) {}      // NOLINT: implicit, so that `return value;` reads well
  Result(Error error) : state_(std::move(error)) {}  // NOLINT

  explicit operator bool() const { return std::holds_alternative<T>(state_); }
  const Error& error() const { return std::get<Error>(state_); }
  T& value() & { return std::get<T>(state_); }
  const T& value() const& { return std::get<T>(state_); }
  T&& value() && { return std::get<T>(std::move(state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)), ok_(false) {}  // NOLINT

  explicit operator bool() const { return ok_; }
  const Error& error() const {
    assert(!ok_ && "error() of a success");
    return error_;
  }

 private:
  Error error_;
  bool ok_ = true;
};

using Status = Result<void>;

}  // namespace lathe
