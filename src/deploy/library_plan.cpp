#include "deploy/library_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace lathe {
namespace {

// Infinity when the two differ in anything but numbers.
double Distance(const Workload& a, const Workload& b) {
  constexpr double kNever = std::numeric_limits<double>::infinity();
  if (a.operator_name != b.operator_name || a.attributes.size() != b.attributes.size()) return kNever;
  double distance = 0;
  for (const auto& [name, value] : a.attributes) {
    const Value* other = Find(b.attributes, name);
    if (other == nullptr || value.index() != other->index()) return kNever;
    if (value == *other) continue;
    if (std::holds_alternative<std::string>(value)) return kNever;
    const auto number = [](const Value& v) {
      return std::holds_alternative<int64_t>(v) ? static_cast<double>(std::get<int64_t>(v)) : std::get<double>(v);
    };
    // Added to both, so that a padding of 0 against 1 counts as a step rather than as infinity.
    distance += std::abs(std::log((std::abs(number(value)) + 0.5) / (std::abs(number(*other)) + 0.5)));
  }
  return distance;
}

// "h=56 instead of 57, dtype=u8 instead of f32": in what a tuned workload is not the wanted one.
std::string DifferencesText(const Workload& wanted, const Workload& tuned) {
  std::string text;
  for (const auto& [name, value] : wanted.attributes)
    if (const Value* other = Find(tuned.attributes, name); other != nullptr && value != *other)
      text += fmt::format("{}{}={} instead of {}", text.empty() ? "" : ", ", name, ToString(*other), ToString(value));
  return text;
}

// In how many choices two workloads of one operator differ, and in which.
std::pair<size_t, std::string> ChoicesThatDiffer(const Workload& wanted, const Workload& tuned) {
  size_t count = 0;
  Workload choices{wanted.operator_name, {}};
  for (const auto& [name, value] : wanted.attributes)
    if (const Value* other = Find(tuned.attributes, name);
        other != nullptr && value != *other && std::holds_alternative<std::string>(value))
      choices.attributes.emplace_back(name, value), ++count;
  return {count, DifferencesText(choices, tuned)};
}

// Why nothing that was tuned can lend its config.
std::string NothingLikeIt(const Workload& wanted, const std::vector<Winner>& winners) {
  std::optional<std::pair<size_t, std::string>> least;
  for (const Winner& winner : winners) {
    if (winner.candidate.workload.operator_name != wanted.operator_name) continue;
    std::pair<size_t, std::string> differs = ChoicesThatDiffer(wanted, winner.candidate.workload);
    if (!least || differs < *least) least = std::move(differs);
  }
  if (!least) return fmt::format("no workload of '{}' was tuned on this target", wanted.operator_name);
  return fmt::format("no workload of '{}' like it was tuned on this target; the one most like it has {}", wanted.operator_name,
                     least->second);
}

// The origin's config as a candidate for `workload`, where its template and space allow it.
std::optional<Candidate> Borrow(const TemplateLibrary& library, const Target& target, const Workload& workload, const Candidate& from) {
  Result<const Operator*> op = library.FindOperator(workload.operator_name);
  Result<const KernelTemplate*> tmpl = library.FindTemplate(workload.operator_name + '/' + from.template_name);
  if (!op || !tmpl) return std::nullopt;
  Result<bool> applies = (*tmpl)->Applies(**op, workload, target);
  if (!applies || !*applies) return std::nullopt;
  Result<Space> space = (*tmpl)->SpaceFor(**op, workload, target);
  if (!space) return std::nullopt;
  Result<Point> point = space->PointOf(from.config);
  if (!point || !space->IsValid(*point)) return std::nullopt;
  return Candidate{workload, from.template_name, (*tmpl)->hash(), from.config};
}

PlannedKernel Choose(const TemplateLibrary& library, const Target& target, const WantedWorkload& wanted,
                     const std::vector<Winner>& winners) {
  PlannedKernel kernel{wanted.workload, wanted.count, Match::kFallback, "", std::nullopt, std::nullopt};
  std::vector<std::pair<double, const Winner*>> near;
  for (const Winner& winner : winners) {
    const double distance = Distance(wanted.workload, winner.candidate.workload);
    if (std::isfinite(distance)) near.emplace_back(distance, &winner);
  }
  std::stable_sort(near.begin(), near.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  for (const auto& [distance, winner] : near) {
    std::optional<Candidate> candidate = Borrow(library, target, wanted.workload, winner->candidate);
    if (!candidate) continue;
    kernel.candidate = std::move(candidate);
    kernel.origin = *winner;
    if (distance == 0) {
      kernel.match = Match::kExact;
      kernel.reason = "this workload was tuned on this target";
    } else {
      kernel.match = Match::kNearest;
      kernel.reason = fmt::format("not tuned; the config of the nearest tuned workload, which has {}: {}",
                                  DifferencesText(wanted.workload, winner->candidate.workload), winner->candidate.workload.Key());
    }
    return kernel;
  }
  kernel.reason = near.empty() ? NothingLikeIt(wanted.workload, winners) : "no tuned config of a workload like it is valid here";
  return kernel;
}

}  // namespace

const char* ToString(Match match) { return match == Match::kExact ? "exact" : match == Match::kNearest ? "nearest" : "fallback"; }

Result<LibraryPlan> PlanLibrary(const TemplateLibrary& library, const Target& target, const std::vector<WantedWorkload>& wanted,
                                const std::vector<Winner>& winners) {
  LibraryPlan plan{target, {}};
  for (const WantedWorkload& workload : wanted) {
    Result<const Operator*> op = library.FindOperator(workload.workload.operator_name);
    if (!op) return op.error();
    plan.kernels.push_back(Choose(library, target, workload, winners));
  }
  return plan;
}

nlohmann::json ToJson(const LibraryPlan& plan) {
  nlohmann::json kernels = nlohmann::json::array();
  for (const PlannedKernel& kernel : plan.kernels) {
    nlohmann::json entry = ToJson(kernel.workload);
    entry["key"] = kernel.workload.Key();
    entry["count"] = kernel.count;
    entry["match"] = ToString(kernel.match);
    entry["reason"] = kernel.reason;
    if (kernel.candidate) {
      entry["template"] = kernel.candidate->template_name;
      entry["template_hash"] = kernel.candidate->template_hash;
      entry["config"] = ToJson(kernel.candidate->config);
    }
    if (kernel.origin) {
      entry["measured"] = {{"workload", kernel.origin->candidate.workload.Key()},
                           {"seconds", kernel.origin->seconds},
                           {"untuned_seconds", kernel.origin->untuned_seconds},
                           {"target", kernel.origin->target.Key()},
                           {"run", kernel.origin->run_id},
                           {"finished_unix_ms", kernel.origin->finished_unix_ms}};
    }
    kernels.push_back(std::move(entry));
  }
  return {{"target", ToJson(plan.target)}, {"kernels", kernels}};
}

}  // namespace lathe
