// Random text in the grammar of core/expression.h, for holding the solver against muParser.
#pragma once

#include <fmt/format.h>

#include <random>
#include <string>
#include <vector>

namespace lathe {

class RandomExpression {
 public:
  RandomExpression(std::mt19937_64& random, std::vector<std::string> names) : random_(random), names_(std::move(names)) {}

  // A number, of operators `depth` deep at most.
  std::string Number(int depth) {
    if (depth == 0 || Pick(5) == 0) return Leaf();
    switch (Pick(12)) {
      case 0:
        return fmt::format("min({}, {})", Number(depth - 1), Number(depth - 1));
      case 1:
        return fmt::format("max({}, {}, {})", Number(depth - 1), Number(depth - 1), Leaf());
      case 2:
        return fmt::format("{}({})", OneOf({"floor", "ceil", "abs", "round", "sqrt", "log2"}), Number(depth - 1));
      case 3:
        return fmt::format("{}({}, {})", OneOf({"ceil_div", "align", "pow"}), Number(depth - 1), Leaf());
      case 4:
        return fmt::format("-{}", Leaf());
      case 5:
        return fmt::format("({} ? {} : {})", Truth(depth - 1), Number(depth - 1), Number(depth - 1));
      default:
        break;
    }
    const std::string text =
        fmt::format("{}{}{}", Number(depth - 1), OneOf({" + ", " - ", "*", "*", " / ", "//", " % ", "^"}), Number(depth - 1));
    return Pick(2) == 0 ? '(' + text + ')' : text;
  }

  // A comparison, or several.
  std::string Truth(int depth) {
    if (depth > 0 && Pick(4) == 0) return fmt::format("({} {} {})", Truth(depth - 1), OneOf({"&&", "||", "||"}), Truth(depth - 1));
    if (depth > 0 && Pick(8) == 0) return fmt::format("!({})", Truth(depth - 1));
    return fmt::format("{} {} {}", Number(depth), OneOf({"<", "<=", ">", ">=", "==", "!="}), Number(depth));
  }

 private:
  size_t Pick(size_t count) { return random_() % count; }
  std::string OneOf(std::vector<std::string> texts) { return texts[Pick(texts.size())]; }
  std::string Leaf() { return Pick(4) == 0 ? OneOf({"0", "1", "2", "3", "4", "8", "12", "1.5", ".25"}) : names_[Pick(names_.size())]; }

  std::mt19937_64& random_;
  std::vector<std::string> names_;
};

}  // namespace lathe
