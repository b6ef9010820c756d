#include "costmodel/constraint_features.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>
#include <memory>
#include <string_view>

#include "core/expression.h"

namespace lathe {
namespace {

constexpr size_t kMostFeatures = 8;  // a surrogate with a hundred trials cannot tell more apart

std::string_view Trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\n\r");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\n\r") - first + 1);
}

// Where `text` can be cut outside of parentheses at one of the operators: place and length, or npos. Longer operators come first.
std::pair<size_t, size_t> FindOutside(std::string_view text, const std::vector<std::string_view>& operators) {
  int depth = 0;
  for (size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '(') ++depth;
    if (text[at] == ')') --depth;
    if (depth != 0) continue;
    for (const std::string_view op : operators) {
      if (text.substr(at, op.size()) == op) return {at, op.size()};
    }
  }
  return {std::string_view::npos, 0};
}

std::string_view WithoutParentheses(std::string_view text) {
  text = Trimmed(text);
  while (text.size() >= 2 && text.front() == '(') {
    int depth = 0;
    size_t closed = 0;
    while (closed < text.size()) {
      if (text[closed] == '(') ++depth;
      if (text[closed] == ')' && --depth == 0) break;
      ++closed;
    }
    if (closed != text.size() - 1) break;
    text = Trimmed(text.substr(1, text.size() - 2));
  }
  return text;
}

// The sides of all comparisons in a constraint.
void CollectSides(std::string_view text, std::vector<std::string>* sides) {
  static const std::vector<std::string_view> logical = {"||", "&&", "?", ":"};
  static const std::vector<std::string_view> comparison = {"<=", ">=", "==", "!=", "<", ">"};
  text = WithoutParentheses(text);
  for (const auto* operators : {&logical, &comparison}) {
    const auto [at, length] = FindOutside(text, *operators);
    if (at == std::string_view::npos) continue;
    CollectSides(text.substr(0, at), sides);
    CollectSides(text.substr(at + length), sides);
    return;
  }
  const auto [at, length] = FindOutside(text, {"%"});
  sides->push_back(at == std::string_view::npos
                       ? std::string(text)
                       : fmt::format("({})/({})", WithoutParentheses(text.substr(0, at)), WithoutParentheses(text.substr(at + length))));
}

struct Feature {
  Expression expression;
  std::vector<size_t> parameters;  // of expression.names(), or past the last parameter for a bound number
  std::vector<double> values;      // the bound numbers; the rest is set for each point
};

std::vector<Feature> FeaturesOf(const Space& space) {
  std::map<std::string, size_t> places;
  for (size_t p = 0; p < space.parameters().size(); ++p) places[space.parameters()[p].name] = p;
  std::vector<std::string> sides;
  for (const Constraint& constraint : space.constraints()) CollectSides(constraint.require, &sides);
  std::vector<Feature> features;
  std::vector<std::string> known;
  for (const std::string& side : sides) {
    if (features.size() == kMostFeatures) break;
    if (std::find(known.begin(), known.end(), side) != known.end()) continue;
    known.push_back(side);
    Result<Expression> expression = Expression::Parse(side);
    if (!expression) continue;  // the cut met a form it does not know; a feature less is no harm
    Feature feature{std::move(*expression), {}, {}};
    size_t joined = 0;
    bool bound = true;
    for (const std::string& name : feature.expression.names()) {
      const auto place = places.find(name);
      const auto number = space.definition().numbers.find(name);
      bound = bound && (place != places.end() || number != space.definition().numbers.end());
      joined += place != places.end() ? 1 : 0;
      feature.parameters.push_back(place != places.end() ? place->second : places.size());
      feature.values.push_back(number != space.definition().numbers.end() ? number->second : 0);
    }
    if (bound && joined >= 2) features.push_back(std::move(feature));
  }
  return features;
}

}  // namespace

std::vector<std::string> ConstraintFeatureTexts(const Space& space) {
  std::vector<std::string> texts;
  for (const Feature& feature : FeaturesOf(space)) texts.push_back(feature.expression.text());
  return texts;
}

FeatureFunction ConstraintFeatures(const Space& space) {
  const auto features = std::make_shared<std::vector<Feature>>(FeaturesOf(space));
  if (features->empty()) return {};
  return [&space, features](const Point& point) {
    std::vector<double> numbers;
    for (Feature& feature : *features) {
      for (size_t i = 0; i < feature.parameters.size(); ++i) {
        const size_t p = feature.parameters[i];
        if (p < point.size()) feature.values[i] = space.Number(p, point[p]);
      }
      Result<double> number = feature.expression.Evaluate(feature.values);
      numbers.push_back(number ? *number : std::numeric_limits<double>::quiet_NaN());
    }
    return numbers;
  };
}

}  // namespace lathe
