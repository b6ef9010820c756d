#include "core/parse_json.h"

#include "core/json_mistake.h"

namespace lathe {

Result<nlohmann::json> ParseJson(const std::string& text) {
  try {
    return nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/true, /*ignore_comments=*/true);
  } catch (const nlohmann::json::exception& failure) {
    return Error{ErrorCode::kInvalidInput, JsonMistake(failure)};
  }
}

}  // namespace lathe
