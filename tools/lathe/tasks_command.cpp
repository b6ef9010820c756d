// lathe tasks: which workloads a model has, and how often.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "deploy/model_tasks.h"
#include "tools/lathe/command.h"
#include "tools/lathe/table.h"

namespace lathe {
namespace {

int RunTasks(const CommonOptions& common, const std::string& model, const std::vector<std::string>& shapes) {
  Result<TemplateLibrary> library = LoadTemplates(common);
  if (!library) return Fail(library.error());
  Result<ShapeOverrides> overrides = ParseShapeOverrides(shapes);
  if (!overrides) return Fail(overrides.error());
  if (Status there = InputIsThere("read model", model); !there) return Fail(there.error());
  Result<ModelTasks> tasks = ReadTasks(model, *library, *overrides);
  if (!tasks) return Fail(tasks.error());
  const int exit_code = tasks->unknown.empty() ? DoneWithAll(*library) : kExitIncomplete;
  if (common.json) {
    PrintJson(ToJson(*tasks));
    return exit_code;
  }
  Table table({"count", "GFLOP", "workload"});
  int64_t nodes = 0;
  for (const Task& task : tasks->tasks) {
    const Operator& op = **library->FindOperator(task.workload.operator_name);
    Result<double> flops = op.Flops(task.workload);
    table.Add({std::to_string(task.count), flops && *flops > 0 ? fmt::format("{:.3f}", *flops / 1e9) : "-", op.Label(task.workload)});
    nodes += task.count;
  }
  fmt::print("{}{} distinct workloads in {} nodes\n", table.Text(), tasks->tasks.size(), nodes);
  std::string ignored;
  for (const auto& [type, count] : tasks->ignored) ignored += fmt::format("{}{} {}", ignored.empty() ? "" : ", ", count, type);
  if (!ignored.empty()) fmt::print("no operator computes: {}\n", ignored);
  for (const Task& task : tasks->tasks)
    for (const std::string& note : task.notes) fmt::print("note on {}: {}\n", task.nodes.empty() ? task.key : task.nodes.front(), note);
  for (const UnknownNode& node : tasks->unknown)
    fmt::print(stderr, "lathe: {} node '{}' is left out: {}\n", node.op_type, node.name, node.reason);
  return exit_code;
}

}  // namespace

void RegisterTasks(CLI::App& app, CommonOptions& common, Action& chosen) {
  CLI::App* command = app.add_subcommand("tasks", "List the distinct workloads of a model");
  auto model = std::make_shared<std::string>();
  auto shapes = std::make_shared<std::vector<std::string>>();
  command->add_option("model", *model, "ONNX file, or a JSON file of workloads")->required();
  Parsed(
      command->add_option("--shape", *shapes, "NAME=1x3x1080x1920 for an input (or any value), NAME=4 for a named dimension; repeatable"),
      [](const std::string& text) { return ParseShapeOverrides({text}); });
  command->footer("Example:\n  lathe tasks detector.onnx --shape frame=1x3x1080x1920 --json > workloads.json");
  command->callback([&common, &chosen, model, shapes] { chosen = [&common, model, shapes] { return RunTasks(common, *model, *shapes); }; });
}

}  // namespace lathe
