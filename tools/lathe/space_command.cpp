// lathe space: what a template leaves open for a workload, and what holds it together.
#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>

#include "core/file.h"
#include "core/parse_json.h"
#include "measure/target_choice.h"
#include "space/space_diagnostics.h"
#include "tools/lathe/command.h"
#include "tools/lathe/table.h"

namespace lathe {
namespace {

struct SpaceFlags {
  std::string tmpl, workload, definition, target = "cpu";
  int threads = 1;
};

struct OpenedSpace {
  Space space;
  double open_ms = 0;  // creating and counting
  std::optional<uint64_t> valid;
};

Result<OpenedSpace> Opened(const std::function<Result<Space>()>& create) {
  const auto begin = std::chrono::steady_clock::now();
  Result<Space> space = create();
  if (!space) return space.error();
  const std::optional<uint64_t> valid = space->CountValid(uint64_t{1} << 25);  // seconds at most
  const double ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
  return OpenedSpace{*std::move(space), ms, valid};
}

Result<OpenedSpace> FromDefinition(const std::string& file) {
  Result<std::string> text = ReadFile(file);
  if (!text) return OfInput(text.error());
  const std::string doing = fmt::format("read space definition '{}'", file);
  Result<nlohmann::json> json = ParseJson(*text);
  if (!json) return json.error().In(doing);
  Result<SpaceDefinition> definition = SpaceDefinitionFromJson(*json);
  if (!definition) return definition.error().In(doing);
  return Opened([&] { return Space::Create(*definition); });
}

Result<OpenedSpace> FromTemplate(const CommonOptions& common, const SpaceFlags& flags) {
  Result<TemplateLibrary> library = LoadTemplates(common);
  if (!library) return library.error();
  Result<const KernelTemplate*> tmpl = library->FindTemplate(flags.tmpl);
  if (!tmpl) return tmpl.error();
  Result<NamedWorkload> named = ReadWorkload(*library, flags.workload);
  if (!named) return named.error();
  const Operator& op = *named->op;
  const Workload& workload = named->workload;
  if ((*tmpl)->operator_name() != op.name())
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("template '{}' computes '{}', not '{}'", flags.tmpl, (*tmpl)->operator_name(), op.name())};
  Result<Target> chosen = TargetFor(flags.target, flags.threads);
  if (!chosen) return OfMachine(chosen.error());
  const Target& target = *chosen;
  Result<bool> applies = (*tmpl)->Applies(op, workload, target);
  if (!applies) return applies.error();
  if (!*applies)
    return Error{ErrorCode::kNotFound, fmt::format("template '{}' does not apply to {} on {}: {}", flags.tmpl, workload.Key(), target.Key(),
                                                   (*tmpl)->manifest().value("applies", "its backend is " + (*tmpl)->backend()))};
  return Opened([&] { return (*tmpl)->SpaceFor(op, workload, target); });
}

std::string ValuesText(const Parameter& parameter) {
  std::string text;
  for (const Value& value : parameter.values) text += (text.empty() ? "" : " ") + ToString(value);
  return text.size() <= 60 ? text
                           : fmt::format("{} … {} ({} values)", ToString(parameter.values.front()), ToString(parameter.values.back()),
                                         parameter.values.size());
}

std::string RemovalText(const Removal& removal) { return fmt::format("{}{:.1f}%", removal.exact ? "" : "about ", 100 * removal.share); }

std::string DiagnosticsText(const SpaceDiagnostics& diagnostics) {
  Table table({"removes alone", "given the others", "constraint", "why"});
  for (const ConstraintDiagnosis& diagnosis : diagnostics.constraints)
    table.Add({RemovalText(diagnosis.alone), RemovalText(diagnosis.given_others), diagnosis.constraint.require, diagnosis.constraint.why});
  std::string text = diagnostics.constraints.empty() ? "" : table.Text();
  for (const DeadValues& dead : diagnostics.dead_values) {
    text += fmt::format("no valid config uses {} =", dead.parameter);
    for (const Value& value : dead.values) text += ' ' + ToString(value);
    text += '\n';
  }
  if (!diagnostics.empty_because.empty()) {
    text += "the space is empty because of these together:\n";
    for (const size_t i : diagnostics.empty_because) text += "  " + diagnostics.constraints[i].constraint.require + '\n';
  }
  return text;
}

int Print(const CommonOptions& common, const OpenedSpace& opened) {
  const Space& space = opened.space;
  Result<SpaceDiagnostics> diagnostics = Diagnose(space);
  if (!diagnostics) return Fail(diagnostics.error());
  if (common.json) {
    nlohmann::ordered_json json = {{"id", space.id()}, {"parameters", nlohmann::ordered_json::array()}};
    for (const Parameter& parameter : space.parameters()) {
      nlohmann::ordered_json values = nlohmann::ordered_json::array();
      for (const Value& value : parameter.values) values.push_back(nlohmann::ordered_json(ToJson(value)));
      json["parameters"].push_back({{"name", parameter.name}, {"values", values}, {"meaning", parameter.meaning}});
    }
    json.update(ToJson(*diagnostics));
    json["raw"] = space.raw_size();
    json["valid"] = opened.valid ? nlohmann::ordered_json(*opened.valid) : nlohmann::ordered_json(nullptr);
    json["open_ms"] = opened.open_ms;
    PrintJson(json);
    return kExitOk;
  }
  Table parameters({"parameter", "values", "meaning"});
  for (const Parameter& parameter : space.parameters()) parameters.Add({parameter.name, ValuesText(parameter), parameter.meaning});
  fmt::print("{}: {} raw points, {} valid, opened and counted in {:.1f} ms\n\n{}\n{}", space.id(), space.raw_size(),
             opened.valid ? std::to_string(*opened.valid) : "too many to count", opened.open_ms, parameters.Text(),
             DiagnosticsText(*diagnostics));
  return kExitOk;
}

int RunSpace(const CommonOptions& common, const SpaceFlags& flags) {
  if (flags.definition.empty() && (flags.tmpl.empty() || flags.workload.empty()))
    return WrongCommandLine("space: give a template and --workload, or --definition FILE");
  Result<OpenedSpace> opened = flags.definition.empty() ? FromTemplate(common, flags) : FromDefinition(flags.definition);
  return opened ? Print(common, *opened) : Fail(opened.error());
}

}  // namespace

void RegisterSpace(CLI::App& app, CommonOptions& common, Action& chosen) {
  CLI::App* command = app.add_subcommand("space", "Show a template's parameters, constraints, and what each constraint removes");
  auto flags = std::make_shared<SpaceFlags>();
  auto* tmpl = command->add_option("template", flags->tmpl, "Template: direct_cpu, or conv2d/direct_cpu");
  auto* workload = command->add_option("--workload", flags->workload, "OPERATOR:attribute=value,…");
  command->add_option("--definition", flags->definition, "A bare space instead: JSON with id, parameters, values, constraints")
      ->excludes(tmpl)
      ->excludes(workload);
  Parsed(command->add_option("--target", flags->target, "cpu, opencl (the first device), opencl:1 (another), cuda/sm_87 (no device)"),
         CheckTargetChoice)
      ->capture_default_str();
  command->add_option("--threads", flags->threads, "Threads a kernel may use")->capture_default_str()->check(CLI::Range(1, 1024));
  command->footer("Example:\n  lathe space direct_cpu --workload conv2d:h=56,w=56,c=64,k=64,r=3,s=3,layout=nhwc");
  command->callback([&common, &chosen, flags] { chosen = [&common, flags] { return RunSpace(common, *flags); }; });
}

}  // namespace lathe
