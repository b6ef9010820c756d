// Expression: arithmetic over named numbers, as manifests write it: "TILE_X*TILE_K + 1 <= target.vector_registers".
//
// muParser parses and evaluates. On top of it: `%` (remainder), `!`, `//` (division rounding down), and the functions floor, ceil, round,
// log2, min, max, abs, sqrt, pow, ceil_div(a, b), align(a, b). `/` divides exactly. Truth is nonzero.
// Names may contain dots (target.l2_bytes). Names out of a list of choices stand for numbers; whoever binds them chooses which.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/result.h"

namespace lathe {

class Expression {
 public:
  // Fails on a syntax error, with the position. Unknown names are not an error here: they become names().
  static Result<Expression> Parse(const std::string& text);
  Expression(Expression&&) noexcept;
  Expression& operator=(Expression&&) noexcept;
  ~Expression();

  const std::string& text() const;
  const std::vector<std::string>& names() const;  // each once, sorted

  // values[i] belongs to names()[i]. Not thread-safe: one Expression, one thread. Fails on division by zero and the like (a non-finite
  // result).
  Result<double> Evaluate(const std::vector<double>& values) const;
  // Asks for each name; fails with the name when the look-up knows none.
  Result<double> Evaluate(const std::function<std::optional<double>(const std::string&)>& lookup) const;

 private:
  struct Compiled;
  explicit Expression(std::unique_ptr<Compiled> compiled);
  std::unique_ptr<Compiled> compiled_;
};

}  // namespace lathe
