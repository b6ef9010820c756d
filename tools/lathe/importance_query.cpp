#include "tools/lathe/importance_query.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>
#include <nlohmann/json.hpp>
#include <tuple>

#include "costmodel/importance.h"
#include "costmodel/winner_edges.h"
#include "search/point_set.h"
#include "search/tune_task.h"
#include "tools/lathe/table.h"

namespace lathe {
namespace {

constexpr size_t kMostRows = 12;      // of the table, for people
constexpr double kLittle = 0.005;     // shares below this are not shown to people
constexpr double kDoubtful = 0.3;     // of the variance held out that the model explains: less says nothing
constexpr double kWorthwhile = 0.01;  // a lead or promise below this is not shown to people

struct Group {
  Candidate candidate;
  std::string target_hash, target_key;
  std::map<std::string, std::pair<Config, std::vector<double>>> configs;  // samples, by the config's text
};

struct Insight {
  Workload workload;
  std::string label, template_name, target_key;
  const Space* space = nullptr;
  size_t observations = 0;
  Config winner;
  double held_out = 0;
  Importance importance;
  WinnerEdges edges;
};

Result<std::vector<Group>> GroupsOf(TuningLog& log, const LogFilter& filter) {
  std::map<std::tuple<std::string, std::string, std::string>, Group> groups;
  Status read = log.ForEach(filter, [&](const LoggedMeasurement& row) {
    if (row.measurement.status != MeasureStatus::kOk) return true;
    const Candidate& candidate = row.measurement.candidate;
    Group& group = groups[{candidate.workload.Key(), candidate.template_name + '@' + candidate.template_hash, row.target_hash}];
    group.candidate = candidate;
    group.target_hash = row.target_hash;
    group.target_key = row.target_key;
    auto& [config, samples] = group.configs[ToString(candidate.config)];
    config = candidate.config;
    samples.insert(samples.end(), row.measurement.seconds.begin(), row.measurement.seconds.end());
    return true;
  });
  if (!read) return read.error();
  std::vector<Group> list;
  for (auto& [key, group] : groups) list.push_back(std::move(group));
  return list;
}

// `task` keeps the space alive that the answer points to.
Result<Insight> InsightOf(const TemplateLibrary& library, TuningLog& log, const Group& group, TuneTask* task) {
  Result<Target> target = log.FindTarget(group.target_hash);
  if (!target) return target.error();
  Result<TuneTask> made = MakeTuneTask(library, group.candidate.workload, *target);
  if (!made) return made.error();
  *task = *std::move(made);
  const TaskTemplate* kernel = nullptr;
  for (const TaskTemplate& one : task->templates)
    if (one.name == group.candidate.template_name && one.hash == group.candidate.template_hash) kernel = &one;
  if (kernel == nullptr) return Error{ErrorCode::kNotFound, fmt::format("template '{}' has changed since", group.candidate.template_name)};
  std::vector<Point> points;
  std::vector<double> seconds;
  size_t best = 0;
  for (const auto& [text, known] : group.configs) {
    const Result<Point> point = kernel->space->PointOf(known.first);
    if (!point) continue;
    points.push_back(*point);
    seconds.push_back(LowQuantile(known.second));
    if (seconds.back() < seconds[best]) best = seconds.size() - 1;
  }
  if (points.size() < TimeModel::kFewest)
    return Error{ErrorCode::kNotFound,
                 fmt::format("fewer than {} of their configs worked, too few to learn from (tune for longer)", TimeModel::kFewest)};
  Result<TimeModel> model = TimeModel::Learn(*kernel->space, points, seconds, 1);
  if (!model) return model.error();
  Insight insight;
  insight.workload = group.candidate.workload;
  if (Result<const Operator*> op = library.FindOperator(group.candidate.workload.operator_name))
    insight.label = (*op)->Label(group.candidate.workload);
  insight.template_name = kernel->name;
  insight.target_key = group.target_key;
  insight.space = kernel->space.get();
  insight.observations = points.size();
  insight.winner = kernel->space->ConfigAt(points[best]);
  insight.held_out = model->held_out();
  insight.importance = ImportanceOf(*kernel->space, *model, 1);
  Result<WinnerEdges> edges = EdgesOf(*kernel->space, *model, points[best]);
  if (!edges) return edges.error();
  insight.edges = *std::move(edges);
  return insight;
}

std::string Names(const Space& space, const ImportancePart& part) {
  std::string names;
  for (const size_t p : part.parameters) names += (names.empty() ? "" : " x ") + space.parameters()[p].name;
  return names;
}

void PrintText(const Insight& insight) {
  const Space& space = *insight.space;
  fmt::print("{}, {} on {}: {} configs measured; a model of them explains {:.0f}% of what it was not shown{}\n", insight.label,
             insight.template_name, insight.target_key, insight.observations, 100 * std::max(0.0, insight.held_out),
             insight.held_out < kDoubtful ? ", too little to conclude from; tune for longer" : "");
  Table table({"share", "decides about the time", "winner"});
  size_t rows = 0;
  for (const ImportancePart& part : insight.importance.parts) {
    if (rows == kMostRows || part.share < kLittle) break;
    std::string values;
    for (const size_t p : part.parameters) values += (values.empty() ? "" : ", ") + ToString(insight.winner[p].second);
    table.Add({fmt::format("{:.1f}%", 100 * part.share), Names(space, part), values});
    ++rows;
  }
  fmt::print("{}", table.Text());
  for (const EdgeValue& edge : insight.edges.values) {
    if (edge.lead < kWorthwhile) continue;
    fmt::print("at the edge: {} = {} is the {} of its list, expected {:.1f}% faster than the next; a longer list may gain more\n",
               space.parameters()[edge.parameter].name, ToString(insight.winner[edge.parameter].second),
               edge.largest ? "largest" : "smallest", 100 * edge.lead);
  }
  for (const EdgeConstraint& edge : insight.edges.constraints) {
    if (edge.promise < kWorthwhile) continue;
    const Constraint& constraint = space.constraints()[edge.constraint];
    fmt::print("worth widening: \"{}\" ({}) alone refuses {}, expected {:.1f}% faster than the winner\n", constraint.require,
               constraint.why, ToString(space.ConfigAt(edge.best)), 100 * edge.promise);
  }
  fmt::print("\n");
}

nlohmann::ordered_json InsightJson(const Insight& insight) {
  const Space& space = *insight.space;
  nlohmann::ordered_json json = {{"workload", insight.workload.Key()},
                                 {"label", insight.label},
                                 {"template", insight.template_name},
                                 {"target", insight.target_key},
                                 {"space", space.id()},
                                 {"configs", insight.observations},
                                 {"model_explains", insight.held_out},
                                 {"winner", ToJson(insight.winner)},
                                 {"importance", nlohmann::ordered_json::array()},
                                 {"explained", insight.importance.explained},
                                 {"edges", nlohmann::ordered_json::array()},
                                 {"constraints", nlohmann::ordered_json::array()}};
  for (const ImportancePart& part : insight.importance.parts) {
    nlohmann::ordered_json names = nlohmann::ordered_json::array();
    for (const size_t p : part.parameters) names.push_back(space.parameters()[p].name);
    json["importance"].push_back({{"parameters", names}, {"share", part.share}});
  }
  for (const EdgeValue& edge : insight.edges.values)
    json["edges"].push_back(
        {{"parameter", space.parameters()[edge.parameter].name}, {"edge", edge.largest ? "largest" : "smallest"}, {"lead", edge.lead}});
  for (const EdgeConstraint& edge : insight.edges.constraints)
    json["constraints"].push_back({{"require", space.constraints()[edge.constraint].require},
                                   {"why", space.constraints()[edge.constraint].why},
                                   {"forbids", edge.forbids},
                                   {"best", ToJson(space.ConfigAt(edge.best))},
                                   {"promise", edge.promise}});
  return json;
}

}  // namespace

int PrintImportance(const CommonOptions& common, const TemplateLibrary& library, TuningLog& log, const LogFilter& filter) {
  Result<std::vector<Group>> groups = GroupsOf(log, filter);
  if (!groups) return Fail(groups.error());
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  size_t shown = 0;
  std::map<std::string, size_t> left_out;  // by reason: a log of many workloads has few reasons
  nlohmann::ordered_json left_out_list = nlohmann::ordered_json::array();
  for (const Group& group : *groups) {
    TuneTask task;
    Result<Insight> insight = InsightOf(library, log, group, &task);
    if (!insight) {
      ++left_out[insight.error().message];
      left_out_list.push_back({{"workload", group.candidate.workload.Key()},
                               {"template", group.candidate.template_name},
                               {"target", group.target_key},
                               {"configs", group.configs.size()},
                               {"reason", insight.error().message}});
      continue;
    }
    ++shown;
    if (common.json)
      list.push_back(InsightJson(*insight));
    else
      PrintText(*insight);
  }
  if (common.json) PrintJson(nlohmann::ordered_json{{"insights", list}, {"left_out", left_out_list}});
  for (const auto& [reason, count] : left_out)
    fmt::print(stderr, "lathe: {} left out: {}; --json lists {}\n", count == 1 ? "1 kernel" : fmt::format("{} kernels", count), reason,
               count == 1 ? "it" : "them");
  if (shown == 0) fmt::print(stderr, "lathe: '{}' holds nothing that fits and is enough to learn from\n", log.path().string());
  return shown == 0 ? kExitNotFound : kExitOk;
}

}  // namespace lathe
