#include "space/evaluate.h"

#include <unordered_map>

namespace lathe {
namespace {
constexpr size_t kMostParsed = 4096;
}

Result<double> EvaluateText(const std::string& text, const std::map<std::string, double>& numbers) {
  // Manifests have some hundred texts, asked again for every candidate; parsing one takes thirty times as long as evaluating it.
  thread_local std::unordered_map<std::string, Expression> parsed;
  auto known = parsed.find(text);
  if (known == parsed.end()) {
    Result<Expression> expression = Expression::Parse(text);
    if (!expression) return expression.error();
    if (parsed.size() >= kMostParsed) parsed.clear();
    known = parsed.emplace(text, *std::move(expression)).first;
  }
  return known->second.Evaluate([&](const std::string& name) -> std::optional<double> {
    const auto found = numbers.find(name);
    return found == numbers.end() ? std::nullopt : std::optional(found->second);
  });
}

std::string ExpressionTextOf(const nlohmann::ordered_json& json) { return json.is_string() ? json.get<std::string>() : json.dump(); }

Tolerance ToleranceOf(const nlohmann::ordered_json& manifest, const std::string& dtype, bool exact) {
  if (exact || !manifest.contains("tolerance") || !manifest["tolerance"].contains(dtype)) return {true, 0, 0};
  const auto& entry = manifest["tolerance"][dtype];
  return {false, entry.value("relative", 0.0), entry.value("absolute", 0.0)};
}

}  // namespace lathe
