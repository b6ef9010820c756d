// The portable fallback of a kernel library: an operator's reference with its attributes as run-time values, so that it answers any legal
// call.
//
// The attributes that are dtypes stay constants (they decide the tensors' C++ types), so there is one such source for each combination of
// them.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "codegen/expression_to_cpp.h"
#include "core/result.h"
#include "space/template_library.h"

namespace lathe {

// One value for each attribute that some tensor takes its dtype from; empty where the operator has none.
using DTypeChoice = NamedValues;
std::vector<DTypeChoice> DTypeChoices(const Operator& op);

// C declarations of
//     struct PREFIX_OP_facts { <attributes>; <derived values>; };
// The attributes come first and in order, so the public workload struct of a library is its first member.
Result<std::string> FactsStruct(const Operator& op, const std::string& prefix);
// C++ functions over it, to be called in this order; they need kExpressionHelpers:
//     const char* PREFIX_OP_bad_attribute(const PREFIX_OP_facts*)   null, or which attribute is out of range
//     void PREFIX_OP_derive(PREFIX_OP_facts*)                       computes the derived values
//     const char* PREFIX_OP_broken_rule(const PREFIX_OP_facts*)     null, or the manifest's reason
Result<std::string> FactsFunctions(const Operator& op, const std::string& prefix);

// How an expression's names read in C++ over a pointer to the facts. `whole` is WholeDerived(op).
std::function<CppExpression(const std::string&)> FactNames(const Operator& op, const std::string& facts,
                                                           const std::map<std::string, bool>& whole);

// Exports, with `symbol` before each name,
//     int run(const PREFIX_OP_facts* facts, const lathe_call* call);
//     void make_inputs(const PREFIX_OP_facts* facts, const lathe_call* call, uint64_t seed);   // where the operator makes its inputs
// `header` is the file that declares the facts.
Result<std::string> FallbackSource(const TemplateLibrary& library, const Operator& op, const DTypeChoice& dtypes, const std::string& prefix,
                                   const std::string& header, const std::string& symbol);

}  // namespace lathe
