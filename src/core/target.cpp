#include "core/target.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/hash.h"
#include "core/json_mistake.h"

namespace lathe {

std::string Target::Key() const {
  const auto threads = limits.find("threads");
  std::string key = backend + '/' + architecture + '/' + name;
  // How many threads a kernel may use changes which kernel is best: it is part of what the device is.
  if (threads != limits.end()) key += fmt::format("/threads={:.0f}", threads->second);
  return key;
}

std::string Target::FingerprintHash() const { return ShortHash(ToJson(*this).dump()); }

nlohmann::json ToJson(const Target& target) {
  return {{"backend", target.backend},
          {"architecture", target.architecture},
          {"name", target.name},
          {"limits", target.limits},
          {"fingerprint", target.fingerprint}};
}

Result<Target> TargetFromJson(const nlohmann::json& json) {
  try {
    return Target{json.at("backend"), json.at("architecture"), json.at("name"), json.at("limits"), json.at("fingerprint")};
  } catch (const nlohmann::json::exception& failure) {
    return Error{ErrorCode::kInvalidInput, fmt::format("read target from {}: {}", json.dump(), JsonMistake(failure))};
  }
}

}  // namespace lathe
