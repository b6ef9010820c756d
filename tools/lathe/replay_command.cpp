// lathe replay: a strategy against recorded spaces, without a device.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "search/model_options.h"
#include "search/replay.h"
#include "tools/lathe/command.h"
#include "tools/lathe/table.h"
#include "tools/number_check.h"

namespace lathe {
namespace {

struct ReplayFlags {
  std::vector<std::string> spaces;
  ReplayOptions options;
  std::vector<std::string> strategy_options, without, warm;
  bool leave_one_out = false;
};

// Records of the same kernel elsewhere: the same parameters, another id.
std::vector<const RecordedSpace*> LendersOf(const RecordedSpace& space, const std::vector<RecordedSpace>& records) {
  const auto names = [](const RecordedSpace& of) {
    std::vector<std::string> list;
    for (const Parameter& parameter : of.space().parameters()) list.push_back(parameter.name);
    return list;
  };
  std::vector<const RecordedSpace*> lenders;
  for (const RecordedSpace& record : records) {
    if (record.id() != space.id() && names(record) == names(space)) lenders.push_back(&record);
  }
  return lenders;
}

std::string OrDash(const std::optional<double>& trials) { return trials ? fmt::format("{:.0f}", *trials) : "-"; }

std::vector<std::string> Row(const ReplayFigures& figures, const std::vector<size_t>& budgets) {
  std::vector<std::string> row = {figures.id};
  for (const size_t budget : budgets) {
    row.push_back(fmt::format("{:.3f} / {:.3f}", figures.at.at(budget), figures.p10.at(budget)));
  }
  for (const auto& [fraction, trials] : figures.trials_to) row.push_back(OrDash(trials));
  row.push_back(fmt::format("{:.3f}", figures.auc));
  row.push_back(fmt::format("{:.3f}", figures.score));
  row.push_back(fmt::format("{:.2f}", figures.strategy_s));
  return row;
}

int RunReplay(const CommonOptions& common, ReplayFlags& flags) {
  for (const std::string& text : flags.strategy_options) {
    const size_t equals = text.find('=');
    if (equals == std::string::npos) return WrongCommandLine(fmt::format("--option '{}': write name=value", text));
    flags.options.strategy_options[text.substr(0, equals)] = text.substr(equals + 1);
  }
  if (!flags.without.empty() && flags.options.strategy != "model")
    return WrongCommandLine(fmt::format("--without: strategy '{}' has no ingredients; only 'model' has", flags.options.strategy));
  for (const std::string& ingredient : flags.without) {
    for (const auto& [name, value] : Ablations().at(ingredient)) flags.options.strategy_options[name] = value;
  }
  std::vector<RecordedSpace> records;
  for (const std::string& path : flags.leave_one_out ? flags.spaces : flags.warm) {
    Result<RecordedSpace> record = RecordedSpace::Load(path);
    if (!record) return Fail(OfInput(record.error()));
    records.push_back(*std::move(record));
  }
  ReplayReport report{flags.options.strategy, flags.options.seeds, {}};
  for (const std::string& path : flags.spaces) {
    Result<RecordedSpace> space = RecordedSpace::Load(path);
    if (!space) return Fail(OfInput(space.error()));
    flags.options.lenders = LendersOf(*space, records);
    Result<ReplayFigures> figures = Replay(*space, flags.options);
    if (!figures) return Fail(figures.error());
    if (flags.spaces.size() > 1) fmt::print(stderr, "{}: score {:.3f}\n", figures->id, figures->score);
    report.spaces.push_back(*std::move(figures));
  }
  if (common.json) {
    PrintJson(ToJson(report));
    return kExitOk;
  }
  std::vector<std::string> header = {"space"};
  for (const size_t budget : flags.options.budgets) header.push_back(fmt::format("at {}", budget));
  for (const auto& [fraction, ignored] : report.spaces.front().trials_to) header.push_back(fmt::format("to {:.0f}%", 100 * fraction));
  header.insert(header.end(), {"area", "score", "own s"});
  Table table(header);
  for (const ReplayFigures& figures : report.spaces) table.Add(Row(figures, flags.options.budgets));
  if (report.spaces.size() > 1) {
    ReplayFigures overall = Overall(report.spaces);
    overall.id = "overall";
    table.Add(Row(overall, flags.options.budgets));
  }
  fmt::print(
      "{}, {} seeds, {} in flight. At so many trials: fraction of the optimum, mean / worst decile of the seeds; median trials to reach a "
      "fraction;\n"
      "area under the curve; methodology score (0: random, 1: optimum at once); the strategy's own seconds a seed\n{}",
      report.strategy, report.seeds, flags.options.in_flight, table.Text());
  return kExitOk;
}

}  // namespace

void RegisterReplay(CLI::App& app, CommonOptions& common, Action& chosen) {
  CLI::App* command = app.add_subcommand("replay", "Run a strategy against recorded spaces");
  auto flags = std::make_shared<ReplayFlags>();
  command->add_option("space", flags->spaces, "NAME.json with NAME.csv.gz beside it")->required();
  command->add_option("--strategy", flags->options.strategy, "Which strategy")
      ->capture_default_str()
      ->check(CLI::IsMember(StrategyNames()));
  command->add_option("--option", flags->strategy_options, "name=value for the strategy; repeatable");
  std::vector<std::string> ingredients;
  for (const auto& [ingredient, ignored] : Ablations()) ingredients.push_back(ingredient);
  command->add_option("--without", flags->without, "Leave an ingredient of the model strategy out, to see what it brings; repeatable")
      ->check(CLI::IsMember(ingredients));
  command->add_option("--budgets", flags->options.budgets, "Trials at which the best so far is noted")
      ->delimiter(',')
      ->capture_default_str();
  command->add_option("--seeds", flags->options.seeds, "Runs of each space")->capture_default_str()->check(WholeFromOne());
  command->add_option("--first-seed", flags->options.first_seed, "The seeds are this one and those after it")->capture_default_str();
  command->add_option("--batch", flags->options.batch, "Proposed at a time; 0: half of what is in flight")->capture_default_str();
  command->add_option("--in-flight", flags->options.in_flight, "Measurements under way at a time")->capture_default_str();
  auto* warm = command->add_option("--warm", flags->warm, "Records of the same kernel on other devices, lent to the search");
  command->add_flag("--leave-one-out", flags->leave_one_out, "Lend each search the other spaces given that have the same parameters")
      ->excludes(warm);
  command
      ->add_option("--lent-trials", flags->options.lent_trials, "Lend only what a cold search of so many trials found; 0: the whole record")
      ->capture_default_str();
  command->footer("Example:\n  lathe replay spaces/*.json --strategy model --budgets 25,50,100,200,400 --seeds 30 --json");
  command->callback([&common, &chosen, flags] { chosen = [&common, flags] { return RunReplay(common, *flags); }; });
}

}  // namespace lathe
