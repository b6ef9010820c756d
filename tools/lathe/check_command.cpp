// lathe check: holds templates to their reference at random valid configs, on their operator's awkward shapes or on a given workload.
#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "measure/local_measurer.h"
#include "measure/target_choice.h"
#include "tools/lathe/command.h"
#include "tools/lathe/stop_signal.h"
#include "tools/lathe/table.h"

namespace lathe {
namespace {

struct CheckFlags {
  std::vector<std::string> templates, workloads;
  std::string target = "cpu";
  size_t configs = 5;
  uint64_t seed = 1;
  int threads = 1;
};

Result<std::vector<NamedWorkload>> ShapesFor(const TemplateLibrary& library, const CheckFlags& flags) {
  std::vector<NamedWorkload> shapes;
  for (const std::string& text : flags.workloads) {
    Result<NamedWorkload> shape = ReadWorkload(library, text);
    if (!shape) return shape.error();
    shapes.push_back(*std::move(shape));
  }
  if (!shapes.empty()) return shapes;
  for (const Operator* op : library.operators()) {
    if (!op->manifest().contains("test_workloads")) continue;
    for (const auto& entry : op->manifest()["test_workloads"]) {
      Result<NamedValues> attributes = NamedValuesFromJson(nlohmann::json(entry));
      if (!attributes) return attributes.error().In(fmt::format("operator '{}', test_workloads", op->name()));
      Result<Workload> workload = op->Normalise({op->name(), *std::move(attributes)});
      if (!workload) return workload.error().In(fmt::format("operator '{}', test_workloads", op->name()));
      shapes.push_back({op, *std::move(workload)});
    }
  }
  return shapes;
}

struct Tally {
  size_t shapes = 0, checked = 0, failed = 0;
};

class Checker {
 public:
  Checker(const CheckFlags& flags, Measurer& measurer) : flags_(flags), measurer_(measurer) {}

  Status Run(const std::vector<const KernelTemplate*>& templates, const std::vector<NamedWorkload>& shapes) {
    for (size_t i = 0; i < shapes.size() && !StopRequested(); ++i)
      for (const KernelTemplate* tmpl : templates)
        if (tmpl->operator_name() == shapes[i].op->name())
          if (Status done = CheckShape(*tmpl, shapes[i], flags_.seed * 1000003 + i); !done) return done;
    while (in_flight_ > 0)
      if (Status taken = Take(); !taken) return taken;
    return {};
  }

  const std::map<std::string, Tally>& tallies() const { return tallies_; }
  const std::vector<Measurement>& failures() const { return failures_; }

 private:
  Status CheckShape(const KernelTemplate& tmpl, const NamedWorkload& shape, uint64_t seed) {
    Result<bool> applies = tmpl.Applies(*shape.op, shape.workload, measurer_.target());
    if (!applies) return applies.error();
    if (!*applies) return {};
    Result<Space> space = tmpl.SpaceFor(*shape.op, shape.workload, measurer_.target());
    if (!space) return space.error();
    Tally& tally = tallies_[NameOf(tmpl.operator_name(), tmpl.name())];
    ++tally.shapes;
    std::mt19937_64 random(seed);
    for (size_t n = 0; n < flags_.configs && !StopRequested(); ++n) {
      // The first config is what users get untuned: it is always among them.
      const std::optional<Point> point = n == 0 ? space->First() : space->Sample(random);
      if (!point)
        return Error{ErrorCode::kInvalidInput, fmt::format("template '{}' has no valid config for {}", tmpl.name(), shape.workload.Key())};
      while (in_flight_ >= measurer_.capacity())
        if (Status taken = Take(); !taken) return taken;
      MeasureRequest request;
      request.candidate = {shape.workload, tmpl.name(), tmpl.hash(), space->ConfigAt(*point)};
      if (Status submitted = measurer_.Submit(std::move(request)); !submitted) return submitted;
      ++in_flight_;
    }
    return {};
  }

  Status Take() {
    Result<std::vector<Measurement>> done = measurer_.Wait(std::chrono::milliseconds(500));
    if (!done) return done.error();
    for (Measurement& measurement : *done) {
      --in_flight_;
      Tally& tally = tallies_[NameOf(measurement.candidate.workload.operator_name, measurement.candidate.template_name)];
      ++tally.checked;
      if (measurement.status == MeasureStatus::kOk) continue;
      ++tally.failed;
      failures_.push_back(std::move(measurement));
    }
    return {};
  }

  static std::string NameOf(const std::string& op, const std::string& tmpl) { return op + '/' + tmpl; }

  const CheckFlags& flags_;
  Measurer& measurer_;
  size_t in_flight_ = 0;
  std::map<std::string, Tally> tallies_;
  std::vector<Measurement> failures_;
};

int RunCheck(const CommonOptions& common, const CheckFlags& flags) {
  Result<TemplateLibrary> library = LoadTemplates(common);
  if (!library) return Fail(library.error());
  Result<std::vector<NamedWorkload>> shapes = ShapesFor(*library, flags);
  if (!shapes) return Fail(shapes.error());
  std::vector<const KernelTemplate*> templates;
  for (const std::string& name : flags.templates) {
    Result<const KernelTemplate*> tmpl = library->FindTemplate(name);
    if (!tmpl) return Fail(tmpl.error());
    templates.push_back(*tmpl);
  }
  if (templates.empty())
    for (const Operator* op : library->operators())
      for (const KernelTemplate* tmpl : library->TemplatesOf(op->name())) templates.push_back(tmpl);

  WorkshopOptions options;
  options.threads = flags.threads;
  options.verify_only = true;
  options.seed = flags.seed;
  Result<Workshop::BackendFactory> backend = BackendFor(flags.target);
  if (!backend) return Fail(backend.error());
  Result<std::unique_ptr<LocalMeasurer>> measurer = LocalMeasurer::Create(&*library, options, 0, *backend);
  if (!measurer) return Fail(measurer.error());
  Checker checker(flags, **measurer);
  if (Status done = checker.Run(templates, *shapes); !done) return Fail(done.error());

  nlohmann::ordered_json json = {{"templates", nlohmann::ordered_json::array()}, {"failures", nlohmann::ordered_json::array()}};
  Table table({"checked", "failed", "shapes", "template"});
  for (const auto& [name, tally] : checker.tallies()) {
    table.Add({std::to_string(tally.checked), std::to_string(tally.failed), std::to_string(tally.shapes), name});
    json["templates"].push_back({{"template", name}, {"checked", tally.checked}, {"failed", tally.failed}, {"shapes", tally.shapes}});
  }
  for (const Measurement& failure : checker.failures())
    json["failures"].push_back({{"template", failure.candidate.template_name},
                                {"workload", failure.candidate.workload.Key()},
                                {"config", ToString(failure.candidate.config)},
                                {"status", ToString(failure.status)},
                                {"message", failure.message}});
  if (common.json) {
    PrintJson(json);
  } else {
    for (const Measurement& failure : checker.failures())
      fmt::print("{} {} {}\n  on {}\n  {}\n", ToString(failure.status), failure.candidate.template_name, ToString(failure.candidate.config),
                 failure.candidate.workload.Key(), failure.message);
    fmt::print("{}", table.Text());
  }
  if (StopRequested()) return kExitStopped;
  if (checker.tallies().empty()) return Fail({ErrorCode::kNotFound, "check: no template computes any of these workloads on this machine"});
  return checker.failures().empty() ? kExitOk : kExitIncomplete;
}

}  // namespace

void RegisterCheck(CLI::App& app, CommonOptions& common, Action& chosen) {
  CLI::App* command = app.add_subcommand("check", "Hold templates to their reference at random configs");
  auto flags = std::make_shared<CheckFlags>();
  command->add_option("template", flags->templates, "Which; all unless given");
  command->add_option("--workload", flags->workloads, "On this workload instead of the operator's test_workloads; repeatable");
  command->add_option("--configs", flags->configs, "Configs for each template and shape; the first valid one is always among them")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  command->add_option("--seed", flags->seed, "Another draw of configs and inputs")->capture_default_str();
  command->add_option("--target", flags->target, "cpu, opencl (the first device), opencl:1 (another)")->capture_default_str();
  command->add_option("--threads", flags->threads, "Threads a kernel may use")->capture_default_str()->check(CLI::Range(1, 1024));
  command->footer("Example:\n  lathe check direct_cpu --configs 30");
  command->callback([&common, &chosen, flags] { chosen = [&common, flags] { return RunCheck(common, *flags); }; });
}

}  // namespace lathe
