#include "tests/templates/hot_loop.h"

#include <map>
#include <optional>
#include <regex>
#include <sstream>

namespace lathe::testing {
namespace {

bool IsMultiplyAdd(const std::string& line) {
  static const std::regex pattern(R"(\s*(fmla|fmls|sdot|udot|usdot|smlal2?|umlal2?|mla)\s+v.*)");
  return std::regex_match(line, pattern);
}

// "str q8, [sp, 32]", "ldp q0, q1, [sp]", "st1 {v0.4s}, [sp]"; scalars of the loop's own bookkeeping may rest there.
bool IsSpill(const std::string& line) {
  static const std::regex pattern(R"(\s*(str|stp|stur|ldr|ldp|ldur|st1|ld1r?)\s+(q|d|\{v).*\[(sp|x29)[\],].*)");
  return std::regex_match(line, pattern);
}

}  // namespace

HotLoop FindHotLoop(const std::string& assembly) {
  static const std::regex label(R"((\.L\w+):.*)"),
      branch(R"(\s*(b|b\.\w+|bne|beq|blt|bgt|ble|bge|bhi|bls|bcc|bcs|cbn?z|tbn?z)\s+.*?(\.L\w+)\s*)"), instruction(R"(\s+[a-z].*)");
  std::vector<std::string> lines;
  std::istringstream text(assembly);
  for (std::string line; std::getline(text, line);) lines.push_back(line);

  std::map<std::string, size_t> labels;
  HotLoop best;
  std::optional<size_t> last_begin;  // of the loop closed last: whatever begins before it holds it
  for (size_t i = 0; i < lines.size(); ++i) {
    std::smatch found;
    if (std::regex_match(lines[i], found, label)) labels[found[1]] = i;
    if (!std::regex_match(lines[i], found, branch)) continue;
    const auto target = labels.find(found[2]);
    if (target == labels.end()) continue;  // forwards
    const size_t begin = target->second;
    if (last_begin && begin <= *last_begin) continue;
    last_begin = begin;
    HotLoop loop;
    for (size_t at = begin; at <= i; ++at) {
      if (!std::regex_match(lines[at], instruction)) continue;
      loop.instructions.push_back(lines[at]);
      if (IsMultiplyAdd(lines[at])) ++loop.multiply_adds;
      if (IsSpill(lines[at])) loop.spills.push_back(lines[at]);
    }
    if (loop.multiply_adds > best.multiply_adds) best = std::move(loop);
  }
  return best;
}

}  // namespace lathe::testing
