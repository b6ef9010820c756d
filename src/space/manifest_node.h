// ManifestNode: reads a manifest key by key and remembers the first thing that is wrong, as file, key and reason.
//
// Getters return a harmless value after a failure, so a reader is written straight through and asks once, at the end, whether all went
// well.
#pragma once

#include <initializer_list>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/expression.h"
#include "core/result.h"
#include "core/value.h"

namespace lathe {

class ManifestNode {
 public:
  using Json = nlohmann::ordered_json;

  // Parses JSON with // comments.
  static Result<Json> Parse(const std::string& text, const std::string& file);
  // `json` outlives the node.
  ManifestNode(const Json& json, std::string file);

  const Json& json() const { return *json_; }
  bool Has(const std::string& key) const { return json_->is_object() && json_->contains(key); }
  // Any other key is an error: a misspelt key must not be ignored silently.
  void AllowOnly(std::initializer_list<const char*> keys) const;

  ManifestNode At(const std::string& key) const;                    // an error where absent
  std::vector<std::pair<std::string, ManifestNode>> Items() const;  // of an object, in order
  std::vector<ManifestNode> Elements() const;                       // of an array

  std::string Text() const;
  double Number() const;
  int64_t Integer() const;
  bool Bool() const;
  Value AsValue() const;
  // The text of an expression that parses; numbers are expressions too.
  std::string ExpressionText() const;

  std::string TextOr(const std::string& key, const std::string& otherwise) const { return Has(key) ? At(key).Text() : otherwise; }
  bool BoolOr(const std::string& key, bool otherwise) const { return Has(key) ? At(key).Bool() : otherwise; }

  void Fail(const std::string& reason) const;
  bool failed() const { return shared_->error.has_value(); }
  Error error() const { return *shared_->error; }

 private:
  struct Shared {
    std::string file;
    std::optional<Error> error;
  };
  ManifestNode(const Json& json, std::shared_ptr<Shared> shared, std::string path)
      : json_(&json), shared_(std::move(shared)), path_(std::move(path)) {}

  const Json* json_;
  std::shared_ptr<Shared> shared_;
  std::string path_;
};

}  // namespace lathe
