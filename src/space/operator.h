// Operator: what is computed, as templates/NAME/operator.json states it. The manifest's grammar is docs/writing-a-template.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/expression.h"
#include "core/result.h"
#include "core/workload.h"

#include <nlohmann/json.hpp>

namespace lathe {

enum class AttributeType { kInt, kFloat, kBool, kChoice };

struct Attribute {
  std::string name;
  AttributeType type = AttributeType::kInt;
  std::vector<std::string> choices;        // kChoice only
  std::optional<Value> default_value;      // required when absent
  std::optional<double> minimum, maximum;  // inclusive
  bool dynamic = false;                    // passed at launch rather than compiled in
  std::vector<int64_t> tuned_at;           // representative values of a dynamic attribute
  std::string meaning;
};

enum class DType { kF32, kF64, kF16, kU8, kI8, kI32, kI64 };
const char* ToString(DType dtype);
std::optional<DType> ParseDType(const std::string& text);
size_t SizeOf(DType dtype);
const char* CppName(DType dtype);  // "float", "uint8_t", …

enum class TensorRole {
  kIn,
  kConstant,  // known before deployment, so a template may pack it
  kOut,
};

// How far an output may be from the reference: exact, or |out - ref| <= absolute + relative * max|ref|.
struct Tolerance {
  bool exact = false;
  double relative = 0;
  double absolute = 0;
};

// How an input is filled: uniform in [low, high); integers of that range, both ends included, when `integers`; all zero when low == high ==
// 0.
struct Filling {
  double low = -1, high = 1;
  bool integers = false;
};

// One tensor of one workload, everything resolved.
struct TensorShape {
  std::string name;
  TensorRole role = TensorRole::kIn;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  bool present = true;  // an optional tensor (a bias) may be absent; it is passed as null
  Tolerance tolerance;  // kOut only
  Filling filling;

  int64_t elements() const;
  size_t bytes() const { return static_cast<size_t>(elements()) * SizeOf(dtype); }
};

class Operator {
 public:
  // Reads DIR/operator.json; an error names file, key and reason.
  static Result<Operator> Load(const std::filesystem::path& dir);

  const std::string& name() const { return name_; }
  const std::string& summary() const { return summary_; }
  const std::filesystem::path& dir() const { return dir_; }
  const std::vector<Attribute>& attributes() const { return attributes_; }
  // Attributes that enter only what is done to finished sums: a config that is good with one value is good with another.
  const std::vector<std::string>& epilogue() const { return epilogue_; }
  const std::vector<std::string>& derived_names() const { return derived_names_; }
  // Those that no dynamic attribute enters, directly or through another: a kernel has them as constants.
  std::vector<std::string> DerivedFromStatic() const;
  bool makes_inputs() const { return makes_inputs_; }                        // reference.cpp has its own lathe_make_inputs
  const std::string& reference_source() const { return reference_source_; }  // text of reference.cpp
  const std::string& hash() const { return hash_; }                          // of operator.json and reference.cpp
  const nlohmann::ordered_json& manifest() const { return manifest_; }       // for sections others read: "onnx"

  // Fills defaults, checks names, types, ranges and the `valid` rules; attributes come back sorted. An error names attribute and rule.
  Result<Workload> Normalise(Workload workload) const;

  // For people: "conv2d h=56,w=56,c=64": attributes in the manifest's order, those at their default left out.
  std::string Label(const Workload& workload) const;

  // Every number an expression may name for this workload: attributes, derived values, and each choice's name as its number.
  // A choice attribute's own value is the number of its choice. The workload must be normalised.
  Result<std::map<std::string, double>> Numbers(const Workload& workload) const;
  // The number that stands for a choice in expressions and in generated macros; from 1 in order of first appearance.
  double ChoiceNumber(const std::string& choice) const;

  Result<std::vector<TensorShape>> Tensors(const Workload& workload) const;
  Result<double> Flops(const Workload& workload) const;  // 0 when the manifest gives none
  Result<double> Bytes(const Workload& workload) const;  // the manifest's own expression, or every present tensor once

 private:
  Operator() = default;
  friend class OperatorReader;

  std::string name_, summary_, reference_source_, hash_;
  std::filesystem::path dir_;
  std::vector<Attribute> attributes_;
  std::vector<std::string> epilogue_, derived_names_;
  std::map<std::string, double> choice_numbers_;
  bool makes_inputs_ = false;
  nlohmann::ordered_json manifest_;
};

}  // namespace lathe
