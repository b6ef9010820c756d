// A neural network's graph as plain data: what an ONNX file says, freed of protobuf, before anything is inferred.
//
// Only tensors of at most kSmallTensor elements carry their values: they steer shapes. Of a weight only type and dimensions are kept.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace lathe::graph {

// Larger tensors are data, not shapes; grids of anchors are the largest that real exports compute sizes with.
inline constexpr size_t kSmallTensor = 4096;

// ONNX's own numbers.
enum ElementType : int {
  kUndefined = 0,
  kFloat = 1,
  kUint8 = 2,
  kInt8 = 3,
  kUint16 = 4,
  kInt16 = 5,
  kInt32 = 6,
  kInt64 = 7,
  kString = 8,
  kBool = 9,
  kFloat16 = 10,
  kDouble = 11,
  kUint32 = 12,
  kUint64 = 13,
  kBfloat16 = 16,
};
std::string ElementName(int type);  // as manifests spell it: "f32", "u8", "i64"; "?" when unknown
bool IsReal(int type);
bool IsInteger(int type);  // booleans too

// A number nobody knows yet, such as the number of boxes that survive; graphs pass it on from tensor to tensor.
struct Symbol {
  std::string name;              // the file's own name for it ("batch"), or empty
  std::string reason;            // why it is open, as a clause for people
  std::optional<int64_t> bound;  // never more than this, where the graph says so; never less than 0
};

class Symbols {
 public:
  int New(std::string reason, std::optional<int64_t> bound = std::nullopt, std::string name = "");
  const Symbol& operator[](int symbol) const { return all_[static_cast<size_t>(symbol)]; }
  int size() const { return static_cast<int>(all_.size()); }

 private:
  std::vector<Symbol> all_;
};

struct Dim {
  int64_t size = -1;  // -1: open, see symbol
  int symbol = -1;
  bool known() const { return size >= 0; }
  friend bool operator==(const Dim&, const Dim&) = default;  // open ones are equal where they are the same symbol
};
using Shape = std::vector<Dim>;

// One element of a small tensor. Integers and truth values are in `integer`, floating-point ones in `real`.
struct Scalar {
  bool known = false;
  int64_t integer = 0;
  double real = 0;
  int symbol = -1;  // when not known: the symbol it equals, or -1
};

struct SmallTensor {
  int type = kUndefined;
  std::vector<int64_t> dims;
  std::vector<Scalar> elements;  // row-major
};
// nullopt when one is open or the tensor is not of integers.
std::optional<std::vector<int64_t>> Integers(const SmallTensor& tensor);
// Product of the dims; nullopt when one is negative or the product passes 2^62.
std::optional<int64_t> ElementCount(const std::vector<int64_t>& dims);

struct Graph;

struct Attribute {
  enum class Kind { kInt, kReal, kText, kInts, kReals, kTexts, kTensor, kGraph, kOther };
  Kind kind = Kind::kOther;
  std::vector<int64_t> ints;       // kInt: one
  std::vector<double> reals;       // kReal: one
  std::vector<std::string> texts;  // kText: one
  int tensor_type = kUndefined;    // kTensor
  std::vector<int64_t> tensor_dims;
  std::optional<SmallTensor> tensor;   // kTensor, when small
  std::shared_ptr<const Graph> graph;  // kGraph
  std::string refers_to;               // inside a function: the caller's attribute of this name
};

struct Node {
  std::string name;  // the first output's where the file gives none
  std::string op, domain;
  std::vector<std::string> inputs, outputs;  // "" is an absent one
  std::map<std::string, Attribute> attributes;

  const Attribute* Find(const std::string& attribute) const;
  int64_t Int(const std::string& attribute, int64_t otherwise) const;
  std::optional<std::vector<int64_t>> Ints(const std::string& attribute) const;
  std::string Text(const std::string& attribute, const std::string& otherwise) const;
};

struct DeclaredDim {
  int64_t size = -1;  // -1: open
  std::string name;
};
struct DeclaredValue {
  std::string name;
  int type = kUndefined;
  bool is_tensor = true;
  std::optional<std::vector<DeclaredDim>> shape;
};
struct Initializer {
  std::string name;
  int type = kUndefined;
  std::vector<int64_t> dims;
  std::optional<SmallTensor> value;
  std::string why_no_value;  // small, and yet not read
};

struct Graph {
  std::vector<Node> nodes;
  std::vector<Initializer> initializers;
  std::vector<DeclaredValue> inputs, outputs, declared;
};

// A model's own operator, spelled out in terms of others.
struct Function {
  std::string name, domain;
  std::vector<std::string> inputs, outputs;
  std::vector<Node> nodes;
  std::map<std::string, int64_t> opsets;
};

struct Model {
  Graph graph;
  std::vector<Function> functions;
  std::map<std::string, int64_t> opsets;  // by domain; "" is ONNX itself
};

}  // namespace lathe::graph
