#include "deploy/library_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

namespace lathe {
namespace {

bool IsEpilogue(const Operator& op, const std::string& attribute) {
  return std::find(op.epilogue().begin(), op.epilogue().end(), attribute) != op.epilogue().end();
}

// Infinity when the two differ in anything but numbers and the epilogue.
double Distance(const Operator& op, const Workload& a, const Workload& b) {
  constexpr double kNever = std::numeric_limits<double>::infinity();
  constexpr double kEpilogueStep = 0.1;  // as much as a tenth more rows: the same layer with another activation comes before others
  if (a.operator_name != b.operator_name || a.attributes.size() != b.attributes.size()) return kNever;
  double distance = 0;
  for (const auto& [name, value] : a.attributes) {
    const Value* other = Find(b.attributes, name);
    if (other == nullptr || value.index() != other->index()) return kNever;
    if (value == *other) continue;
    if (IsEpilogue(op, name)) {
      distance += kEpilogueStep;
      continue;
    }
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

// In how many choices two workloads of one operator differ, the epilogue's left aside, and in which.
std::pair<size_t, std::string> ChoicesThatDiffer(const Operator& op, const Workload& wanted, const Workload& tuned) {
  size_t count = 0;
  Workload choices{wanted.operator_name, {}};
  for (const auto& [name, value] : wanted.attributes)
    if (const Value* other = Find(tuned.attributes, name);
        other != nullptr && value != *other && std::holds_alternative<std::string>(value) && !IsEpilogue(op, name))
      choices.attributes.emplace_back(name, value), ++count;
  return {count, DifferencesText(choices, tuned)};
}

// Why nothing that was tuned can lend its config.
std::string NothingLikeIt(const Operator& op, const Workload& wanted, const std::vector<Winner>& winners) {
  std::optional<std::pair<size_t, std::string>> least;
  for (const Winner& winner : winners) {
    if (winner.candidate.workload.operator_name != wanted.operator_name) continue;
    std::pair<size_t, std::string> differs = ChoicesThatDiffer(op, wanted, winner.candidate.workload);
    if (!least || differs < *least) least = std::move(differs);
  }
  if (!least) return fmt::format("no workload of '{}' was tuned on this target", wanted.operator_name);
  return fmt::format("no workload of '{}' like it was tuned on this target; the one most like it has {}", wanted.operator_name,
                     least->second);
}

// The origin's config as a candidate for `workload`, where its template and space allow it.
std::optional<Candidate> Borrow(const TemplateLibrary& library, const Operator& op, const Target& target, const Workload& workload,
                                const Candidate& from) {
  Result<const KernelTemplate*> tmpl = library.FindTemplate(op.name() + '/' + from.template_name);
  if (!tmpl) return std::nullopt;
  Result<bool> applies = (*tmpl)->Applies(op, workload, target);
  if (!applies || !*applies) return std::nullopt;
  Result<Space> space = (*tmpl)->SpaceFor(op, workload, target);
  if (!space) return std::nullopt;
  Result<Point> point = space->PointOf(from.config);
  if (!point || !space->IsValid(*point)) return std::nullopt;
  return Candidate{workload, from.template_name, (*tmpl)->hash(), from.config};
}

// Gives the kernel a tuned config and says which, or says why there is none.
void TakeTuned(const TemplateLibrary& library, const Operator& op, const Target& target, const std::vector<Winner>& winners,
               const std::set<std::string>& failed, PlannedKernel& kernel) {
  std::vector<std::pair<double, const Winner*>> near;
  for (const Winner& winner : winners) {
    const double distance = Distance(op, kernel.workload, winner.candidate.workload);
    if (std::isfinite(distance)) near.emplace_back(distance, &winner);
  }
  std::stable_sort(near.begin(), near.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  for (const auto& [distance, winner] : near) {
    kernel.candidate = Borrow(library, op, target, kernel.workload, winner->candidate);
    if (kernel.candidate && failed.count(kernel.candidate->Key()) > 0) kernel.candidate.reset();
    if (!kernel.candidate) continue;
    const bool exact = kernel.workload == winner->candidate.workload;
    kernel.origin = *winner;
    kernel.match = exact ? Match::kExact : Match::kNearest;
    kernel.reason = exact ? "this workload was tuned on this target"
                          : fmt::format("not tuned; the config of the nearest tuned workload, which has {}: {}",
                                        DifferencesText(kernel.workload, winner->candidate.workload), winner->candidate.workload.Key());
    return;
  }
  kernel.reason = near.empty() ? NothingLikeIt(op, kernel.workload, winners) : "no tuned config of a workload like it is valid here";
}

// The same with the author's own choice, where nothing tuned answers.
Status TakeUntuned(const TemplateLibrary& library, const Target& target, const std::set<std::string>& failed, PlannedKernel& kernel) {
  Result<std::optional<Candidate>> first = FirstCandidate(library, kernel.workload, target, failed);
  if (!first && first.error().code != ErrorCode::kIncompatible) return first.error();
  if (first) kernel.candidate = *first;
  if (kernel.candidate) {
    kernel.match = Match::kUntuned;
    kernel.reason += fmt::format("; the first valid config of '{}' stands in", kernel.candidate->template_name);
    return {};
  }
  const bool cpu = target.backend == "cpu";
  kernel.match = cpu ? Match::kFallback : Match::kNone;
  kernel.reason +=
      fmt::format("; {}: {}",
                  first ? fmt::format("no {} template computes it{}", cpu ? "CPU" : "GPU", failed.empty() ? "" : " without having failed")
                        : first.error().message,
                  cpu ? "the portable fallback stands in" : "left out");
  return {};
}

Result<std::optional<Candidate>> FirstOf(const KernelTemplate& tmpl, const Operator& op, const Workload& workload, const Target& target) {
  Result<bool> applies = tmpl.Applies(op, workload, target);
  if (!applies) return applies.error();
  if (!*applies) return std::optional<Candidate>();
  Result<Space> space = tmpl.SpaceFor(op, workload, target);
  if (!space) return space.error();
  const std::optional<Point> point = space->First();
  return point ? std::optional<Candidate>(Candidate{workload, tmpl.name(), tmpl.hash(), space->ConfigAt(*point)}) : std::nullopt;
}

}  // namespace

Result<std::optional<Candidate>> FirstCandidate(const TemplateLibrary& library, const Workload& workload, const Target& target,
                                                const std::set<std::string>& failed) {
  Result<const Operator*> op = library.FindOperator(workload.operator_name);
  if (!op) return op.error();
  std::optional<Error> unknown;  // where a template asks for a limit that the target lacks another may not
  for (const KernelTemplate* tmpl : library.TemplatesOf((*op)->name())) {
    Result<std::optional<Candidate>> first = FirstOf(*tmpl, **op, workload, target);
    if (!first && first.error().code != ErrorCode::kIncompatible) return first;
    if (!first && !unknown) unknown = first.error();
    if (first && *first && failed.count((*first)->Key()) == 0) return first;
  }
  if (unknown) return *unknown;
  return std::optional<Candidate>();
}

const char* ToString(Match match) {
  switch (match) {
    case Match::kExact:
      return "exact";
    case Match::kNearest:
      return "nearest";
    case Match::kUntuned:
      return "untuned";
    case Match::kFallback:
      return "fallback";
    case Match::kNone:
      break;
  }
  return "none";
}

Result<LibraryPlan> PlanLibrary(const TemplateLibrary& library, const Target& target, const std::vector<WantedWorkload>& wanted,
                                const std::vector<Winner>& winners) {
  LibraryPlan plan{target, {}};
  for (const WantedWorkload& workload : wanted) {
    Result<const Operator*> op = library.FindOperator(workload.workload.operator_name);
    if (!op) return op.error();
    PlannedKernel kernel{workload.workload, workload.count, Match::kNone, "", std::nullopt, std::nullopt};
    TakeTuned(library, **op, target, winners, workload.failed, kernel);
    if (!kernel.candidate)
      if (Status taken = TakeUntuned(library, target, workload.failed, kernel); !taken) return taken.error();
    plan.kernels.push_back(std::move(kernel));
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

std::string MarkdownTable(const LibraryPlan& plan) {
  std::string text =
      "| workload | count | match | template | config | tuned ms | untuned ms | gain |\n| --- | --- | --- | --- | --- | --- | --- | --- "
      "|\n";
  for (const PlannedKernel& kernel : plan.kernels) {
    const bool exact = kernel.match == Match::kExact && kernel.origin;
    const bool gained = exact && kernel.origin->untuned_seconds > 0;
    text += fmt::format("| {} | {} | {} | {} | {} | {} | {} | {} |\n", kernel.workload.Key(), kernel.count, ToString(kernel.match),
                        kernel.candidate ? kernel.candidate->template_name : "", kernel.candidate ? ToString(kernel.candidate->config) : "",
                        exact ? fmt::format("{:.4g}", kernel.origin->seconds * 1e3) : "",
                        gained ? fmt::format("{:.4g}", kernel.origin->untuned_seconds * 1e3) : "",
                        gained ? fmt::format("{:.2f}x", kernel.origin->untuned_seconds / kernel.origin->seconds) : "");
  }
  std::map<std::string, size_t> reasons;  // a model nobody tuned has one reason, not sixty
  for (const PlannedKernel& kernel : plan.kernels)
    if (kernel.match != Match::kExact) ++reasons[fmt::format("{}: {}", ToString(kernel.match), kernel.reason)];
  if (!reasons.empty()) text += '\n';
  for (const auto& [reason, count] : reasons) text += fmt::format("- {} of {}, {}\n", count, plan.kernels.size(), reason);
  return text;
}

}  // namespace lathe
