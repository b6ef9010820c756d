#include "search/tune_report.h"

namespace lathe {
namespace {

nlohmann::json TunedJson(const std::optional<TunedConfig>& tuned) {
  if (!tuned) return nullptr;
  return {{"template", tuned->template_name},
          {"template_hash", tuned->template_hash},
          {"config", ToJson(tuned->config)},
          {"objective", tuned->objective},
          {"seconds", tuned->seconds},
          {"joules", tuned->joules ? nlohmann::json(*tuned->joules) : nlohmann::json(nullptr)},
          {"watts", tuned->watts ? nlohmann::json(*tuned->watts) : nlohmann::json(nullptr)},
          {"samples", tuned->samples.size()}};
}

nlohmann::json BorrowingJson(const Borrowing& borrowing) {
  nlohmann::json sources = nlohmann::json::array();
  for (const Borrowing::Source& source : borrowing.sources)
    sources.push_back({{"from", source.label}, {"measurements", source.measurements}, {"agreement", source.agreement}});
  return {{"measurements", borrowing.measurements}, {"sources", sources},
          {"proposed", borrowing.proposed},         {"agreement", borrowing.agreement},
          {"compared", borrowing.compared},         {"verdict", borrowing.verdict}};
}

double Share(double part, double whole) { return whole > 0 ? part / whole : 0; }

}  // namespace

std::optional<double> TaskReport::SpeedUp() const {
  if (!untuned || !best || best->objective <= 0) return std::nullopt;
  return untuned->objective / best->objective;
}

nlohmann::json ToJson(const TaskReport& report) {
  nlohmann::json json = ToJson(report.workload);
  json["key"] = report.workload.Key();
  json["label"] = report.label;
  json["weight"] = report.weight;
  json["untuned"] = TunedJson(report.untuned);
  json["best"] = TunedJson(report.best);
  json["speed_up"] = report.SpeedUp() ? nlohmann::json(*report.SpeedUp()) : nlohmann::json(nullptr);
  json["trials"] = report.trials;
  json["from_history"] = report.from_history;
  json["failures"] = report.failures;
  json["ties"] = report.ties;
  json["confidence"] = report.confidence ? nlohmann::json(*report.confidence) : nlohmann::json(nullptr);
  json["margin"] = report.margin;
  json["borrowed"] = nlohmann::json::array();
  for (const Borrowing& borrowing : report.borrowed) json["borrowed"].push_back(BorrowingJson(borrowing));
  json["ended"] = report.ended;
  json["seconds"] = report.seconds;
  return json;
}

nlohmann::json ToJson(const TuneReport& report) {
  nlohmann::json tasks = nlohmann::json::array();
  for (const TaskReport& task : report.tasks) tasks.push_back(ToJson(task));
  const TuneOverhead& overhead = report.overhead;
  return {{"run", report.run_id},
          {"state", report.state},
          {"tasks", tasks},
          {"seconds", report.seconds},
          {"build_seconds", report.build_seconds},
          {"device_seconds", report.device_seconds},
          {"device_busy_share", Share(report.device_seconds, report.seconds)},
          {"measurements", report.measurements},
          {"lost", report.lost},
          {"gain_per_minute", report.gain_per_minute ? nlohmann::json(*report.gain_per_minute) : nlohmann::json(nullptr)},
          {"overhead",
           {{"propose_s", overhead.propose},
            {"observe_s", overhead.observe},
            {"borrow_s", overhead.borrow},
            {"journal_s", overhead.journal},
            {"submit_s", overhead.submit},
            {"progress_s", overhead.progress},
            {"waiting_s", overhead.waiting},
            {"own_share", Share(overhead.Own(), report.seconds)}}}};
}

}  // namespace lathe
