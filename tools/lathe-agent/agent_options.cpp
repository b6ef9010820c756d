#include "tools/lathe-agent/agent_options.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/file.h"
#include "core/parse_json.h"

namespace lathe {
namespace {

Result<Rights> ReadRights(const nlohmann::json& json) {
  Rights rights;
  if (!json.is_array()) return Error{ErrorCode::kInvalidInput, "must be a list of build, measure, administer"};
  for (const nlohmann::json& right : json) {
    const std::string name = right.is_string() ? right.get<std::string>() : std::string();
    if (name == "build")
      rights.build = true;
    else if (name == "measure")
      rights.measure = true;
    else if (name == "administer")
      rights.administer = true;
    else
      return Error{ErrorCode::kInvalidInput, fmt::format("{} is none of build, measure, administer", right.dump())};
  }
  return rights;
}

}  // namespace

Status ReadConfig(AgentFlags& flags, const std::set<std::string>& given) {
  if (flags.config.empty()) return {};
  const auto bad = [&](const std::string& why) {
    return Error{ErrorCode::kInvalidInput, fmt::format("read configuration '{}': {}", flags.config, why)};
  };
  Result<std::string> text = ReadFile(flags.config);
  if (!text) return text.error();
  Result<nlohmann::json> parsed = ParseJson(*text);
  if (!parsed) return bad(parsed.error().message);
  const nlohmann::json& json = *parsed;
  if (!json.is_object()) return bad("it is no JSON object");
  const std::map<std::string, std::string*> texts = {
      {"listen", &flags.listen},   {"name", &flags.name},           {"certs", &flags.certs},           {"user", &flags.user},
      {"scratch", &flags.scratch}, {"directory", &flags.directory}, {"sysfs_root", &flags.sysfs_root}, {"lock_clocks", &flags.lock_clocks}};
  const std::map<std::string, double*> numbers = {
      {"lease_seconds", &flags.lease_seconds}, {"run_seconds", &flags.run_seconds}, {"build_seconds", &flags.build_seconds}};
  const std::map<std::string, std::string> options = {{"sysfs_root", "sysfs-root"},
                                                      {"lock_clocks", "lock-clocks"},
                                                      {"lease_seconds", "lease"},
                                                      {"run_seconds", "run-limit"},
                                                      {"build_seconds", "build-limit"}};
  const auto overruled = [&](const std::string& key) {
    const auto option = options.find(key);
    return given.count(option != options.end() ? option->second : key) != 0;
  };
  for (const auto& [key, value] : json.items()) {
    if (const auto to = texts.find(key); to != texts.end()) {
      if (!value.is_string()) return bad(fmt::format("'{}' must be a text", key));
      if (!overruled(key)) *to->second = value.get<std::string>();
    } else if (const auto number = numbers.find(key); number != numbers.end()) {
      if (!value.is_number() || !(value.get<double>() > 0)) return bad(fmt::format("'{}' must be a number above 0", key));
      if (!overruled(key)) *number->second = value.get<double>();
    } else if (key == "clients" && value.is_object()) {
      for (const auto& [name, list] : value.items()) {
        Result<Rights> rights = ReadRights(list);
        if (!rights) return bad(fmt::format("client '{}': {}", name, rights.error().message));
        flags.clients[name] = *rights;
      }
    } else {
      return bad(fmt::format("'{}' is no setting, or of the wrong type", key));
    }
  }
  return {};
}

}  // namespace lathe
