// What fuzz tests do to good input, and for how long.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <nlohmann/json.hpp>
#include <random>
#include <string>

namespace lathe {

// When a test that began now has done enough: after $LATHE_FUZZ_SECONDS, or as many as given.
inline std::chrono::steady_clock::time_point FuzzEnd(int seconds) {
  const char* given = std::getenv("LATHE_FUZZ_SECONDS");
  return std::chrono::steady_clock::now() + std::chrono::seconds(given != nullptr ? std::atoi(given) : seconds);
}

inline const char* const kTexts[] = {"",
                                     "h",
                                     "1/0",
                                     "((((((((((",
                                     "unknown_name * 2",
                                     "2^1024",
                                     "-1e308*10",
                                     "\xff\xfe",
                                     "range",
                                     "f32",
                                     "c % 0",
                                     "tile_k && ",
                                     "a ? b",
                                     "../../../etc/passwd",
                                     "1e18",
                                     "threads*threads*threads*threads",
                                     "\n#include <x>"};
inline const double kNumbers[] = {0, -1, 1, 0.5, 1e9, 1e18, -1e18, 9007199254740993.0, 1e308, 3};

class Damage {
 public:
  explicit Damage(uint64_t seed) : engine_(seed) {}

  size_t Below(size_t bound) { return std::uniform_int_distribution<size_t>(0, bound - 1)(engine_); }

  // Keeps JSON well-formed, so that the readers behind the parser are reached.
  std::string OfValues(const std::string& text) {
    Json json = Json::parse(text, nullptr, true, true);
    for (size_t changes = 1 + Below(3); changes > 0; --changes) Change(json);
    return json.dump(-1, ' ', false, nlohmann::detail::error_handler_t::replace);
  }

  std::string OfBytes(std::string text) {
    for (size_t changes = 1 + Below(4); changes > 0 && !text.empty(); --changes) {
      const size_t at = Below(text.size());
      switch (Below(4)) {
        case 0:
          text[at] = static_cast<char>(Below(256));
          break;
        case 1:
          text.erase(at, 1 + Below(40));
          break;
        case 2:
          text.insert(at, text.substr(Below(text.size()), 1 + Below(60)));
          break;
        default:
          text.resize(at);
      }
    }
    return text;
  }

 private:
  using Json = nlohmann::ordered_json;
  void Change(Json& json) {
    Json* node = &json;
    while (node->is_structured() && !node->empty() && (node == &json || Below(5) != 0)) {
      auto child = node->begin();
      std::advance(child, static_cast<std::ptrdiff_t>(Below(node->size())));
      node = &*child;
    }
    switch (Below(7)) {
      case 0:
        *node = kTexts[Below(std::size(kTexts))];
        break;
      case 1:
        *node = kNumbers[Below(std::size(kNumbers))];
        break;
      case 2:
        *node = static_cast<int64_t>(kNumbers[Below(4)]);
        break;
      case 3:
        *node = nullptr;
        break;
      case 4:
        *node = Json::array({*node, *node});
        break;
      case 5:
        *node = Json{{"range", {1, 1000000000}}};
        break;
      default:
        *node = Json::object();
    }
  }

  std::mt19937_64 engine_;
};

}  // namespace lathe
