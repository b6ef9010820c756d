#include "tools/lathe/template_check.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <random>
#include <set>

#include "measure/local_measurer.h"
#include "measure/target_choice.h"
#include "measure/toolchain_profile.h"
#include "tools/lathe/fallback_check.h"
#include "tools/lathe/stop_signal.h"
#include "tools/lathe/table.h"

namespace lathe {
namespace {

class Checker {
 public:
  Checker(const TemplateCheckOptions& flags, Measurer& measurer) : flags_(flags), measurer_(measurer) {}

  Status Run(const std::vector<const KernelTemplate*>& templates, const std::vector<NamedWorkload>& shapes) {
    for (const KernelTemplate* tmpl : templates) {
      Result<std::vector<Opened>> opened = Open(*tmpl, shapes);
      if (!opened) return opened.error();
      if (Status done = flags_.total > 0 ? DealOut(*tmpl, *opened) : CheckEach(*tmpl, *opened); !done) return done;
    }
    while (in_flight_ > 0)
      if (Status taken = Take(); !taken) return taken;
    return {};
  }

  const std::map<std::string, Tally>& tallies() const { return tallies_; }
  const std::vector<Measurement>& failures() const { return failures_; }

 private:
  // A workload that a template applies to, and its space.
  struct Opened {
    const NamedWorkload* shape;
    Space space;
    std::mt19937_64 random;
    std::set<Point> met;
  };

  Result<std::vector<Opened>> Open(const KernelTemplate& tmpl, const std::vector<NamedWorkload>& shapes) {
    std::vector<Opened> opened;
    for (size_t i = 0; i < shapes.size(); ++i) {
      const NamedWorkload& shape = shapes[i];
      if (tmpl.operator_name() != shape.op->name()) continue;
      Result<bool> applies = tmpl.Applies(*shape.op, shape.workload, measurer_.target());
      if (!applies) return applies.error();
      if (!*applies) continue;
      Result<Space> space = tmpl.SpaceFor(*shape.op, shape.workload, measurer_.target());
      if (!space) return space.error();
      if (!space->First())
        return Error{ErrorCode::kInvalidInput, fmt::format("template '{}' has no valid config for {}", tmpl.name(), shape.workload.Key())};
      opened.push_back({&shape, *std::move(space), std::mt19937_64(flags_.seed * 1000003 + i), {}});
    }
    if (!opened.empty()) tallies_[NameOf(tmpl.operator_name(), tmpl.name())].shapes = opened.size();
    return opened;
  }

  Status CheckEach(const KernelTemplate& tmpl, std::vector<Opened>& opened) {
    for (Opened& at : opened)
      for (size_t n = 0; n < flags_.configs && !StopRequested(); ++n)
        // The first config is what users get untuned: it is always among them.
        if (Status done = Check(tmpl, at, *(n == 0 ? at.space.First() : at.space.Sample(at.random))); !done) return done;
    return {};
  }

  Status DealOut(const KernelTemplate& tmpl, std::vector<Opened>& opened) {
    size_t left = flags_.total;
    std::shuffle(opened.begin(), opened.end(), std::mt19937_64(flags_.seed));  // fewer configs than shapes: any of them
    for (bool any = true; any && left > 0 && !StopRequested();) {
      any = false;
      for (Opened& at : opened) {
        const std::optional<Point> point = NewPoint(at);
        if (!point || left == 0 || StopRequested()) continue;
        any = true;
        --left;
        if (Status done = Check(tmpl, at, *point); !done) return done;
      }
    }
    return {};
  }

  // A random config that was not met; none where the space seems used up.
  static std::optional<Point> NewPoint(Opened& at) {
    constexpr int kDraws = 30;
    for (int n = 0; n < kDraws; ++n)
      if (const std::optional<Point> point = at.space.Sample(at.random); point && at.met.insert(*point).second) return point;
    return std::nullopt;
  }

  Status Check(const KernelTemplate& tmpl, const Opened& at, const Point& point) {
    while (in_flight_ >= measurer_.capacity())
      if (Status taken = Take(); !taken) return taken;
    MeasureRequest request;
    request.candidate = {at.shape->workload, tmpl.name(), tmpl.hash(), at.space.ConfigAt(point)};
    if (Status submitted = measurer_.Submit(std::move(request)); !submitted) return submitted;
    ++in_flight_;
    return {};
  }

  Status Take() {
    Result<std::vector<Measurement>> done = measurer_.Wait(std::chrono::milliseconds(500));
    if (!done) return done.error();
    for (Measurement& measurement : *done) {
      --in_flight_;
      Tally& tally = tallies_[NameOf(measurement.candidate.workload.operator_name, measurement.candidate.template_name)];
      ++tally.checked;
      if (measurement.status == MeasureStatus::kOk) {
        for (const auto& [fact, value] : measurement.build_facts) tally.facts[fact].Add(value);
        continue;
      }
      ++tally.failed;
      failures_.push_back(std::move(measurement));
    }
    return {};
  }

  static std::string NameOf(const std::string& op, const std::string& tmpl) { return op + '/' + tmpl; }

  const TemplateCheckOptions& flags_;
  Measurer& measurer_;
  size_t in_flight_ = 0;
  std::map<std::string, Tally> tallies_;
  std::vector<Measurement> failures_;
};

Table TableOf(const std::vector<TargetReport>& reports, bool build_only) {
  // Registers, local memory and spilled bytes as least, mean and most over the configs.
  Table table(build_only ? std::vector<std::string>{"built", "failed", "registers", "spilling", "spilled bytes", "local bytes", "target",
                                                    "template"}
                         : std::vector<std::string>{"checked", "failed", "shapes", "target", "template"});
  for (const TargetReport& report : reports)
    for (const auto& [name, tally] : report.tallies) {
      const auto fact = [&, &tally = tally](const char* key) {
        const auto found = tally.facts.find(key);
        return found == tally.facts.end() ? Spread() : found->second;
      };
      if (build_only)
        table.Add({std::to_string(tally.checked - tally.failed), std::to_string(tally.failed), fact("registers").Text(),
                   std::to_string(fact("spill_store_bytes").positive), fact("spill_store_bytes").Text(), fact("local_bytes").Text(),
                   report.target, name});
      else
        table.Add({std::to_string(tally.checked), std::to_string(tally.failed), std::to_string(tally.shapes), report.target, name});
    }
  return table;
}

nlohmann::ordered_json JsonOf(const std::vector<TargetReport>& reports) {
  nlohmann::ordered_json json = {{"templates", nlohmann::ordered_json::array()}, {"failures", nlohmann::ordered_json::array()}};
  for (const TargetReport& report : reports) {
    for (const auto& [name, tally] : report.tallies) {
      nlohmann::ordered_json entry = {
          {"template", name}, {"target", report.target}, {"checked", tally.checked}, {"failed", tally.failed}, {"shapes", tally.shapes}};
      for (const auto& [fact, spread] : tally.facts)
        entry["facts"][fact] = {{"least", spread.least},
                                {"mean", spread.sum / static_cast<double>(spread.count)},
                                {"most", spread.most},
                                {"positive", spread.positive}};
      json["templates"].push_back(std::move(entry));
    }
    for (const Measurement& failure : report.failures)
      json["failures"].push_back({{"template", failure.candidate.template_name},
                                  {"target", report.target},
                                  {"workload", failure.candidate.workload.Key()},
                                  {"config", ToString(failure.candidate.config)},
                                  {"status", ToString(failure.status)},
                                  {"message", failure.message}});
  }
  return json;
}

}  // namespace

Result<TargetReport> CheckOn(const std::string& target, const TemplateLibrary& library, const TemplateCheckOptions& flags,
                             const std::vector<const KernelTemplate*>& templates, const std::vector<NamedWorkload>& shapes) {
  WorkshopOptions options;
  options.threads = flags.threads;
  options.verify_only = true;
  options.build_only = flags.build_only;
  options.seed = flags.seed;
  if (!flags.toolchain.empty()) {
    Result<Toolchain> toolchain = ReadToolchainProfile(flags.toolchain);
    if (!toolchain) return toolchain.error();
    options.toolchain = std::move(*toolchain);
    options.run.timeout = std::chrono::minutes(2);  // emulators are slow
  }
  if (flags.time_limit > 0) {
    const auto limit = std::chrono::ceil<std::chrono::seconds>(std::chrono::duration<double>(flags.time_limit));
    options.build.timeout = limit;
    options.run.timeout = limit;
  }
  Result<Workshop::BackendFactory> backend = BackendFor(target);
  if (!backend) return backend.error();
  Result<std::unique_ptr<LocalMeasurer>> measurer = LocalMeasurer::Create(&library, options, 0, *backend);
  if (!measurer) return OfMachine(measurer.error());
  Checker checker(flags, **measurer);
  if (Status done = checker.Run(templates, shapes); !done) return done.error();
  TargetReport report{target, checker.tallies(), checker.failures()};
  if (target != "cpu" || flags.build_only) return report;
  std::map<std::string, const Operator*> operators;
  for (const NamedWorkload& shape : shapes)
    if (std::any_of(templates.begin(), templates.end(), [&](const auto* tmpl) { return tmpl->operator_name() == shape.op->name(); }))
      operators[shape.op->name()] = shape.op;
  for (const auto& [name, op] : operators) {
    if (StopRequested()) break;
    Result<FallbackCheck> fallback = CheckFallback(library, *op);
    if (!fallback) return fallback.error();
    Tally& tally = report.tallies[name + "/reference as fallback"];
    tally.checked = fallback->compiled;
    tally.failed = fallback->failures.size();
    for (Measurement& failure : fallback->failures) report.failures.push_back(std::move(failure));
  }
  return report;
}

int PrintReports(const std::vector<TargetReport>& reports, bool build_only, bool json) {
  bool failed = false, any = false;
  for (const TargetReport& report : reports) {
    failed |= !report.failures.empty();
    any |= !report.tallies.empty();
  }
  if (json) {
    PrintJson(JsonOf(reports));
  } else {
    for (const TargetReport& report : reports)
      for (const Measurement& failure : report.failures)
        fmt::print("{} {} {}\n  on {}, {}\n  {}\n", ToString(failure.status), failure.candidate.template_name,
                   ToString(failure.candidate.config), report.target, failure.candidate.workload.Key(), failure.message);
    fmt::print("{}", TableOf(reports, build_only).Text());
  }
  if (StopRequested()) return kExitStopped;
  if (!any) return Fail({ErrorCode::kNotFound, "check: no template computes any of these workloads on this target"});
  return failed ? kExitIncomplete : kExitOk;
}

}  // namespace lathe
