// lathe check: holds templates to their reference at random valid configs, on their operator's awkward shapes or on a given workload, and
// compiles the reference as a library's fallback; or, with --build-only, only builds templates, for any number of targets, and tells what
// the compiler made of them.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "measure/target_choice.h"
#include "tools/duration_option.h"
#include "tools/lathe/command.h"
#include "tools/lathe/stop_signal.h"
#include "tools/lathe/template_check.h"
#include "tools/number_check.h"

namespace lathe {
namespace {

struct CheckFlags {
  std::vector<std::string> templates, workloads;
  std::vector<std::string> targets = {"cpu"};
  TemplateCheckOptions check;
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

int RunCheck(const CommonOptions& common, CheckFlags& flags) {
  for (const std::string& target : flags.targets)
    if (!flags.check.toolchain.empty() && target != "cpu")
      return WrongCommandLine(fmt::format("--toolchain '{}' builds for the cpu, --target is {}", flags.check.toolchain, target));
  Result<TemplateLibrary> library = LoadTemplates(common);
  if (!library) return Fail(library.error());
  Result<std::vector<NamedWorkload>> shapes = ShapesFor(*library, flags);
  if (!shapes) return Fail(shapes.error());
  std::vector<const KernelTemplate*> templates;
  for (const std::string& name : flags.templates) {
    const std::vector<const KernelTemplate*> of_operator = library->TemplatesOf(name);
    templates.insert(templates.end(), of_operator.begin(), of_operator.end());
    if (!of_operator.empty()) continue;
    Result<const KernelTemplate*> tmpl = library->FindTemplate(name);
    if (!tmpl) return Fail(tmpl.error());
    templates.push_back(*tmpl);
  }
  for (const KernelTemplate* tmpl : templates)
    if (std::none_of(shapes->begin(), shapes->end(), [&](const NamedWorkload& shape) { return shape.op->name() == tmpl->operator_name(); }))
      return Fail(
          {ErrorCode::kInvalidInput,
           !flags.workloads.empty()
               ? fmt::format("check template '{}': it computes '{}', and no --workload is of that", tmpl->name(), tmpl->operator_name())
               : fmt::format("check template '{0}': operator '{1}' has no \"test_workloads\" in its operator.json; "
                             "list there the shapes that a kernel of '{1}' must get right",
                             tmpl->name(), tmpl->operator_name())});
  if (templates.empty() && !library->left_out().empty()) return Fail(library->left_out().begin()->second);
  if (templates.empty())
    for (const Operator* op : library->operators())
      for (const KernelTemplate* tmpl : library->TemplatesOf(op->name())) templates.push_back(tmpl);

  std::vector<TargetReport> reports;
  for (const std::string& target : flags.targets) {
    Result<TargetReport> report = CheckOn(target, *library, flags.check, templates, *shapes);
    if (!report) return Fail(report.error());
    reports.push_back(std::move(*report));
    if (StopRequested()) break;
  }
  return PrintReports(reports, flags.check.build_only, common.json);
}

}  // namespace

void RegisterCheck(CLI::App& app, CommonOptions& common, Action& chosen) {
  CLI::App* command = app.add_subcommand("check", "Hold templates to their reference at random configs");
  auto flags = std::make_shared<CheckFlags>();
  command->add_option("template", flags->templates,
                      "Which: direct_cpu, conv2d/direct_cpu, or an operator: all of its; all there are unless given");
  command->add_option("--workload", flags->workloads, "On this workload instead of the operator's test_workloads; repeatable");
  command->add_option("--configs", flags->check.configs, "Configs for each template and shape; the first valid one is always among them")
      ->capture_default_str()
      ->check(WholeFromOne());
  command
      ->add_option("--total", flags->check.total,
                   "So many different random configs for each template instead, dealt out over its shapes in turn")
      ->check(WholeFromOne());
  command->add_option("--seed", flags->check.seed, "Another draw of configs and inputs")->capture_default_str();
  Parsed(command->add_option("--target", flags->targets,
                             "cpu, opencl or cuda (the first device), opencl:1 (another); several with commas between"),
         CheckTargetChoice)
      ->delimiter(',')
      ->capture_default_str();
  AddDuration(*command, "--time-limit", flags->check.time_limit, "For each build and each run, for machines that are busy or slow");
  command->add_flag("--build-only", flags->check.build_only,
                    "Only compile, and print registers and spills (least, mean, most); for cuda/sm_87 and its like no GPU is needed");
  command->add_option(
      "--toolchain", flags->check.toolchain,
      "Build with this toolchain profile ($LATHE_TOOLCHAINS or the installed ones: aarch64, jetson-orin, …; or a file) and run under its "
      "launcher, an emulator");
  command->add_option("--threads", flags->check.threads, "Threads a kernel may use")->capture_default_str()->check(CLI::Range(1, 1024));
  command->footer(
      "Examples:\n  lathe check direct_cpu --configs 30\n  lathe check --toolchain aarch64 --configs 3\n  lathe check resize_gpu --target "
      "cuda/sm_53,cuda/sm_87 --build-only --configs 2");
  command->callback([&common, &chosen, flags] { chosen = [&common, flags] { return RunCheck(common, *flags); }; });
}

}  // namespace lathe
