// AgentLog: one JSON object a line, for journald and people with jq: {"time": …, "event": "held", "holder": …}.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

namespace lathe {

using AgentLog = std::function<void(const std::string& event, nlohmann::json fields)>;

}  // namespace lathe
