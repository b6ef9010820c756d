// Translates a manifest's expression into C++, for code that must run where no expression evaluator is: a generated kernel library.
#pragma once

#include <functional>
#include <string>

#include "core/result.h"

namespace lathe {

struct CppExpression {
  std::string text;    // of type double
  bool whole = false;  // certainly a whole number, whatever the names' values: no `/` outside floor, no real name
};

// The grammar of core/expression.h. `name` says how each name reads in C++ and whether it is whole. The result needs <math.h> and the text
// of kExpressionHelpers before it.
Result<CppExpression> ExpressionToCpp(const std::string& text, const std::function<CppExpression(const std::string&)>& name);

extern const char* const kExpressionHelpers;

}  // namespace lathe
