// Any JSON value as one short text without commas or equals signs, and back: attributes of a workload and parameters of a config are
// single values, while other tuners' arguments are lists of lists.
//
//   [["TENSOR", [1, 3], "float32"], true, null]  <->  "((TENSOR (1 3) float32) True None)"
//
// A text stands as it is where it cannot be taken for anything else; other characters become %XX.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "core/result.h"
#include "core/value.h"

namespace lathe {

// A plain number or a plain text stays one; everything else becomes a text in this notation. Objects are not taken.
Result<Value> CompactValue(const nlohmann::ordered_json& json);
Result<nlohmann::ordered_json> ExpandValue(const Value& value);

}  // namespace lathe
