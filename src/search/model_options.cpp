#include "search/model_options.h"

#include <fmt/format.h>

#include <cstdlib>

namespace lathe {
namespace {

Error Wrong(const std::string& name, const std::string& value, const std::string& wanted) {
  return {ErrorCode::kInvalidInput, fmt::format("option {}={} of strategy model: expected {}", name, value, wanted)};
}

Status Read(const std::string& name, const std::string& text, std::string* value, const std::vector<std::string>& choices) {
  for (const std::string& choice : choices) {
    if (text == choice) {
      *value = text;
      return {};
    }
  }
  return Wrong(name, text, fmt::format("one of {}", fmt::join(choices, ", ")));
}

Status Read(const std::string& name, const std::string& text, double low, double high, double* value) {
  char* end = nullptr;
  *value = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0' || !(*value >= low && *value <= high))
    return Wrong(name, text, fmt::format("a number from {} to {}", low, high));
  return {};
}

Status Read(const std::string& name, const std::string& text, int low, int high, int* value) {
  double number = 0;
  if (Status status = Read(name, text, low, high, &number); !status) return status;
  *value = static_cast<int>(number);
  return {};
}

Status Read(const std::string& name, const std::string& text, bool* value) {
  if (text != "0" && text != "1") return Wrong(name, text, "0 or 1");
  *value = text == "1";
  return {};
}

}  // namespace

Result<ModelOptions> ModelOptions::Parse(const StrategyOptions& options) {
  ModelOptions parsed;
  for (const auto& [name, text] : options) {
    Status status;
    if (name == "surrogate") {
      status = Read(name, text, &parsed.surrogate, {"mix", "boosted", "gp"});
    } else if (name == "objective") {
      status = Read(name, text, &parsed.objective, {"reg", "rank"});
    } else if (name == "acquisition") {
      status = Read(name, text, &parsed.acquisition, {"ei", "ucb", "mean"});
    } else if (name == "members") {
      status = Read(name, text, 1, 50, &parsed.members);
    } else if (name == "rounds") {
      status = Read(name, text, 1, 1000, &parsed.rounds);
    } else if (name == "depth") {
      status = Read(name, text, 1, 12, &parsed.depth);
    } else if (name == "learning_rate") {
      status = Read(name, text, 0.001, 1, &parsed.learning_rate);
    } else if (name == "columns") {
      status = Read(name, text, 0.01, 1, &parsed.columns);
    } else if (name == "kappa") {
      status = Read(name, text, 0, 100, &parsed.kappa);
    } else if (name == "epsilon") {
      status = Read(name, text, 0, 1, &parsed.epsilon);
    } else if (name == "widen") {
      status = Read(name, text, 0, 100, &parsed.widen);
    } else if (name == "local") {
      status = Read(name, text, 0, 1, &parsed.local);
    } else if (name == "slow_weight") {
      status = Read(name, text, 0, 1, &parsed.slow_weight);
    } else if (name == "constraints") {
      status = Read(name, text, &parsed.constraints);
    } else if (name == "additive") {
      status = Read(name, text, &parsed.additive);
    } else if (name == "start") {
      status = Read(name, text, 0, 10000, &parsed.start);
    } else if (name == "spread") {
      status = Read(name, text, 1, 1000, &parsed.spread);
    } else if (name == "pool") {
      status = Read(name, text, 1, 100000, &parsed.pool);
    } else if (name == "pairs") {
      status = Read(name, text, &parsed.pairs);
    } else if (name == "alignment") {
      status = Read(name, text, &parsed.alignment);
    } else if (name == "codes") {
      status = Read(name, text, &parsed.codes);
    } else if (name == "logs") {
      status = Read(name, text, &parsed.logs);
    } else if (name == "manifest") {
      status = Read(name, text, &parsed.manifest);
    } else if (name == "diversity") {
      status = Read(name, text, &parsed.diversity);
    } else if (name == "neighbours") {
      status = Read(name, text, &parsed.neighbours);
    } else if (name == "validity") {
      status = Read(name, text, &parsed.validity);
    } else {
      status = Error{ErrorCode::kInvalidInput, fmt::format("strategy model has no option '{}'", name)};
    }
    if (!status) return status.error();
  }
  return parsed;
}

const std::map<std::string, StrategyOptions>& Ablations() {
  static const std::map<std::string, StrategyOptions> ablations = {
      {"features", {{"logs", "0"}, {"alignment", "0"}, {"codes", "0"}, {"pairs", "0"}, {"manifest", "0"}, {"constraints", "0"}}},
      {"uncertainty", {{"acquisition", "mean"}}},
      {"diversity", {{"diversity", "0"}}},
      {"neighbours", {{"neighbours", "0"}, {"local", "0"}}},
      {"start", {{"spread", "1"}}},
      {"additive", {{"additive", "0"}}},
      {"compression", {{"slow_weight", "1"}}},
      {"validity", {{"validity", "0"}}},
      {"local", {{"local", "0"}}},
      {"widening", {{"widen", "0"}}},
  };
  return ablations;
}

}  // namespace lathe
