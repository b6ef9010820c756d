// Small steps of reading manifests that operators and templates share.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "core/expression.h"
#include "core/result.h"
#include "space/operator.h"

namespace lathe {

// Parses and evaluates once; keep an Expression where the same text is evaluated often.
Result<double> EvaluateText(const std::string& text, const std::map<std::string, double>& numbers);
// An expression's text: manifests may write a plain number.
std::string ExpressionTextOf(const nlohmann::ordered_json& json);
// manifest["tolerance"][dtype], or exact where the tensor or the missing entry says so.
Tolerance ToleranceOf(const nlohmann::ordered_json& manifest, const std::string& dtype, bool exact);

}  // namespace lathe
